//! Probes that run by themselves: an agent under a policy, a server, and a way that is broken. Nobody asks for anything.

use std::time::Duration;

use deskside_tests::lab::process::{Agent, Server, until_for};
use deskside_tests::lab::town::resolver::Manners;
use deskside_tests::lab::town::{self, Town};

/// Each round as often as policy can set.
const POLICY: &str = "[policy]\nhelp_desk = \"help.town.example:8000\"\n[policy.probes.gateway_path]\nevery_s = 60\n\
    [policy.probes.dns]\nevery_s = 60\n[policy.probes.ntp]\nevery_s = 60\n";

/// The first rounds begin within a minute and go one after the other, and silence is waited for.
const ROUNDS_MAX: Duration = Duration::from_mins(3);

/// Probe, rule, and words of what it finds.
const FOUND: [(&str, &str, &str); 3] = [
    ("gateway_path", "gateway-path-broken", "The name server 192.0.2.1 does not answer"),
    ("dns", "dns-does-not-answer", "The only name server, 192.0.2.1, does not answer"),
    ("ntp", "time-servers-silent", "203.0.113.2"),
];

#[test]
fn what_is_wrong_on_the_way_is_found_before_anybody_asks() -> anyhow::Result<()> {
    let town = Town::new()?;
    town.resolver.behave(Manners { silent: true, ..Manners::default() });
    town.desk.settings_file("systemd/timesyncd.conf", "[Time]\nNTP=203.0.113.2\n")?;
    let folder = tempfile::tempdir()?;
    let server = Server::start_at_with(folder.path(), town.server.name(), town::SERVER, POLICY)?;
    let mut agent = Agent::new(folder.path(), "")?.inside(town.desk.name());
    let device = agent.enrol(&server)?;
    let technician = server.technician(folder.path())?;
    let title = |rule: &str| -> anyhow::Result<Option<String>> {
        let known = technician.json(&["device", &device])?;
        let findings = known["findings"].as_array().cloned().unwrap_or_default();
        let finding = findings.into_iter().find(|finding| finding["rule"] == rule);
        Ok(finding.and_then(|finding| Some(finding["title"].as_str()?.to_owned())))
    };
    for (probe, rule, found) in FOUND {
        let streamed = || Ok(server.stored(&device, probe)?.into_iter().next());
        let reading = until_for(ROUNDS_MAX, &format!("a round of {probe}"), streamed)?;
        assert!(!reading.rows.is_empty(), "{reading:?}");
        let told = until_for(ROUNDS_MAX, &format!("the finding {rule}"), || title(rule))?;
        assert!(told.contains(found), "{told}");
    }
    let shown = technician.says(&["show", &device, "gateway_path"])?;
    assert!(shown.contains("resolver-dead"), "{shown}");
    agent.must_live()
}
