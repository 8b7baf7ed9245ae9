//! Rules about printers themselves.

use serde_json::{Value, json};

use super::{Sample, sample};

fn device(change: Value) -> Value {
    let mut row = json!({
        "host": "192.0.2.9", "queues": ["front", "back"], "schemes": ["socket"], "reachable": true, "queue_port": 9100,
        "queue_port_state": "open", "port_631": "open", "ipp": "answered", "snmp": "answered", "state": "idle",
        "printer_status": "idle", "device_status": "running", "detected_errors": [], "state_reasons": [],
        "summary": "IPP answered; SNMP answered (version 2c)",
    });
    merge(&mut row, change);
    row
}

fn queue(change: Value) -> Value {
    let mut row = json!({
        "name": "front", "state": "idle", "state_message": "", "state_reasons": [], "queued_jobs": 0, "reasons_stale": false,
        "markers": [], "troubles": [], "severity": "",
    });
    merge(&mut row, change);
    row
}

#[expect(clippy::needless_pass_by_value, reason = "a made-up row reads best where it is used")]
fn merge(row: &mut Value, change: Value) {
    row.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
}

fn alone(change: Value) -> Value {
    json!({ "print_devices": [device(change)] })
}

fn both(change: Value, queued: Value) -> Value {
    json!({ "print_devices": [device(change)], "printers": [queue(queued)] })
}

fn supply(change: Value, queued: Value) -> Value {
    let mut row = json!({
        "host": "192.0.2.9", "index": "1.1", "queues": ["front"], "name": "Black Cartridge", "kind": "toner", "receptacle": false,
        "percent_left": 60, "unit": "percent",
    });
    merge(&mut row, change);
    json!({ "print_supplies": [row], "printers": [queue(queued)] })
}

fn alert(change: Value, of_device: Value) -> Value {
    let mut row = json!({ "host": "192.0.2.9", "index": "1.1", "queues": ["front"], "severity": "critical", "training": "fieldService" });
    merge(&mut row, change);
    json!({ "print_alerts": [row], "print_devices": [device(of_device)] })
}

pub(super) fn samples() -> Vec<Sample> {
    [reachability(), states(), supplies()].into_iter().flatten().collect()
}

fn reachability() -> Vec<Sample> {
    let dead = || json!({"reachable": false, "ipp": "timed out", "snmp": "timed out", "queue_port_state": "timed out"});
    let moved = json!({"reachable": false, "address_changed": true, "announced_addresses": ["192.0.2.77"], "announced_name": "Acme"});
    let garbage = || json!({"schemes": ["ipp"], "ipp": "the answer of the printer is not HTTP", "queue_port": 631});
    let waits = || json!({"queued_jobs": 2, "state": "idle"});
    let gone = json!({"state": "stopped", "queued_jobs": 1, "state_message": "The printer is not responding."});
    let mut samples = vec![
        sample(
            "printer-moved",
            alone(moved.clone()),
            "it is at 192.0.2.77",
            vec![alone(json!({"address_changed": false})), alone(dead())],
        ),
        sample(
            "printer-silent-with-jobs",
            both(dead(), waits()),
            "jobs waiting at front, back: 2",
            vec![
                both(json!({}), waits()),
                both(dead(), json!({})),
                both(dead(), gone.clone()),
                both(moved, waits()),
                both(json!({"reachable": null}), waits()),
            ],
        ),
        sample(
            "printer-silent",
            both(dead(), gone.clone()),
            "answers in no way",
            vec![
                both(dead(), waits()),
                both(json!({}), json!({})),
                both(json!({"reachable": null, "summary": "USB"}), json!({})),
            ],
        ),
    ];
    samples.extend([
        sample(
            "printer-port-closed",
            alone(json!({"queue_port_state": "refused"})),
            "port 9100",
            vec![
                alone(json!({})),
                alone(json!({"queue_port_state": "refused", "printer_status": "printing"})),
                alone(dead()),
            ],
        ),
        sample(
            "printer-answers-though-queue-does-not",
            both(json!({}), gone.clone()),
            "192.0.2.9 answers on port 9100",
            vec![
                both(dead(), gone),
                both(json!({}), json!({"state": "stopped", "state_message": "Paused"})),
                both(json!({}), json!({"state": "idle", "state_message": "The printer is not responding."})),
            ],
        ),
        sample(
            "printer-speaks-no-ipp",
            alone(garbage()),
            "not HTTP",
            vec![alone(json!({"schemes": ["ipp"]})), alone(json!({"ipp": "timed out"})), alone(dead())],
        ),
    ]);
    samples
}

fn states() -> Vec<Sample> {
    let rule = "printer-needs-a-hand";
    let with = |errors: &[&str], reasons: &[&str]| {
        both(json!({"detected_errors": errors, "state_reasons": reasons}), json!({}))
    };
    let told = both(json!({"detected_errors": ["noPaper"]}), json!({"state_reasons": ["media-empty-error"]}));
    let stale =
        both(json!({"detected_errors": ["jammed"]}), json!({"state_reasons": ["media-jam"], "reasons_stale": true}));
    let mut samples = vec![
        sample(
            rule,
            with(&["noPaper", "lowToner"], &[]),
            "is out of paper",
            vec![
                with(&["lowPaper", "lowToner", "inputTrayEmpty"], &["media-empty-warning", "toner-low-report"]),
                told,
                with(&[], &["multimedia-jam", "media-jam-report"]),
            ],
        ),
        sample(rule, stale, "has a paper jam", vec![with(&[], &[])]),
        sample(
            rule,
            with(&["doorOpen"], &["cover-open-error"]),
            "(queues: front, back) stands open",
            vec![with(&[], &[])],
        ),
        sample(
            rule,
            with(&[], &["marker-waste-full-error"]),
            "full waste box",
            vec![with(&[], &["marker-waste-almost-full-warnin"])],
        ),
    ];
    samples.push(sample(
        "printer-asks-for-service",
        alone(json!({"detected_errors": ["serviceRequested"]})),
        "asks for service",
        vec![alone(json!({"detected_errors": ["noPaper"]})), alone(json!({}))],
    ));
    samples.push(sample(
        "printer-alert",
        alert(json!({"code": "markerFuserThermistorFailure"}), json!({})),
        "markerFuserThermistorFailure",
        vec![
            alert(json!({"code": "jam"}), json!({"detected_errors": ["jammed"]})),
            alert(json!({"code": "markerFuserThermistorFailure", "severity": "warning"}), json!({})),
        ],
    ));
    samples.push(sample(
        "printer-alert",
        alert(json!({"code": "jam"}), json!({})),
        "jam",
        vec![alert(json!({"code": "coverOpen"}), json!({"state_reasons": ["cover-open"]}))],
    ));
    samples
}

fn supplies() -> Vec<Sample> {
    let low = || json!({"percent_left": 3, "part_number": "CF280A"});
    let waste = |percent: Value| json!({"name": "Waste Toner", "kind": "wasteToner", "receptacle": true, "percent_left": null, "percent_full": percent});
    vec![
        sample(
            "printer-supply-low",
            supply(low(), json!({})),
            "is low on Black Cartridge: 3",
            vec![
                supply(json!({}), json!({})),
                supply(json!({"percent_left": null, "level_said": "some left"}), json!({})),
                supply(json!({"percent_left": null, "level_said": "unknown"}), json!({})),
                supply(waste(json!(95)), json!({})),
                supply(low(), json!({"markers": ["Black Cartridge 3 %"]})),
            ],
        ),
        sample(
            "printer-supply-low",
            supply(json!({"percent_left": 20, "low": true}), json!({})),
            "20",
            vec![supply(json!({"percent_left": 20, "low": false}), json!({}))],
        ),
        sample(
            "printer-waste-box-full",
            supply(waste(json!(95)), json!({})),
            "Waste Toner, 95",
            vec![
                supply(waste(json!(40)), json!({})),
                supply(waste(json!(null)), json!({})),
                supply(low(), json!({})),
                supply(waste(json!(95)), json!({"state_reasons": ["marker-waste-almost-full-warnin"]})),
            ],
        ),
    ]
}
