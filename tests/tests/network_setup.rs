//! How the network is set up, as the collectors read it of real things: a lease of a real DHCP server, rules of routing and of the packet
//! filter, sockets.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::process::Command;

use deskside_agent::collect::{Registry, look};
use deskside_agent::host::Live;
use deskside_proto::v1::{Address, Dhcp, Firewall, Outcome, Proxy, RouteRule, Socket};
use deskside_tests::lab::dhcp::Lease;
use deskside_tests::lab::namespace::Namespace;
use prost::Message;
use serde_json::Value;

/// Set where the test runs itself again inside the namespace.
const INSIDE: &str = "DESKSIDE_TEST_INSIDE";

/// A filter of which all kinds of rules are told.
const FILTER: &str = "table inet desk {\n\
    chain input { type filter hook input priority 0; policy drop;\n ct state established accept\n tcp dport { 22, 8000-8010 } accept\n\
    udp dport 5353 counter drop\n }\n\
    chain output { type filter hook output priority 0; policy accept;\n jump rest\n }\n\
    chain rest {\n counter reject with icmpx type admin-prohibited\n }\n}\n";

fn rows<R: Message + Default>(table: &str) -> Vec<R> {
    let reading = look(Registry::standard().collector(table).unwrap(), &Live::default());
    let seen = [Outcome::Ok, Outcome::Empty, Outcome::Partial].contains(&reading.outcome());
    assert!(seen, "{table}: {:?} {}", reading.outcome(), reading.reason);
    reading.rows.iter().map(|row| R::decode(row.clone()).unwrap()).collect()
}

/// A DHCP server beyond a wire, and a lease of it at the desk.
fn build(desk: &Namespace, far: &Namespace) -> Lease {
    let (near, other) = (desk.name(), far.name());
    let wire = format!("link add eth0 netns {near} type veth peer name far0 netns {other}");
    assert!(Command::new("ip").args(wire.split_whitespace()).status().unwrap().success());
    far.ip("link set far0 up\naddr add 192.0.2.1/24 dev far0").unwrap();
    desk.ip("link set eth0 up\nrule add not fwmark 0xca6c table 51820 priority 32764\nrule add from 192.0.2.0/24 prohibit priority 77").unwrap();
    desk.nft(FILTER).unwrap();
    let options = [
        "--dhcp-range=192.0.2.100,192.0.2.150,255.255.255.0,1h",
        "--dhcp-option=option:dns-server,192.0.2.53",
        "--dhcp-option=3,203.0.113.1",
        "--domain=office.example",
    ];
    Lease::taken(desk, (far, "far0"), &options, "").unwrap()
}

#[test]
fn a_lease_and_the_rules_of_routing_and_filter_are_read_as_they_are() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let (desk, far) = (Namespace::new("setup").unwrap(), Namespace::new("setup-far").unwrap());
    let lease = build(&desk, &far);
    let test = "a_lease_and_the_rules_of_routing_and_filter_are_read_as_they_are";
    let mut ran = lease.command(&desk, &std::env::current_exe().unwrap());
    let ran = ran.args(["--exact", test, "--nocapture"]).env(INSIDE, "1").output().unwrap();
    let said = [ran.stdout, ran.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}

fn inside() {
    let leases: Vec<Dhcp> = rows("dhcp");
    let lease = leases.iter().find(|lease| lease.interface == "eth0").unwrap();
    assert_eq!(
        (lease.client.as_str(), lease.state.as_str(), lease.server.as_str()),
        ("dhclient", "bound", "192.0.2.1")
    );
    assert_eq!((lease.lease_s, lease.prefix_length, lease.domain.as_str()), (Some(3600), Some(24), "office.example"));
    assert_eq!((lease.router_outside, lease.name_servers.join(" ").as_str()), (Some(true), "192.0.2.53"));
    assert!(lease.renew_ms < lease.rebind_ms && lease.rebind_ms < lease.expires_ms, "{lease:?}");
    let addresses: Vec<Address> = rows("addresses");
    let address = addresses.iter().find(|address| address.address == lease.address).unwrap();
    assert_eq!((address.source.as_str(), address.valid_s.is_some()), ("dhcp", true));

    let said = Command::new("ip").args(["-j", "rule"]).output().unwrap();
    let expected: Vec<Value> = serde_json::from_slice(&said.stdout).unwrap();
    let rules: Vec<RouteRule> = rows("route_rules");
    let four: Vec<u64> = rules.iter().filter(|rule| rule.family == "inet").map(|rule| rule.priority.into()).collect();
    assert_eq!(four, expected.iter().map(|rule| rule["priority"].as_u64().unwrap()).collect::<Vec<_>>());
    let rule = |priority| rules.iter().find(|rule| rule.priority == priority && rule.family == "inet").unwrap();
    assert_eq!((rule(32764).mark.as_str(), rule(32764).table, rule(32764).inverted), ("0xca6c", Some(51820), true));
    assert_eq!((rule(77).from.as_str(), rule(77).action.as_str(), rule(77).table), ("192.0.2.0/24", "prohibit", None));

    let chains: Vec<Firewall> = rows("firewall");
    let chain = |hook: &str| chains.iter().find(|chain| chain.hook == hook && chain.table == "desk").unwrap();
    assert_eq!((chain("input").policy.as_str(), chain("input").rules, chain("input").dropping_rules), ("drop", 3, 1));
    assert_eq!(chain("input").accepted_ports, ["tcp/22", "tcp/8000-8010"]);
    assert_eq!(chain("input").dropped_ports, ["udp/5353"]);
    assert!(chain("output").drops_rest && !chain("input").drops_rest);

    let listening = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = u32::from(listening.local_addr().unwrap().port());
    let sockets: Vec<Socket> = rows("sockets");
    let socket = sockets.iter().find(|socket| socket.port == port && socket.protocol == "tcp").unwrap();
    assert!(socket.local_only && socket.program.starts_with("network_setup"), "{socket:?}");
    drop(rows::<Proxy>("proxies"));
}
