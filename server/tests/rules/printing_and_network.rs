//! Rules about printing and the network.

use deskside_proto::v1::Finding;
use deskside_server::diagnose::rules::{CHECKED_AT_MS, check_rule};
use serde_json::{Value, json};

const MINUTE_MS: i64 = 60_000;

fn ask(rule: &str, tables: &Value) -> Vec<Finding> {
    check_rule(rule, tables).unwrap()
}

/// The rule finds this, once, with this in the title.
fn finds(rule: &str, tables: &Value, title: &str) {
    let found = ask(rule, tables);
    assert_eq!(found.len(), 1, "{rule} on {tables}: {found:#?}");
    let told = &found[0];
    assert!(told.title.contains(title), "{rule}: {:?} lacks {title:?}", told.title);
    for text in [&told.title, &told.cause, &told.next_step] {
        assert!(!text.contains('{') && !text.is_empty(), "{rule}: {text}");
    }
}

fn passes(rule: &str, tables: &Value) {
    assert_eq!(ask(rule, tables), [], "{rule} on {tables}");
}

fn printer(change: &Value) -> Value {
    let mut row = json!({
        "name": "front", "state": "idle", "state_message": "", "state_reasons": [], "accepting_jobs": true, "queued_jobs": 0,
        "device_uri": "socket://192.0.2.9:9100", "state_changed_ms": CHECKED_AT_MS - 5 * MINUTE_MS, "make_and_model": "Acme",
    });
    row.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    json!({ "printers": [row] })
}

fn job(change: &Value) -> Value {
    let mut row = json!({
        "id": 7, "printer": "front", "state": "pending", "state_reasons": [], "message": "", "document_format": "text/plain",
        "created_ms": CHECKED_AT_MS - 5 * MINUTE_MS,
    });
    row.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    json!({ "print_jobs": [row] })
}

fn both(jobs: &Value, printers: &Value) -> Value {
    json!({ "print_jobs": jobs["print_jobs"], "printers": printers["printers"] })
}

#[test]
fn a_queue_that_an_error_stopped_is_told_apart_from_one_that_a_person_paused() {
    let by_error =
        printer(&json!({"state": "stopped", "state_message": "The printer is not responding.", "queued_jobs": 1}));
    let by_person = printer(&json!({"state": "stopped", "state_message": "Paused", "queued_jobs": 2}));
    let idle_pause = printer(&json!({"state": "stopped", "state_message": "Paused"}));
    finds("print-queue-stopped", &by_error, "not responding");
    finds("print-queue-paused-with-jobs", &by_person, "jobs waiting: 2");
    finds("print-queue-paused", &idle_pause, "nothing waits");
    for (rule, others) in [
        ("print-queue-stopped", [&by_person, &idle_pause]),
        ("print-queue-paused-with-jobs", [&by_error, &idle_pause]),
        ("print-queue-paused", [&by_error, &by_person]),
    ] {
        for tables in others {
            passes(rule, tables);
        }
    }
}

#[test]
fn a_dead_printer_is_seen_by_its_message_alone() {
    let rule = "print-device-unreachable";
    for message in [
        "The printer may not exist or is unavailable at this time.",
        "The printer is not responding.",
        "Unable to connect to 192.0.2.9; will retry in 30 seconds.",
    ] {
        finds(rule, &printer(&json!({"state": "processing", "state_message": message, "queued_jobs": 1})), message);
    }
    passes(rule, &printer(&json!({"state": "processing", "state_message": "Sending data to printer."})));
    passes(rule, &printer(&json!({"state": "idle", "state_message": "The printer is not responding."})));
}

#[test]
fn a_printer_that_is_asleep_is_told_of_after_two_minutes() {
    let rule = "print-device-connecting";
    let connecting = json!({"state": "processing", "state_reasons": ["connecting-to-device"]});
    finds(rule, &printer(&connecting), "connecting-to-device");
    let mut fresh = printer(&connecting);
    fresh["printers"][0]["state_changed_ms"] = json!(CHECKED_AT_MS - MINUTE_MS);
    passes(rule, &fresh);
    passes(rule, &printer(&json!({"state": "processing"})));
}

#[test]
fn the_suffix_of_a_reason_says_how_bad_it_is() {
    let (critical, warning) = ("print-device-needs-a-hand", "print-device-warns");
    for (reason, title) in [
        ("media-jam", "paper jam"),
        ("media-empty-error", "out of paper"),
        ("door-open", "stands open"),
        ("toner-empty-error", "out of toner"),
    ] {
        let tables = printer(&json!({"state_reasons": ["other", reason]}));
        finds(critical, &tables, title);
        passes(warning, &tables);
    }
    for (reason, title) in [
        ("media-empty-warning", "empty tray"),
        ("toner-low-report", "low on toner"),
        ("marker-waste-almost-full-warnin", "almost full waste box"),
    ] {
        let tables = printer(&json!({"state_reasons": [reason, "other"]}));
        finds(warning, &tables, title);
        passes(critical, &tables);
    }
    for reason in ["media-jam-report", "multimedia-jam", "cups-waiting-for-job-completed"] {
        let tables = printer(&json!({"state_reasons": [reason]}));
        passes(critical, &tables);
        passes(warning, &tables);
    }
}

#[test]
fn a_supply_is_low_only_where_its_level_is_known() {
    let rule = "print-supply-below-ten-percent";
    finds(rule, &printer(&json!({"markers": ["Cyan 80 %", "Black Toner 3 %"]})), "Black Toner 3 %");
    finds(rule, &printer(&json!({"markers": ["Black Toner 0 %", "Cyan 80 %"]})), "Black Toner 0 %");
    for markers in
        [json!(["Black 10 %"]), json!(["Black unknown"]), json!(["Black some left"]), json!(["Waste Box 5 %"])]
    {
        passes(rule, &printer(&json!({"markers": markers})));
    }
}

#[test]
fn a_queue_that_rejects_jobs_is_told_of() {
    finds("print-queue-rejects-jobs", &printer(&json!({"accepting_jobs": false, "state_message": "moved"})), "moved");
    passes("print-queue-rejects-jobs", &printer(&json!({})));
}

#[test]
fn jobs_that_wait_and_jobs_that_do_not_end_are_told_of() {
    let waiting = job(&json!({}));
    finds("print-jobs-waiting", &both(&waiting, &printer(&json!({"state": "processing"}))), "front: 1");
    passes("print-jobs-waiting", &both(&waiting, &printer(&json!({"state": "stopped"}))));
    let fresh = job(&json!({"created_ms": CHECKED_AT_MS - MINUTE_MS}));
    passes("print-jobs-waiting", &both(&fresh, &printer(&json!({}))));

    let endless =
        json!({"state": "processing", "processing_ms": CHECKED_AT_MS - 11 * MINUTE_MS, "message": "Printing page 1"});
    finds("print-job-does-not-end", &job(&endless), "Printing page 1");
    passes("print-job-does-not-end", &job(&json!({"state": "processing", "processing_ms": CHECKED_AT_MS - MINUTE_MS})));
}

#[test]
fn held_jobs_are_told_apart_by_who_holds_them() {
    let by_password = job(&json!({"state": "pending-held", "state_reasons": ["cups-held-for-authentication"]}));
    let by_person = job(&json!({"state": "pending-held", "state_reasons": ["job-hold-until-specified"]}));
    finds("print-job-needs-a-password", &by_password, "waits for a password");
    finds("print-job-held", &by_person, "is held");
    passes("print-job-needs-a-password", &by_person);
    passes("print-job-held", &by_password);
}

#[test]
fn a_job_that_a_filter_broke_is_told_apart_from_one_that_was_given_up() {
    let by_filter = job(&json!({"state": "aborted", "message": "Filter failed", "completed_ms": CHECKED_AT_MS}));
    let given_up = job(&json!({"state": "aborted", "message": "The printer is not responding."}));
    let canceled = job(&json!({"state": "canceled", "state_reasons": ["job-canceled-by-user"]}));
    finds("print-job-filter-failed", &by_filter, "Filter failed");
    finds("print-job-given-up", &given_up, "not responding");
    passes("print-job-filter-failed", &given_up);
    passes("print-job-given-up", &by_filter);
    passes("print-job-filter-failed", &canceled);
    passes("print-job-given-up", &canceled);
}

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
fn a_machine_without_any_signal_is_told_of() {
    let rule = "network-no-carrier";
    let off = interface(&json!({"carrier": false}));
    finds(
        rule,
        &json!({"interfaces": [off, interface(&json!({"name": "wlan0", "kind": "wifi", "carrier": false}))]}),
        "wlan0",
    );
    passes(rule, &json!({"interfaces": [off, interface(&json!({"name": "wlan0", "kind": "wifi"}))]}));
    passes(rule, &json!({"interfaces": [interface(&json!({"kind": "loopback"}))]}));
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
fn a_bad_cable_is_told_of_by_duplex_speed_errors_and_flaps() {
    let link = |change: Value| json!({"interfaces": [interface(&change)]});
    finds("network-half-duplex", &link(json!({"duplex": "half"})), "half duplex");
    passes("network-half-duplex", &link(json!({})));
    passes("network-half-duplex", &link(json!({"duplex": ""})));
    finds("network-slow-link", &link(json!({"speed_bits_per_second": 100_000_000})), "enp3s0 runs at");
    passes("network-slow-link", &link(json!({"speed_bits_per_second": null})));
    passes("network-slow-link", &link(json!({})));
    finds("network-receive-errors", &link(json!({"rx_errors": 5_000})), "errors");
    finds("network-receive-errors", &link(json!({"rx_crc_errors": 50, "rx_errors": 50})), "wrong checksums");
    passes("network-receive-errors", &link(json!({"rx_errors": 99})));
    passes("network-receive-errors", &link(json!({"rx_errors": 100, "rx_packets": 1_000_000_000_i64})));

    let flaps = |changes: i64, uptime_s: i64| json!({"interfaces": [interface(&json!({"carrier_changes": changes}))], "boot": [{"uptime_s": uptime_s}]});
    finds("network-carrier-flaps", &flaps(40, 36_000), "40 changes");
    passes("network-carrier-flaps", &flaps(39, 36_000));
    passes("network-carrier-flaps", &flaps(4, 600));
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
