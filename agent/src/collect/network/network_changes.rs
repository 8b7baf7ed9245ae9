//! How the network changes, as it happens: what the kernel tells by itself is compared with what was known, and each difference is a change.
//!
//! A plain state machine: news and the time come in, changes come out. Who listens, and who waits, is the application's business.

use std::time::Duration;

use data_encoding::HEXLOWER;
use deskside_proto::rows::Row;
use deskside_proto::v1::NetworkChange;
use netlink_packet_route::RouteNetlinkMessage;
use prost::Message;

use super::rtnetlink;
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::{Heard, Host, Netlink};
use known::Known;
use limit::Limits;

mod known;
mod limit;
mod links;
#[cfg(test)]
mod tests;

pub(in crate::collect) const NETWORK_CHANGES: Collector =
    Collector { table: NetworkChange::TABLE, systems: &[Os::Linux], cadence: Cadence::Followed, look };

/// The latest changes, which a look shows.
const LATEST_MAX: usize = 64;

/// What may have gone unnoticed is looked up this much later, so that a burst of changes is one look.
const DOUBT_MS: i64 = 300;

/// What a look shows are the latest changes that the running agent heard.
#[expect(clippy::unnecessary_wraps, reason = "every look can fail, though this one does not")]
fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let Some(note) = host.noted(NetworkChange::TABLE) else {
        return Ok(Rows::unsupported("changes are heard by the agent while it runs, and nothing keeps them before"));
    };
    let line = |line: &str| NetworkChange::decode(HEXLOWER.decode(line.as_bytes()).ok()?.as_slice()).ok();
    Ok(note.text.lines().filter_map(line).take(LATEST_MAX).collect())
}

/// Leaves the latest changes for a look. Called once before the first, so that a look knows that somebody listens.
pub(crate) fn note(host: &dyn Host, changes: &[NetworkChange]) {
    let before = host.noted(NetworkChange::TABLE).map(|before| before.text).unwrap_or_default();
    let mut lines: Vec<String> = before.lines().map(str::to_owned).collect();
    lines.extend(changes.iter().map(|change| HEXLOWER.encode(&change.encode_to_vec())));
    let many = lines.len().saturating_sub(LATEST_MAX);
    lines.drain(..many);
    host.recall(NetworkChange::TABLE, lines.join("\n"));
}

/// Tables that show what news may have changed.
pub(crate) const WOKEN: [&str; 5] = ["interfaces", "bonds_bridges_vlans", "addresses", "routes", "resolvers"];

/// Knows the network as it was last told, and tells what is different.
#[derive(Debug)]
pub(crate) struct Watch {
    known: Known,
    limits: Limits,
    /// Routes are to be looked up then: the kernel takes routes away without a word when their link goes.
    routes_at_ms: Option<i64>,
    /// Everything is to be looked up then, since news were lost at that other moment.
    all_at_ms: Option<(i64, i64)>,
}

impl Watch {
    /// Begins with the network as it is. Listen before this is called: what changes in between is then known twice rather than never.
    pub(crate) fn begin(host: &dyn Host) -> anyhow::Result<Self> {
        let mut watch =
            Self { known: Known::default(), limits: Limits::default(), routes_at_ms: None, all_at_ms: None };
        watch.look_up(host, host.now_ms())?;
        watch.limits = Limits::default();
        Ok(watch)
    }

    /// One piece of news.
    pub(crate) fn hear(&mut self, at_ms: i64, heard: &Heard) {
        match heard {
            Heard::Network(messages) => match rtnetlink::read(messages) {
                Ok(listing) => {
                    for message in &listing.messages {
                        self.message(at_ms, message);
                    }
                }
                Err(_malformed) => self.lost(at_ms),
            },
            Heard::Lost => self.lost(at_ms),
            // Resolvers are read together with the routes.
            Heard::Resolvers => self.doubt(at_ms),
        }
    }

    fn lost(&mut self, at_ms: i64) {
        self.all_at_ms.get_or_insert((at_ms + DOUBT_MS, at_ms));
    }

    fn doubt(&mut self, at_ms: i64) {
        self.routes_at_ms.get_or_insert(at_ms + DOUBT_MS);
    }

    fn message(&mut self, at_ms: i64, message: &RouteNetlinkMessage) {
        let limits = &mut self.limits;
        let mut tell = |change: NetworkChange| limits.take(NetworkChange { at_ms, ..change });
        let doubtful = match message {
            RouteNetlinkMessage::NewLink(link) => self.known.link(at_ms, link, &mut tell),
            RouteNetlinkMessage::DelLink(link) => {
                self.known.link_gone(link, &mut tell);
                true
            }
            RouteNetlinkMessage::NewAddress(address) => {
                self.known.address(address, &mut tell);
                false
            }
            RouteNetlinkMessage::DelAddress(address) => {
                self.known.address_gone(address, &mut tell);
                true
            }
            RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route) => known::is_default(route),
            RouteNetlinkMessage::NewNeighbour(neighbor) => {
                self.known.neighbor(neighbor, &mut tell);
                false
            }
            _ => false,
        };
        if doubtful {
            self.doubt(at_ms);
        }
    }

    /// Whether something is to be looked up now.
    pub(crate) fn doubts(&self, now_ms: i64) -> bool {
        let all = self.all_at_ms.map(|(at_ms, _since_ms)| at_ms);
        [all, self.routes_at_ms].into_iter().flatten().any(|at_ms| at_ms <= now_ms)
    }

    /// Looks up what the news left in doubt. Blocks.
    pub(crate) fn settle(&mut self, host: &dyn Host) -> anyhow::Result<()> {
        let now_ms = host.now_ms();
        self.routes_at_ms = None;
        let Some((_at_ms, since_ms)) = self.all_at_ms.take() else { return self.look_up_routes(host, now_ms) };
        self.limits.take(NetworkChange {
            at_ms: now_ms,
            change: "lost".into(),
            times: 1,
            first_ms: Some(since_ms),
            message: "The kernel had more to tell than there was room for: changes were lost; what follows was found different".into(),
            ..NetworkChange::default()
        });
        self.look_up(host, now_ms)
    }

    fn look_up(&mut self, host: &dyn Host, now_ms: i64) -> anyhow::Result<()> {
        let links = rtnetlink::ask(host, Netlink::Links)?;
        let addresses = rtnetlink::ask(host, Netlink::Addresses)?;
        let limits = &mut self.limits;
        self.known.only(&links, &addresses, &mut |change| limits.take(NetworkChange { at_ms: now_ms, ..change }));
        for message in links.messages.iter().chain(&addresses.messages) {
            self.message(now_ms, message);
        }
        self.look_up_routes(host, now_ms)?;
        for message in &rtnetlink::ask(host, Netlink::Neighbors)?.messages {
            self.message(now_ms, message);
        }
        self.routes_at_ms = None;
        Ok(())
    }

    fn look_up_routes(&mut self, host: &dyn Host, now_ms: i64) -> anyhow::Result<()> {
        let routes = rtnetlink::ask(host, Netlink::Routes)?;
        let resolvers = host.text("/etc/resolv.conf").unwrap_or_default();
        let limits = &mut self.limits;
        let mut tell = |change: NetworkChange| limits.take(NetworkChange { at_ms: now_ms, ..change });
        self.known.default_routes(&routes, &mut tell);
        self.known.resolvers(&resolvers, &mut tell);
        Ok(())
    }

    /// What is to be told now, numbered.
    pub(crate) fn take(&mut self, now_ms: i64) -> Vec<NetworkChange> {
        self.limits.told(now_ms)
    }

    /// When there is something to look up or to tell even if nothing more is heard.
    pub(crate) fn due_ms(&self) -> Option<i64> {
        let all = self.all_at_ms.map(|(at_ms, _since_ms)| at_ms);
        [all, self.routes_at_ms, self.limits.due_ms()].into_iter().flatten().min()
    }
}

/// For the room that waits: the longest time between two moments at which something is due.
pub(crate) const REST: Duration = Duration::from_hours(1);
