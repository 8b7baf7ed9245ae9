//! Who is logged on: the sessions of systemd-logind, and where it does not run those of utmp.

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::UserSession;

use super::utmp;
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const USERS: Collector = Collector {
    table: UserSession::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_mins(5)),
    look,
};

/// A file a session, which `sd_session_get_state(3)` and its like read.
const SESSIONS: &str = "/run/systemd/sessions";

/// utmp(5), also where the older name still stands.
const UTMP: [&str; 2] = ["/run/utmp", "/var/run/utmp"];

/// Most sessions.
const ROWS_MAX: usize = 256;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    // systemd that is installed and does not run the machine leaves the folder empty.
    match host.list(SESSIONS) {
        Ok(names) if host.list("/run/systemd/system").is_ok() => Ok(logind(host, &names)),
        Ok(_idle) => from_utmp(host),
        Err(error) if error.kind() == ErrorKind::NotFound => from_utmp(host),
        Err(error) => Err(error).with_context(|| format!("listing {SESSIONS}")),
    }
}

fn from_utmp(host: &dyn Host) -> anyhow::Result<Rows> {
    let found = UTMP.iter().find_map(|file| match host.read(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        read => Some(read.with_context(|| format!("reading {file}"))),
    });
    let Some(bytes) = found.transpose()? else {
        return Ok(Rows::unsupported("neither systemd-logind nor utmp keeps account of sessions here"));
    };
    Ok(bounded(utmp::sessions(&bytes)?))
}

fn bounded(mut sessions: Vec<UserSession>) -> Rows {
    let all = sessions.len();
    sessions.truncate(ROWS_MAX);
    let rows: Rows = sessions.into_iter().collect();
    if all > ROWS_MAX { rows.without(format!("sessions after the first {ROWS_MAX}")) } else { rows }
}

fn logind(host: &dyn Host, names: &[String]) -> Rows {
    let mut sessions = Vec::new();
    let mut missing = Vec::new();
    // Beside each session's file lies a pipe "ID.ref".
    for id in names.iter().filter(|name| !name.contains('.')) {
        match host.text(&format!("{SESSIONS}/{id}")) {
            Ok(text) => sessions.extend(session(id, &text)),
            // It ended between the two looks.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => missing.push(format!("session {id}: {error}")),
        }
    }
    if !sessions.is_empty()
        && let Err(error) = hints(host, &mut sessions)
    {
        missing.push(format!("whether sessions are idle or locked: {error:#}"));
    }
    let mut rows = bounded(sessions);
    for part in missing {
        rows.missing(part);
    }
    rows
}

/// Lines "KEY=value" of a session's file. The service manager's own sessions of a person are no logons.
fn session(id: &str, text: &str) -> Option<UserSession> {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    let class = value("CLASS");
    if class.starts_with("manager") {
        return None;
    }
    let (tty, display) = (value("TTY"), value("DISPLAY"));
    Some(UserSession {
        session: id.to_owned(),
        user: value("USER"),
        uid: value("UID").parse().ok(),
        r#type: value("TYPE"),
        class,
        state: value("STATE"),
        seat: value("SEAT"),
        tty: if tty.is_empty() { display } else { tty },
        remote: value("REMOTE") == "1",
        remote_host: value("REMOTE_HOST"),
        service: value("SERVICE"),
        since_ms: value("REALTIME").parse::<i64>().ok().filter(|micros| *micros > 0).map(|micros| micros / 1_000),
        ..UserSession::default()
    })
}

/// What only logind itself knows: whether nobody is there, and whether the screen is locked.
fn hints(host: &dyn Host, sessions: &mut [UserSession]) -> anyhow::Result<()> {
    let ids: Vec<String> = sessions.iter().take(ROWS_MAX).map(|session| session.session.clone()).collect();
    let properties = "--property=Id,IdleHint,IdleSinceHint,LockedHint";
    let asked = ids.iter().map(String::as_str);
    let arguments: Vec<&str> = ["show-session", "--no-pager", properties].into_iter().chain(asked).collect();
    let ran = host.run("loginctl", &arguments).context("running loginctl")?;
    let told = String::from_utf8_lossy(&ran.stdout);
    for block in told.split("\n\n") {
        let value = |key: &str| block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let Some(session) = sessions.iter_mut().find(|session| Some(session.session.as_str()) == value("Id")) else {
            continue;
        };
        let flag = |key: &str| value(key).map(|word| word == "yes");
        (session.idle, session.locked) = (flag("IdleHint"), flag("LockedHint"));
        let since = value("IdleSinceHint").and_then(|micros| micros.parse::<i64>().ok());
        session.idle_since_ms = since.filter(|micros| *micros > 0).map(|micros| micros / 1_000);
    }
    let complaint = String::from_utf8_lossy(&ran.stderr);
    // A session that has just ended makes it fail after it has told of the others.
    let ended = complaint.contains("No session");
    anyhow::ensure!(ran.status == Some(0) || ended, "loginctl ended with {:?}: {}", ran.status, complaint.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# This is private data. Do not parse.\nUID=1000\nUSER=anna\nACTIVE=1\nIS_DISPLAY=1\nSTATE=active\n\
                        REMOTE=0\nTYPE=wayland\nCLASS=user\nSEAT=seat0\nTTY=tty2\nSERVICE=gdm-password\nVTNR=2\n\
                        LEADER=2210\nREALTIME=1772607600123456\nMONOTONIC=51000000\n";

    #[test]
    fn a_session_tells_who_sits_where_since_when() {
        let session = session("2", FILE).unwrap();
        assert_eq!((session.user.as_str(), session.uid, session.seat.as_str()), ("anna", Some(1000), "seat0"));
        assert_eq!((session.r#type.as_str(), session.state.as_str(), session.remote), ("wayland", "active", false));
        assert_eq!(session.since_ms, Some(1_772_607_600_123));
        assert_eq!((session.idle, session.locked), (None, None), "not known from the file");
    }

    #[test]
    fn the_service_manager_of_a_person_is_no_logon() {
        assert_eq!(session("3", "UID=1000\nUSER=anna\nCLASS=manager\n"), None);
        assert!(session("c1", "").is_some_and(|session| session.uid.is_none()));
    }
}
