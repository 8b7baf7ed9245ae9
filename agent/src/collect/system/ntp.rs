//! What chrony and ntpd say of the clock.

use std::io::ErrorKind;

use anyhow::Context;
use deskside_proto::v1::TimeSync;

use crate::host::{Host, Ran};

/// chrony, where its daemon answers.
pub(super) fn chrony(host: &dyn Host) -> anyhow::Result<Option<TimeSync>> {
    let Some(tracking) = asked(host, "chronyc", &["-n", "-c", "tracking"])? else { return Ok(None) };
    let mut row = tracked(&tracking)?;
    if let Some(sources) = asked(host, "chronyc", &["-n", "-c", "sources"])? {
        sources_into(&sources, &mut row);
    }
    Ok(Some(row))
}

/// ntpd and its heirs, where the daemon answers.
pub(super) fn ntpd(host: &dyn Host) -> anyhow::Result<Option<TimeSync>> {
    let told = asked(host, "ntpq", &["-n", "-c", "rv"])?;
    Ok(told.map(|told| variables(&told)))
}

/// What a client prints; nothing where it is not installed, or finds no daemon to talk to.
fn asked(host: &dyn Host, program: &str, arguments: &[&str]) -> anyhow::Result<Option<String>> {
    let ran = match host.run(program, arguments) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        ran => ran.with_context(|| format!("running {program}"))?,
    };
    let told =
        |ran: &Ran| [ran.stdout.as_slice(), ran.stderr.as_slice()].map(|text| String::from_utf8_lossy(text).into());
    let [text, complaint]: [String; 2] = told(&ran);
    if ["Cannot talk to daemon", "Connection refused", "timed out"]
        .iter()
        .any(|sign| (text.clone() + &complaint).contains(sign))
    {
        return Ok(None);
    }
    let complaint = if complaint.trim().is_empty() { text.trim() } else { complaint.trim() };
    anyhow::ensure!(ran.status == Some(0), "{program} ended with status {:?}: {complaint}", ran.status);
    Ok(Some(text))
}

/// `chronyc -c tracking`: one line, fields by commas, in the order of chronyc(1).
fn tracked(line: &str) -> anyhow::Result<TimeSync> {
    let fields: Vec<&str> = line.trim().split(',').collect();
    let [
        _id,
        source,
        stratum,
        reference,
        offset,
        _last,
        _rms,
        _frequency,
        _residual,
        _skew,
        delay,
        dispersion,
        _interval,
        leap,
    ] = fields.as_slice()
    else {
        anyhow::bail!("chronyc tells {} fields of its tracking, not 14", fields.len());
    };
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    let synchronized = *leap != "Not synchronised";
    // Without a source all numbers are those of nobody.
    let known = |text: &str| number(text).filter(|_number| synchronized).map(|seconds| seconds * 1e3);
    Ok(TimeSync {
        service: "chrony".into(),
        synchronized: Some(synchronized),
        offset_ms: known(offset),
        source: (*source).to_owned(),
        stratum: stratum.parse().ok().filter(|_stratum| synchronized),
        root_delay_ms: known(delay),
        root_dispersion_ms: known(dispersion),
        last_sync_ms: known(reference).map(|ms| ms as i64),
        ..TimeSync::default()
    })
}

/// `chronyc -c sources`: mode, state, address, stratum, poll, reach ... a line. Reach is octal, a bit for each of the last eight tries.
fn sources_into(lines: &str, row: &mut TimeSync) {
    let fields = lines.lines().map(|line| line.split(',').collect::<Vec<_>>()).filter(|fields| fields.len() >= 6);
    let reaches: Vec<bool> = fields.map(|fields| fields.get(5).is_some_and(|reach| *reach != "0")).collect();
    row.sources = u32::try_from(reaches.len()).ok();
    row.sources_reachable = u32::try_from(reaches.iter().filter(|reached| **reached).count()).ok();
}

/// `ntpq -c rv`: "key=value" and plain words by commas (ntpq(1), system variables); times in milliseconds.
fn variables(told: &str) -> TimeSync {
    let words = || told.split([',', '\n']).map(str::trim);
    let value = |key: &str| words().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let number = |key: &str| value(key)?.parse::<f64>().ok().filter(|number| number.is_finite());
    // Leap indicator 3 and stratum 16 are those of a clock that follows nobody (RFC 5905, section 7.3).
    let alarm = words().any(|word| word == "leap_alarm" || word == "sync_unspec") || value("stratum") == Some("16");
    TimeSync {
        service: "ntpd".into(),
        synchronized: Some(!alarm),
        offset_ms: number("offset").filter(|_offset| !alarm),
        source: value("refid").filter(|_source| !alarm).unwrap_or_default().to_owned(),
        stratum: value("stratum").and_then(|stratum| stratum.parse().ok()).filter(|_stratum| !alarm),
        root_delay_ms: number("rootdelay").filter(|_delay| !alarm),
        root_dispersion_ms: number("rootdisp").filter(|_dispersion| !alarm),
        ..TimeSync::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOST: &str = "00000000,,0,0.000000000,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,1.000000000,1.000000000,0.0,Not synchronised\n";
    const FOUND: &str = "7F000002,192.0.2.1,4,1795321419.643650375,-1.500002119,0.000000359,0.000000359,0.326,0.004,43.692,0.000008254,0.000081557,0.3,Normal\n";

    #[test]
    fn a_clock_without_a_source_has_no_offset() {
        let row = tracked(LOST).unwrap();
        assert_eq!((row.synchronized, row.offset_ms, row.stratum), (Some(false), None, None));
        let row = tracked(FOUND).unwrap();
        assert_eq!((row.synchronized, row.source.as_str(), row.stratum), (Some(true), "192.0.2.1", Some(4)));
        assert!(row.offset_ms.is_some_and(|ms| (ms + 1_500.002).abs() < 0.001));
        assert_eq!(row.last_sync_ms, Some(1_795_321_419_643));
    }

    #[test]
    fn sources_that_answered_lately_are_counted() {
        let mut row = TimeSync::default();
        sources_into("^,*,192.0.2.1,3,0,377,1,0.0,0.0,0.0\n^,?,192.0.2.9,0,6,0,4294967295,0.0,0.0,0.0\n", &mut row);
        assert_eq!((row.sources, row.sources_reachable), (Some(2), Some(1)));
    }

    #[test]
    fn variables_of_ntpd_are_read_by_name() {
        let well = "associd=0 status=0615 leap_none, sync_ntp, 1 event, clock_sync,\nversion=\"ntpd 4.2.8p15\", stratum=3,\n\
                    rootdelay=12.345, rootdisp=45.6, refid=192.0.2.1, offset=-0.123, sys_jitter=0.1\n";
        let row = variables(well);
        assert_eq!((row.synchronized, row.offset_ms, row.stratum), (Some(true), Some(-0.123), Some(3)));
        let lost =
            variables("associd=0 status=c016 leap_alarm, sync_unspec, 1 event, restart,\nstratum=16, offset=0.000\n");
        assert_eq!((lost.synchronized, lost.offset_ms), (Some(false), None));
    }

    #[test]
    fn an_answer_cut_anywhere_is_no_panic() {
        for cut in 0..FOUND.len() {
            let _row = tracked(&FOUND[..cut]).is_ok();
        }
        assert!(tracked("").is_err());
    }
}
