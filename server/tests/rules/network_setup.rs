//! Rules about how the network is set up: leases, name resolution, proxies, tunnels, packet filter, connections.

use deskside_server::diagnose::rules::CHECKED_AT_MS;
use serde_json::{Value, json};

use super::{Sample, row, sample};

const HOUR: i64 = 3_600_000;

fn with(base: &Value, change: &Value) -> Value {
    let mut row = base.clone();
    row.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    row
}

fn lease(change: &Value) -> Value {
    let base = json!({
        "interface": "enp3s0", "family": "inet", "client": "dhclient", "state": "bound", "address": "192.0.2.20", "prefix_length": 24,
        "server": "192.0.2.2", "routers": ["192.0.2.1"], "router_outside": false, "name_servers": ["192.0.2.53", "192.0.2.54"],
        "obtained_ms": CHECKED_AT_MS - HOUR, "rebind_ms": CHECKED_AT_MS + HOUR, "expires_ms": CHECKED_AT_MS + 2 * HOUR,
    });
    with(&base, change)
}

fn dhcp(change: &Value) -> Value {
    row("dhcp", lease(change))
}

fn leases() -> Vec<Sample> {
    let link = |carrier: bool| json!([{"name": "enp3s0", "kind": "ethernet", "carrier": carrier, "state": "up"}]);
    let own = json!([{"interface": "enp3s0", "address": "169.254.7.7", "family": "inet", "link_local": true}]);
    let asking = |state: &str, carrier: bool, addresses: &Value| {
        json!({"dhcp": [{"interface": "enp3s0", "family": "inet", "client": "NetworkManager", "state": state}],
            "interfaces": link(carrier), "addresses": addresses})
    };
    let changed = |at_ms: i64, same: bool| {
        dhcp(&json!({"server_before": "192.0.2.188", "server_changed_ms": at_ms, "same_network_before": same}))
    };
    let late = json!({"rebind_ms": CHECKED_AT_MS - HOUR});
    let over = json!({"rebind_ms": CHECKED_AT_MS - 2 * HOUR, "expires_ms": CHECKED_AT_MS - HOUR});
    let held = json!([{"interface": "enp3s0", "address": "192.0.2.20", "family": "inet"}]);
    let ended = json!({"state": "expired", "expires_ms": CHECKED_AT_MS - HOUR});
    vec![
        sample(
            "dhcp-no-answer",
            asking("asking", true, &json!([])),
            "enp3s0 waits for an address",
            vec![asking("bound", true, &json!([])), asking("asking", false, &json!([])), asking("failed", true, &own)],
        ),
        sample(
            "dhcp-router-outside",
            dhcp(&json!({"routers": ["203.0.113.1"], "router_outside": true})),
            "the router 203.0.113.1, which is outside the network of 192.0.2.20/24",
            vec![
                dhcp(&json!({})),
                dhcp(&json!({"router_outside": true, "state": "expired"})),
                dhcp(&json!({"router_outside": null})),
            ],
        ),
        sample(
            "dhcp-second-server",
            changed(CHECKED_AT_MS - HOUR, true),
            "192.0.2.188 before, 192.0.2.2 now",
            vec![changed(CHECKED_AT_MS - HOUR, false), changed(CHECKED_AT_MS - 30 * HOUR, true), dhcp(&json!({}))],
        ),
        sample("dhcp-lease-not-renewed", dhcp(&late), "was not renewed", vec![dhcp(&json!({})), dhcp(&over)]),
        sample(
            "dhcp-lease-expired",
            json!({"dhcp": [lease(&ended)], "addresses": held}),
            "still uses 192.0.2.20",
            vec![
                json!({"dhcp": [lease(&ended)], "addresses": []}),
                json!({"dhcp": [lease(&ended), lease(&json!({"client": "NetworkManager"}))], "addresses": held}),
            ],
        ),
    ]
}

fn resolver(change: &Value) -> Value {
    let base = json!({"source": "/etc/resolv.conf", "kind": "nameserver", "value": "192.0.2.53", "position": 1, "interface": "", "ignored": false});
    with(&base, change)
}

fn names() -> Vec<Sample> {
    let default = json!([{"destination": "default", "type": "unicast"}]);
    let unreachable = |change: &Value| json!({"resolvers": [resolver(&with(&json!({"unreachable": true}), change))], "routes": default});
    let of_dhcp =
        |resolvers: Value, vpn: Value| json!({"dhcp": [lease(&json!({}))], "resolvers": resolvers, "vpn": vpn});
    let four = json!([resolver(&json!({})), resolver(&json!({"value": "192.0.2.99", "ignored": true}))]);
    let ignored =
        |count: u32| json!({"name_resolution": [{"interface": "", "servers_ignored": count}], "resolvers": four});
    let other = || resolver(&json!({"value": "198.51.100.53"}));
    let split = |mode: &str, default_route: bool| {
        let domain =
            json!({"source": "systemd-resolved", "kind": "routing", "value": "corp.example", "interface": "wg0"});
        json!({"resolvers": [domain], "name_resolution": [
            {"interface": "", "resolved": true, "resolv_conf_mode": mode},
            {"interface": "wg0", "default_route": default_route}]})
    };
    let level = |degraded: Value| json!({"name_resolution": [{"interface": "eth0", "current_server": "192.0.2.53", "feature_level": "UDP", "dnssec": "yes", "degraded": degraded}]});
    vec![
        sample(
            "resolver-unreachable",
            unreachable(&json!({})),
            "No route leads to the name server 192.0.2.53",
            vec![
                unreachable(&json!({"unreachable": false})),
                unreachable(&json!({"unreachable": null})),
                unreachable(&json!({"ignored": true})),
                json!({"resolvers": [resolver(&json!({"unreachable": true}))], "routes": []}),
            ],
        ),
        sample("resolvers-ignored", ignored(1), "192.0.2.99 is never asked", vec![ignored(0)]),
        sample(
            "resolver-split-bypassed",
            split("foreign", false),
            "wg0's servers for corp.example",
            vec![split("stub", false), split("foreign", true)],
        ),
        sample(
            "resolver-not-of-dhcp",
            of_dhcp(json!([other()]), json!([])),
            "(198.51.100.53) are not those that DHCP gave enp3s0",
            vec![
                of_dhcp(json!([resolver(&json!({"value": "192.0.2.54"})), other()]), json!([])),
                of_dhcp(json!([other()]), json!([{"name": "wg0", "up": true}])),
                of_dhcp(json!([resolver(&json!({"value": "127.0.0.53"})), other()]), json!([])),
                of_dhcp(json!([]), json!([])),
            ],
        ),
        sample(
            "resolver-degraded",
            level(json!(true)),
            "192.0.2.53 does less",
            vec![level(json!(false)), level(json!(null))],
        ),
    ]
}

fn proxies() -> Vec<Sample> {
    let proxy = |consumer: &str, scheme: &str, value: &str| json!({"source": consumer, "consumer": consumer, "scheme": scheme, "value": value, "host": value, "port": 3128});
    let environment = || proxy("environment", "http", "new.example");
    let set = |rows: Vec<Value>| json!({ "proxies": rows });
    vec![sample(
        "proxy-differs",
        set(vec![environment(), proxy("gnome", "http", "old.example"), proxy("gnome", "mode", "manual")]),
        "new.example by the environment, old.example by gnome",
        vec![
            set(vec![environment(), proxy("gnome", "http", "new.example"), proxy("gnome", "mode", "manual")]),
            set(vec![environment(), proxy("gnome", "http", "old.example"), proxy("gnome", "mode", "auto")]),
            set(vec![environment(), proxy("apt", "http", "cache.example")]),
            set(vec![environment(), proxy("gnome", "https", "old.example")]),
        ],
    )]
}

fn tunnels() -> Vec<Sample> {
    let tunnel = |change: &Value| {
        let base = json!({"name": "wg0", "kind": "wireguard", "up": true, "default_route": false, "peers": 1, "handshake": "older",
            "keepalive_s": 25, "endpoints": ["203.0.113.5:51820"]});
        row("vpn", with(&base, change))
    };
    let all = json!({"default_route": true});
    vec![
        sample(
            "vpn-dead-default-route",
            tunnel(&with(&all, &json!({"handshake": "never", "keepalive_s": null}))),
            "All traffic goes into the tunnel wg0",
            vec![
                tunnel(&json!({})),
                tunnel(&with(&all, &json!({"handshake": "within 3 minutes"}))),
                tunnel(&with(&all, &json!({"keepalive_s": null}))),
            ],
        ),
        sample(
            "vpn-no-handshake",
            tunnel(&json!({})),
            "wg0 is up, but its other end does not answer",
            vec![
                tunnel(&json!({"keepalive_s": null})),
                tunnel(&json!({"handshake": "within 3 minutes"})),
                tunnel(&json!({"handshake": ""})),
                tunnel(&json!({"handshake": "never", "endpoints": []})),
                tunnel(&json!({"up": false})),
                tunnel(&all),
            ],
        ),
        sample(
            "vpn-failed",
            row("vpn", json!({"name": "Office", "kind": "vpn", "state": "failed", "manager": "NetworkManager"})),
            "The VPN Office is not connected: failed",
            vec![
                row("vpn", json!({"name": "Office", "state": "activated"})),
                row("vpn", json!({"name": "Office", "state": "disconnected"})),
            ],
        ),
    ]
}

fn filter() -> Vec<Sample> {
    let chain = |change: &Value| {
        with(
            &json!({"family": "inet", "type": "filter", "hook": "input", "policy": "drop", "drops_rest": false}),
            change,
        )
    };
    let output = |change: &Value| row("firewall", chain(&with(&json!({"hook": "output"}), change)));
    let with_queue =
        |uri: &str, chain: Value| json!({"firewall": [chain], "printers": [{"name": "office", "device_uri": uri}]});
    let found = "dnssd://Office%20Printer._ipp._tcp.local/";
    vec![
        sample(
            "firewall-filters-output",
            output(&json!({})),
            "lets out only what it names",
            vec![
                output(&json!({"policy": "accept"})),
                output(&json!({"hook": "input"})),
                output(&json!({"type": "nat"})),
            ],
        ),
        sample(
            "firewall-hides-printers",
            with_queue(found, chain(&json!({"policy": "accept", "drops_rest": true, "accepted_ports": ["tcp/22"]}))),
            "the printer of office is found",
            vec![
                with_queue(found, chain(&json!({"accepted_ports": ["tcp/22", "udp/5353"]}))),
                with_queue(found, chain(&json!({"policy": "accept"}))),
                with_queue("ipp://192.0.2.40/ipp/print", chain(&json!({}))),
            ],
        ),
    ]
}

fn connections() -> Vec<Sample> {
    let connection = |state: &str, count: u64, retransmits: u32| {
        row(
            "connections",
            json!({"protocol": "tcp", "state": state, "program": "thunderbird", "port": 993, "count": count, "retransmits": retransmits, "incoming": false}),
        )
    };
    vec![
        sample(
            "connections-not-answered",
            connection("syn_sent", 1, 4),
            "thunderbird gets no answer from a server's port 993",
            vec![connection("syn_sent", 1, 1), connection("established", 1, 4)],
        ),
        sample(
            "connections-left-open",
            connection("close_wait", 150, 0),
            "thunderbird leaves 150 connections open",
            vec![connection("close_wait", 20, 0), connection("time_wait", 5_000, 0)],
        ),
    ]
}

pub(super) fn samples() -> Vec<Sample> {
    [leases(), names(), proxies(), tunnels(), filter(), connections()].into_iter().flatten().collect()
}
