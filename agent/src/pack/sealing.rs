//! What the device says of a bundle when it seals it.

use deskside_proto::seal::{Bundle, Clocks, DeviceSeen, PartSeen, WindowSeen};
use deskside_proto::show;
use deskside_proto::v1::Pack;

use super::Facts;
use super::part::{Part, Window};

/// The seal's statement, but for the hashes.
pub(super) fn said(request: &Pack, facts: &Facts, window: Window, parts: &[Part]) -> Bundle {
    let part = |part: &Part| PartSeen {
        name: part.said.name.clone(),
        outcome: show::outcome(part.said.outcome()).into(),
        rows: part.said.rows,
        reason: part.said.reason.clone(),
    };
    Bundle {
        device: DeviceSeen { id: facts.device_id.clone(), hostname: facts.hostname.clone() },
        collection: request.collection_id.clone(),
        ticket: request.ticket,
        recipe: request.recipe.clone(),
        requested_by: request.requested_by.clone(),
        tool: format!("deskside-agent {}", facts.agent_version),
        window: WindowSeen { from_ms: window.from_ms, to_ms: window.to_ms },
        sealed: Clocks {
            utc_ms: facts.now_ms,
            boot_ms: facts.boot_ms,
            boot_id: facts.boot_id.clone(),
            server_offset_ms: request.clock_offset_ms,
        },
        parts: parts.iter().map(part).collect(),
        ..Bundle::default()
    }
}
