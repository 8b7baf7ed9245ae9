//! Connections to a TCP port over each family of addresses: open, refused, reset, prohibited, or no answer at all.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::Tcp;

use super::ping::tally::ms;
use super::{Asked, Probe, Steps, Unrun, destination, icmp, sentence};
use crate::collect::Rows;
use crate::host::{Host, Knock};

pub(super) const TCP: Probe = Probe { table: Tcp::TABLE, deadline: Duration::from_secs(30), run };

/// How long a connection may take: the first request, and two more after one second and three (RFC 6298).
const CONNECT_MAX: Duration = Duration::from_secs(6);

/// Addresses of each family that are tried until one opens.
const EACH_MAX: usize = 2;

fn run(host: &dyn Host, asked: &Asked, steps: &mut Steps<'_>) -> anyhow::Result<Rows> {
    let (name, port) = place(asked)?;
    let target = if name.contains(':') { format!("[{name}]:{port}") } else { format!("{name}:{port}") };
    let mut found = Vec::new();
    match destination::of(host, asked, &name, Some(port))? {
        Err(why) => {
            steps.tell(format!("{target}: failed: {why}"))?;
            found.push(said(Tcp { step: "resolve".into(), ..Tcp::default() }, "failed", "", why));
        }
        Ok(places) => {
            for v4 in [true, false] {
                let of_family = places.iter().map(|place| place.address).filter(|address| address.is_ipv4() == v4);
                for address in of_family.take(EACH_MAX) {
                    let row = if steps.time_is_up(host) {
                        said(row(address), "not done", "", "not done, because the time for the whole test is up".into())
                    } else {
                        connect(host, SocketAddr::new(address, port))
                    };
                    steps.tell(format!("{target} at {address}: {}: {}", row.outcome, row.found))?;
                    let open = row.result == "open";
                    found.push(row);
                    if open {
                        break;
                    }
                }
            }
        }
    }
    let last = verdict(&format!("port {port} of {name}"), &mut found);
    found.push(last);
    Ok((1..).zip(found).map(|(number, row)| Tcp { target: target.clone(), number, ..row }).collect())
}

/// Host and port, from one argument or from two.
fn place(asked: &Asked) -> Result<(String, u16), Unrun> {
    let target = asked.get("target").unwrap_or_default();
    let refused = || Unrun::Refused("tcp: say which port: `tcp HOST PORT` or `tcp HOST:PORT`, from 1 to 65535".into());
    let is_port = |text: &str| text.parse().ok().filter(|port: &u16| *port > 0);
    let bare = |name: &str| name.trim_start_matches('[').trim_end_matches(']').to_owned();
    if let Some(port) = asked.get("port") {
        return Ok((bare(target), is_port(port).ok_or_else(refused)?));
    }
    let (name, port) = target.rsplit_once(':').ok_or_else(refused)?;
    // An address of IPv6 has colons of its own, and is in brackets where a port follows.
    if name.contains(':') && !(name.starts_with('[') && name.ends_with(']')) {
        return Err(refused());
    }
    Ok((bare(name), is_port(port).ok_or_else(refused)?))
}

fn connect(host: &dyn Host, to: SocketAddr) -> Tcp {
    let row = row(to.ip());
    let (knock, took) = match host.wire().knock(to, CONNECT_MAX) {
        Ok(knocked) => knocked,
        Err(error) => return said(row, "unknown", "", error.to_string()),
    };
    let within = format!("{:.1} ms", ms(took));
    let row = Tcp { took_ms: Some(ms(took)), ..row };
    match knock {
        Knock::Open(segment) => {
            Tcp { segment_bytes: segment, ..said(row, "ok", "open", format!("open within {within}")) }
        }
        Knock::Reset => {
            said(row, "failed", "reset", "opened, and was reset at once: a service or a firewall hangs up".into())
        }
        Knock::Refused => said(
            row,
            "failed",
            "refused",
            format!("refused within {within}: nobody listens there, or a firewall says so"),
        ),
        Knock::Told(error) => {
            let result = if icmp::is_prohibited(&error) { "prohibited" } else { "unreachable" };
            let found = format!("{} says that {}", error.from, icmp::words(&error));
            Tcp { icmp_from: error.from.to_string(), ..said(row, "failed", result, found) }
        }
        Knock::Silent => {
            let seconds = CONNECT_MAX.as_secs();
            said(
                row,
                "failed",
                "timed_out",
                format!("no answer within {seconds} s: it is down, or something on the way drops it"),
            )
        }
        Knock::NoWay(kind) => said(row, "failed", "no_route", format!("this machine has no way there: {kind}")),
    }
}

fn row(address: IpAddr) -> Tcp {
    let family = if address.is_ipv4() { "inet" } else { "inet6" };
    Tcp { step: "connect".into(), address: address.to_string(), family: family.into(), ..Tcp::default() }
}

fn said(row: Tcp, outcome: &str, result: &str, found: String) -> Tcp {
    Tcp { outcome: outcome.into(), result: result.into(), found, ..row }
}

fn family(row: &Tcp) -> &'static str {
    if row.family == "inet6" { "IPv6" } else { "IPv4" }
}

/// One family that works is enough, for programs try both. Why a family without a way is not done: a network of one family alone is no fault.
fn verdict(target: &str, found: &mut [Tcp]) -> Tcp {
    let open = found.iter().find(|row| row.result == "open").cloned();
    if open.is_some() {
        let kind = ErrorKind::NetworkUnreachable.to_string();
        for row in found.iter_mut().filter(|row| row.result == "no_route") {
            row.outcome = "not done".into();
            row.found = format!("not done, because this machine has no way over {}: {kind}", family(row));
        }
    }
    let failed: Vec<&Tcp> = found.iter().filter(|row| row.outcome == "failed").collect();
    let faults = failed.iter().map(|row| match row.address.as_str() {
        "" => row.found.clone(),
        address => format!("{address}: {}", row.found),
    });
    let faults = faults.collect::<Vec<_>>().join("; ");
    let unseen = || found.iter().map(|row| row.found.as_str()).collect::<Vec<_>>().join("; ");
    let (outcome, words) = match (&open, failed.as_slice()) {
        (Some(open), []) => ("ok", format!("{target} takes connections over {} ({})", family(open), open.found)),
        (Some(open), _) => ("failed", format!("{target} takes connections over {}, but not at {faults}", family(open))),
        (None, []) => ("unknown", format!("whether {target} takes connections was not seen: {}", unseen())),
        (None, _) => ("failed", format!("{target} takes no connection: {faults}")),
    };
    let result =
        open.map_or_else(|| failed.first().map(|row| row.result.clone()).unwrap_or_default(), |open| open.result);
    said(Tcp { step: "verdict".into(), ..Tcp::default() }, outcome, &result, sentence(&words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Arguments;

    fn asked(target: &str, port: Option<&str>) -> Result<(String, u16), Unrun> {
        let options = deskside_proto::catalog::table(Tcp::TABLE).unwrap().probe.clone().unwrap();
        let words: Vec<String> = std::iter::once(target).chain(port).map(str::to_owned).collect();
        place(&Asked { arguments: Arguments::read("tcp", &options, &words).unwrap(), ..Asked::default() })
    }

    #[test]
    fn a_port_stands_behind_the_host_or_by_itself() {
        for (target, port, expected) in [
            ("a.example:443", None, ("a.example", 443)),
            ("a.example", Some("443"), ("a.example", 443)),
            ("[2001:db8::1]:80", None, ("2001:db8::1", 80)),
            ("2001:db8::1", Some("80"), ("2001:db8::1", 80)),
        ] {
            let (name, number) = asked(target, port).unwrap();
            assert_eq!((name.as_str(), number), expected);
        }
        for (target, port) in
            [("a.example", None), ("2001:db8::1", None), ("a", Some("0")), ("a:70000", None), (":", None)]
        {
            assert!(matches!(asked(target, port), Err(Unrun::Refused(_))), "{target} {port:?}");
        }
    }

    #[test]
    fn one_family_that_works_is_told_with_the_other_that_does_not() {
        let of = |address: &str, result: &str, outcome: &str| {
            said(row(address.parse().unwrap()), outcome, result, result.into())
        };
        let mut both = [of("192.0.2.1", "open", "ok"), of("2001:db8::1", "timed_out", "failed")];
        let told = verdict("port 443 of a.example", &mut both);
        assert_eq!(told.found, "Port 443 of a.example takes connections over IPv4, but not at 2001:db8::1: timed_out.");
        assert_eq!(told.outcome, "failed");
        let mut one = [of("192.0.2.1", "open", "ok"), of("2001:db8::1", "no_route", "failed")];
        assert_eq!(verdict("port 443 of a.example", &mut one).outcome, "ok");
        assert_eq!(one[1].outcome, "not done");
        let mut none = [of("2001:db8::1", "no_route", "failed")];
        assert_eq!(verdict("port 443 of a.example", &mut none).outcome, "failed");
    }
}
