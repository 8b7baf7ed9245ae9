//! Links, addresses, routes and neighbours as the collectors read them from a real kernel, against what ip(8) says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::process::Command;

use deskside_agent::collect::{Registry, look};
use deskside_agent::host::{Live, LiveOptions};
use deskside_proto::v1::{Address, Interface, Neighbor, Outcome, Route};
use deskside_tests::lab::netns::Wired;
use prost::Message;
use serde_json::Value;

/// Set where the test runs itself again inside the namespace.
const INSIDE: &str = "DESKSIDE_TEST_INSIDE";

fn rows<R: Message + Default>(table: &str) -> Vec<R> {
    let reading = look(Registry::standard().collector(table).unwrap(), &Live::new(LiveOptions::default()));
    assert_eq!(reading.outcome(), Outcome::Ok, "{table}: {}", reading.reason);
    reading.rows.iter().map(|row| R::decode(row.clone()).unwrap()).collect()
}

fn ip(words: &str) -> Vec<Value> {
    let ran = Command::new("ip").arg("-j").args(words.split_whitespace()).output().unwrap();
    serde_json::from_slice(&ran.stdout).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn number(value: &Value, name: &str) -> u32 {
    u32::try_from(value[name].as_u64().unwrap_or_default()).unwrap()
}

/// A wire that works, one whose other end is off, an interface that is off, and one that is no wire.
fn build(wired: &Wired) -> anyhow::Result<()> {
    let (desk, far) = (&wired.desk, &wired.far);
    for (near, other) in [("eth0", "far0"), ("eth1", "far1"), ("eth2", "far2")] {
        wired.ip(&format!("link add {near} netns {desk} type veth peer name {other} netns {far}"))?;
    }
    for words in [
        "link set lo up",
        "link add br0 type bridge",
        "link set eth0 mtu 1400",
        "link set eth0 addrgenmode none",
        "link set eth1 addrgenmode none",
        "link set eth0 up",
        "link set eth1 up",
    ] {
        wired.at_desk(words)?;
    }
    wired.at_far("link set far0 up")?;
    wired.at_far("addr add 2001:db8::66/64 dev far0 nodad")?;
    for words in [
        "addr add 192.0.2.10/24 dev eth0",
        "addr add 192.0.2.11/24 dev eth0",
        "addr add 169.254.7.7/16 dev eth1",
        "addr add 2001:db8::66/64 dev eth0",
        "addr add 2001:db8::10/64 dev eth0 nodad valid_lft 3600 preferred_lft 0",
        "route add default via 192.0.2.1 dev eth0 proto dhcp metric 100",
        "route add blackhole 198.51.100.0/24",
        "route add unreachable 2001:db8:dead::/48",
        "route add 203.0.113.0/25 table 1077 via 192.0.2.2 dev eth0",
        "route add 203.0.113.0/24 nexthop via 192.0.2.2 dev eth0 nexthop via 192.0.2.3 dev eth0",
        "neigh add 192.0.2.66 dev eth0 nud failed",
        "neigh add 192.0.2.1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent router",
    ] {
        wired.at_desk(words)?;
    }
    wired.wait_for("-j addr show dev eth0", "dadfailed")?;
    wired.wait_for("-j link show dev eth0", "\"UP\"")
}

#[test]
fn the_tables_of_the_network_say_what_ip_says() {
    if std::env::var_os(INSIDE).is_some() {
        interfaces();
        addresses();
        routes();
        neighbors();
        return;
    }
    let wired = Wired::new().unwrap();
    build(&wired).unwrap();
    let own = std::env::current_exe().unwrap();
    let inside = wired
        .command(&own)
        .args(["--exact", "the_tables_of_the_network_say_what_ip_says", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = [inside.stdout, inside.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(inside.status.success() && said.contains("1 passed"), "{said}");
}

fn interfaces() {
    let found: Vec<Interface> = rows("interfaces");
    let expected = ip("-d -s link");
    assert_eq!(found.len(), expected.len());
    for link in &expected {
        let name = text(link, "ifname");
        let row = found.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("{name} is missing"));
        let flags: Vec<&str> = link["flags"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(row.index, number(link, "ifindex"));
        assert_eq!(row.mtu, number(link, "mtu"));
        assert_eq!(row.state, text(link, "operstate").to_lowercase());
        assert_eq!(row.mac, text(link, "address"));
        assert_eq!(row.admin_up, flags.contains(&"UP"), "{name}");
        assert_eq!(row.carrier, row.admin_up.then(|| flags.contains(&"LOWER_UP")), "{name}");
        let changes = std::fs::read_to_string(format!("/sys/class/net/{name}/carrier_changes")).unwrap();
        assert_eq!(row.carrier_changes.to_string(), changes.trim(), "{name}");
        assert!(row.rx_bytes >= link["stats64"]["rx"]["bytes"].as_u64().unwrap() || name == "eth0", "{name}");
        assert!(row.tx_packets > 0 || name != "eth0", "eth0 has sent something");
    }
    let kind = |name: &str| found.iter().find(|row| row.name == name).unwrap().kind.clone();
    assert_eq!(["lo", "eth0", "br0"].map(kind), ["loopback", "virtual", "bridge"]);
    let eth0 = found.iter().find(|row| row.name == "eth0").unwrap();
    assert_eq!((eth0.speed_bits_per_second, eth0.duplex.as_str()), (Some(10_000_000_000), "full"));
    let off = found.iter().find(|row| row.name == "eth2").unwrap();
    assert_eq!((off.carrier, off.speed_bits_per_second, off.duplex.as_str()), (None, None, ""));
}

fn addresses() {
    let found: Vec<Address> = rows("addresses");
    let mut expected = 0;
    for link in ip("addr") {
        for address in link["addr_info"].as_array().unwrap() {
            let (name, local) = (text(&link, "ifname"), text(address, "local"));
            let row = found.iter().find(|row| row.interface == name && row.address == local);
            let row = row.unwrap_or_else(|| panic!("{local} on {name} is missing"));
            assert_eq!(row.prefix_length, number(address, "prefixlen"));
            assert_eq!((row.family.as_str(), row.scope.as_str()), (text(address, "family"), text(address, "scope")));
            for (flag, word) in [
                ("dynamic", "dynamic"),
                ("dadfailed", "duplicate"),
                ("tentative", "tentative"),
                ("deprecated", "deprecated"),
            ] {
                let listed = row.flags.iter().any(|listed| listed == word);
                assert_eq!(listed, address[flag].as_bool().unwrap_or_default(), "{local} {word}");
            }
            assert_eq!(row.valid_s.is_none(), number(address, "valid_life_time") == u32::MAX, "{local}");
            expected += 1;
        }
    }
    assert_eq!(found.len(), expected);
    let of = |address: &str| found.iter().find(|row| row.address == address).unwrap();
    assert!(of("169.254.7.7").link_local && !of("192.0.2.10").link_local);
    assert!(of("2001:db8::66").flags.contains(&"duplicate".to_owned()));
    assert!(of("192.0.2.11").flags.contains(&"secondary".to_owned()));
    assert!(of("2001:db8::10").valid_s.is_some_and(|seconds| seconds > 3000));
}

type Key = (String, String, String, u32, u32, String, String, String);

fn routes() {
    let found: Vec<Route> = rows("routes");
    let found: BTreeSet<Key> = found
        .into_iter()
        .map(|row| {
            (row.destination, row.gateway, row.interface, row.metric, row.table, row.r#type, row.protocol, row.source)
        })
        .collect();
    let mut expected: BTreeSet<Key> = BTreeSet::new();
    for (family, length) in [("-4", "32"), ("-6", "128")] {
        for route in ip(&format!("{family} route show table all")) {
            let table = match text(&route, "table") {
                "" => 254,
                "local" => continue,
                number => number.parse().unwrap(),
            };
            let destination = text(&route, "dst");
            let whole = destination == "default" || destination.contains('/');
            let destination = if whole { destination.to_owned() } else { format!("{destination}/{length}") };
            let or = |name: &str, default: &str| route[name].as_str().unwrap_or(default).to_owned();
            let one = |hop: &Value| {
                let (gateway, interface) = (text(hop, "gateway").to_owned(), text(hop, "dev").to_owned());
                let (kind, protocol) = (or("type", "unicast"), or("protocol", "boot"));
                let (metric, source) = (number(&route, "metric"), or("prefsrc", ""));
                (destination.clone(), gateway, interface, metric, table, kind, protocol, source)
            };
            match route["nexthops"].as_array() {
                Some(hops) => expected.extend(hops.iter().map(one)),
                None => drop(expected.insert(one(&route))),
            }
        }
    }
    assert_eq!(found, expected);
    assert!(expected.iter().any(|route| route.4 == 1077), "{expected:?}");
}

fn neighbors() {
    let found: Vec<Neighbor> = rows("neighbors");
    for neighbor in ip("neigh show") {
        let (address, device) = (text(&neighbor, "dst"), text(&neighbor, "dev"));
        let row = found.iter().find(|row| row.address == address && row.interface == device);
        let row = row.unwrap_or_else(|| panic!("{address} is missing"));
        assert_eq!(row.mac, text(&neighbor, "lladdr"));
        assert_eq!(row.state, neighbor["state"][0].as_str().unwrap().to_lowercase());
    }
    let of = |address: &str| found.iter().find(|row| row.address == address).unwrap();
    let (gateway, gone) = (of("192.0.2.1"), of("192.0.2.66"));
    assert!(gateway.gateway && gateway.router && gateway.state == "permanent");
    assert!(!gone.gateway && gone.state == "failed" && gone.mac.is_empty());
}
