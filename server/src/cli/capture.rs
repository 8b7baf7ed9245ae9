//! Packets of a device, for a ticket, while the technician waits.

use deskside_proto::v1::{self, CollectRequest, Outcome};

use super::connect::Desk;
use super::screen::{self, Line, Screen};
use super::trouble::{Said, Trouble};
use super::{collect, shape, when};

/// What else the bundle holds, so that the packets can be read.
const BESIDE: [&str; 4] = ["interfaces", "addresses", "routes", "neighbors"];

/// Capture packets of a device for a ticket, if the person there or the policy agrees. It stops when this command does.
///
/// The packets become evidence of the ticket: `deskside evidence open ID -o DIR` unpacks them (capture.pcapng).
#[derive(Debug, clap::Args)]
pub(super) struct Capture {
    /// Id, beginning of it, or host name.
    device: String,
    /// The ticket's number.
    #[arg(long)]
    ticket: u64,
    /// Interface, or "any" [default: the one of the default route].
    #[arg(long)]
    interface: Option<String>,
    /// Which packets, in the words of tcpdump: "host 192.0.2.9 and tcp port 443" [default: all].
    #[arg(long)]
    filter: Option<String>,
    /// How long, 5 minutes at most.
    #[arg(long, value_parser = when::seconds, value_name = "TIME", default_value = "30s")]
    seconds: u64,
    /// Bytes of each packet that are kept: 96 is the headers, 65535 is all of it.
    #[arg(long, default_value_t = 96)]
    snaplen: u32,
    /// Packets at most.
    #[arg(long)]
    packets: Option<u64>,
    /// Bytes at most.
    #[arg(long)]
    bytes: Option<u64>,
}

impl Capture {
    pub(super) async fn run(self, mut desk: Desk, screen: Screen) -> anyhow::Result<()> {
        let request = CollectRequest {
            ticket: self.ticket,
            tables: BESIDE.map(str::to_owned).to_vec(),
            probes: vec![self.words()?],
            device: self.device,
            // Why so short: what lies before is in other evidence.
            before_s: 1,
            ..CollectRequest::default()
        };
        let mut states = desk.attend(request).await?.into_inner();
        let spinner = screen::spinner("asked for");
        let (mut latest, mut told) = (v1::Collection::default(), String::new());
        while let Some(state) = states.message().await? {
            if state.note != told && state.ended_ms == 0 && !screen.json {
                told.clone_from(&state.note);
                spinner.suspend(|| screen.line(Line::default().dim("  ").plain(&told)))?;
            }
            latest = state;
        }
        spinner.finish_and_clear();
        if screen.json {
            screen.value(&shape::collection(&latest))?;
        } else {
            collect::show(screen, &latest)?;
        }
        let captured = |part: &v1::PartOutcome| part.name == "capture" && part.outcome() == Outcome::Ok;
        if latest.parts.iter().any(captured) { Ok(()) } else { Err(Said.into()) }
    }

    /// As the probe is told: what has blanks stands in quotes.
    fn words(&self) -> anyhow::Result<String> {
        let filter = self.filter.as_deref().unwrap_or_default();
        if filter.contains('"') {
            return Err(Trouble::new("a filter has no quotes", "addresses and ports are numbers").into());
        }
        let mut words = format!("capture seconds={} snaplen={}", self.seconds, self.snaplen);
        if !filter.is_empty() {
            words = format!("{words} \"filter={filter}\"");
        }
        for (name, value) in [("packets", self.packets), ("bytes", self.bytes)] {
            words += &value.map(|value| format!(" {name}={value}")).unwrap_or_default();
        }
        words += &self.interface.as_ref().map(|name| format!(" interface={name}")).unwrap_or_default();
        Ok(words)
    }
}
