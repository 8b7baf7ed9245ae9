//! What DHCP clients write down of their leases, each in its own form: NetworkManager, systemd-networkd, dhclient, dhcpcd.

use std::net::{IpAddr, Ipv4Addr};

use deskside_proto::v1::Dhcp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Most entries of one list.
const LIST_MAX: usize = 16;

/// Most options that have no column.
const OPTIONS_MAX: usize = 32;

/// Longest value of an option.
const VALUE_CHARS_MAX: usize = 255;

/// Most statements of one file of dhclient.
const STATEMENTS_MAX: usize = 20_000;

/// Where the options begin in a DHCP message, behind the magic cookie (RFC 2131, section 3).
const OPTIONS_AT: usize = 240;

/// `struct bootp`: where the given address lies.
const YIADDR: std::ops::Range<usize> = 16..20;

/// Options that say nothing about the network, or something about the device alone.
const LEFT_OUT: [&str; 14] = [
    "broadcast-address",
    "dhcp-message-type",
    "dhcp-client-identifier",
    "dhcp6-client-id",
    "dhcp6.client-id",
    "clientid",
    "client-id",
    "host-name",
    "hostname",
    "fqdn-fqdn",
    "iaid",
    "broadcast",
    "next-server",
    "interface",
];

/// `[dhcp4]` and `[dhcp6]` of a file of /run/NetworkManager/devices: "dhcp4.routers=192.0.2.1".
pub(super) fn network_manager(text: &str) -> Vec<Dhcp> {
    let of = |section: &str, family: &str| {
        let prefix = format!("{section}.");
        let mut row = Dhcp { family: family.into(), client: "NetworkManager".into(), ..Dhcp::default() };
        for line in text.lines() {
            let Some((name, value)) = line.strip_prefix(&prefix).and_then(|line| line.split_once('=')) else {
                continue;
            };
            match name {
                "expiry" => row.expires_ms = value.parse::<i64>().ok().and_then(|seconds| seconds.checked_mul(1_000)),
                name => set(&mut row, &name.replace('_', "-"), value),
            }
        }
        settle(row)
    };
    [of("dhcp4", "inet"), of("dhcp6", "inet6")].into_iter().filter(|row| !row.address.is_empty()).collect()
}

/// A file of /run/systemd/netif/leases. When the lease ends does not stand there.
pub(super) fn networkd(text: &str, expires_ms: Option<i64>) -> Option<Dhcp> {
    let client = "systemd-networkd".into();
    let mut row = Dhcp { family: "inet".into(), client, expires_ms, ..Dhcp::default() };
    for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
        let name = match name {
            "ADDRESS" => "ip-address",
            "NETMASK" => "subnet-mask",
            "SERVER_ADDRESS" => "dhcp-server-identifier",
            "LIFETIME" => "dhcp-lease-time",
            "T1" => "dhcp-renewal-time",
            "T2" => "dhcp-rebinding-time",
            "ROUTER" => "routers",
            "DNS" => "domain-name-servers",
            "NTP" => "ntp-servers",
            "MTU" => "interface-mtu",
            "DOMAINNAME" => "domain-name",
            "DOMAIN_SEARCH_LIST" => "domain-search",
            "CAPTIVE_PORTAL" => "v4-captive-portal",
            other => &other.to_lowercase().replace('_', "-"),
        };
        set(&mut row, name, value);
    }
    (!row.address.is_empty()).then(|| settle(row))
}

/// dhclient.leases(5): the newest lease of each interface stands last; the older ones tell which other servers there were.
pub(super) fn dhclient(text: &str) -> Vec<Dhcp> {
    let mut all: Vec<Dhcp> = Vec::new();
    let mut open: Option<(Dhcp, usize)> = None;
    let (mut depth, mut starts_s) = (0_usize, None);
    for (statement, end) in statements(text) {
        let mut words = statement.split_whitespace();
        let first = words.next().unwrap_or_default();
        if end == '{' {
            depth += 1;
            match first {
                "lease" | "lease6" => {
                    let family = if first == "lease" { "inet" } else { "inet6" };
                    let row = Dhcp { family: family.into(), client: "dhclient".into(), ..Dhcp::default() };
                    (open, starts_s) = (Some((row, depth)), None);
                }
                "iaaddr" => set_open(&mut open, |row| words.next().unwrap_or_default().clone_into(&mut row.address)),
                _ => {}
            }
            continue;
        }
        let rest = statement.get(first.len()..).unwrap_or_default().trim();
        set_open(&mut open, |row| match first {
            "interface" => rest.trim_matches('"').clone_into(&mut row.interface),
            "fixed-address" => set(row, "ip-address", rest),
            "renew" => row.renew_ms = date_ms(rest),
            "rebind" => row.rebind_ms = date_ms(rest),
            "expire" => row.expires_ms = date_ms(rest),
            "starts" => starts_s = rest.parse::<i64>().ok(),
            "max-life" => row.lease_s = rest.parse().ok(),
            "option" => {
                let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
                set(row, name.trim_start_matches("dhcp6."), value);
            }
            _ => {}
        });
        if end == '}' {
            let done = open.take_if(|(_row, at)| *at == depth);
            depth = depth.saturating_sub(1);
            if let Some((mut row, _at)) = done.filter(|(row, _at)| !row.address.is_empty()) {
                if let (Some(starts), Some(lease)) = (starts_s, row.lease_s) {
                    row.expires_ms = starts.checked_add_unsigned(lease).and_then(|end| end.checked_mul(1_000));
                }
                all.push(settle(row));
            }
        }
    }
    newest(all)
}

fn set_open(open: &mut Option<(Dhcp, usize)>, change: impl FnOnce(&mut Dhcp)) {
    if let Some((row, _at)) = open {
        change(row);
    }
}

/// The last of each interface and family, with the servers of those before.
fn newest(all: Vec<Dhcp>) -> Vec<Dhcp> {
    let mut kept: Vec<Dhcp> = Vec::new();
    for mut row in all {
        if let Some(place) = kept.iter().position(|k| (&k.interface, &k.family) == (&row.interface, &row.family)) {
            let before = kept.remove(place);
            row.other_servers = before.other_servers;
            row.other_servers.push(before.server);
        }
        let own = row.server.clone();
        row.other_servers.retain(|server| *server != own && !server.is_empty());
        row.other_servers.sort_unstable();
        row.other_servers.dedup();
        row.other_servers.truncate(LIST_MAX);
        kept.push(row);
    }
    kept
}

/// Statements, and what each ends with: `;`, `{` or `}`. A `#` begins a comment; what is quoted is one word.
fn statements(text: &str) -> Vec<(String, char)> {
    let (mut all, mut one, mut quoted, mut comment) = (Vec::new(), String::new(), false, false);
    for c in text.chars() {
        match c {
            '\n' if comment => comment = false,
            _ if comment => {}
            '"' => {
                quoted = !quoted;
                one.push(c);
            }
            ';' | '{' | '}' if !quoted => all.push((std::mem::take(&mut one).trim().to_owned(), c)),
            '#' if !quoted => comment = true,
            c => one.push(c),
        }
        if all.len() >= STATEMENTS_MAX {
            break;
        }
    }
    all
}

/// "0 2026/11/22 08:41:05" in UTC, "epoch 1795337153", or "never".
fn date_ms(words: &str) -> Option<i64> {
    let (first, rest) = words.split_once(' ')?;
    if first == "epoch" {
        return rest.trim().parse::<i64>().ok()?.checked_mul(1_000);
    }
    let at = DateTime::strptime("%Y/%m/%d %H:%M:%S", rest.trim()).ok()?;
    Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

/// A lease of dhcpcd: the server's last message (RFC 2131), as it came.
pub(super) fn dhcpcd(message: &[u8]) -> Option<Dhcp> {
    let mut row = Dhcp { family: "inet".into(), client: "dhcpcd".into(), ..Dhcp::default() };
    let given: [u8; 4] = message.get(YIADDR)?.try_into().ok()?;
    row.address = Ipv4Addr::from(given).to_string();
    let mut rest = message.get(OPTIONS_AT..)?;
    while let [code, tail @ ..] = rest {
        match code {
            0 => rest = tail,
            255 => break,
            code => {
                let (length, tail) = tail.split_first()?;
                let value = tail.get(..usize::from(*length))?;
                message_option(&mut row, *code, value);
                rest = tail.get(usize::from(*length)..)?;
            }
        }
    }
    Some(settle(row))
}

/// RFC 2132, RFC 8910.
fn message_option(row: &mut Dhcp, code: u8, value: &[u8]) {
    let addresses = || {
        let each = value.chunks_exact(4).filter_map(|four| <[u8; 4]>::try_from(four).ok());
        each.map(|four| Ipv4Addr::from(four).to_string()).collect::<Vec<_>>().join(" ")
    };
    let number = || value.iter().take(4).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)).to_string();
    let text = || String::from_utf8_lossy(value).trim_end_matches('\0').to_owned();
    let (name, value) = match code {
        1 => ("subnet-mask", addresses()),
        3 => ("routers", addresses()),
        6 => ("domain-name-servers", addresses()),
        15 => ("domain-name", text()),
        26 => ("interface-mtu", number()),
        42 => ("ntp-servers", addresses()),
        51 => ("dhcp-lease-time", number()),
        54 => ("dhcp-server-identifier", addresses()),
        58 => ("dhcp-renewal-time", number()),
        59 => ("dhcp-rebinding-time", number()),
        114 => ("v4-captive-portal", text()),
        252 => ("wpad", text()),
        12 | 28 | 53 | 61 => return,
        code => return other(row, &format!("option-{code}"), &data_encoding::HEXLOWER.encode(value)),
    };
    set(row, name, &value);
}

/// One option, by the name that dhcp-options(5) gives it.
fn set(row: &mut Dhcp, name: &str, value: &str) {
    let value = value.trim();
    let number = || value.parse::<u64>().ok();
    match name {
        "ip-address" | "ip6-address" => row.address = value.into(),
        "subnet-mask" => row.prefix_length = value.parse::<Ipv4Addr>().ok().map(|mask| mask.to_bits().count_ones()),
        "dhcp-server-identifier" => row.server = value.into(),
        "dhcp-lease-time" => row.lease_s = number().filter(|seconds| *seconds != u64::from(u32::MAX)),
        // Kept as a duration until the beginning is known.
        "dhcp-renewal-time" if row.renew_ms.is_none() => row.renew_ms = duration_ms(number()),
        "dhcp-rebinding-time" if row.rebind_ms.is_none() => row.rebind_ms = duration_ms(number()),
        "dhcp-renewal-time" | "dhcp-rebinding-time" => {}
        "routers" => row.routers = list(value),
        "domain-name-servers" | "dhcp6-name-servers" | "name-servers" => row.name_servers = list(value),
        "domain-name" => row.domain = word(value),
        "domain-search" | "dhcp6-domain-search" => row.search = list(value),
        "ntp-servers" | "dhcp6-ntp-servers" => row.time_servers = list(value),
        "interface-mtu" => row.mtu = value.parse().ok().filter(|mtu| *mtu > 0),
        "v4-captive-portal" | "default-url" | "option-114" => row.captive_portal = plain(value),
        "wpad" | "wpad-url" | "option-252" | "unknown-252" => row.proxy_auto_config = plain(value),
        name => other(row, name, value),
    }
}

fn duration_ms(seconds: Option<u64>) -> Option<i64> {
    i64::try_from(seconds?).ok()?.checked_mul(1_000)
}

fn other(row: &mut Dhcp, name: &str, value: &str) {
    if LEFT_OUT.contains(&name) || row.options.len() >= OPTIONS_MAX || value.is_empty() {
        return;
    }
    let value: String = value.trim_matches('"').chars().take(VALUE_CHARS_MAX).collect();
    row.options.push(format!("{name}={value}"));
}

/// Parted by commas or blanks, quoted or not, names with or without the dot at their end.
fn list(value: &str) -> Vec<String> {
    let words = value.split([',', ' ']).map(word).filter(|word| !word.is_empty());
    words.take(LIST_MAX).collect()
}

fn word(value: &str) -> String {
    value.trim().trim_matches('"').trim_end_matches('.').chars().take(VALUE_CHARS_MAX).collect()
}

/// Text as it is, or in hexadecimal digits: "687474" (systemd-networkd), "68:74:74" (dhclient).
fn plain(value: &str) -> String {
    let value = value.trim().trim_matches('"');
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(value.replace(':', "").as_bytes()).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_else(|| value.to_owned());
    text.trim_end_matches('\0').chars().take(VALUE_CHARS_MAX).collect()
}

/// Times that follow from others, and whether the routers can be reached.
fn settle(mut row: Dhcp) -> Dhcp {
    let lease_ms = duration_ms(row.lease_s);
    row.obtained_ms = row.obtained_ms.or_else(|| row.expires_ms?.checked_sub(lease_ms?));
    // RFC 2131 4.4.5: a half and seven eighths, where the server says nothing else. A time before the beginning is still a duration.
    let at = |said: Option<i64>, default: Option<i64>| match (said, row.obtained_ms) {
        (Some(ms), Some(from)) if ms < from => from.checked_add(ms),
        (Some(ms), Some(_from)) => Some(ms),
        (None, Some(from)) => from.checked_add(default?),
        (_, None) => None,
    };
    let half = lease_ms.map(|lease| lease / 2);
    let most = lease_ms.and_then(|lease| Some(lease.checked_mul(7)? / 8));
    (row.renew_ms, row.rebind_ms) = (at(row.renew_ms, half), at(row.rebind_ms, most));
    row.router_outside = outside(&row);
    row
}

fn outside(row: &Dhcp) -> Option<bool> {
    let prefix = row.prefix_length.filter(|length| (1..=30).contains(length))?;
    let own: Ipv4Addr = row.address.parse().ok()?;
    let mask = u32::MAX.checked_shl(32 - prefix)?;
    let routers: Vec<IpAddr> = row.routers.iter().filter_map(|router| router.parse().ok()).collect();
    let far = |router: &IpAddr| matches!(router, IpAddr::V4(router) if router.to_bits() & mask != own.to_bits() & mask);
    (!routers.is_empty()).then(|| routers.iter().all(far))
}

#[cfg(test)]
mod tests;
