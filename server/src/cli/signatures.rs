//! Error signatures of the fleet: what goes wrong on how many devices, since when, and how often.

use deskside_proto::show;
use deskside_proto::v1::{FleetSignature, ListSignaturesReply, ListSignaturesRequest};
use serde_json::json;

use super::connect::Desk;
use super::screen::{Line, Screen};
use super::{shape, when};

/// Errors that programs wrote down, over all devices: the same error once, the most widespread first.
#[derive(Debug, clap::Args)]
pub(super) struct Signatures {
    /// Only what no device had seen before the last seven days.
    #[arg(long)]
    new: bool,
    /// Only those of one device: id, beginning of it, or host name.
    #[arg(long)]
    device: Option<String>,
}

impl Signatures {
    pub(super) async fn run(self, mut desk: Desk, screen: Screen) -> anyhow::Result<()> {
        let request = ListSignaturesRequest { device: self.device.unwrap_or_default(), new: self.new };
        let known = desk.list_signatures(request).await?.into_inner();
        if screen.json {
            let signatures = shape::list(&known.signatures, shape_of);
            let told = json!({ "signatures": signatures, "devices": known.devices, "silent": known.silent, "left_out": known.left_out });
            return Ok(screen.value(&told)?);
        }
        for signature in &known.signatures {
            tell(screen, signature, known.devices)?;
        }
        Ok(screen.line(Line::default().dim(summary(&known)))?)
    }
}

fn tell(screen: Screen, signature: &FleetSignature, devices: u32) -> anyhow::Result<()> {
    let priority = signature.priority.map(|priority| when::priority_name(priority.into())).unwrap_or_default();
    let head = Line::default().bold(&signature.source).plain("  ").plain(&signature.template);
    screen.line(if signature.new { head.warn("  new") } else { head })?;
    let rate =
        if signature.hourly_peak > 0 { format!(", {} an hour or more", signature.hourly_peak) } else { String::new() };
    let spread = format!(
        "{}{}on {} of {devices} ({}), {} times{rate}, first {}, last {}",
        priority,
        if priority.is_empty() { "" } else { ", " },
        signature.devices,
        names(signature),
        signature.count,
        show::age(signature.first_ms, screen.now_ms),
        show::age(signature.last_ms, screen.now_ms),
    );
    screen.beside("", 2, &spread)?;
    screen.beside("", 2, &signature.example)?;
    for code in &signature.codes {
        screen.beside("", 4, code)?;
    }
    Ok(())
}

fn names(signature: &FleetSignature) -> String {
    let more = if signature.devices as usize > signature.names.len() { ", …" } else { "" };
    format!("{}{more}", signature.names.join(", "))
}

fn summary(known: &ListSignaturesReply) -> String {
    let some = |number: u32, what: &str| if number == 0 { String::new() } else { format!("; {number} {what}") };
    format!(
        "{} signatures of {} devices{}{}",
        known.signatures.len(),
        known.devices,
        some(known.silent, "devices never told theirs"),
        some(known.left_out, "signatures left out for want of room"),
    )
}

fn shape_of(signature: &FleetSignature) -> serde_json::Value {
    json!({
        "id": signature.id, "source": signature.source, "template": signature.template, "example": signature.example,
        "codes": signature.codes, "priority": signature.priority, "devices": signature.devices, "names": signature.names,
        "count": signature.count, "hourly_peak": signature.hourly_peak, "first_ms": signature.first_ms,
        "last_ms": signature.last_ms, "new": signature.new,
    })
}
