//! Reports that apport (Ubuntu) wrote to /var/crash, by their first fields.

use std::io::{self, ErrorKind};

use anyhow::Context;
use deskside_proto::v1::Crash;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::collect::system::exits;
use crate::host::Host;

pub(super) const FOLDER: &str = "/var/crash";
/// Most reports that are read; each may be as large as the program's memory, so only its beginning is.
const REPORTS_MAX: usize = 32;
const HEAD: &str = "--bytes=16384";

/// One a report; none where there is no such folder.
pub(super) fn crashes(host: &dyn Host) -> anyhow::Result<Vec<Crash>> {
    let names = match host.list(FOLDER) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        names => names?,
    };
    let reports: Vec<String> = names
        .iter()
        .filter(|name| name.rsplit_once('.').is_some_and(|(_name, kind)| kind == "crash"))
        .map(|name| format!("{FOLDER}/{name}"))
        .collect();
    if reports.is_empty() {
        return Ok(Vec::new());
    }
    let arguments: Vec<&str> =
        [HEAD, "--verbose", "--"].into_iter().chain(reports.iter().map(String::as_str).take(REPORTS_MAX)).collect();
    let ran = host.run("head", &arguments).context("running head")?;
    let text = String::from_utf8_lossy(&ran.stdout);
    let zone =
        host.read("/etc/localtime").ok().and_then(|file| TimeZone::tzif("local", &file).ok()).unwrap_or(TimeZone::UTC);
    let crashes: Vec<Crash> = text.split("==> /var/crash/").filter_map(|report| parse(report, &zone)).collect();
    if crashes.is_empty() && String::from_utf8_lossy(&ran.stderr).contains("Permission denied") {
        return Err(io::Error::from(ErrorKind::PermissionDenied))
            .context("reading its reports; that needs CAP_DAC_READ_SEARCH");
    }
    Ok(crashes)
}

/// "NAME <==", then lines of "Field: value", where a value may go on in lines that begin with a blank.
fn parse(report: &str, zone: &TimeZone) -> Option<Crash> {
    let field = |name: &str| report.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    if field("ProblemType") != Some("Crash") {
        return None;
    }
    let executable = field("ExecutablePath")?;
    // A program that an interpreter runs has a trace instead of a signal.
    let number = field("Signal").unwrap_or_default();
    let signal = number.parse().ok().and_then(exits::signal).unwrap_or(number);
    let top = report.lines().skip_while(|line| !line.starts_with("StacktraceTop:")).nth(1).unwrap_or_default();
    let frame = top.trim().split(" (").next().unwrap_or_default();
    Some(Crash {
        kind: "program".into(),
        program: executable.rsplit('/').next().unwrap_or(executable).to_owned(),
        signal: signal.to_owned(),
        frame: frame.to_owned(),
        last_ms: field("Date").and_then(|date| at_ms(date, zone)),
        pid: field("Pid").and_then(|pid| pid.parse().ok()),
        executable: executable.to_owned(),
        package: field("Package").unwrap_or_default().to_owned(),
        message: field("Title").unwrap_or_default().to_owned(),
        source: "apport".into(),
        ..Crash::default()
    })
}

/// "Tue Mar 10 11:02:03 2026", in the machine's own time.
fn at_ms(date: &str, zone: &TimeZone) -> Option<i64> {
    let at = DateTime::strptime("%a %b %d %H:%M:%S %Y", date.trim()).ok()?;
    Some(zone.to_timestamp(at).ok()?.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "_usr_bin_viewer.1000.crash <==\nProblemType: Crash\nArchitecture: amd64\nDate: Tue Mar 10 11:02:03 2026\n\
        ExecutablePath: /usr/bin/viewer\nPackage: viewer 1.2-3\nSignal: 11\nStacktraceTop:\n draw (page=0x0) at draw.c:12\n main () at main.c:3\n";

    #[test]
    fn a_report_is_told_by_its_fields() {
        let crash = parse(REPORT, &TimeZone::UTC).unwrap();
        assert_eq!(
            (crash.program.as_str(), crash.signal.as_str(), crash.frame.as_str()),
            ("viewer", "SIGSEGV", "draw")
        );
        assert_eq!((crash.package.as_str(), crash.last_ms), ("viewer 1.2-3", Some(1_773_140_523_000)));
    }

    #[test]
    fn a_report_cut_anywhere_is_shorter_or_none() {
        assert!((0..REPORT.len()).filter(|cut| parse(&REPORT[..*cut], &TimeZone::UTC).is_none()).count() > 100);
        assert!(parse("x <==\nProblemType: Package\nExecutablePath: /x\n", &TimeZone::UTC).is_none());
    }
}
