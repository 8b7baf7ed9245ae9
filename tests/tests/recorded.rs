//! What a technician is told of each recorded machine: the findings, worst first, against what was read and accepted before. After reading
//! the difference, accept it with `INSTA_UPDATE=always`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fmt::Write;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use deskside_agent::collect::{Registry, look};
use deskside_agent::host::{Host, Recorded};
use deskside_proto::show;
use deskside_proto::v1::Finding;
use deskside_server::diagnose::{self, About, Known};

fn hosts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("hosts");
    let mut hosts: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    hosts.retain(|host| host.join("host.json").is_file());
    hosts.sort();
    hosts
}

/// Everything that the rules say of a machine of which all tables have just been looked at.
fn findings(folder: &Path) -> Vec<Finding> {
    let (host, registry) = (Recorded::open(folder).unwrap(), Registry::standard());
    let known = registry.collectors().iter().map(|collector| Known {
        schema: registry.schema(collector.table).unwrap().clone(),
        readings: vec![look(collector, &host)],
        checked_ms: 0,
    });
    let about = About { name: "recorded".into(), connected: true, now_ms: host.now_ms(), ..About::default() };
    diagnose::findings(&known.collect::<Vec<_>>(), &about).unwrap()
}

/// Without dates and times of day, which are those of the reader's own time zone.
fn timeless(text: &str) -> String {
    let shape = |word: &str| word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect::<String>();
    let word = |word: &str| match shape(word).as_str() {
        "0000-00-00" => "DATE".to_owned(),
        "00:00:00" => "TIME".to_owned(),
        _ => word.to_owned(),
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// A line a finding; what could not be seen is in the goldens of the tables.
fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings.iter().filter(|finding| finding.severity != "unknown") {
        writeln!(text, "{:9} {:34} {}", finding.severity, finding.rule, timeless(&show::printable(&finding.title)))
            .unwrap();
    }
    text
}

#[test]
fn each_recorded_machine_has_the_findings_that_it_had_before() {
    let mut differing = Vec::new();
    for folder in hosts() {
        let text = text(&findings(&folder));
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(fs::canonicalize(&folder).unwrap().join("golden"));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        let compared = catch_unwind(AssertUnwindSafe(|| {
            settings.bind(|| insta::assert_snapshot!("findings", text));
        }));
        if compared.is_err() {
            differing.push(folder);
        }
    }
    assert!(differing.is_empty(), "not as before: {differing:#?}");
}
