//! Sessions of utmp(5): fixed records, as programs that log people on have written them since long before systemd.

use deskside_proto::v1::UserSession;

/// Bytes of a record in glibc's form, the same on all systems whose `long` was once 32 bits wide.
const RECORD: usize = 384;

/// `ut_type` of a session of a person.
const USER_PROCESS: u16 = 7;

/// The sessions in a file.
pub(super) fn sessions(bytes: &[u8]) -> anyhow::Result<Vec<UserSession>> {
    anyhow::ensure!(bytes.len().is_multiple_of(RECORD), "utmp has {} bytes, no records of {RECORD}", bytes.len());
    Ok(bytes.chunks_exact(RECORD).filter_map(session).collect())
}

/// Little-endian, as all machines are that write records of this size today. Offsets as in bits/utmp.h.
fn session(record: &[u8]) -> Option<UserSession> {
    let text = |from: usize, bytes: usize| {
        let field = record.get(from..from + bytes).unwrap_or_default();
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        String::from_utf8_lossy(field.get(..end).unwrap_or_default()).into_owned()
    };
    let kind = u16::from_le_bytes(record.first_chunk().copied()?);
    let user = text(44, 32);
    if kind != USER_PROCESS || user.is_empty() {
        return None;
    }
    let seconds = record.get(340..)?.first_chunk().copied().map(i32::from_le_bytes)?;
    let (tty, host) = (text(8, 32), text(76, 256));
    // A display, or one with its screen: ":0", ":0.0". Terminals within tmux and its like say who opened them.
    let remote = !host.is_empty() && !host.starts_with(':') && !host.contains('(');
    let display = tty.starts_with(':') || host.starts_with(':');
    Some(UserSession {
        session: tty.clone(),
        user,
        r#type: if display { "x11" } else { "tty" }.into(),
        class: "user".into(),
        state: "online".into(),
        tty,
        remote,
        remote_host: if remote { host } else { String::new() },
        since_ms: Some(i64::from(seconds).saturating_mul(1_000)),
        ..UserSession::default()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(kind: u16, line: &str, user: &str, host: &str) -> Vec<u8> {
        let mut record = vec![0; RECORD];
        record[..2].copy_from_slice(&kind.to_le_bytes());
        for (from, text) in [(8, line), (44, user), (76, host)] {
            record[from..from + text.len()].copy_from_slice(text.as_bytes());
        }
        record[340..344].copy_from_slice(&1_768_478_400_i32.to_le_bytes());
        record
    }

    #[test]
    fn only_people_have_sessions() {
        let boot = record(2, "~", "reboot", "6.1.0");
        let all =
            [boot, record(7, "pts/0", "anna", "192.0.2.7"), record(7, "tty7", "ben", ":0"), record(8, "pts/1", "", "")];
        let sessions = sessions(&all.concat()).unwrap();
        let told: Vec<_> = sessions.iter().map(|s| (s.user.as_str(), s.remote, s.r#type.as_str())).collect();
        assert_eq!(told, [("anna", true, "tty"), ("ben", false, "x11")]);
        assert_eq!(sessions[0].since_ms, Some(1_768_478_400_000));
    }

    #[test]
    fn a_file_of_another_form_is_refused() {
        assert!(sessions(&[0; 400]).is_err());
        assert_eq!(sessions(&[]).unwrap(), []);
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes in proptest::collection::vec(any::<u8>(), RECORD)) {
            let mut user = bytes;
            user[..2].copy_from_slice(&USER_PROCESS.to_le_bytes());
            let _sessions = sessions(&user).unwrap();
        }
    }
}
