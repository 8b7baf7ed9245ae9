//! Rules about the network.

use serde_json::{Value, json};

use super::{finds, passes};

fn interface(change: &Value) -> Value {
    let mut row = json!({
        "name": "enp3s0", "kind": "ethernet", "admin_up": true, "carrier": true, "state": "up", "duplex": "full",
        "speed_bits_per_second": 1_000_000_000_i64, "rx_packets": 1_000_000, "carrier_changes": 2, "driver": "e1000e",
    });
    row.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    row
}

fn default_route() -> Value {
    json!({"destination": "default", "gateway": "192.0.2.1", "interface": "enp3s0", "type": "unicast", "family": "inet", "table": 254})
}

#[test]
fn a_signal_without_a_default_route_is_told_of() {
    let rule = "network-no-default-route";
    let blackhole = json!({"destination": "default", "type": "unreachable"});
    finds(rule, &json!({"interfaces": [interface(&json!({}))], "routes": [blackhole]}), "enp3s0");
    passes(rule, &json!({"interfaces": [interface(&json!({}))], "routes": [default_route()]}));
    passes(rule, &json!({"interfaces": [interface(&json!({"carrier": false}))], "routes": []}));
}

#[test]
fn an_address_that_a_machine_gave_itself_is_told_of() {
    let own = json!({"interface": "enp3s0", "address": "169.254.7.7", "family": "inet", "link_local": true});
    let given = json!({"interface": "enp3s0", "address": "192.0.2.10", "family": "inet", "link_local": false});
    let six = json!({"interface": "enp3s0", "address": "fe80::1", "family": "inet6", "link_local": true});
    let alone = json!({"interfaces": [interface(&json!({}))], "addresses": [own]});
    let elsewhere = json!({"destination": "default", "interface": "wlan0", "type": "unicast", "family": "inet"});
    let beside = json!({"interfaces": [interface(&json!({}))], "addresses": [own], "routes": [elsewhere]});
    finds("network-link-local-only", &alone, "169.254.7.7");
    finds("network-link-local-beside", &beside, "169.254.7.7");
    passes("network-link-local-only", &beside);
    passes("network-link-local-beside", &alone);
    passes("network-link-local-only", &json!({"interfaces": [interface(&json!({}))], "addresses": [own, given]}));
    passes("network-link-local-only", &json!({"interfaces": [interface(&json!({}))], "addresses": [six]}));
}

#[test]
fn an_address_that_another_device_has_is_told_of() {
    let rule = "network-duplicate-address";
    let twice =
        json!({"interface": "enp3s0", "address": "2001:db8::66", "flags": ["permanent", "tentative", "duplicate"]});
    finds(rule, &json!({"addresses": [twice]}), "2001:db8::66");
    passes(rule, &json!({"addresses": [{"interface": "enp3s0", "address": "2001:db8::66", "flags": ["tentative"]}]}));
}

#[test]
fn a_silent_router_is_told_of_and_another_silent_neighbour_is_not() {
    let neighbor = |gateway: bool, state: &str| json!({"neighbors": [{"interface": "enp3s0", "address": "192.0.2.1", "gateway": gateway, "state": state}]});
    finds("network-gateway-silent", &neighbor(true, "failed"), "192.0.2.1");
    passes("network-gateway-silent", &neighbor(false, "failed"));
    passes("network-gateway-silent", &neighbor(true, "stale"));
    let two = json!({"neighbors": [
        {"interface": "enp3s0", "address": "2001:db8::1", "gateway": true, "state": "failed"},
        {"interface": "enp3s0", "address": "192.0.2.1", "gateway": true, "state": "reachable"},
    ]});
    finds("network-one-gateway-silent", &two, "The router 2001:db8::1 does not answer on enp3s0; 192.0.2.1 does");
    passes("network-gateway-silent", &two);
    passes("network-one-gateway-silent", &neighbor(true, "failed"));
}

#[test]
fn a_machine_without_name_servers_is_told_of() {
    let rule = "network-no-resolver";
    let search = json!({"source": "/etc/resolv.conf", "kind": "search", "value": "example"});
    let server = json!({"source": "/etc/resolv.conf", "kind": "nameserver", "value": "192.0.2.53"});
    finds(rule, &json!({"interfaces": [interface(&json!({}))], "resolvers": [search]}), "No name server");
    passes(rule, &json!({"interfaces": [interface(&json!({}))], "resolvers": [search, server]}));
    passes(rule, &json!({"interfaces": [interface(&json!({"carrier": false}))], "resolvers": [search]}));

    let stub = json!({"source": "/etc/resolv.conf", "kind": "nameserver", "value": "127.0.0.53"});
    let behind = |kind: &str, value: &str| json!({"source": "systemd-resolved", "kind": kind, "value": value});
    finds("network-stub-without-servers", &json!({"resolvers": [stub, behind("search", ".")]}), "no server to ask");
    let well = json!({"resolvers": [stub, behind("search", "."), behind("nameserver", "192.0.2.53")]});
    passes("network-stub-without-servers", &well);
    passes("network-stub-without-servers", &json!({"resolvers": [stub]}));
}
