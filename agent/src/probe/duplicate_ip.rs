//! Whether somebody else uses this machine's addresses (RFC 5227 for IPv4; what the kernel found out for IPv6).

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::{Address, DuplicateIp};

use super::{Asked, Probe, Steps, Unrun};
use crate::collect::Rows;
use crate::collect::network::addresses;
use crate::host::{Hear, Host, mac_text};

pub(super) const DUPLICATE_IP: Probe = Probe { table: DuplicateIp::TABLE, deadline: Duration::from_secs(30), run };

/// Addresses that are tested at most.
const ADDRESSES_MAX: usize = 8;

/// Three questions a second apart (RFC 5227: `PROBE_NUM`, `PROBE_MIN`).
const WAIT: Duration = Duration::from_secs(3);

fn run(host: &dyn Host, asked: &Asked, steps: &mut Steps<'_>) -> anyhow::Result<Rows> {
    let mut own: Vec<Address> = addresses::all(host)?;
    if let Some(interface) = asked.get("interface") {
        own.retain(|address| address.interface == interface);
        if own.is_empty() {
            return Err(Unrun::Refused(format!("{interface} has no address here")).into());
        }
    }
    own.retain(|address| address.scope != "host" && !address.link_local);
    let left_out = own.len().saturating_sub(ADDRESSES_MAX);
    own.truncate(ADDRESSES_MAX);
    let macs = own_macs(host);
    let mut tested = Vec::new();
    for address in &own {
        let row = if steps.time_is_up(host) {
            row(address, "not done", "not done, because the time for the whole test is up".into())
        } else {
            test(host, address, &macs)
        };
        steps.tell(format!("{} {}: {}: {}", row.interface, row.address, row.outcome, row.found))?;
        tested.push(row);
    }
    let (outcome, found) = verdict(&tested);
    tested.push(DuplicateIp { step: "verdict".into(), outcome: outcome.into(), found, ..DuplicateIp::default() });
    let numbered = (1..).zip(tested).map(|(number, row)| DuplicateIp { number, ..row });
    let mut rows: Rows = numbered.collect();
    if left_out > 0 {
        rows.missing(format!("{left_out} further addresses, since {ADDRESSES_MAX} are tested at most"));
    }
    Ok(rows)
}

fn test(host: &dyn Host, address: &Address, own: &BTreeSet<String>) -> DuplicateIp {
    let interface = &address.interface;
    if host.line(&format!("/sys/class/net/{interface}/carrier")).is_some_and(|carrier| carrier == "0") {
        return row(address, "not done", format!("not done, because {interface} has no carrier"));
    }
    let Ok(ipv4) = address.address.parse::<Ipv4Addr>() else { return by_kernel(address) };
    let begun_ms = host.now_ms();
    let heard = host.wire().arp(interface, ipv4, WAIT, Hear::All);
    let took_ms = u32::try_from(host.now_ms().saturating_sub(begun_ms)).ok();
    let heard = match heard {
        Ok(heard) => heard,
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::NetworkDown) => {
            return row(address, "not done", format!("not done, because {error}"));
        }
        Err(error) => return row(address, "unknown", error.to_string()),
    };
    // Why: of two interfaces of one machine on one link, Linux lets each answer for the other's addresses.
    let macs: Vec<String> = heard.into_iter().map(|mac| mac_text(&mac)).filter(|mac| !own.contains(mac)).collect();
    let (outcome, found) = match macs.as_slice() {
        [] => ("ok", "nobody else answers for it".to_owned()),
        macs => ("failed", format!("{} answers for it too", macs.join(" and "))),
    };
    DuplicateIp { macs, took_ms, ..row(address, outcome, found) }
}

/// Of an IPv6 address the kernel itself asks the link before it uses it (RFC 4862, 5.4).
fn by_kernel(address: &Address) -> DuplicateIp {
    let has = |word: &str| address.flags.iter().any(|flag| flag == word);
    let (outcome, found) = if has("duplicate") {
        ("failed", "the kernel found that another machine uses it, and does not use it itself")
    } else if has("tentative") {
        ("unknown", "the kernel has not found out yet")
    } else {
        ("ok", "the kernel found nobody else who uses it")
    };
    row(address, outcome, found.into())
}

fn row(address: &Address, outcome: &str, found: String) -> DuplicateIp {
    DuplicateIp {
        step: "address".into(),
        interface: address.interface.clone(),
        address: address.address.clone(),
        outcome: outcome.into(),
        found,
        ..DuplicateIp::default()
    }
}

fn own_macs(host: &dyn Host) -> BTreeSet<String> {
    let links = host.list("/sys/class/net").unwrap_or_default();
    links.iter().filter_map(|link| host.line(&format!("/sys/class/net/{link}/address"))).collect()
}

/// What all of it comes to, in one sentence.
fn verdict(tested: &[DuplicateIp]) -> (&'static str, String) {
    let told = |outcome: &str| -> Vec<&DuplicateIp> { tested.iter().filter(|row| row.outcome == outcome).collect() };
    let named = |row: &&DuplicateIp| format!("{} on {}", row.address, row.interface);
    let [failed, unknown, ok] = ["failed", "unknown", "ok"].map(told);
    if !failed.is_empty() {
        let each = failed.iter().map(|row| match row.macs.as_slice() {
            [] => format!("{} is used by another machine too", named(row)),
            macs => format!("{} is used by {} too", named(row), macs.join(" and ")),
        });
        return ("failed", format!("The address {}.", each.collect::<Vec<_>>().join("; the address ")));
    }
    if let Some(first) = unknown.first() {
        return ("unknown", format!("Whether somebody else uses {} could not be seen: {}.", named(first), first.found));
    }
    match ok.as_slice() {
        [] => ("not done", "No address was tested: no interface has a carrier, ARP and an address.".into()),
        [one] => ("ok", format!("Nobody else uses {}.", named(one))),
        many => ("ok", format!("Nobody else uses the {} addresses of this machine.", many.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tested(address: &str, outcome: &str, macs: &[&str]) -> DuplicateIp {
        let address = Address { interface: "eth0".into(), address: address.into(), ..Address::default() };
        DuplicateIp { macs: macs.iter().map(ToString::to_string).collect(), ..row(&address, outcome, "why".into()) }
    }

    #[test]
    fn the_verdict_is_one_sentence() {
        let mine = tested("192.0.2.7", "ok", &[]);
        let shared = tested("192.0.2.8", "failed", &["02:00:00:00:00:09"]);
        let unseen = tested("192.0.2.9", "unknown", &[]);
        for (tested, outcome, said) in [
            (vec![mine.clone()], "ok", "Nobody else uses 192.0.2.7 on eth0."),
            (vec![mine.clone(), mine.clone()], "ok", "Nobody else uses the 2 addresses of this machine."),
            (
                vec![mine.clone(), shared, unseen.clone()],
                "failed",
                "The address 192.0.2.8 on eth0 is used by 02:00:00:00:00:09 too.",
            ),
            (vec![mine, unseen], "unknown", "Whether somebody else uses 192.0.2.9 on eth0 could not be seen: why."),
            (vec![], "not done", "No address was tested: no interface has a carrier, ARP and an address."),
        ] {
            assert_eq!(verdict(&tested), (outcome, said.to_owned()));
        }
    }

    #[test]
    fn the_kernels_word_on_ipv6_is_told() {
        let address = |flag: &str| Address { flags: vec!["permanent".into(), flag.into()], ..Address::default() };
        let told = ["duplicate", "tentative", "temporary"].map(|flag| by_kernel(&address(flag)).outcome);
        assert_eq!(told, ["failed", "unknown", "ok"]);
    }
}
