//! What DHCP clients were given: by the files of NetworkManager, systemd-networkd, dhclient and dhcpcd.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::Dhcp;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressAttribute;
use serde_json::Value;

use super::rtnetlink::{self, Names};
use super::{bus, leases};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::{Host, Netlink};

pub(in crate::collect) const DHCP: Collector =
    Collector { table: Dhcp::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(5)), look };

const NETWORK_MANAGER: &str = "/run/NetworkManager/devices";
const NETWORKD: &str = "/run/systemd/netif/leases";

/// Where dhclient keeps its leases: Debian, Red Hat, and as NetworkManager starts it.
const DHCLIENT: [&str; 3] = ["/var/lib/dhcp", "/var/lib/dhclient", "/var/lib/NetworkManager"];
const DHCPCD: [&str; 2] = ["/var/lib/dhcpcd", "/var/lib/dhcpcd5"];

/// Most files of one client.
const FILES_MAX: usize = 64;

/// How long a lease that has ended and is on no interface is still told of. Why: clients leave their files behind for ever.
const OLD_MS: i64 = 24 * 60 * 60 * 1_000;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let mut missing = Vec::new();
    let names = Names::ask(host)?;
    let held = held(host, &names)?;
    let mut all = from_network_manager(host, &names, &mut missing);
    all.extend(from_networkd(host, &names, &mut missing));
    all.extend(from_dhclient(host, &mut missing));
    all.extend(from_dhcpcd(host, &mut missing));
    let now_ms = host.now_ms();
    all.retain_mut(|row| judged(row, &held, now_ms));
    match asking(host, &all) {
        Ok(more) => all.extend(more),
        Err(error) => missing.push(format!("clients that wait for a lease: {error:#}")),
    }
    remember(host, &mut all, now_ms);
    let mut rows: Rows = all.into_iter().collect();
    for part in missing {
        rows.missing(part);
    }
    Ok(rows)
}

/// The addresses that interfaces hold.
fn held(host: &dyn Host, names: &Names) -> anyhow::Result<BTreeSet<(String, String)>> {
    let listing = rtnetlink::ask(host, Netlink::Addresses)?;
    let mut held = BTreeSet::new();
    for message in &listing.messages {
        let RouteNetlinkMessage::NewAddress(message) = message else { continue };
        for attribute in &message.attributes {
            if let AddressAttribute::Address(ip) | AddressAttribute::Local(ip) = attribute {
                held.insert((names.get(message.header.index), ip.to_string()));
            }
        }
    }
    Ok(held)
}

/// Says whether a lease is in force; not, where it is only a file that was left behind.
fn judged(row: &mut Dhcp, held: &BTreeSet<(String, String)>, now_ms: i64) -> bool {
    let is_held = held.contains(&(row.interface.clone(), row.address.clone()));
    let ended = row.expires_ms.is_some_and(|end| end < now_ms);
    row.state = match (is_held, ended) {
        (_, true) => "expired".into(),
        (true, false) => "bound".into(),
        (false, false) => return false,
    };
    is_held || row.expires_ms.is_some_and(|end| now_ms.saturating_sub(end) < OLD_MS)
}

/// The files of a folder that a client may or may not have.
fn files(host: &dyn Host, folder: &str, missing: &mut Vec<String>) -> Vec<String> {
    match host.list(folder) {
        Ok(mut names) => {
            if names.len() > FILES_MAX {
                missing.push(format!("{} files in {folder} after the first {FILES_MAX}", names.len() - FILES_MAX));
                names.truncate(FILES_MAX);
            }
            names
        }
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                missing.push(format!("{folder}: {error}{}", would_allow(error.kind())));
            }
            Vec::new()
        }
    }
}

fn would_allow(kind: ErrorKind) -> &'static str {
    if kind == ErrorKind::PermissionDenied { "; CAP_DAC_READ_SEARCH would allow it" } else { "" }
}

fn read(host: &dyn Host, path: &str, missing: &mut Vec<String>) -> Option<Vec<u8>> {
    match host.read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            missing.push(format!("{path}: {error}{}", would_allow(error.kind())));
            None
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn from_network_manager(host: &dyn Host, names: &Names, missing: &mut Vec<String>) -> Vec<Dhcp> {
    let mut all = Vec::new();
    for file in files(host, NETWORK_MANAGER, missing) {
        let Ok(index) = file.parse() else { continue };
        let Some(bytes) = read(host, &format!("{NETWORK_MANAGER}/{file}"), missing) else { continue };
        let rows = leases::network_manager(&text(&bytes)).into_iter();
        all.extend(rows.map(|row| Dhcp { interface: names.get(index), ..row }));
    }
    all
}

fn from_networkd(host: &dyn Host, names: &Names, missing: &mut Vec<String>) -> Vec<Dhcp> {
    let files = files(host, NETWORKD, missing);
    if files.is_empty() {
        return Vec::new();
    }
    let described = described(host).unwrap_or_else(|error| {
        missing.push(format!("when leases of systemd-networkd end: {error:#}"));
        Described::default()
    });
    let mut all = described.six;
    for file in files {
        let Ok(index) = file.parse::<u32>() else { continue };
        let Some(bytes) = read(host, &format!("{NETWORKD}/{file}"), missing) else { continue };
        let row = leases::networkd(&text(&bytes), described.ends_ms.get(&index).copied());
        all.extend(row.map(|row| Dhcp { interface: names.get(index), ..row }));
    }
    all
}

/// What systemd-networkd says of its links beyond the files of its leases.
#[derive(Default)]
struct Described {
    /// When the lease of an interface ends.
    ends_ms: BTreeMap<u32, i64>,
    /// Leases of `DHCPv6`, which have no file.
    six: Vec<Dhcp>,
}

/// `Describe` of org.freedesktop.network1(5), since systemd 250. Times there are microseconds since the machine's start.
fn described(host: &dyn Host) -> anyhow::Result<Described> {
    let mut found = Described::default();
    let service = "org.freedesktop.network1";
    let call =
        bus::call(host, service, "/org/freedesktop/network1", &["org.freedesktop.network1.Manager", "Describe"])?;
    let Some(Value::String(json)) = call else { return Ok(found) };
    let all: Value = serde_json::from_str(&json)?;
    let Some(boot_ms) = boot_ms(host) else { anyhow::bail!("/proc/stat does not say when the machine was started") };
    for link in all.get("Interfaces").and_then(Value::as_array).into_iter().flatten() {
        let Some(index) = link.get("Index").and_then(Value::as_u64).and_then(|index| u32::try_from(index).ok()) else {
            continue;
        };
        for address in link.get("Addresses").and_then(Value::as_array).into_iter().flatten() {
            let ends = address.get("ValidLifetimeUsec").and_then(Value::as_i64);
            let ends_ms = ends.and_then(|micros| boot_ms.checked_add(micros / 1_000));
            match address.get("ConfigSource").and_then(Value::as_str) {
                Some("DHCPv4") => drop(ends_ms.map(|ends_ms| found.ends_ms.insert(index, ends_ms))),
                Some("DHCPv6") => found.six.push(six(link, address, ends_ms)),
                _ => {}
            }
        }
    }
    Ok(found)
}

fn six(link: &Value, address: &Value, expires_ms: Option<i64>) -> Dhcp {
    let ip = |of: Option<&Value>| of.and_then(bus::ip).map(|ip| ip.to_string()).unwrap_or_default();
    let from_here = |of: &&Value| {
        matches!(of.get("ConfigSource").and_then(Value::as_str), Some("DHCPv6" | "NDisc"))
            && of.get("Address").is_some()
    };
    let servers = link.get("DNS").and_then(Value::as_array).into_iter().flatten().filter(from_here);
    let mut servers: Vec<String> = servers.map(|server| ip(server.get("Address"))).collect();
    servers.dedup();
    Dhcp {
        interface: link.get("Name").and_then(Value::as_str).unwrap_or_default().into(),
        family: "inet6".into(),
        client: "systemd-networkd".into(),
        address: ip(address.get("Address")),
        server: ip(address.get("ConfigProvider")),
        name_servers: servers,
        expires_ms,
        ..Dhcp::default()
    }
}

fn boot_ms(host: &dyn Host) -> Option<i64> {
    let stat = host.text("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse::<i64>().ok()?.checked_mul(1_000)
}

fn from_dhclient(host: &dyn Host, missing: &mut Vec<String>) -> Vec<Dhcp> {
    let mut all = Vec::new();
    for folder in DHCLIENT {
        let ours = |name: &String| name.starts_with("dhclient") && name.contains(".lease");
        for file in files(host, folder, missing).into_iter().filter(ours) {
            let bytes = read(host, &format!("{folder}/{file}"), missing);
            all.extend(bytes.map(|bytes| leases::dhclient(&text(&bytes))).unwrap_or_default());
        }
    }
    all
}

fn from_dhcpcd(host: &dyn Host, missing: &mut Vec<String>) -> Vec<Dhcp> {
    let mut all = Vec::new();
    for folder in DHCPCD {
        for file in files(host, folder, missing) {
            let Some(interface) = file.strip_suffix(".lease") else { continue };
            // A lease of a radio is called "wlan0-NETWORK".
            let interface = interface.split('-').next().unwrap_or_default().to_owned();
            let Some(bytes) = read(host, &format!("{folder}/{file}"), missing) else { continue };
            all.extend(leases::dhcpcd(&bytes).map(|row| Dhcp { interface, ..row }));
        }
    }
    all
}

/// `NM_DEVICE_STATE_IP_CONFIG`
const STATE_IP_CONFIG: u64 = 70;
/// `NM_DEVICE_STATE_FAILED`
const STATE_FAILED: u64 = 120;
/// `NM_DEVICE_STATE_REASON_IP_CONFIG_UNAVAILABLE`, `_DHCP_START_FAILED`, `_DHCP_ERROR`, `_DHCP_FAILED`
const REASONS: [u64; 4] = [5, 15, 16, 17];

/// Devices for which NetworkManager asks, or asked in vain.
fn asking(host: &dyn Host, known: &[Dhcp]) -> anyhow::Result<Vec<Dhcp>> {
    let Some(objects) = network_manager(host)? else { return Ok(Vec::new()) };
    let devices = objects.values().filter_map(|of| of.get("org.freedesktop.NetworkManager.Device"));
    let mut found = Vec::new();
    for device in devices {
        let interface = bus::text(device, "Interface");
        let reason = device.get("StateReason").and_then(|reason| reason.get(1)).and_then(Value::as_u64);
        let state = match device.get("State").and_then(Value::as_u64) {
            Some(STATE_IP_CONFIG) => "asking",
            Some(STATE_FAILED) if reason.is_some_and(|reason| REASONS.contains(&reason)) => "failed",
            _ => continue,
        };
        if !known.iter().any(|row| row.interface == interface && row.family == "inet") {
            let (family, client) = ("inet".into(), "NetworkManager".into());
            found.push(Dhcp { interface, family, client, state: state.into(), ..Dhcp::default() });
        }
    }
    Ok(found)
}

/// All that NetworkManager shows; absent where it does not run.
pub(super) fn network_manager(host: &dyn Host) -> anyhow::Result<Option<bus::Objects>> {
    if host.list("/run/NetworkManager").is_err() {
        return Ok(None);
    }
    bus::objects(host, "org.freedesktop.NetworkManager", "/org/freedesktop")
}

/// What is kept between looks of each interface: server, address with its prefix, and the change that was seen.
#[derive(Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
struct Seen {
    server: String,
    network: String,
    before: String,
    changed_ms: Option<i64>,
    same_network: Option<bool>,
}

/// Tells of a server that is another than at the look before, and goes on telling.
fn remember(host: &dyn Host, rows: &mut [Dhcp], now_ms: i64) {
    let before: BTreeMap<String, Seen> =
        host.noted("dhcp").and_then(|note| serde_json::from_str(&note.text).ok()).unwrap_or_default();
    let mut now = BTreeMap::new();
    for row in rows.iter_mut().filter(|row| !row.server.is_empty() && row.state == "bound") {
        let mut seen = Seen { server: row.server.clone(), network: network(row), ..Seen::default() };
        if let Some(before) = before.get(&format!("{} {}", row.interface, row.family)) {
            if before.server == row.server {
                seen.before.clone_from(&before.before);
                (seen.changed_ms, seen.same_network) = (before.changed_ms, before.same_network);
            } else {
                seen.before.clone_from(&before.server);
                seen.changed_ms = Some(now_ms);
                seen.same_network = Some(before.network == seen.network);
            }
        }
        row.server_before.clone_from(&seen.before);
        (row.server_changed_ms, row.same_network_before) = (seen.changed_ms, seen.same_network);
        now.insert(format!("{} {}", row.interface, row.family), seen);
    }
    drop(host.recall("dhcp", serde_json::to_string(&now).unwrap_or_default()));
}

fn network(row: &Dhcp) -> String {
    let address = row.address.parse::<Ipv4Addr>().ok().zip(row.prefix_length);
    let masked =
        address.and_then(|(ip, length)| Some(ip.to_bits() & u32::MAX.checked_shl(32_u32.checked_sub(length)?)?));
    masked.map(|bits| Ipv4Addr::from(bits).to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_left_behind_is_no_lease() {
        let held: BTreeSet<(String, String)> = [("eth0".to_owned(), "192.0.2.7".to_owned())].into();
        let row = |address: &str, expires_ms| Dhcp {
            interface: "eth0".into(),
            address: address.into(),
            expires_ms,
            ..Dhcp::default()
        };
        let mut bound = row("192.0.2.7", Some(2_000));
        assert!(judged(&mut bound, &held, 1_000) && bound.state == "bound");
        let mut late = row("192.0.2.7", Some(500));
        assert!(judged(&mut late, &held, 1_000) && late.state == "expired");
        assert!(!judged(&mut row("192.0.2.8", Some(2_000)), &held, 1_000));
        assert!(!judged(&mut row("192.0.2.8", Some(500)), &held, OLD_MS * 2));
        assert!(!judged(&mut row("192.0.2.8", None), &held, 1_000));
    }

    #[test]
    fn a_network_is_its_address_without_the_host() {
        let row = |address: &str, length| {
            network(&Dhcp { address: address.into(), prefix_length: Some(length), ..Dhcp::default() })
        };
        assert_eq!(row("192.0.2.77", 24), "192.0.2.0");
        assert_eq!(
            (row("192.0.2.77", 0), row("x", 24), row("192.0.2.77", 99)),
            (String::new(), String::new(), String::new())
        );
    }
}
