//! Wireless extensions: all that is left where a driver does not speak nl80211.

use std::io::ErrorKind;

use anyhow::Context;
use deskside_proto::v1::Wifi;

use crate::collect::Rows;
use crate::host::Host;

const FILE: &str = "/proc/net/wireless";

/// Most interfaces that are read.
const ROWS_MAX: usize = 64;

/// No rows where the kernel has no radio at all.
pub(super) fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    match host.text(FILE) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Rows::none()),
        text => Ok(parse(&text.with_context(|| format!("reading {FILE}"))?).into_iter().collect()),
    }
}

/// Two lines of headings, then interface, status, link quality, level and noise. A level or a noise that is no negative number of
/// decibels is one of the driver's own scale, and says nothing.
fn parse(text: &str) -> Vec<Wifi> {
    let row = |line: &str| {
        let (interface, rest) = line.split_once(':')?;
        let mut numbers =
            rest.split_whitespace().skip(2).map(|number| number.trim_end_matches('.').parse::<i32>().ok());
        let mut dbm = || numbers.next().flatten().filter(|dbm| (-120..0).contains(dbm));
        let (signal_dbm, noise_dbm) = (dbm(), dbm());
        let signal = signal_dbm.map(super::signal).unwrap_or_default().to_owned();
        let source = "wireless extensions".to_owned();
        Some(Wifi { interface: interface.trim().to_owned(), signal_dbm, noise_dbm, signal, source, ..Wifi::default() })
    };
    text.lines().skip(2).filter_map(row).take(ROWS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signal_and_noise_are_read_where_they_are_decibels() {
        let text = "Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE\n \
                    face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22\n\
                    wlp4s0: 0000   70.  -30.  -256        0      0      0      0      4        0\n  \
                    eth1: 0000   5.  178.  -92.       0 0 0 0 0 0\n";
        let rows = parse(text);
        let seen: Vec<_> = rows.iter().map(|row| (row.interface.as_str(), row.signal_dbm, row.noise_dbm)).collect();
        assert_eq!(seen, [("wlp4s0", Some(-30), None), ("eth1", None, Some(-92))]);
        assert!(parse("").is_empty() && parse("a\nb\nno colon\n").is_empty());
    }
}
