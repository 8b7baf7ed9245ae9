//! Rules about software and its upkeep.

use deskside_server::diagnose::rules::CHECKED_AT_MS;
use serde_json::{Value, json};

use super::{Sample, row, sample};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// The days before now.
fn ago(days: i64) -> i64 {
    CHECKED_AT_MS - days * DAY_MS
}

fn update(more: &Value) -> Value {
    let mut row = json!({"manager": "apt", "last_success_ms": ago(2)});
    row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    row
}

fn updates() -> Vec<Sample> {
    let failed = update(
        &json!({"last_failure_ms": ago(1), "last_failure": "Sub-process /usr/bin/dpkg returned an error code (1)"}),
    );
    let half = json!([{"name": "vim", "status": "half-configured"}]);
    let interrupted = update(&json!({"interrupted": true}));
    let booted = |days: i64| json!([{"booted_ms": ago(days)}]);
    let old = |days: i64| json!([update(&json!({"refreshes_itself": true, "refreshed_ms": ago(days)}))]);
    vec![
        sample(
            "updates-fail",
            row("updates", failed.clone()),
            "by apt failed: Sub-process /usr/bin/dpkg",
            vec![
                row("updates", update(&json!({"last_failure_ms": ago(3), "last_failure": "went well since"}))),
                row("updates", update(&json!({}))),
                json!({"updates": [failed], "packages": half}),
            ],
        ),
        sample(
            "dpkg-interrupted",
            row("updates", interrupted.clone()),
            "dpkg was stopped in the middle",
            vec![
                row("updates", update(&json!({"interrupted": false}))),
                row("updates", update(&json!({}))),
                json!({"updates": [interrupted], "packages": half}),
            ],
        ),
        sample(
            "package-lists-old",
            json!({"updates": old(20), "boot": booted(30)}),
            "no new package lists for 20 d 0 h",
            vec![
                json!({"updates": old(13), "boot": booted(30)}),
                json!({"updates": [update(&json!({"refreshes_itself": false, "refreshed_ms": ago(90)}))], "boot": booted(30)}),
                json!({"updates": old(40), "boot": booted(0)}),
            ],
        ),
        sample(
            "security-updates-wait",
            row("updates", json!({"manager": "apt", "pending": 9, "pending_security": 3, "last_success_ms": ago(30)})),
            "3 security updates wait, and no software was changed for 30 d",
            vec![
                row("updates", update(&json!({"pending": 9, "pending_security": 3}))),
                row(
                    "updates",
                    json!({"manager": "apt", "pending": 9, "pending_security": 0, "last_success_ms": ago(30)}),
                ),
                row("updates", json!({"manager": "apt", "pending_security": 3})),
            ],
        ),
    ]
}

fn clock() -> Vec<Sample> {
    let booted = |minutes: i64| json!([{"booted_ms": CHECKED_AT_MS - minutes * MINUTE_MS}]);
    let lost = json!({"service": "chrony", "synchronized": false, "sources": 4, "sources_reachable": 0});
    let at =
        |seconds: i64| json!({"service": "chrony", "synchronized": true, "source": "192.0.2.1", "offset_s": seconds});
    let silent = |reachable: u32, hours: i64| {
        let last_sync_ms = CHECKED_AT_MS - hours * 60 * MINUTE_MS;
        json!({"service": "chrony", "synchronized": true, "sources": 4, "sources_reachable": reachable, "last_sync_ms": last_sync_ms})
    };
    let seen_by_server = json!([{"clock_offset_ms": 400_000}]);
    let off = json!({"service": "", "ntp_enabled": false, "kernel_synchronized": false});
    vec![
        sample(
            "clock-not-synchronized",
            json!({"time_sync": [lost], "boot": booted(60)}),
            "chrony is not synchronized",
            vec![
                json!({"time_sync": [lost], "boot": booted(5)}),
                json!({"time_sync": [at(0)], "boot": booted(60)}),
                json!({"time_sync": [{"service": "", "time_zone": "Etc/UTC"}], "boot": booted(60)}),
                json!({"time_sync": [{"service": "chrony", "synchronized": false, "kernel_synchronized": true}], "boot": booted(60)}),
            ],
        ),
        sample(
            "clock-sources-silent",
            row("time_sync", silent(0, 7)),
            "No time server has answered chrony for 7 h",
            vec![row("time_sync", silent(1, 7)), row("time_sync", silent(0, 1)), row("time_sync", at(0))],
        ),
        sample(
            "clock-kept-by-nobody",
            json!({"time_sync": [off], "os": [{"hostname": "d", "virtualization": ""}]}),
            "network time is switched off",
            vec![
                json!({"time_sync": [off], "os": [{"hostname": "d", "virtualization": "kvm"}]}),
                json!({"time_sync": [{"service": "", "time_zone": "Etc/UTC"}], "os": [{"hostname": "d"}]}),
            ],
        ),
        sample(
            "clock-far-from-source",
            row("time_sync", at(-301)),
            "The clock is 5 min away from its time server 192.0.2.1",
            vec![
                row("time_sync", at(300)),
                row("time_sync", at(0)),
                json!({"time_sync": [at(400)], "device": seen_by_server}),
            ],
        ),
        sample(
            "clock-off-source",
            row("time_sync", at(2)),
            "The clock is 2 s away",
            vec![
                row("time_sync", at(0)),
                row("time_sync", at(301)),
                row("time_sync", json!({"service": "chrony", "synchronized": false})),
                json!({"time_sync": [at(200)], "device": seen_by_server}),
            ],
        ),
        sample(
            "hardware-clock-off",
            row("time_sync", json!({"service": "chrony", "rtc_ahead_s": -200_000_000})),
            "The hardware clock is off by 2314 d",
            vec![
                row("time_sync", json!({"service": "chrony", "rtc_ahead_s": -1})),
                // Another system on the machine keeps local time in it.
                row("time_sync", json!({"service": "chrony", "rtc_ahead_s": 3_601})),
                row("time_sync", json!({"service": "chrony", "rtc_ahead_s": 19_799})),
            ],
        ),
    ]
}

fn certificate(days_left: i64, purpose: &str, more: &Value) -> Value {
    let mut row = json!({
        "file": "/etc/ssl/print.pem", "sha256": format!("{days_left}"), "purpose": purpose, "subject": "CN=print.example",
        "issuer": "CN=House CA", "not_before_ms": ago(400), "not_after_ms": CHECKED_AT_MS + days_left * DAY_MS,
    });
    row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    row
}

fn certificates() -> Vec<Sample> {
    let of = |certificates: &[Value]| json!({"certificates": certificates});
    let own = json!({"self_signed": true, "issuer": "CN=print.example"});
    let root = json!({"self_signed": true, "is_ca": true});
    vec![
        sample(
            "certificate-expired",
            of(&[certificate(-3, "network", &json!({}))]),
            "The certificate of CN=print.example expired 3 d 0 h ago (network)",
            vec![
                of(&[certificate(-900, "root", &root)]),
                of(&[certificate(-3, "service", &own)]),
                of(&[certificate(-3, "service", &json!({})), certificate(80, "service", &json!({}))]),
                of(&[certificate(3, "service", &json!({}))]),
            ],
        ),
        sample(
            "certificate-ends-soon",
            of(&[certificate(13, "service", &json!({}))]),
            "expires in 13 d 0 h (service)",
            vec![
                of(&[certificate(15, "service", &json!({}))]),
                of(&[certificate(-1, "service", &json!({}))]),
                of(&[certificate(13, "root", &root)]),
                of(&[certificate(13, "anchor", &json!({})), certificate(700, "anchor", &json!({}))]),
            ],
        ),
        sample(
            "certificate-self-signed-expired",
            of(&[certificate(-3, "service", &own)]),
            "The self-signed certificate in /etc/ssl/print.pem expired 3 d 0 h ago",
            vec![
                of(&[certificate(
                    -3,
                    "service",
                    &json!({"self_signed": true, "file": "/etc/ssl/certs/ssl-cert-snakeoil.pem"}),
                )]),
                of(&[certificate(-3, "service", &root)]),
                of(&[certificate(3, "service", &own)]),
            ],
        ),
    ]
}

fn protection() -> Vec<Sample> {
    let service =
        |name: &str, state: &str, enabled: &str| json!([{"name": name, "active_state": state, "enabled": enabled}]);
    vec![
        sample(
            "selinux-permissive",
            row("security", json!({"selinux": "permissive", "selinux_configured": "enforcing"})),
            "SELinux only logs and forbids nothing (set up: enforcing)",
            vec![
                row("security", json!({"selinux": "enforcing"})),
                // Debian has none; a proprietary driver taints the kernel; and no firewall is how Debian comes.
                row(
                    "security",
                    json!({"lsms": ["apparmor"], "kernel_taints": ["proprietary module"], "firewall_on": false}),
                ),
            ],
        ),
        sample(
            "firewall-stopped",
            json!({"security": [{"firewall_on": false}], "services": service("firewalld.service", "inactive", "enabled")}),
            "The firewall firewalld.service is set up to run and does not",
            vec![
                json!({"security": [{"firewall_on": false}], "services": service("cups.service", "inactive", "enabled")}),
                json!({"security": [{"firewall_on": false}], "services": service("nftables.service", "inactive", "disabled")}),
                json!({"security": [{"firewall_on": true}], "services": service("ufw.service", "inactive", "enabled")}),
                json!({"security": [{}], "services": service("firewalld.service", "active", "enabled")}),
            ],
        ),
    ]
}

pub(super) fn samples() -> Vec<Sample> {
    [updates(), clock(), certificates(), protection()].into_iter().flatten().collect()
}
