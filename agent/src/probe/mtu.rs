//! The largest packet that reaches a target whole, and whether routers tell of it or let larger ones vanish (RFC 1191, RFC 8201).

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::Mtu;

use super::{Asked, Probe, Steps, Unrun, destination, sentence};
use crate::collect::Rows;
use crate::host::{Host, Knock};
use search::{Found, Search};

mod search;

pub(super) const MTU: Probe = Probe { table: Mtu::TABLE, deadline: Duration::from_secs(30), run };

/// How long the connection may take at which the segment size is seen.
const CONNECT_MAX: Duration = Duration::from_secs(3);

fn run(host: &dyn Host, asked: &Asked, steps: &mut Steps<'_>) -> anyhow::Result<Rows> {
    let target = asked.get("target").unwrap_or_default().to_owned();
    let port = match destination::number(asked, "port", 0, 1, u16::MAX)? {
        0 => None,
        port => Some(port),
    };
    let rows = match destination::of(host, asked, &target, port)? {
        Err(why) => vec![said("verdict", "failed", sentence(&why))],
        Ok(places) => {
            let place = places.first().ok_or_else(|| Unrun::Refused(format!("{target} has no address")))?;
            let found = Search::of(host, place, steps)?;
            steps.tell(format!("{target}: {}", verdict(&target, place.address, &found).found))?;
            let mut rows = found_rows(place.address, &found);
            if let Some(port) = port {
                rows.push(segment(host, SocketAddr::new(place.address, port)));
            }
            rows.push(verdict(&target, place.address, &found));
            rows
        }
    };
    Ok((1..).zip(rows).map(|(number, row)| Mtu { target: target.clone(), number, ..row }).collect())
}

fn found_rows(address: IpAddr, found: &Found) -> Vec<Mtu> {
    let at = |row: Mtu, size: Option<u16>| Mtu { address: address.to_string(), size: size.map(u32::from), ..row };
    let link = match found.link {
        Some(mtu) => said("link", "ok", format!("this machine's own link takes packets of {mtu} bytes")),
        None => said("link", "unknown", "what this machine's own link takes was not seen".into()),
    };
    let reach = match &found.unreached {
        None => said("reach", "ok", "small packets are answered".into()),
        Some((outcome, why)) => said("reach", outcome, why.clone()),
    };
    let not_done = || "not done, because small packets are not answered".to_owned();
    let largest = match found.largest {
        Some(size) => said("largest", "ok", format!("packets of {size} bytes pass whole")),
        None => said("largest", "not done", not_done()),
    };
    let told = match found.told {
        Some((from, mtu)) => {
            let row = said("told", "ok", format!("{from} says that packets may have {mtu} bytes"));
            return vec![
                at(link, found.link),
                at(reach, None),
                at(largest, found.largest),
                Mtu { address: from.to_string(), size: Some(mtu), ..row },
            ];
        }
        None if found.largest.is_none() => said("told", "not done", not_done()),
        None if found.black_hole() => said("told", "failed", "nobody says that larger packets are too large".into()),
        None => said("told", "ok", "nothing had to be said".into()),
    };
    vec![at(link, found.link), at(reach, None), at(largest, found.largest), told]
}

/// The segment size of a connection (RFC 9293, 3.7.1).
fn segment(host: &dyn Host, to: SocketAddr) -> Mtu {
    let row = match host.wire().knock(to, CONNECT_MAX) {
        Ok((Knock::Open(Some(segment)), _took)) => {
            let found = format!("this machine would send segments of {segment} bytes to port {}", to.port());
            Mtu { size: Some(segment), ..said("tcp", "ok", found) }
        }
        Ok((ended, _took)) => said("tcp", "unknown", format!("port {} did not open ({ended:?})", to.port())),
        Err(error) => said("tcp", "unknown", error.to_string()),
    };
    Mtu { address: to.ip().to_string(), ..row }
}

fn said(step: &str, outcome: &str, found: String) -> Mtu {
    Mtu { step: step.into(), outcome: outcome.into(), found, ..Mtu::default() }
}

fn verdict(target: &str, address: IpAddr, found: &Found) -> Mtu {
    let named = if target == address.to_string() { target.to_owned() } else { format!("{target} ({address})") };
    let (outcome, words) = match (&found.unreached, found.largest, found.link) {
        (Some((outcome, why)), ..) => (*outcome, format!("The size of packets to {named} was not tested: {why}.")),
        (None, None, _) => ("unknown", format!("The size of packets to {named} was not tested.")),
        (None, Some(largest), _) if found.black_hole() => {
            let tried = found.vanished.unwrap_or(largest);
            let lossy = if found.lossy { "; some smaller ones were lost too" } else { "" };
            (
                "failed",
                format!(
                    "Packets to {named} of more than {largest} bytes vanish, and nobody says so (an MTU black hole): {tried} bytes were sent in vain{lossy}."
                ),
            )
        }
        (None, Some(largest), _) if found.cut_short => (
            "unknown",
            format!("Packets of {largest} bytes reach {named}; the time was up before larger ones were tried."),
        ),
        (None, Some(largest), Some(link)) if largest < link => {
            let told = found.told.map(|(from, _mtu)| format!(", which {from} says")).unwrap_or_default();
            (
                "ok",
                format!(
                    "Packets of up to {largest} bytes reach {named} whole{told}; this machine's own link takes {link}."
                ),
            )
        }
        (None, Some(largest), _) => (
            "ok",
            format!("Packets of {largest} bytes, as large as this machine's own link takes, reach {named} whole."),
        ),
    };
    Mtu {
        address: address.to_string(),
        link_mtu: found.link.map(u32::from),
        path_mtu: found.largest.map(u32::from),
        black_hole: found.black_hole(),
        ..said("verdict", outcome, words)
    }
}

/// Why nothing could be sent.
fn unsent(error: &std::io::Error) -> (&'static str, String) {
    match error.kind() {
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
            ("failed", format!("this machine has no way there: {error}"))
        }
        _ => ("unknown", error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(link: u16, largest: u16, told: Option<u32>) -> Found {
        let told = told.map(|mtu| ([192, 0, 2, 1].into(), mtu));
        Found { link: Some(link), largest: Some(largest), told, vanished: Some(largest + 1), ..Found::default() }
    }

    #[test]
    fn who_is_told_of_a_narrow_link_has_no_black_hole() {
        let address: IpAddr = [203, 0, 113, 2].into();
        let told = verdict("a.example", address, &found(1500, 1280, Some(1280)));
        assert_eq!(
            told.found,
            "Packets of up to 1280 bytes reach a.example (203.0.113.2) whole, which 192.0.2.1 says; this machine's own link takes 1500."
        );
        assert_eq!((told.outcome.as_str(), told.black_hole), ("ok", false));
        let silent = verdict("203.0.113.2", address, &found(1500, 1372, None));
        assert_eq!(
            silent.found,
            "Packets to 203.0.113.2 of more than 1372 bytes vanish, and nobody says so (an MTU black hole): 1373 bytes were sent in vain."
        );
        assert_eq!((silent.outcome.as_str(), silent.black_hole, silent.path_mtu), ("failed", true, Some(1372)));
        let whole = Found { vanished: None, ..found(1500, 1500, None) };
        assert!(!whole.black_hole() && verdict("a", address, &whole).outcome == "ok");
    }
}
