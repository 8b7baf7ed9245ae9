//! Who may test what: users with and without the right to send echo requests, targets that policy does not list, and a technician who hangs up.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use deskside_tests::lab::process::{Agent, Server, program, until};
use deskside_tests::lab::town::{self, Town};

use super::{Tested, listen};

#[test]
fn echo_requests_need_no_privilege_where_the_system_gives_them_to_all() {
    let town = Town::new().unwrap();
    let _listener = listen(&town);
    let folder = tempfile::tempdir().unwrap();
    // Why a copy: nobody may walk to where it was built.
    let agent = folder.path().join("deskside-agent");
    std::fs::copy(program("deskside-agent").unwrap(), &agent).unwrap();
    open(folder.path());
    let ask = |words: &[&str]| {
        let mut command = town.desk.command_as_nobody(&agent);
        command.arg("--state").arg(folder.path().join("state")).arg("--config").arg("/dev/null");
        Tested::of(command.arg("probe").args(words).arg("--json"))
    };
    let server = town::SERVER.to_string();
    for probe in ["ping", "trace", "mtu"] {
        ask(&[probe, &server]).must_be_fine();
    }
    ask(&["ping", &town::SERVER_V6.to_string(), "3"]).must_be_fine();
    town.unprivileged_echo(false).unwrap();
    for probe in ["ping", "trace", "mtu"] {
        let denied = ask(&[probe, &server]);
        assert_eq!(denied.verdict()["outcome"], "unknown", "{}", denied.sentence());
        let needs =
            "echo requests may be sent only by the groups of net.ipv4.ping_group_range, with CAP_NET_RAW, or as root";
        assert!(denied.sentence().contains(needs), "{}", denied.sentence());
    }
    ask(&["tcp", &server, "443"]).must_be_fine();
    for probe in ["ping", "trace", "mtu"] {
        super::probe(&town, &[probe, &server]).must_be_fine();
    }
    super::probe(&town, &["trace", &town::SERVER_V6.to_string()]).must_be_fine();
}

fn open(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).unwrap();
}

#[test]
fn from_the_desk_a_target_must_be_allowed_and_a_test_ends_with_who_asked() -> anyhow::Result<()> {
    let town = Town::new()?;
    let folder = tempfile::tempdir()?;
    let server = Server::start_at(folder.path(), Some(town.server.name()), town::SERVER)?;
    let mut agent = Agent::new(folder.path(), "")?.inside(town.desk.name());
    let device = agent.enrol(&server)?;
    let technician = server.technician(folder.path())?;
    until("a session", || Ok((technician.json(&["devices"])?[0]["connected"] == true).then_some(())))?;
    let refused = technician.says(&["probe", &device, "ping", "198.51.100.2"]).unwrap_err().to_string();
    assert!(refused.contains("198.51.100.2 is not tested: this machine is not set up to use it"), "{refused}");
    let well = technician.says(&["probe", &device, "ping", "count=5"])?;
    assert!(well.contains("Echo requests to the gateway 192.0.2.1: 0 of 5 lost"), "{well}");
    let findings = || -> anyhow::Result<Vec<String>> {
        let known = technician.json(&["device", &device])?;
        let findings = known["findings"].as_array().cloned().unwrap_or_default();
        let rules = findings.iter().filter_map(|finding| Some(finding["rule"].as_str()?.to_owned()));
        Ok(rules.filter(|rule| rule.starts_with("reach-")).collect())
    };
    assert_eq!(findings()?, Vec::<String>::new());
    // Why echo requests alone: what is found is to be streamed over the same link.
    town.router.nft(
        "add table inet faults\nadd chain inet faults taken { type filter hook prerouting priority 0; }\n\
        add rule inet faults taken icmp type echo-request numgen random mod 100 < 60 drop",
    )?;
    drop(technician.command()?.args(["probe", &device, "ping", "192.0.2.1", "20", "50"]).output()?);
    town.mend()?;
    until("the finding", || Ok((findings()? == ["reach-gateway-poor"]).then_some(())))?;

    let mut command = technician.command()?;
    let mut begun =
        command.args(["probe", &device, "ping", "count=100", "interval_ms=500"]).stdout(Stdio::piped()).spawn()?;
    let told = BufReader::new(begun.stdout.take().expect("an output")).lines().map_while(Result::ok);
    let first = { told }.find(|line| line.contains("100 echo requests"));
    begun.kill()?;
    begun.wait()?;
    assert!(first.is_some(), "the probe did not begin");
    until("the probe to stop", || Ok(agent.logged().contains("nobody waits for the answer").then_some(())))
}
