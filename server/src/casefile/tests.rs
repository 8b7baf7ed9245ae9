//! A made case that has everything, hostile words too, as both pages show it; and what a machine's looks tell.

use std::collections::BTreeMap;

use deskside_proto::rows::Row;
use deskside_proto::v1::{
    CaseDevice, CaseFamily, Collection, Device, ErrorSignature, Evidence, Fact, Family, Filesystem, Finding, Moment,
    MomentKind, Outcome, Package, PartOutcome, Printer, Reading, SoftwareChange, Ticket, TicketEvent, Told,
};
use deskside_proto::{catalog, show};

use super::gathered::{Looks, Window};
use super::*;

/// When the made case was opened: 2026-03-01 10:00 UTC.
const OPENED_MS: i64 = 1_772_359_200_000;

const MINUTE_MS: i64 = 60_000;

/// Words that try to be more than words, on a page, in Markdown and on a terminal.
const HOSTILE: &str = "<script>alert(1)</script> ![x](http://evil.example/x.png) [here](javascript:alert(1)) | `id` \u{202e}txt.exe\u{1b}[2J & \"'";

fn moment(minutes: i64, kind: MomentKind, text: &str) -> Moment {
    Moment {
        at_ms: OPENED_MS + minutes * MINUTE_MS,
        kind: kind.into(),
        text: text.into(),
        times: 1,
        ..Moment::default()
    }
}

fn device() -> Device {
    Device {
        id: "7".into(),
        name: "desk-7<b>".into(),
        connected: true,
        seen_ms: OPENED_MS + 20 * MINUTE_MS,
        os: "Debian GNU/Linux 12".into(),
        agent_version: "0.1.0".into(),
        ..Device::default()
    }
}

fn families() -> Vec<CaseFamily> {
    let stopped = Finding {
        rule: "print-queue-stopped".into(),
        severity: "critical".into(),
        title: format!("Printer hall is stopped, jobs waiting: 3. It says: {HOSTILE}"),
        table: "printers".into(),
        proof: vec![
            Fact { name: "name".into(), value: "hall".into() },
            Fact { name: "state".into(), value: HOSTILE.into() },
        ],
        cause: "The print system gave up on the device.".into(),
        next_step: "Check that socket://192.0.2.7 answers, then `cupsenable hall`.".into(),
        at_ms: OPENED_MS + 19 * MINUTE_MS,
        family: Family::Printing.into(),
    };
    let family = |family: Family, state: &str, verdict: &str| CaseFamily {
        family: family.into(),
        state: state.into(),
        verdict: verdict.into(),
        whole: 3,
        tables: 4,
        as_of_ms: OPENED_MS + 19 * MINUTE_MS,
        ..CaseFamily::default()
    };
    vec![
        CaseFamily {
            findings: vec![stopped],
            told: vec![Told {
                table: "printers".into(),
                lines: vec![format!("hall · stopped · {HOSTILE}"), "attic · idle".into()],
            }],
            unseen: vec!["denied: print_errors: needs group adm".into()],
            ..family(Family::Printing, "critical", "1 critical")
        },
        family(Family::Hardware, "well", "nothing wrong found in what was seen"),
        CaseFamily { whole: 0, tables: 0, ..family(Family::Network, "unknown", "nothing received") },
    ]
}

fn collection() -> Collection {
    Collection {
        id: "c".into(),
        ticket: 7,
        device: Some(device()),
        state: "partial".into(),
        note: format!("20 of 21 parts came whole; not: disk_health {HOSTILE}"),
        recipe: "cannot-print".into(),
        asked_ms: OPENED_MS + 10 * MINUTE_MS,
        ended_ms: OPENED_MS + 11 * MINUTE_MS,
        asked_by: "anna".into(),
        parts: vec![PartOutcome {
            name: "disk_health".into(),
            outcome: Outcome::Denied.into(),
            reason: HOSTILE.into(),
            ..PartOutcome::default()
        }],
        evidence_id: "e".into(),
        why: HOSTILE.into(),
        ..Collection::default()
    }
}

fn evidence() -> Evidence {
    let custody = |minutes: i64, what: &str| TicketEvent {
        at_ms: OPENED_MS + minutes * MINUTE_MS,
        who: "anna".into(),
        what: what.into(),
        text: HOSTILE.into(),
    };
    Evidence {
        id: "e".into(),
        name: format!("photo {HOSTILE}.jpg"),
        size: 20_480,
        sha256: "ab".repeat(32),
        custody: vec![custody(12, "attached"), custody(13, "exported")],
        ..Evidence::default()
    }
}

/// A case that has everything.
fn made() -> CaseFile {
    let mut file = CaseFile {
        ticket: Some(Ticket {
            number: 7,
            title: format!("Cannot print {HOSTILE}"),
            description: format!("Since this morning.\n# Not a heading\n{HOSTILE}"),
            status: "escalated".into(),
            level: 2,
            opened_by: HOSTILE.into(),
            opened_ms: OPENED_MS,
            ..Ticket::default()
        }),
        made_ms: OPENED_MS + 20 * MINUTE_MS,
        devices: vec![CaseDevice { device: Some(device()), families: families() }],
        before_from_ms: OPENED_MS - BEFORE_MS,
        before: vec![
            Moment {
                table: "software_changes".into(),
                ..moment(-90, MomentKind::Change, "3 packages were upgraded: cups 2.4.2 → 2.4.10, a 1 → 2, b 1 → 2")
            },
            Moment {
                severity: "critical".into(),
                table: "printers".into(),
                details: vec!["hall: state idle → stopped".into(), HOSTILE.into()],
                ..moment(-30, MomentKind::Began, "Printer hall is stopped")
            },
        ],
        timeline: vec![
            Moment {
                who: "anna".into(),
                details: vec![HOSTILE.into()],
                ..moment(0, MomentKind::Reported, "Since this morning.")
            },
            Moment {
                times: 40,
                until_ms: OPENED_MS + 8 * MINUTE_MS,
                table: "error_signatures".into(),
                ..moment(2, MomentKind::NewError, HOSTILE)
            },
            Moment { who: "anna".into(), ..moment(5, MomentKind::Note, HOSTILE) },
            Moment { who: "anna".into(), ..moment(10, MomentKind::Asked, "collection 1 (cannot-print)") },
            moment(11, MomentKind::Collected, "collection 1 partial: 20 of 21 parts came whole"),
        ],
        collections: vec![collection()],
        evidence: vec![evidence()],
        left_out: vec!["12 lines of what happened before the ticket".into()],
        ..CaseFile::default()
    };
    file.missing = missing::sentences(&file);
    file
}

/// Times as minutes from the opening, whatever the zone of the machine that runs the test.
fn without_zone(text: &str) -> String {
    let mut text = text.to_owned();
    for minutes in -24 * 60..=60 {
        let clock = show::clock(OPENED_MS + minutes * MINUTE_MS);
        for written in [clock.clone(), clock.replace(':', "\\:")] {
            text = text.replace(&written, &format!("T{minutes:+}min"));
        }
    }
    let zoned = |line: &str| {
        if line.contains("by the server's clock") || line.contains("by the server&#39;s clock") {
            "(made when and where)".to_owned()
        } else {
            line.to_owned()
        }
    };
    text.lines().map(zoned).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_case_that_has_everything_as_markdown() {
    insta::assert_snapshot!(without_zone(&markdown(&made())));
}

#[test]
fn a_case_that_has_everything_as_a_page() {
    let page = html(&made());
    let body = page.split_once("</style>").unwrap().1;
    insta::assert_snapshot!(without_zone(body));
}

#[test]
fn other_peoples_words_stay_words_on_both_pages() {
    let (page, text) = (html(&made()), markdown(&made()));
    assert!(
        !page.contains("<script") && !page.contains("<img") && !page.contains("href") && !page.contains("desk-7<b>")
    );
    assert!(page.contains("default-src 'none'") && !page.contains("http-equiv=\"refresh\""));
    for mark in ["<script", "![x]", " [here", "\n# Not a heading", "http://", "javascript:"] {
        assert!(!text.contains(mark), "{mark}: {text}");
    }
    for letter in ['\u{1b}', '\u{202e}'] {
        assert!(!page.contains(letter) && !text.contains(letter));
    }
}

/// A device's looks, as they were gathered.
fn gathered(looks: Vec<Reading>) -> Gathered {
    let mut tables: BTreeMap<String, Looks> = BTreeMap::new();
    for look in looks {
        let schema = catalog::table(&look.table).unwrap().clone();
        tables.entry(look.table.clone()).or_insert_with(|| Looks { schema, readings: Vec::new() }).readings.push(look);
    }
    let window = Window { from_ms: OPENED_MS - BEFORE_MS, to_ms: OPENED_MS };
    Gathered { name: "desk-7".into(), window, offset_ms: 0, tables, left_out: Vec::new() }
}

fn look<R: Row>(minutes: i64, rows: &[R]) -> Reading {
    let rows = rows.iter().map(|row| row.encode_to_vec().into()).collect();
    let at_ms = OPENED_MS + minutes * MINUTE_MS;
    Reading { table: R::TABLE.into(), at_ms, outcome: Outcome::Ok.into(), rows, ..Reading::default() }
}

fn told(looks: Vec<Reading>) -> Vec<(MomentKind, String)> {
    let machine = timeline::of_machine(&gathered(looks)).unwrap();
    let mut moments = machine.moments;
    moments.sort_by_key(|moment| moment.at_ms);
    moments
        .into_iter()
        .map(|moment| (moment.kind(), [vec![moment.text.clone()], moment.details].concat().join(" / ")))
        .collect()
}

#[test]
fn packages_are_told_once_by_the_log_of_what_was_done_with_them() {
    let change = |package: &str| SoftwareChange {
        at_ms: OPENED_MS - 40 * MINUTE_MS,
        action: "upgrade".into(),
        package: package.into(),
        from_version: "2.4.2".into(),
        to_version: "2.4.10".into(),
        ..SoftwareChange::default()
    };
    let package = |version: &str| Package { name: "cups".into(), version: version.into(), ..Package::default() };
    let told = told(vec![
        look(-60, &[package("2.4.2")]),
        look(-10, &[package("2.4.10")]),
        look(-10, &[change("cups"), change("cups-client")]),
    ]);
    let line = "2 packages were upgraded: cups 2.4.2 → 2.4.10, cups-client 2.4.2 → 2.4.10";
    assert_eq!(told, [(MomentKind::Change, line.to_owned())]);
}

#[test]
fn a_queue_that_stops_is_told_with_what_changed_in_its_row() {
    let queue = |state: &str, paused_by: &str| Printer {
        accepting_jobs: true,
        name: "hall".into(),
        state: state.into(),
        paused_by: paused_by.into(),
        queued_jobs: 1,
        ..Printer::default()
    };
    let told = told(vec![
        look(-60, &[queue("idle", "")]),
        look(-30, &[queue("stopped", "error")]),
        look(-5, &[queue("idle", "")]),
    ]);
    let kinds: Vec<MomentKind> = told.iter().map(|(kind, _text)| *kind).collect();
    assert_eq!(kinds, [MomentKind::Began, MomentKind::Ended], "{told:#?}");
    assert!(told[0].1.contains("Printer hall is stopped") && told[0].1.contains("state idle → stopped"), "{told:#?}");
}

#[test]
fn an_error_is_new_when_it_was_first_written_within_the_day_and_only_then() {
    let signature = |id: &str, hours: i64| ErrorSignature {
        id: id.into(),
        source: "cupsd".into(),
        template: format!("filter {id} failed"),
        first_ms: OPENED_MS - hours * 60 * MINUTE_MS,
        last_ms: OPENED_MS - MINUTE_MS,
        count: 4,
        ..ErrorSignature::default()
    };
    let told = told(vec![look(-1, &[signature("new", 2), signature("old", 48)])]);
    assert_eq!(told, [(MomentKind::NewError, "cupsd · filter new failed".to_owned())]);
}

#[test]
fn a_table_that_changes_all_the_time_is_one_line() {
    let full = |minutes: i64| {
        let filesystem = Filesystem { mount_point: "/".into(), r#type: format!("t{minutes}"), ..Filesystem::default() };
        look(-minutes, &[filesystem])
    };
    let told = told((1..40).rev().map(full).collect());
    let changes: Vec<_> = told.iter().filter(|(kind, _text)| *kind == MomentKind::Change).collect();
    assert_eq!(changes.len(), 1, "{told:#?}");
    assert!(changes[0].1.starts_with("changed 38 times; last: "), "{told:#?}");
}

#[test]
fn what_has_no_room_is_counted_and_what_was_wrong_stays() {
    let mut file = CaseFile::default();
    let mut moments: Vec<Moment> = (0..500).map(|minute| moment(-minute, MomentKind::Change, "x")).collect();
    moments.push(moment(-600, MomentKind::Began, "wrong"));
    timeline::lay_out(&mut file, moments, OPENED_MS);
    assert_eq!((file.before.len(), file.before[0].text.as_str()), (60, "wrong"));
    assert!(file.left_out[0].starts_with("440 lines of what happened before the ticket"), "{:?}", file.left_out);
}
