//! Who sits at this machine: whether the account that asks has a session in front of its screen and keyboard, as systemd-logind knows it
//! (org.freedesktop.login1(5), asked by busctl(1)).
//!
//! Why the session of the asking process counts first: the same account may sit here and be logged in from elsewhere, and what came over the
//! network is no person at the machine. Desktops run programs beside their session, in `user@.service`: for these any session of the account
//! that is in front will do.

use serde_json::Value;

use crate::host::Host;

const SERVICE: &str = "org.freedesktop.login1";
const MANAGER: [&str; 2] = ["/org/freedesktop/login1", "org.freedesktop.login1.Manager"];
const SESSION: &str = "org.freedesktop.login1.Session";

/// Sessions of one account that are looked at.
const SESSIONS_MAX: usize = 16;

/// Whose process asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) uid: u32,
    pub(super) pid: i32,
}

/// The name of the account that sits at this machine and asks; else why it may not answer for the one who does.
pub(super) fn person(host: &dyn Host, peer: Peer) -> Result<String, String> {
    if peer.pid <= 0 {
        return Err("the process that asks is not one of this machine".to_owned());
    }
    let pid = peer.pid.to_string();
    match call(host, MANAGER, &["GetSessionByPID", "u", &pid]) {
        Ok(path) => in_front(host, path.as_str().unwrap_or_default(), peer),
        Err(said) if said.contains("does not belong to any known session") => any_in_front(host, peer),
        Err(said) => Err(format!(
            "it cannot be seen who sits at this machine: {said}; root and the agent's own user may answer without that"
        )),
    }
}

/// A program beside the sessions: some session of its account is in front.
fn any_in_front(host: &dyn Host, peer: Peer) -> Result<String, String> {
    let sessions = call(host, MANAGER, &["ListSessions"])?;
    let mut refused = None;
    let own = sessions.as_array().into_iter().flatten().filter(|session| number(session, "/1") == Some(peer.uid));
    for session in own.take(SESSIONS_MAX) {
        let path = session.pointer("/4").and_then(Value::as_str).unwrap_or_default();
        match in_front(host, path, peer) {
            Ok(name) => return Ok(name),
            Err(why) => refused = Some(why),
        }
    }
    Err(refused.unwrap_or_else(|| format!("account {} is not logged in at this machine", peer.uid)))
}

/// The name of the account whose session this is, where that is the one who asks, and sits here.
fn in_front(host: &dyn Host, path: &str, peer: Peer) -> Result<String, String> {
    let session = call(host, [path, "org.freedesktop.DBus.Properties"], &["GetAll", "s", SESSION])?;
    let text = |place: &str| session.pointer(place).and_then(Value::as_str).unwrap_or_default();
    let holds = |name: &str| session.pointer(&format!("/{name}/data")).and_then(Value::as_bool);
    let id = text("/Id/data");
    if number(&session, "/User/data/0") != Some(peer.uid) {
        return Err(format!("session {id} is another account's than {}", peer.uid));
    }
    if holds("Remote") != Some(false) {
        let from = text("/RemoteHost/data");
        let from = if from.is_empty() { String::new() } else { format!(" from {from}") };
        return Err(format!("session {id} came over the network{from}: only who sits at this machine may answer"));
    }
    if !text("/Class/data").starts_with("user") || text("/Seat/data/0").is_empty() {
        return Err(format!("session {id} has no screen and keyboard of this machine"));
    }
    if holds("Active") != Some(true) {
        return Err(format!("session {id} is not in front at this machine"));
    }
    if holds("LockedHint") == Some(true) {
        return Err(format!("session {id} is locked; unlock it first"));
    }
    Ok(text("/Name/data").to_owned())
}

/// One call; the first value of its answer, or what is wrong.
fn call(host: &dyn Host, [path, interface]: [&str; 2], more: &[&str]) -> Result<Value, String> {
    let arguments = [&["--system", "--json=short", "call", SERVICE, path, interface], more].concat();
    let ran = host.run("busctl", &arguments).map_err(|error| format!("busctl: {error}"))?;
    if ran.status != Some(0) {
        return Err(String::from_utf8_lossy(&ran.stderr).trim().to_owned());
    }
    let answer: Value =
        serde_json::from_slice(&ran.stdout).map_err(|error| format!("busctl printed no JSON: {error}"))?;
    answer.pointer("/data/0").cloned().ok_or_else(|| "busctl printed no answer".to_owned())
}

fn number(value: &Value, place: &str) -> Option<u32> {
    value.pointer(place).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::host::Recorded;

    const ANNA: u32 = 1000;
    const PID: &str = "4711";
    const NOWHERE: &str = "Call failed: PID 4711 does not belong to any known session";

    /// What busctl printed of systemd-logind 252 for a session at the seat, with these properties otherwise.
    fn session(changes: &[(&str, Value)]) -> Value {
        let mut session = json!({
            "Id": {"type": "s", "data": "2"},
            "User": {"type": "(uo)", "data": [ANNA, "/org/freedesktop/login1/user/_1000"]},
            "Name": {"type": "s", "data": "anna"},
            "Seat": {"type": "(so)", "data": ["seat0", "/org/freedesktop/login1/seat/seat0"]},
            "Remote": {"type": "b", "data": false}, "RemoteHost": {"type": "s", "data": ""},
            "Class": {"type": "s", "data": "user"}, "State": {"type": "s", "data": "active"},
            "Active": {"type": "b", "data": true}, "LockedHint": {"type": "b", "data": false},
        });
        for (name, value) in changes {
            session[name]["data"] = value.clone();
        }
        session
    }

    /// A machine with these sessions, by path, and the asking process in one of them, or in none.
    fn person_of(sessions: &[(&str, Value)], own: Result<&str, &str>) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let mut calls = 0;
        let mut answer = |more: Value, status: i32, answer: Value, complaint: &str| {
            let mut arguments = json!(["--system", "--json=short", "call", SERVICE]);
            arguments.as_array_mut().unwrap().extend(more.as_array().unwrap().clone());
            let ran = json!({"program": "busctl", "arguments": arguments, "status": status, "stderr": complaint});
            calls += 1;
            std::fs::create_dir_all(folder.path().join("run")).unwrap();
            std::fs::write(folder.path().join(format!("run/{calls}.json")), ran.to_string()).unwrap();
            std::fs::write(folder.path().join(format!("run/{calls}.out")), json!({"data": [answer]}).to_string())
                .unwrap();
        };
        std::fs::write(folder.path().join("host.json"), "{}").unwrap();
        let (path, status) = own.map_or(("", 1), |path| (path, 0));
        let by_pid = json!([MANAGER[0], MANAGER[1], "GetSessionByPID", "u", PID]);
        answer(by_pid, status, json!(path), own.err().unwrap_or_default());
        let listed: Vec<Value> = sessions
            .iter()
            .map(|(path, session)| json!([session["Id"]["data"], session["User"]["data"][0], "", "", path]))
            .collect();
        answer(json!([MANAGER[0], MANAGER[1], "ListSessions"]), 0, json!(listed), "");
        for (path, session) in sessions {
            let all = json!([path, "org.freedesktop.DBus.Properties", "GetAll", "s", SESSION]);
            answer(all, 0, session.clone(), "");
        }
        person(&Recorded::open(folder.path()).unwrap(), Peer { uid: ANNA, pid: PID.parse().unwrap() })
    }

    #[test]
    fn the_one_in_front_of_the_screen_may_answer_and_nobody_else() {
        let of = |changes: &[(&str, Value)]| person_of(&[("/s/2", session(changes))], Ok("/s/2"));
        assert_eq!(of(&[]), Ok("anna".into()));
        for (changes, why) in [
            (
                vec![("Remote", json!(true)), ("RemoteHost", json!("198.51.100.7"))],
                "over the network from 198.51.100.7",
            ),
            (vec![("User", json!([1001, ""]))], "another account's"),
            (vec![("Seat", json!(["", "/"]))], "no screen and keyboard"),
            (vec![("Class", json!("greeter"))], "no screen and keyboard"),
            (vec![("Active", json!(false))], "not in front"),
            (vec![("LockedHint", json!(true))], "unlock it first"),
            (vec![("Remote", Value::Null)], "over the network"),
        ] {
            let said = of(&changes).unwrap_err();
            assert!(said.contains(why), "{changes:?}: {said}");
        }
    }

    #[test]
    fn a_program_that_a_desktop_started_beside_its_session_answers_for_it() {
        let here = ("/s/2", session(&[]));
        let away = ("/s/5", session(&[("Id", json!("5")), ("Remote", json!(true))]));
        assert_eq!(person_of(&[away.clone(), here.clone()], Err(NOWHERE)), Ok("anna".into()));
        assert!(person_of(std::slice::from_ref(&away), Err(NOWHERE)).unwrap_err().contains("over the network"));
        assert!(person_of(&[], Err(NOWHERE)).unwrap_err().contains("not logged in"));
        // Who is logged in from elsewhere too is not here there.
        assert!(person_of(&[away, here], Ok("/s/5")).unwrap_err().contains("over the network"));
    }

    #[test]
    fn where_nobody_can_say_who_sits_here_the_answer_is_not_taken() {
        let said = person_of(&[], Err("Failed to connect to bus: No such file or directory")).unwrap_err();
        assert!(said.contains("cannot be seen who sits at this machine") && said.contains("root"), "{said}");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("host.json"), "{}").unwrap();
        let elsewhere = person(&Recorded::open(folder.path()).unwrap(), Peer { uid: ANNA, pid: 0 });
        assert!(elsewhere.unwrap_err().contains("not one of this machine"));
    }
}
