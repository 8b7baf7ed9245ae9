//! What the machine is made of, read out.

use super::{Rows, join};

pub(super) fn cpu(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        let used = row.text("used_percent");
        let used = if used.is_empty() { used } else { format!("{used} busy") };
        join(&[format!("{} × {}", row.text("processors"), row.text("model")), used])
    })
}

pub(super) fn disks(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        let read_only = if row.yes("read_only") { "read-only".to_owned() } else { String::new() };
        let parts = ["name", "model", "size_bytes", "transport", "state"].map(|column| row.text(column));
        join(&[join(&parts), read_only])
    })
}

pub(super) fn batteries(rows: &Rows) -> Vec<String> {
    rows.tell(|row| {
        let health = row.text("health_percent");
        let health = if health.is_empty() { health } else { format!("{health} of its first capacity") };
        join(&[row.text("name"), row.text("status"), row.text("charge_percent"), health])
    })
}
