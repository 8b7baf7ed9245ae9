//! `deskside diff`: what changed on a device between two times, or what differs between two devices.

use deskside_proto::v1::QueryRequest;
use deskside_proto::v1::query_request::Scope;

use super::connect::Desk;
use super::screen::Screen;
use super::sql::Asker;
use super::trouble::Trouble;
use super::when;

mod devices;
mod times;

/// What changed on a device between two times, or what differs between two devices. Counters and other noise are left out.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "deskside diff [OPTIONS] DEVICE --from TIME [--to TIME]\n       deskside diff [OPTIONS] DEVICE OTHER",
    after_help = "Examples:\n  deskside diff desk-17 --from \"yesterday 10:00\"\n  deskside diff desk-17 desk-18 --table packages"
)]
pub(super) struct Diff {
    /// Id, beginning of it, or host name.
    device: String,
    /// Another device, to see what differs.
    #[arg(conflicts_with = "from")]
    other: Option<String>,
    /// What changed since then, by the device's clock: "-2h", "14:00", "yesterday 10:00", "2026-03-01 14:00", RFC 3339.
    #[arg(long, value_parser = when::moment, allow_hyphen_values = true, value_name = "TIME")]
    from: Option<i64>,
    /// Until then [default: now].
    #[arg(long, value_parser = when::moment, allow_hyphen_values = true, value_name = "TIME", requires = "from")]
    to: Option<i64>,
    /// Only this table.
    #[arg(long)]
    table: Option<String>,
    /// Of two devices: serials, addresses, names and times too, which always differ.
    #[arg(long, conflicts_with = "from")]
    all: bool,
    /// Of two devices: look at both now, instead of what the server knows.
    #[arg(long, conflicts_with = "from")]
    live: bool,
    /// Of one device: do not ask it, but what the server knows.
    #[arg(long, requires = "from")]
    last_known: bool,
}

impl Diff {
    pub(super) async fn run(self, mut desk: Desk, screen: Screen) -> anyhow::Result<()> {
        if let Some(other) = self.other {
            let pair = devices::Pair { one: self.device, other };
            return devices::run(&mut desk, screen, pair, self.table.as_deref(), self.all, self.live).await;
        }
        let Some(from_ms) = self.from else {
            let advice = "write --from TIME for what changed since then, or name another device for what differs";
            return Err(Trouble::new("there is nothing to compare with", advice).into());
        };
        let request = QueryRequest {
            scope: Some(Scope::Device(self.device.clone())),
            last_known: self.last_known,
            ..QueryRequest::default()
        };
        let mut asker = Asker::Desk(Box::new(desk), request);
        let span = times::Span { from_ms, to_ms: self.to.unwrap_or(screen.now_ms) };
        times::run(&mut asker, screen, &self.device, span, self.table).await
    }
}
