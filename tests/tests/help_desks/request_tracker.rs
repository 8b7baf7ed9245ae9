//! Against the real Request Tracker 5.

use std::time::Instant;

use deskside_tests::lab::process::{until, until_for};
use deskside_tests::lab::request_tracker::{PASSWORD, RequestTracker, free_address};

use super::{LONG, Office};

const SECRET: &str = "a secret of hooks";

/// The server's settings for a Request Tracker behind an address.
fn settings(at: std::net::SocketAddr, more: &str) -> String {
    format!(
        "{more}\n[[help_desk]]\nname = \"rt\"\nkind = \"request-tracker\"\nurl = \"http://{at}\"\nuser = \"root\"\n\
         token_file = \"TOKEN\"\nhook_secret_file = \"SECRET\"\nescalated = [\"L2\"]\ndevice_fields = [\"Device\"]\n\
         attach = \"when private\"\ntimeout_s = 60\npoll_s = 5\n\
         [help_desk.fields]\nCase = \"{{case}}\"\n[help_desk.options]\ncomments = \"staff only\"\n"
    )
}

#[test]
fn a_ticket_that_is_escalated_there_gets_its_evidence_there() {
    let hooks = free_address().unwrap();
    let tracker = RequestTracker::start(Some((&format!("http://{hooks}/hooks/rt"), SECRET))).unwrap();
    let settings = settings(tracker.address(), &format!("[hooks]\nlisten = \"{hooks}\"\nplain = true\n"));
    let office = Office::open(&settings.replace("poll_s = 5", "poll_s = 0"), PASSWORD, SECRET);
    let hostile = "Printer <b>jam</b> **now** \u{202e}";
    let ticket = tracker.ticket(hostile, "It does not print.\n<script>alert(1)</script>", &office.device).unwrap();
    let begun = Instant::now();
    tracker.escalate(&ticket).unwrap();
    let escalated = begun.elapsed();
    let comments =
        until_for(LONG, "a comment", || Ok(Some(tracker.comments(&ticket)?).filter(|all| !all.is_empty()))).unwrap();
    let took = begun.elapsed();
    eprintln!("escalating took {escalated:?}, hook to note {took:?}");
    let evidence = office.technician.json(&["evidence", "list"]).unwrap();
    let (name, size) = (evidence[0]["name"].as_str().unwrap(), evidence[0]["size"].as_u64().unwrap());
    let (text, files) = &comments[0];
    assert_eq!(files, &[(name.to_owned(), size)], "the bundle itself is attached");
    for word in ["Deskside case 1", "cannot-print", "wrong", evidence[0]["sha256"].as_str().unwrap(), "deskside case 1"]
    {
        assert!(text.contains(word), "{word}: {text}");
    }
    office.all_said(2);
    until("the field", || Ok((tracker.field(&ticket, "Case")? == "1").then_some(()))).unwrap();
    let named = format!("rt:{ticket}");
    let case = office.technician.says(&["case", &named]).unwrap();
    assert!(case.contains(&named) && case.contains("Ticket/Display.html?id="), "{case}");
    let listed = office.technician.says(&["tickets"]).unwrap();
    assert!(listed.contains(&named), "{listed}");
    // Escalated again by a replayed word, it stays as it is.
    assert_eq!(tracker.comments(&ticket).unwrap().len(), 1);
}
