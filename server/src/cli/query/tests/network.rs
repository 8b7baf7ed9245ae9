//! Queries about links, addresses, names and the way out.

use serde_json::json;

use super::{HOUR, NOW, Sample, find};

pub(super) fn samples() -> Vec<Sample> {
    [links(), names(), ways(), wifi()].concat()
}

fn links() -> Vec<Sample> {
    vec![
        (
            "no-lease",
            "169.254.7.7",
            json!({
                "interfaces": [
                    {"name": "eth0", "kind": "ethernet", "admin_up": true, "carrier": true},
                    {"name": "eth1", "kind": "ethernet", "admin_up": true, "carrier": true},
                    {"name": "lo", "kind": "loopback", "admin_up": true, "carrier": true},
                ],
                "addresses": [
                    {"interface": "eth0", "address": "169.254.7.7", "family": "inet", "link_local": true, "source": "link-local"},
                    {"interface": "eth1", "address": "192.0.2.7", "family": "inet", "source": "dhcp"},
                ],
                "dhcp": [{"interface": "eth0", "family": "inet", "state": "asking"}],
            }),
        ),
        (
            "foreign-dhcp",
            "192.0.2.66",
            json!({"dhcp": [
                {"interface": "eth0", "server": "192.0.2.1", "other_servers": ["192.0.2.66"]},
                {"interface": "eth1", "server": "192.0.2.1", "server_before": "192.0.2.1"},
            ]}),
        ),
        (
            "addresses-twice",
            "192.0.2.7",
            json!({"addresses": [
                {"interface": "eth0", "address": "192.0.2.7", "flags": ["duplicate"]},
                {"interface": "eth0", "address": "192.0.2.8", "flags": ["permanent"]},
            ]}),
        ),
        (
            "gateway-changes",
            "gateway silent",
            json!({"network_changes": [
                {"at_ms": NOW - HOUR, "number": 1, "change": "gateway silent", "address": "192.0.2.1", "_ago_h": 1},
                {"at_ms": NOW - HOUR, "number": 2, "change": "address added", "_ago_h": 1},
            ]}),
        ),
        (
            "link-errors",
            "half",
            json!({"interfaces": [
                {"name": "eth0", "duplex": "half", "speed_bits_per_second": 100_000_000_u64},
                {"name": "eth1", "duplex": "full", "speed_bits_per_second": 1_000_000_000_u64, "speed_max_bits_per_second": 1_000_000_000_u64},
            ]}),
        ),
        (
            "who-flapped",
            "eth0|3",
            json!({"network_changes": [
                {"at_ms": NOW - HOUR, "number": 1, "change": "link down", "interface": "eth0", "link_downs": 1, "_ago_h": 1},
                {"at_ms": NOW - HOUR, "number": 2, "change": "folded", "interface": "eth0", "link_downs": 2, "_ago_h": 1},
                {"at_ms": NOW - HOUR, "number": 3, "change": "mtu", "interface": "eth1", "_ago_h": 1},
            ]}),
        ),
        (
            "open-ports",
            "cupsd",
            json!({"sockets": [
                {"protocol": "tcp", "address": "0.0.0.0", "port": 631, "program": "cupsd"},
                {"protocol": "tcp", "address": "127.0.0.1", "port": 25, "local_only": true},
            ]}),
        ),
    ]
}

fn names() -> Vec<Sample> {
    vec![
        (
            "dns-servers",
            "192.0.2.53",
            json!({"resolvers": [
                {"source": "/etc/resolv.conf", "kind": "nameserver", "value": "192.0.2.53", "unreachable": true},
                {"source": "/etc/resolv.conf", "kind": "option", "value": "timeout:2"},
            ]}),
        ),
        (
            "dns-slow",
            "192.0.2.53",
            json!({"dns": [
                {"number": 1, "step": "server", "target": "192.0.2.53", "asked": 10, "answered": 0, "_ago_h": 1},
                {"number": 2, "step": "server", "target": "192.0.2.54", "asked": 10, "answered": 10, "slowest_ms": 12, "_ago_h": 1},
            ]}),
        ),
        (
            "proxies-set",
            "proxy.example",
            json!({"proxies": [
                {"source": "/etc/environment", "consumer": "environment", "scheme": "http", "host": "proxy.example"},
            ]}),
        ),
        (
            "intercepted",
            "Example Inspection",
            json!({"tls": [
                {"number": 1, "step": "verdict", "target": "a:443", "issuer": "Example Inspection", "local_root": true, "_ago_h": 1},
                {"number": 2, "step": "verdict", "target": "b:443", "issuer": "Public", "local_root": false, "_ago_h": 1},
            ]}),
        ),
    ]
}

fn ways() -> Vec<Sample> {
    vec![
        (
            "lost-packets",
            "192.0.2.1",
            json!({"ping": [
                {"target": "192.0.2.1", "number": 1, "step": "ping", "loss_percent": 9.0, "_ago_h": 1},
                {"target": "192.0.2.2", "number": 1, "step": "ping", "loss_percent": 0.0, "_ago_h": 1},
            ]}),
        ),
        (
            "way-out",
            "The gateway does not answer.",
            json!({"gateway_path": [
                {"number": 1, "step": "gateway", "outcome": "failed", "_ago_h": 1},
                {"number": 2, "step": "verdict", "outcome": "failed", "found": "The gateway does not answer.", "_ago_h": 1},
            ]}),
        ),
        (
            "black-holes",
            "1372",
            json!({"mtu": [
                {"target": "a", "number": 1, "step": "verdict", "path_mtu": 1372, "link_mtu": 1500, "black_hole": true, "_ago_h": 1},
                {"target": "b", "number": 1, "step": "verdict", "path_mtu": 1500, "link_mtu": 1500, "_ago_h": 1},
            ]}),
        ),
        (
            "retransmissions",
            "|40|",
            json!({"tcp_stats": [
                {"retransmitted_percent": 4.0, "retransmitted": 30, "_ago_h": 1},
                {"retransmitted_percent": 2.0, "retransmitted": 10, "_ago_h": 1},
            ]}),
        ),
    ]
}

fn wifi() -> Vec<Sample> {
    vec![
        (
            "wifi-weak",
            "02:00:00:00:00:01|1|-81",
            json!({"wifi_link": [
                {"interface": "wlan0", "bssid": "02:00:00:00:00:01", "signal_dbm": -81, "_ago_h": 0},
                {"interface": "wlan1", "bssid": "02:00:00:00:00:02", "signal_dbm": -50, "_ago_h": 0},
            ]}),
        ),
        (
            "wifi-better",
            "02:00:00:00:00:09",
            json!({"wifi": [
                {"interface": "wlan0", "better_bssid": "02:00:00:00:00:09", "better_by_db": 14}, {"interface": "wlan1"},
            ]}),
        ),
        (
            "wifi-events",
            "wrong-key",
            json!({"wifi_events": [
                {"interface": "wlan0", "kind": "wrong-key", "count": 3}, {"interface": "wlan0", "kind": "connected", "count": 9},
            ]}),
        ),
    ]
}

#[test]
fn queries_about_the_network_find_their_rows() {
    find(samples());
}
