//! What the one who works at this machine sees of technicians: what was taken, what waits for an answer, and a word on the desktop when it does.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use deskside_proto::show;

use super::tables;
use crate::host::Host;
use crate::local::{self, Pending, Privacy};

/// Between two looks at what waits.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What is sent to the desktop (Desktop Notifications Specification 1.2): its own service, path and interface.
const NOTIFICATIONS: [&str; 3] =
    ["org.freedesktop.Notifications", "/org/freedesktop/Notifications", "org.freedesktop.Notifications"];

/// Characters of a notification's text.
const WORDS_CHARS_MAX: usize = 300;

/// As text or JSON.
pub(super) fn print(privacy: &Privacy, as_json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    if as_json {
        return tables::json(&serde_json::to_value(privacy)?, out);
    }
    if !privacy.pending.is_empty() {
        writeln!(out, "waits for your answer:")?;
        for asked in &privacy.pending {
            let (request, until) = (asked.request, show::clock(asked.until_ms));
            writeln!(out, "  request {request}: {}", words(asked))?;
            writeln!(out, "    until {until}: deskside-agent privacy approve {request}, or refuse {request}")?;
        }
        writeln!(out)?;
    }
    if privacy.taken.is_empty() {
        return Ok(writeln!(out, "nothing was asked of this machine in the last 90 days")?);
    }
    writeln!(out, "what technicians asked of this machine in the last 90 days, newest first:")?;
    for taken in &privacy.taken {
        let who = if taken.asked_by.is_empty() { "a technician".into() } else { show::printable(&taken.asked_by) };
        let ticket = if taken.ticket == 0 { "no ticket".into() } else { format!("ticket {}", taken.ticket) };
        let (at, what) = (show::clock(taken.at_ms), show::printable(&taken.what));
        writeln!(out, "  {at}  {who}, {ticket}: {}: {what}", taken.kind)?;
    }
    if privacy.left_out > 0 {
        writeln!(out, "  and {} older", privacy.left_out)?;
    }
    Ok(())
}

/// "anna asks for ticket 7 to capture packets of eth0 for 60 s"
fn words(asked: &Pending) -> String {
    let (who, what) = (show::printable(&asked.asked_by), show::printable(&asked.what));
    format!("{who} asks for ticket {} to capture {what}", asked.ticket)
}

/// Tells the desktop of each request once, as long as the session lasts. It runs in the session of the one who sits here, without any privilege:
/// the agent itself may not reach a person's session bus.
pub(super) fn watch(host: &dyn Host, state: &Path, public: Option<&Path>, bus: &str) -> anyhow::Result<()> {
    ensure!(!bus.is_empty(), "there is no session bus here: DBUS_SESSION_BUS_ADDRESS is not set");
    let mut told = BTreeSet::new();
    loop {
        // Why no end where it does not answer: the agent may be updated, and the session goes to the background and comes back.
        match local::consents(state, public) {
            Ok(pending) => {
                told.retain(|known| pending.iter().any(|asked| key(asked) == *known));
                for asked in &pending {
                    if told.insert(key(asked)) {
                        notify(host, bus, asked)?;
                    }
                }
            }
            Err(error) => tracing::debug!(error = format!("{error:#}"), "what waits could not be seen"),
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// An agent that was started again counts from 1 again.
fn key(asked: &Pending) -> (u64, i64) {
    (asked.request, asked.until_ms)
}

fn notify(host: &dyn Host, bus: &str, asked: &Pending) -> anyhow::Result<()> {
    let request = asked.request;
    let text: String = words(asked).chars().take(WORDS_CHARS_MAX).collect();
    let text = format!("{}\nAnswer: deskside-agent privacy approve {request}, or refuse {request}", escaped(&text));
    let address = format!("--address={bus}");
    let [service, path, interface] = NOTIFICATIONS;
    let call = [&address, "call", service, path, interface, "Notify", "susssasa{sv}i"];
    // The program, no notification replaced, an icon, title and text, no actions, urgent, and no end of its own.
    let message = ["Deskside", "0", "dialog-question", "A technician asks to look", &text];
    let hints = ["0", "1", "urgency", "y", "2", "0"];
    let ran = host.run("busctl", &[call.as_slice(), &message, &hints].concat()).context("busctl")?;
    if ran.status != Some(0) {
        tracing::warn!(request, why = String::from_utf8_lossy(&ran.stderr).trim(), "the desktop was not told");
    }
    Ok(())
}

/// The text of a notification may hold markup (the specification's chapter on markup): what others wrote is none.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::Taken;

    #[test]
    fn what_was_taken_is_told_with_who_when_and_for_which_ticket() {
        let taken = |ticket, by: &str| Taken {
            at_ms: 1_768_478_400_000,
            kind: "look".into(),
            asked_by: by.into(),
            ticket,
            what: "users\u{1b}[2J".into(),
        };
        let pending = Pending { request: 3, ticket: 7, asked_by: "anna".into(), what: "packets".into(), until_ms: 1 };
        let privacy = Privacy { taken: vec![taken(7, "anna"), taken(0, "")], left_out: 2, pending: vec![pending] };
        let mut out = Vec::new();
        print(&privacy, false, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        for words in [
            "request 3: anna asks for ticket 7 to capture packets",
            "anna, ticket 7: look: users",
            "a technician, no ticket: look",
            "and 2 older",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn markup_in_a_notification_is_text() {
        assert_eq!(escaped("<a href='x'>&"), "&lt;a href='x'&gt;&amp;");
    }
}
