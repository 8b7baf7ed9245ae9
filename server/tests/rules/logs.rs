//! Rules about error signatures.

use deskside_server::diagnose::rules::CHECKED_AT_MS;
use serde_json::{Value, json};

use super::{Sample, row, sample};

const DAY_MS: i64 = 86_400_000;

/// A signature that is fine but for what is changed.
fn signature(change: &Value) -> Value {
    let mut known = json!({
        "id": "0123456789abcdef", "source": "app", "template": "cannot reach <ip>", "example": "cannot reach 192.0.2.7", "count": 40,
        "hourly_peak": 10, "first_ms": CHECKED_AT_MS - DAY_MS, "new_since_boot": false, "new_since_update": false,
    });
    known.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    row("error_signatures", known)
}

pub(super) fn samples() -> Vec<Sample> {
    let skew = "KRB_AP_ERR_SKEW (Kerberos 37): the clocks of client and server differ too much";
    let trust = "STATUS_NO_TRUST_SAM_ACCOUNT (NTSTATUS 0xC000018B): the domain has no account for this computer";
    vec![
        sample(
            "kerberos-clock-skew",
            signature(&json!({"source": "sssd", "codes": [skew]})),
            "Kerberos refuses sssd",
            vec![
                signature(&json!({"source": "sssd", "codes": [skew], "hourly_peak": 0})),
                signature(&json!({"template": "clock is right"})),
            ],
        ),
        sample(
            "domain-controller-not-found",
            signature(&json!({"source": "sssd_be", "template": "Cannot contact any KDC for realm <str>"})),
            "sssd_be finds no domain controller",
            vec![
                signature(&json!({"template": "Cannot contact any KDC for realm <str>", "hourly_peak": 0})),
                signature(&json!({"template": "cannot contact the printer"})),
            ],
        ),
        sample(
            "domain-trust-lost",
            signature(&json!({"source": "winbindd", "codes": [trust]})),
            "no longer trusts this machine (winbindd)",
            vec![
                signature(&json!({"source": "winbindd", "template": "Preauthentication failed for <person>"})),
                signature(&json!({"codes": [trust], "hourly_peak": 0})),
            ],
        ),
        sample(
            "error-new-since-update",
            signature(&json!({"new_since_update": true, "hourly_peak": 100})),
            "app says at least 100 times an hour: cannot reach <ip>",
            vec![
                signature(&json!({"new_since_update": true, "hourly_peak": 1})),
                signature(&json!({"new_since_update": true, "first_ms": CHECKED_AT_MS - 4 * DAY_MS})),
                signature(&json!({"new_since_update": null})),
            ],
        ),
        sample(
            "error-new-since-start",
            signature(&json!({"new_since_boot": true, "new_since_update": null})),
            "New since the start of the machine: app says",
            vec![
                signature(&json!({"new_since_boot": true, "new_since_update": true})),
                signature(&json!({"new_since_boot": true, "hourly_peak": 1})),
                signature(&json!({"new_since_boot": null})),
            ],
        ),
        sample(
            "log-storm",
            signature(&json!({"hourly_peak": 10_000})),
            "app fills the log: at least 10000 times an hour",
            vec![signature(&json!({"hourly_peak": 1_000}))],
        ),
    ]
}
