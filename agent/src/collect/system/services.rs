//! Services as systemd sees them.

use std::fmt::Write;
use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::Service;

use super::exits;
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::{Host, Ran};

/// Why not more often: systemd has to gather the properties of each unit, and that costs the machine more than it costs us.
pub(in crate::collect) const SERVICES: Collector =
    Collector { table: Service::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(5)), look };

const PROPERTIES: &str = "--property=Id,Description,LoadState,ActiveState,SubState,Result,NRestarts,ExecMainCode,\
                          ExecMainStatus,MainPID,StateChangeTimestamp,UnitFileState,Restart,MemoryCurrent,CPUUsageNSec,\
                          TasksCurrent";

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    // sd_booted(3): this folder is there exactly where systemd runs the machine.
    match host.list("/run/systemd/system") {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(Rows::unsupported("systemd does not run this machine"));
        }
        found => found.context("looking for systemd")?,
    };
    let show = |extra: &[&str]| {
        let arguments = [&["show", "--all", "--no-pager", PROPERTIES], extra, &["*.service"]].concat();
        host.run("systemctl", &arguments).context("running systemctl")
    };
    let ran = show(&["--timestamp=unix"])?;
    // Before systemd 248 there is no such option: then when a service changed is not known.
    let ran = if refused_option(&ran) { show(&[])? } else { ran };
    let complaint = String::from_utf8_lossy(&ran.stderr);
    anyhow::ensure!(ran.status == Some(0), "systemctl ended with status {:?}: {}", ran.status, complaint.trim());
    let text = String::from_utf8_lossy(&ran.stdout);
    let (mut rows, mut services, mut unread) = (Rows::none(), Vec::new(), 0);
    for block in text.split("\n\n").filter(|block| !block.trim().is_empty()) {
        match parse(block) {
            Some(service) => services.push(service),
            None => unread += 1,
        }
    }
    let before = host.recall("services", note(&services));
    for mut service in services {
        service.restarts_since = before.as_ref().map(|before| since(&before.text, &service));
        rows.push(&service);
    }
    if unread > 0 {
        rows.missing(format!("{unread} services that systemctl shows without a name or a state"));
    }
    Ok(rows)
}

fn refused_option(ran: &Ran) -> bool {
    ran.status != Some(0) && String::from_utf8_lossy(&ran.stderr).contains("--timestamp")
}

/// For the next look: "name restarts" of those that were restarted, a line each.
fn note(services: &[Service]) -> String {
    let restarted = services.iter().filter(|service| service.restarts > 0);
    restarted.fold(String::new(), |mut note, service| {
        // Writing to a String cannot fail.
        let _written = writeln!(note, "{} {}", service.name, service.restarts);
        note
    })
}

/// One that the look before did not count had not been restarted then; a count that fell was begun anew.
fn since(note: &str, service: &Service) -> u32 {
    let count = |line: &str| line.strip_prefix(service.name.as_str())?.strip_prefix(' ')?.parse::<u32>().ok();
    let before = note.lines().find_map(count).unwrap_or_default();
    service.restarts.checked_sub(before).unwrap_or(service.restarts)
}

/// One unit: lines of "Property=value".
fn parse(block: &str) -> Option<Service> {
    let value = |key: &str| block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let text = |key: &str| value(key).unwrap_or_default().to_owned();
    let name = value("Id").filter(|id| !id.is_empty())?.to_owned();
    let active_state = value("ActiveState")?.to_owned();
    // "[not set]", and the largest number in older releases, are not known.
    let counted = |key: &str| value(key)?.parse::<u64>().ok().filter(|count| *count != u64::MAX);
    // Codes of waitid(2). 0: the main process has not ended yet, and its status says nothing.
    let code = value("ExecMainCode").unwrap_or_default();
    let exit_code = match code {
        "1" => "exited",
        "2" => "killed",
        "3" => "dumped",
        _ => "",
    };
    let ended = code != "0" && !code.is_empty();
    let exit_status: Option<i32> =
        value("ExecMainStatus").and_then(|status| status.parse().ok()).filter(|_status| ended);
    let number = exit_status.and_then(|status| u32::try_from(status).ok());
    let exit_meaning =
        number.and_then(|number| if code == "1" { exits::status(number) } else { exits::signal(number) });
    Some(Service {
        name,
        description: text("Description"),
        load_state: text("LoadState"),
        active_state,
        sub_state: text("SubState"),
        result: text("Result"),
        restarts: value("NRestarts").and_then(|count| count.parse().ok()).unwrap_or_default(),
        exit_status,
        main_pid: value("MainPID").and_then(|pid| pid.parse().ok()).filter(|pid| *pid != 0),
        changed_ms: value("StateChangeTimestamp").and_then(unix_ms),
        enabled: text("UnitFileState"),
        exit_code: exit_code.to_owned(),
        exit_meaning: exit_meaning.unwrap_or_default().to_owned(),
        restart_policy: text("Restart"),
        restarts_since: None,
        memory_bytes: counted("MemoryCurrent"),
        cpu_ms: counted("CPUUsageNSec").map(|nanoseconds| nanoseconds / 1_000_000),
        tasks: counted("TasksCurrent"),
    })
}

/// "@1700000000"; 0 and anything else is not known.
fn unix_ms(timestamp: &str) -> Option<i64> {
    timestamp.strip_prefix('@')?.parse::<i64>().ok().filter(|seconds| *seconds > 0)?.checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: &str = "MainPID=0\nResult=exit-code\nNRestarts=5\nExecMainCode=1\nExecMainStatus=2\nId=cups.service\n\
                          Description=CUPS = Scheduler\nLoadState=loaded\nActiveState=failed\nSubState=failed\n\
                          StateChangeTimestamp=@1700000000\nUnitFileState=enabled\n";

    #[test]
    fn a_failed_service_tells_how_it_ended() {
        let service = parse(FAILED).unwrap();
        assert_eq!((service.name.as_str(), service.description.as_str()), ("cups.service", "CUPS = Scheduler"));
        assert_eq!((service.exit_status, service.restarts, service.main_pid), (Some(2), 5, None));
        assert_eq!(service.changed_ms, Some(1_700_000_000_000));
    }

    #[test]
    fn a_service_that_has_not_ended_has_no_exit_status() {
        let service = parse(
            "Id=a.service\nActiveState=active\nExecMainCode=0\nExecMainStatus=0\nMainPID=12\nStateChangeTimestamp=\n",
        )
        .unwrap();
        assert_eq!((service.exit_status, service.main_pid, service.changed_ms), (None, Some(12), None));
    }

    #[test]
    fn how_it_ended_is_told_in_words_and_what_is_not_counted_is_not_known() {
        let service = |more: &str| parse(&format!("Id=a.service\nActiveState=failed\n{more}")).unwrap();
        let killed =
            service("ExecMainCode=3\nExecMainStatus=11\nMemoryCurrent=[not set]\nCPUUsageNSec=18446744073709551615\n");
        assert_eq!((killed.exit_code.as_str(), killed.exit_meaning.as_str()), ("dumped", "SIGSEGV"));
        assert_eq!((killed.memory_bytes, killed.cpu_ms, killed.tasks), (None, None, None));
        let unstarted = service("ExecMainCode=1\nExecMainStatus=203\nCPUUsageNSec=2500000\nTasksCurrent=3\n");
        assert!(unstarted.exit_meaning.starts_with("EXEC"));
        assert_eq!((unstarted.cpu_ms, unstarted.tasks), (Some(2), Some(3)));
    }

    #[test]
    fn restarts_are_counted_from_the_look_before() {
        let service = |restarts| Service { name: "a.service".into(), restarts, ..Service::default() };
        let note = note(&[service(7), Service { name: "a.service.b".into(), restarts: 3, ..Service::default() }]);
        assert_eq!([7, 9, 2].map(|restarts| since(&note, &service(restarts))), [0, 2, 2]);
        assert_eq!(since("", &service(4)), 4);
    }

    #[test]
    fn a_block_without_a_name_is_no_service() {
        assert_eq!(parse("Version=252\nArchitecture=x86-64\n"), None);
    }
}
