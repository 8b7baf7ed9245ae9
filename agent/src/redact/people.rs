//! People, machines and addresses: taken out as the machine and the policy say, equal ones the same everywhere.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use deskside_proto::v1::Redaction;

use super::{Config, Redactor};
use crate::host::{Live, LiveOptions};

/// A machine of anna's, called desk7.
fn machine() -> (tempfile::TempDir, Live) {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("etc")).unwrap();
    std::fs::create_dir_all(root.path().join("home/bruno")).unwrap();
    let accounts = "root:x:0:0:root:/root:/bin/sh\nanna:x:1000:1000:Anna Miller,,,:/home/anna:/bin/bash\n";
    std::fs::write(root.path().join("etc/passwd"), accounts).unwrap();
    std::fs::write(root.path().join("etc/hostname"), "desk7.intern.example\n").unwrap();
    let live = Live::new(LiveOptions { root: Some(root.path().into()), ..LiveOptions::default() });
    (root, live)
}

fn redactor(state: &Path, config: Config, policy: Redaction) -> Redactor {
    let redactor = Redactor::open(state, config).unwrap();
    redactor.learn(&machine().1, Some(&policy));
    redactor
}

const LINE: &str = "anna (Anna Miller, anna.m@mail.example.com) from 10.1.2.3 via 10.1.2.254 and 00:1b:21:3c:4d:5e on desk7, not bruno";

#[test]
fn people_go_by_rule_and_addresses_stay_until_policy_says_otherwise() {
    let state = tempfile::tempdir().unwrap();
    let kept = redactor(state.path(), Config::default(), Redaction::default()).text(LINE).into_owned();
    let anna = kept.split(' ').next().unwrap();
    assert!(anna.starts_with("person-"), "{kept}");
    assert!(kept.contains(&format!("{anna} ({anna}, {anna}@mail.example.com)")), "one person has one name: {kept}");
    assert!(kept.contains("10.1.2.3 via 10.1.2.254 and 00:1b:21:3c:4d:5e on desk7, not person-"), "{kept}");
}

#[test]
fn addresses_become_pseudonyms_that_still_show_who_is_near_whom() {
    let state = tempfile::tempdir().unwrap();
    let policy = Redaction { addresses: true, hosts: true, mapping: false };
    let redactor = redactor(state.path(), Config::default(), policy);
    let kept = redactor.text(LINE).into_owned();
    assert!(!kept.contains("10.1.2") && !kept.contains("3c:4d") && !kept.contains("desk7"), "{kept}");
    let ips: Vec<&str> = kept.split([' ', ',']).filter(|word| word.starts_with("ip-")).collect();
    let networks: Vec<&str> = ips.iter().filter_map(|ip| ip.rsplit_once('-')).map(|(network, _own)| network).collect();
    assert!(ips.len() == 2 && ips[0] != ips[1] && networks[0] == networks[1], "{kept}");
    assert!(kept.contains("mac-001b21-") && kept.contains(" on host-"), "{kept}");
    assert_eq!(redactor.text("gateway 10.1.2.254"), format!("gateway {}", ips[1]));
    assert_eq!(redactor.text(&kept), kept, "twice is once");
}

#[test]
fn settings_of_the_machine_may_be_stricter_than_the_policy() {
    let state = tempfile::tempdir().unwrap();
    let config = Config { addresses: true, ..Config::default() };
    let kept = redactor(state.path(), config, Redaction::default()).text(LINE).into_owned();
    assert!(!kept.contains("10.1.2.3"), "{kept}");
}

#[test]
fn whom_a_pseudonym_stands_for_is_known_only_where_policy_keeps_a_list_and_no_longer() {
    let state = tempfile::tempdir().unwrap();
    let kept = redactor(state.path(), Config::default(), Redaction::default()).text("by anna").into_owned();
    let anna = kept.trim_start_matches("by ");
    assert!(Redactor::stands_for(state.path(), anna).unwrap_err().to_string().contains("mapping = true"));

    let policy = Redaction { mapping: true, ..Redaction::default() };
    let with_list = redactor(state.path(), Config::default(), policy);
    assert_eq!(with_list.text("by anna, password=hunter22").split(',').next(), Some(kept.as_str()));
    assert_eq!(Redactor::stands_for(state.path(), anna).unwrap().as_deref(), Some("anna"));
    let list = state.path().join("redact.map");
    assert_eq!(std::fs::metadata(&list).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!std::fs::read_to_string(&list).unwrap().contains("hunter22"), "secrets are never in it");

    with_list.learn(&machine().1, Some(&Redaction::default()));
    assert!(!list.exists());
}

#[test]
fn what_would_happen_is_told_piece_by_piece() {
    let state = tempfile::tempdir().unwrap();
    let redactor = redactor(state.path(), Config::default(), Redaction::default());
    let text = "anna: password=hunter22 from 10.1.2.3";
    let removed = redactor.explain(text);
    let told: Vec<_> = removed.iter().map(|one| (one.what, &text[one.range.clone()])).collect();
    assert_eq!(told, [("user's name", "anna"), ("password", "hunter22")]);
}
