//! Event logs that were made after the format's description, whole and damaged.

use std::io::{Seek, Write};

use super::made::{Element, element, file, text};
use super::*;

/// 2026-11-22 06:10:57 UTC.
const AT_MS: u64 = 1_795_327_857_000;

fn system(provider: &str, id: &str, level: &str, keywords: &str) -> Element {
    let inner = vec![
        element("Provider", &[("Name", provider), ("Guid", "{555908d1-a6d7-4695-8e1e-26931d2012f4}")], Vec::new()),
        text("EventID", &[("Qualifiers", "49152")], id),
        text("Level", &[], level),
        text("Task", &[], "0"),
        text("Keywords", &[], keywords),
        element("TimeCreated", &[("SystemTime", "2026-11-22T06:10:57.1234567Z")], Vec::new()),
        element("Execution", &[("ProcessID", "724"), ("ThreadID", "1208")], Vec::new()),
        text("Channel", &[], "System"),
    ];
    element("System", &[], inner)
}

fn event(parts: Vec<Element>) -> Element {
    element("Event", &[("xmlns", "http://schemas.microsoft.com/win/2004/08/events/event")], parts)
}

fn sample() -> Vec<u8> {
    let service = system("Service Control Manager", "7023", "2", "0x8080000000000000");
    let fields =
        vec![text("Data", &[("Name", "param1")], "Print Spooler"), text("Data", &[("Name", "param2")], "0x80070005")];
    let refused = system("Microsoft-Windows-Security-Auditing", "4625", "0", "0x8010000000000000");
    let user = vec![element("LoggedIn", &[], vec![text("Account", &[], "desk")])];
    let spoken = system("Microsoft-Windows-DistributedCOM", "10016", "3", "0x8080000000000000");
    let sentence = vec![text("Message", &[], "The settings do not grant permission.")];
    let events = [
        event(vec![service, element("EventData", &[], fields)]),
        event(vec![refused, element("UserData", &[], user)]),
        event(vec![spoken, element("RenderingInfo", &[("Culture", "en-US")], sentence)]),
    ];
    file(&events, AT_MS)
}

fn entries(bytes: &[u8]) -> anyhow::Result<(Vec<LogEvent>, Unread)> {
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    file.rewind()?;
    let mut events = Vec::new();
    let unread = read(file, "System.evtx", &mut |event| {
        events.push(event);
        Ok(())
    })?;
    Ok((events, unread))
}

#[test]
fn each_record_is_an_entry_with_its_columns() {
    let (events, unread) = entries(&sample()).unwrap();
    assert_eq!((events.len(), unread.entries, unread.is_cut), (3, 0, false), "{unread:?}");
    let service = &events[0];
    assert_eq!(service.at_ms, AT_MS as i64 + 123);
    assert_eq!((service.provider.as_str(), service.event_id), ("Service Control Manager", Some(7023)));
    assert_eq!((service.priority, service.pid, service.subsystem.as_str()), (Some(3), Some(724), "System"));
    assert_eq!(service.message, "param1=Print Spooler, param2=0x80070005");
    assert_eq!(service.position, "1");
    assert_eq!(deskside_proto::codes::find(&service.message)[0].name, "E_ACCESSDENIED");
    assert_eq!((events[1].priority, events[1].message.as_str()), (Some(6), "audit failure: Account=desk"));
    assert_eq!((events[2].priority, events[2].message.as_str()), (Some(4), "The settings do not grant permission."));
}

#[test]
fn a_file_cut_anywhere_never_looks_whole() {
    let whole = sample();
    for cut in (8..whole.len()).step_by(997).chain([4096]) {
        match entries(&whole[..cut]) {
            Ok((_events, unread)) => assert!(unread.is_cut, "{cut}"),
            Err(error) => assert!(error.is::<Refused>(), "{cut}: {error}"),
        }
    }
}

#[test]
fn garbage_is_refused_with_a_reason() {
    let error = entries(b"ElfFile\0and nothing else").unwrap_err();
    assert!(error.to_string().contains("System.evtx is damaged"), "{error}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn damage_anywhere_is_survived(damage in proptest::collection::vec((0_usize..6000, proptest::num::u8::ANY), 1..20)) {
        let mut bytes = sample();
        for (place, byte) in damage {
            // The header's block is mostly empty: what matters stands at its beginning and in the chunk behind it.
            let place = if place < 128 { place } else { 4096 - 128 + place };
            if let Some(at) = bytes.get_mut(place) {
                *at = byte;
            }
        }
        let told = entries(&bytes);
        proptest::prop_assert!(told.is_err() || told.is_ok_and(|(events, _unread)| events.len() < 10_000));
    }
}

/// What scenarios attach: the sample as it is made here, packed with gzip.
#[test]
fn the_log_of_the_scenarios_is_the_sample() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/logs/windows.evtx.gz");
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(File::open(path).unwrap()).read_to_end(&mut unpacked).unwrap();
    assert!(unpacked == sample(), "it is to be made anew");
}
