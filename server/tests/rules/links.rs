//! Rules about interfaces, what they carry, and how they are put together.

use deskside_server::diagnose::rules::CHECKED_AT_MS;
use serde_json::{Value, json};

use super::{Sample, row, sample};

fn change(mut row: Value, change: &Value) -> Value {
    row.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    row
}

/// A wire as it should be, watched for an hour, but for this.
#[expect(clippy::needless_pass_by_value, reason = "a made-up row reads best where it is used")]
fn interface(but: Value) -> Value {
    let well = json!({
        "name": "enp3s0", "kind": "ethernet", "admin_up": true, "carrier": true, "state": "up", "duplex": "full",
        "speed_bits_per_second": 1_000_000_000_i64, "speed_max_bits_per_second": 1_000_000_000_i64,
        "hardware_speed_max_bits_per_second": 2_500_000_000_i64, "driver": "r8169", "watched_s": 3600, "carrier_changes_an_hour": 0,
        "crc_errors_an_hour": 0, "crc_errors_per_million": 0, "receive_errors_an_hour": 0, "receive_errors_per_million": 0,
        "overruns_an_hour": 0, "overruns_per_million": 0, "transmit_errors_an_hour": 0, "late_collisions_an_hour": 0,
    });
    change(well, &but)
}

fn link(but: Value) -> Value {
    row("interfaces", interface(but))
}

pub(super) fn samples() -> Vec<Sample> {
    [signal(), changes(), speed(), errors(), bonds(), tcp()].into_iter().flatten().collect()
}

fn signal() -> Vec<Sample> {
    let off = || interface(json!({"carrier": false, "down_reason": "no cable"}));
    let wifi = |carrier: bool| interface(json!({"name": "wlan0", "kind": "wifi", "carrier": carrier}));
    let route = |interface: &str, metric: u32| json!({"destination": "default", "type": "unicast", "interface": interface, "family": "inet", "table": 254, "metric": metric});
    let both = |routes: Value, cable: Value| json!({"routes": routes, "interfaces": [cable, wifi(true)]});
    vec![
        sample(
            "network-no-carrier",
            json!({"interfaces": [off(), wifi(false)]}),
            "wlan0",
            vec![
                json!({"interfaces": [off(), wifi(true)]}),
                link(json!({"kind": "loopback", "carrier": false})),
                link(json!({"admin_up": false, "carrier": null})),
            ],
        ),
        sample(
            "network-route-without-link",
            both(json!([route("enp3s0", 100), route("wlan0", 600)]), off()),
            "through enp3s0",
            vec![
                both(json!([route("enp3s0", 700), route("wlan0", 600)]), off()),
                both(json!([route("wlan0", 600)]), off()),
                both(json!([route("enp3s0", 100), route("wlan0", 600)]), interface(json!({}))),
                // Said already by the rule on no signal at all.
                json!({"routes": [route("enp3s0", 100)], "interfaces": [off(), wifi(false)]}),
            ],
        ),
    ]
}

fn changes() -> Vec<Sample> {
    let up = |minute: i64, down_ms: i64| json!({"change": "link up", "interface": "enp3s0", "at_ms": CHECKED_AT_MS - minute * 60_000, "times": 1, "down_ms": down_ms});
    let told = |kind: &str, changes: &[Value]| json!({"network_changes": changes, "interfaces": [interface(json!({"kind": kind}))]});
    let folded =
        json!({"change": "folded", "interface": "enp3s0", "at_ms": CHECKED_AT_MS, "times": 40, "link_downs": 20});
    let router = |change: &str, after: &str| json!({"change": change, "interface": "enp3s0", "address": "192.0.2.1", "at_ms": CHECKED_AT_MS, "after": after});
    let only = |changes: &[Value]| json!({"network_changes": changes});
    vec![
        sample(
            "network-carrier-flaps",
            told("ethernet", &[up(1_300, 900), up(3, 1_200), up(2, 1_500)]),
            "2 short drops",
            vec![
                // One drop now and one long ago; a cable that was plugged elsewhere; the machine began to look.
                told("ethernet", &[up(600, 900), up(2, 900)]),
                told("ethernet", &[up(3, 90_000), up(2, 600_000)]),
                told("ethernet", &[{ json!({"change": "new", "interface": "enp3s0", "at_ms": CHECKED_AT_MS}) }]),
                told("wifi", &[up(3, 900), up(2, 900)]),
            ],
        ),
        sample("network-carrier-flaps", told("ethernet", &[folded]), "20 short drops", vec![told("ethernet", &[])]),
        sample(
            "network-gateway-lost",
            only(&[router("gateway back", ""), router("gateway back", ""), router("gateway back", "")]),
            "192.0.2.1 on enp3s0 fell silent 3 times",
            vec![only(&[router("gateway back", ""), router("gateway silent", ""), router("gateway silent", "")])],
        ),
        sample(
            "network-gateway-changes-mac",
            only(
                &["02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:01"].map(|mac| router("gateway mac", mac)),
            ),
            "changing hardware addresses: 3 changes",
            // A router that was replaced.
            vec![only(&[router("gateway mac", "02:00:00:00:00:02")])],
        ),
    ]
}

fn speed() -> Vec<Sample> {
    let slow = 100_000_000;
    vec![
        sample(
            "network-half-duplex",
            link(json!({"duplex": "half"})),
            "half duplex",
            vec![
                link(json!({})),
                link(json!({"duplex": ""})),
                link(json!({"duplex": "half", "late_collisions_an_hour": 5})),
            ],
        ),
        sample(
            "network-duplex-mismatch",
            link(json!({"duplex": "half", "late_collisions_an_hour": 5})),
            "5 late collisions",
            vec![link(json!({"duplex": "half"})), link(json!({"late_collisions": 5, "late_collisions_an_hour": null}))],
        ),
        sample(
            "network-slow-link",
            link(json!({"speed_bits_per_second": slow})),
            "enp3s0 runs at 100",
            vec![
                link(json!({})),
                link(json!({"speed_bits_per_second": null})),
                // The other end can do no more, or does not say.
                link(json!({"speed_bits_per_second": slow, "speed_max_bits_per_second": slow})),
                link(json!({"speed_bits_per_second": slow, "speed_max_bits_per_second": null})),
                link(json!({"speed_bits_per_second": slow, "duplex": "half"})),
            ],
        ),
        sample(
            "network-link-of-old-speed",
            link(json!({"speed_bits_per_second": slow, "speed_max_bits_per_second": null})),
            "enp3s0 runs at 100",
            vec![
                link(json!({})),
                link(json!({"speed_bits_per_second": slow})),
                link(json!({"speed_bits_per_second": slow, "speed_max_bits_per_second": slow, "kind": "virtual"})),
            ],
        ),
    ]
}

fn errors() -> Vec<Sample> {
    vec![
        sample(
            "network-receive-errors",
            link(json!({"crc_errors_an_hour": 20, "crc_errors_per_million": 2, "receive_errors_an_hour": 20})),
            "20 of them with wrong checksums",
            vec![
                link(json!({"crc_errors_an_hour": 9, "crc_errors_per_million": 50})),
                link(json!({"crc_errors_an_hour": 20, "crc_errors_per_million": 0})),
                // Counters since the machine started say nothing of today.
                link(json!({"rx_crc_errors": 5_000, "rx_errors": 5_000})),
                link(
                    json!({"receive_errors_an_hour": 5_000, "receive_errors_per_million": 500, "overruns_an_hour": 5_000}),
                ),
            ],
        ),
        sample(
            "network-receive-overruns",
            link(json!({"overruns_an_hour": 2_000, "overruns_per_million": 500})),
            "lost 2000 frames",
            vec![
                link(json!({"overruns_an_hour": 2_000, "overruns_per_million": 50})),
                // Frames that nobody here wants are dropped as well.
                link(json!({"rx_dropped": 100_000})),
            ],
        ),
        sample(
            "network-transmit-errors",
            link(json!({"transmit_errors_an_hour": 100})),
            "could not send 100 frames",
            vec![
                link(json!({"transmit_errors_an_hour": 50})),
                link(json!({"kind": "wifi", "transmit_errors_an_hour": 500})),
            ],
        ),
    ]
}

fn bonds() -> Vec<Sample> {
    let bond = |but: Value| {
        let well = json!({"name": "bond0", "kind": "bond", "mode": "802.3ad", "state": "up", "ports": 2, "partner_mac": "02:00:00:00:00:09"});
        change(well, &but)
    };
    let port = |name: &str, mii: &str| json!({"name": name, "kind": "bond port", "parent": "bond0", "mii_status": mii});
    let told = |rows: &[Value]| json!({"bonds_bridges_vlans": rows});
    let down = || json!({"state": "down"});
    vec![
        sample(
            "network-bond-down",
            told(&[bond(down()), port("eth0", "down"), port("eth1", "down")]),
            "none of its 2 ports",
            vec![
                told(&[bond(json!({})), port("eth0", "down"), port("eth1", "up")]),
                // Nothing has been put into it, or it is switched off with its links up.
                told(&[bond(json!({"state": "down", "ports": 0}))]),
                told(&[bond(down()), port("eth0", "up")]),
            ],
        ),
        sample(
            "network-bond-port-down",
            told(&[bond(json!({})), port("eth0", "down"), port("eth1", "up")]),
            "The port eth0 of the bond bond0",
            vec![
                told(&[bond(json!({})), port("eth0", "up"), port("eth1", "up")]),
                told(&[bond(down()), port("eth0", "down"), port("eth1", "down")]),
                told(&[{ json!({"name": "eth0", "kind": "bridge port", "parent": "br0", "state": "blocking"}) }]),
            ],
        ),
        sample(
            "network-bond-without-partner",
            told(&[bond(json!({"partner_mac": "00:00:00:00:00:00"}))]),
            "does not speak LACP",
            vec![
                told(&[bond(json!({}))]),
                told(&[bond(json!({"mode": "active-backup", "partner_mac": ""}))]),
                told(&[bond(json!({"partner_mac": "00:00:00:00:00:00", "state": "down"}))]),
            ],
        ),
    ]
}

fn tcp() -> Vec<Sample> {
    let stats = |row: Value| super::row("tcp_stats", row);
    vec![
        sample(
            "network-retransmits",
            stats(json!({"retransmitted_percent": 7.5, "retransmitted": 900})),
            "7.5 % of TCP segments",
            vec![
                stats(json!({"retransmitted_percent": 1.0, "retransmitted": 9_000})),
                stats(json!({"retransmitted_percent": 20.0, "retransmitted": 4})),
                stats(json!({"retransmitted_total": 9_000, "segments_out_total": 10_000})),
            ],
        ),
        sample(
            "network-mtu-probes-lost",
            stats(json!({"mtu_probes_failed": 5, "mtu_probes_passed": 1})),
            "5 probes",
            vec![
                stats(json!({"mtu_probes_failed": 2, "mtu_probes_passed": 0})),
                stats(json!({"mtu_probes_failed": 5, "mtu_probes_passed": 40})),
                stats(json!({"mtu_probes_failed_total": 50})),
            ],
        ),
        sample(
            "network-listen-overflows",
            stats(json!({"listen_overflows": 40})),
            "40 found its queue full",
            vec![stats(json!({"listen_overflows": 3})), stats(json!({"listen_overflows_total": 40}))],
        ),
        sample(
            "network-udp-buffers-full",
            stats(json!({"udp_receive_buffer_errors": 500, "udp_in_per_second": 100.0, "over_s": 300.0})),
            "500 found no room",
            vec![
                stats(json!({"udp_receive_buffer_errors": 500, "udp_in_per_second": 1000.0, "over_s": 300.0})),
                stats(json!({"udp_receive_buffer_errors": 50, "udp_in_per_second": 1.0, "over_s": 300.0})),
            ],
        ),
    ]
}
