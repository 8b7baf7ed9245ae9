//! Services as systemd sees them.

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::Service;

use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::{Host, Ran};

/// Why not more often: systemd has to gather the properties of each unit, and that costs the machine more than it costs us.
pub(in crate::collect) const SERVICES: Collector =
    Collector { table: Service::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(5)), look };

const PROPERTIES: &str = "--property=Id,Description,LoadState,ActiveState,SubState,Result,NRestarts,ExecMainCode,\
                          ExecMainStatus,MainPID,StateChangeTimestamp,UnitFileState";

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
    let (mut rows, mut unread) = (Rows::none(), 0);
    for block in text.split("\n\n").filter(|block| !block.trim().is_empty()) {
        match parse(block) {
            Some(service) => rows.push(&service),
            None => unread += 1,
        }
    }
    if unread > 0 {
        rows.missing(format!("{unread} services that systemctl shows without a name or a state"));
    }
    Ok(rows)
}

fn refused_option(ran: &Ran) -> bool {
    ran.status != Some(0) && String::from_utf8_lossy(&ran.stderr).contains("--timestamp")
}

/// One unit: lines of "Property=value".
fn parse(block: &str) -> Option<Service> {
    let value = |key: &str| block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let text = |key: &str| value(key).unwrap_or_default().to_owned();
    let name = value("Id").filter(|id| !id.is_empty())?.to_owned();
    let active_state = value("ActiveState")?.to_owned();
    // Code 0: the main process has not ended yet, and its status says nothing.
    let ended = value("ExecMainCode").is_some_and(|code| code != "0" && !code.is_empty());
    Some(Service {
        name,
        description: text("Description"),
        load_state: text("LoadState"),
        active_state,
        sub_state: text("SubState"),
        result: text("Result"),
        restarts: value("NRestarts").and_then(|count| count.parse().ok()).unwrap_or_default(),
        exit_status: value("ExecMainStatus").and_then(|status| status.parse().ok()).filter(|_status| ended),
        main_pid: value("MainPID").and_then(|pid| pid.parse().ok()).filter(|pid| *pid != 0),
        changed_ms: value("StateChangeTimestamp").and_then(unix_ms),
        enabled: text("UnitFileState"),
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
    fn a_block_without_a_name_is_no_service() {
        assert_eq!(parse("Version=252\nArchitecture=x86-64\n"), None);
    }
}
