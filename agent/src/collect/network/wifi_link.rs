//! Quality of the radio links over time.

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::WifiLink;

use super::radio::{self, Counters, Radio, Since};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const WIFI_LINK: Collector =
    Collector { table: WifiLink::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(5)), look };

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let Some(mut radios) = radio::radios(host)? else { return Ok(Rows::none()) };
    let all = std::mem::take(&mut radios.all);
    let counters = Counters::take(host, "wifi_link", &all);
    let mut rows: Rows = all.iter().filter_map(|radio| row(radio, &counters.since(radio))).collect();
    radios.confess(&mut rows);
    Ok(rows)
}

/// Absent where it is joined to nothing.
fn row(radio: &Radio, since: &Since) -> Option<WifiLink> {
    let station = radio.station.as_ref()?;
    Some(WifiLink {
        interface: radio.interface.name.clone(),
        bssid: station.mac.clone(),
        signal_dbm: station.signal_dbm,
        noise_dbm: radio.survey.and_then(|survey| survey.noise_dbm),
        tx_bits_per_second: station.tx.bits_per_second,
        rx_bits_per_second: station.rx.bits_per_second,
        tx_mcs: station.tx.mcs,
        tx_frames: since.frames,
        retry_percent: since.retry_percent,
        failed_percent: since.failed_percent,
        beacon_losses: since.losses,
        channel_busy_percent: since.busy_percent,
    })
}
