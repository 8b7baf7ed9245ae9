//! Devices: the list, worst first, and one of them: what is wrong before what is known.

use std::io;

use deskside_proto::v1::{
    Device, Fact, Family, Finding, GetDeviceReply, GetDeviceRequest, ListDevicesRequest, PartOutcome, TableState,
};
use deskside_proto::{catalog, show};

use super::connect::Desk;
use super::screen::{Line, Screen};
use super::{facts, section, shape, tickets};

/// Families in the order in which a user feels them.
pub(super) const FAMILIES: [Family; 6] =
    [Family::Printing, Family::Hardware, Family::Network, Family::Logs, Family::System, Family::Deskside];

/// The severity of what could not be judged, since it was not seen.
const UNKNOWN: &str = "unknown";

/// A device's clock may be off by this much before it is said.
const CLOCK_OFF_MS: i64 = 5_000;

/// A value that is longer than this is words rather than a figure, a name or an address.
const WORDS_CHARS: usize = 24;

/// Width of the column of labels.
pub(super) const LABEL: usize = 12;

/// All devices, worst first.
pub(super) async fn list(mut desk: Desk, screen: Screen) -> anyhow::Result<()> {
    let devices = desk.list_devices(ListDevicesRequest {}).await?.into_inner().devices;
    if screen.json {
        return Ok(screen.value(&shape::list(&devices, shape::device))?);
    }
    if devices.is_empty() {
        screen.line(Line::default().plain("no devices yet"))?;
        let how =
            "make a token with `deskside-server token create`, then `deskside-agent enroll TOKEN` on each machine";
        return Ok(screen.line(Line::default().dim(how))?);
    }
    let row = |device: &Device| {
        let findings = if device.findings == 0 { String::new() } else { device.findings.to_string() };
        let id = device.id.chars().take(8).collect();
        vec![
            device.name.clone(),
            presence(device, screen.now_ms),
            findings,
            device.os.clone(),
            device.agent_version.clone(),
            id,
        ]
    };
    let rows: Vec<Vec<String>> = devices.iter().map(row).collect();
    screen.table(&["device", "state", "findings", "system", "agent", "id"], &rows)?;
    Ok(())
}

/// "on", "off since 3 h 2 min", "revoked".
fn presence(device: &Device, now_ms: i64) -> String {
    match device {
        device if device.revoked => "revoked".into(),
        device if device.connected => "on".into(),
        device if device.seen_ms == 0 => "never heard of".into(),
        device => format!("off, last heard of {}", show::age(device.seen_ms, now_ms)),
    }
}

/// One device: what is wrong first, then what is known and how old it is.
#[derive(Debug, clap::Args)]
pub(super) struct One {
    /// Id, beginning of it, or host name.
    device: String,
}

impl One {
    pub(super) async fn run(self, mut desk: Desk, screen: Screen) -> anyhow::Result<()> {
        let known = desk.get_device(GetDeviceRequest { device: self.device }).await?.into_inner();
        if screen.json {
            return Ok(screen.value(&shape::known(&known))?);
        }
        overview(&mut desk, screen, &known, &[]).await?;
        if !known.tickets.is_empty() {
            screen.gap()?;
            tickets::table(screen, &known.tickets)?;
        }
        Ok(())
    }
}

/// What is known of a device: who it is, findings, and its families. `parts` are those of its latest evidence.
pub(super) async fn overview(
    desk: &mut Desk,
    screen: Screen,
    known: &GetDeviceReply,
    parts: &[PartOutcome],
) -> anyhow::Result<()> {
    let device = known.device.clone().unwrap_or_default();
    title(screen, &device)?;
    screen.gap()?;
    // What could not be seen stands with its family, where its reason is.
    let told: Vec<&Finding> = known.findings.iter().filter(|finding| finding.severity != UNKNOWN).collect();
    findings(screen, &told)?;
    let digests = facts::of(desk, &device, &known.tables, screen.now_ms).await?;
    for family in FAMILIES {
        let states: Vec<&TableState> = known.tables.iter().filter(|state| state.family() == family).collect();
        if states.is_empty() {
            unheard(screen, family, parts)?;
        } else {
            let said: Vec<&(String, Vec<String>)> =
                digests.iter().filter(|(table, _lines)| states.iter().any(|state| state.table == *table)).collect();
            let wrong: Vec<&str> = told
                .iter()
                .filter(|finding| finding.family() == family)
                .map(|finding| finding.severity.as_str())
                .collect();
            section::show(screen, &device, family, &wrong, &states, &said)?;
        }
    }
    let silent = |finding: &&Finding| {
        finding.severity == UNKNOWN && known.tables.iter().all(|state| state.table != finding.table)
    };
    known.findings.iter().filter(silent).try_for_each(|finding| screen.line(Line::default().warn(&finding.title)))?;
    Ok(())
}

/// "desk-17  on  Debian GNU/Linux 12, agent 0.1.0, 1f2e3d4c", and what makes all else less certain.
pub(super) fn title(screen: Screen, device: &Device) -> io::Result<()> {
    let state = presence(device, screen.now_ms);
    let line = Line::default().bold(&device.name).plain("  ");
    let line = if device.connected { line.good(state) } else { line.warn(state) };
    let id: String = device.id.chars().take(8).collect();
    screen.line(line.dim(format!("  {}, agent {}, id {id}", device.os, device.agent_version)))?;
    if !device.connected && !device.revoked && device.seen_ms != 0 {
        let text = "all below is what was last known; a collection waits until the device is back";
        screen.line(Line::default().warn(text))?;
    }
    if device.clock_offset_ms.abs() >= CLOCK_OFF_MS {
        let off = show::duration(device.clock_offset_ms as f64 / 1e3);
        let way = if device.clock_offset_ms > 0 { "behind" } else { "ahead of" };
        screen.line(Line::default().warn(format!("its clock is {off} {way} the server's; times below are its own")))?;
    }
    if device.lost > 0 {
        screen
            .line(Line::default().warn(format!("{} readings were lost before they reached the server", device.lost)))?;
    }
    Ok(())
}

/// Whether a fact says something that cause and next step do not say in the same words.
fn is_proof(finding: &Finding, fact: &Fact) -> bool {
    let said = fact.value.chars().count() > WORDS_CHARS
        && [&finding.cause, &finding.next_step].iter().any(|text| text.contains(&fact.value));
    !matches!(fact.value.as_str(), "" | "-") && !said
}

/// What is wrong, worst first, with its proof, likely cause and next step.
pub(super) fn findings(screen: Screen, findings: &[&Finding]) -> io::Result<()> {
    if findings.is_empty() {
        let line =
            Line::default().good("nothing found wrong").dim(" in what could be seen; what was not seen is said below");
        screen.line(line)?;
        return screen.gap();
    }
    for finding in findings {
        let line = match finding.severity.as_str() {
            "critical" => Line::default().bad(format!("{:LABEL$}", "CRITICAL")).bad(&finding.title),
            "warning" => Line::default().warn(format!("{:LABEL$}", "warning")).bold(&finding.title),
            other => Line::default().dim(format!("{other:LABEL$}")).plain(&finding.title),
        };
        screen.line(line)?;
        if finding.severity == "notice" {
            continue;
        }
        let facts = finding.proof.iter().filter(|fact| is_proof(finding, fact));
        let facts: Vec<String> = facts.map(|fact| format!("{} {}", fact.name, fact.value)).collect();
        let read = if finding.at_ms == 0 {
            String::new()
        } else {
            format!(", read {}", show::age(finding.at_ms, screen.now_ms))
        };
        screen.beside("  proof", LABEL, &format!("{} ({}{read})", facts.join(" · "), finding.table))?;
        for (label, text) in [("  cause", &finding.cause), ("  next", &finding.next_step)] {
            if !text.is_empty() {
                screen.beside(label, LABEL, text)?;
            }
        }
    }
    screen.gap()
}

/// A family of which nothing was streamed; the evidence may hold it all the same.
fn unheard(screen: Screen, family: Family, parts: &[PartOutcome]) -> io::Result<()> {
    let line = Line::default().bold(format!("{:LABEL$}", shape::family(family))).plain("nothing streamed");
    let of_family = |part: &&PartOutcome| catalog::table(&part.name).is_some_and(|table| table.family() == family);
    let rows: u64 = parts.iter().filter(of_family).map(|part| part.rows).sum();
    match rows {
        0 => screen.line(line.dim("; `deskside ask` looks now")),
        rows => screen.line(line.plain(format!("; the evidence holds {rows} rows"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proof_leaves_out_what_is_empty_and_what_cause_or_next_step_say_already() {
        let finding = Finding { cause: "The device ran out of paper hours ago.".into(), ..Finding::default() };
        let fact = |value: &str| Fact { name: "said".into(), value: value.into() };
        assert!(!is_proof(&finding, &fact("")) && !is_proof(&finding, &fact("-")));
        assert!(!is_proof(&finding, &fact("device ran out of paper hours")));
        assert!(is_proof(&finding, &fact("paper")), "a word that a sentence happens to hold is proof");
        assert!(is_proof(&finding, &fact("The device has a jam since yesterday.")));
    }
}
