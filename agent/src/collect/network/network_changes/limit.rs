//! How many changes are told one by one. A link that comes and goes a thousand times a second must fill neither the record nor the line: past
//! a bound its changes are counted, and the count is told.

use std::collections::BTreeMap;

use deskside_proto::v1::NetworkChange;

/// Changes of one interface that are told at once, and how often one more is.
const AT_ONCE: i64 = 20;
const ONE_MORE_MS: i64 = 10_000;

/// What was counted is told this long after the first of it.
const FOLD_MS: i64 = 10_000;

/// Interfaces that are counted apart; what is beyond is counted together.
const INTERFACES_MAX: usize = 64;

/// What waits to be told, and what each interface may still tell.
#[derive(Debug, Default)]
pub(super) struct Limits {
    number: u64,
    ready: Vec<NetworkChange>,
    interfaces: BTreeMap<String, Limit>,
}

#[derive(Debug)]
struct Limit {
    /// Room, in milliseconds of [`ONE_MORE_MS`] each.
    room_ms: i64,
    at_ms: i64,
    folded: Option<NetworkChange>,
}

impl Limits {
    /// A change that happened.
    pub(super) fn take(&mut self, change: NetworkChange) {
        let full = self.interfaces.len() >= INTERFACES_MAX && !self.interfaces.contains_key(&change.interface);
        let place = if full { String::new() } else { change.interface.clone() };
        let full_ms = AT_ONCE * ONE_MORE_MS;
        let limit =
            self.interfaces.entry(place).or_insert(Limit { room_ms: full_ms, at_ms: change.at_ms, folded: None });
        let passed_ms = change.at_ms.saturating_sub(limit.at_ms).max(0);
        limit.room_ms = limit.room_ms.saturating_add(passed_ms).min(full_ms);
        limit.at_ms = change.at_ms;
        // Why also while something is folded: changes are told in their order.
        if limit.room_ms < ONE_MORE_MS || limit.folded.is_some() {
            limit.fold(change);
        } else {
            limit.room_ms -= ONE_MORE_MS;
            self.ready.push(change);
        }
    }

    /// What is to be told by now, in order and numbered.
    pub(super) fn told(&mut self, now_ms: i64) -> Vec<NetworkChange> {
        for limit in self.interfaces.values_mut() {
            if limit.due_ms().is_some_and(|due_ms| due_ms <= now_ms) {
                self.ready.extend(limit.folded.take());
            }
        }
        // Interfaces that come and go under ever new names are forgotten once they may tell everything again.
        self.interfaces.retain(|_name, limit| {
            limit.folded.is_some() || now_ms.saturating_sub(limit.at_ms) < AT_ONCE * ONE_MORE_MS
        });
        let mut told = std::mem::take(&mut self.ready);
        for change in &mut told {
            self.number += 1;
            change.number = self.number;
        }
        told
    }

    /// When something is to be told though nothing more happens.
    pub(super) fn due_ms(&self) -> Option<i64> {
        let ready = self.ready.first().map(|change| change.at_ms);
        self.interfaces.values().filter_map(Limit::due_ms).chain(ready).min()
    }
}

impl Limit {
    fn due_ms(&self) -> Option<i64> {
        self.folded.as_ref()?.first_ms.map(|first_ms| first_ms.saturating_add(FOLD_MS))
    }

    fn fold(&mut self, change: NetworkChange) {
        let before = self.folded.take();
        let first_ms = before.as_ref().and_then(|before| before.first_ms).or(Some(change.at_ms));
        let (times, link_downs) = before.map_or((0, 0), |before| (before.times, before.link_downs));
        let times = times.saturating_add(change.times.max(1));
        let name = if change.interface.is_empty() { "the network" } else { &change.interface };
        let last = if change.change == "folded" { String::new() } else { format!("; the last: {}", change.change) };
        self.folded = Some(NetworkChange {
            at_ms: change.at_ms,
            change: "folded".into(),
            message: format!("{times} more changes of {name}, too fast to be told one by one{last}"),
            interface: change.interface,
            times,
            link_downs: link_downs.saturating_add(change.link_downs),
            first_ms,
            ..NetworkChange::default()
        });
    }
}
