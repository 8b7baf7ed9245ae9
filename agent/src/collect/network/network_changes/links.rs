//! A link as it was last told, and how it differs from what is told now.

use deskside_proto::v1::NetworkChange;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};

use crate::host::mac_text;

/// What is known of one link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) name: String,
    admin_up: bool,
    carrier: bool,
    mac: String,
    mtu: u32,
    /// Number of the bond or bridge that it belongs to.
    pub(super) master: Option<u32>,
    /// Times that the carrier came or went, and of these, that it went, as the kernel counts them.
    carrier_changes: Option<u32>,
    carrier_downs: Option<u32>,
    /// Since when there is no carrier, though the link is switched on.
    down_at_ms: Option<i64>,
}

impl Link {
    /// As it is told now. What a message leaves out is as it was.
    pub(super) fn after(before: Option<&Self>, message: &LinkMessage) -> Self {
        let mut link = before.cloned().unwrap_or_default();
        let flags = message.header.flags;
        link.admin_up = flags.contains(LinkFlags::Up);
        link.carrier = link.admin_up && flags.contains(LinkFlags::LowerUp);
        link.master = None;
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Address(mac) => link.mac = mac_text(mac),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::Controller(index) => link.master = Some(*index),
                LinkAttribute::CarrierChanges(changes) => link.carrier_changes = Some(*changes),
                LinkAttribute::CarrierDownCount(downs) => link.carrier_downs = Some(*downs),
                _ => {}
            }
        }
        link
    }

    fn change(&self, change: &str, message: String) -> NetworkChange {
        NetworkChange {
            change: change.to_owned(),
            interface: self.name.clone(),
            times: 1,
            message,
            ..NetworkChange::default()
        }
    }

    fn replaced(&self, change: &str, before: &str, after: &str, message: String) -> NetworkChange {
        NetworkChange { before: before.to_owned(), after: after.to_owned(), ..self.change(change, message) }
    }

    /// A link that was not there.
    pub(super) fn came(&self) -> NetworkChange {
        let state = match (self.admin_up, self.carrier) {
            (true, true) => "with a link",
            (true, false) => "without a link",
            _ => "switched off",
        };
        self.change("new", format!("{} appeared, {state}", self.name))
    }

    /// A link that is there no more.
    pub(super) fn went(&self) -> NetworkChange {
        self.change("gone", format!("{} is gone", self.name))
    }

    /// Each difference is a change. `named` gives the names of bonds and bridges.
    pub(super) fn since(
        &mut self,
        before: &Self,
        at_ms: i64,
        named: &dyn Fn(u32) -> String,
        tell: &mut dyn FnMut(NetworkChange),
    ) {
        let name = self.name.clone();
        if before.name != name {
            tell(self.replaced("renamed", &before.name, &name, format!("{} is now {name}", before.name)));
        }
        if before.admin_up != self.admin_up {
            let word = if self.admin_up { "switched on" } else { "switched off" };
            tell(self.change(word, format!("{name} was {word}")));
        }
        if before.mac != self.mac {
            tell(self.replaced("mac", &before.mac, &self.mac, format!("{name} has another hardware address")));
        }
        if before.mtu != self.mtu {
            let (then, now) = (before.mtu.to_string(), self.mtu.to_string());
            tell(self.replaced("mtu", &then, &now, format!("the MTU of {name} is {now}, no longer {then}")));
        }
        if before.master != self.master {
            if let Some(old) = before.master.map(named) {
                tell(self.replaced("left", &old, "", format!("{name} left {old}")));
            }
            if let Some(new) = self.master.map(named) {
                tell(self.replaced("joined", "", &new, format!("{name} joined {new}")));
            }
        }
        self.carrier_since(before, at_ms, tell);
    }

    /// The carrier: what is seen, and what the kernel counted beside it. Why not while it is switched off: then it has none, and that is told already.
    fn carrier_since(&mut self, before: &Self, at_ms: i64, tell: &mut dyn FnMut(NetworkChange)) {
        if !self.admin_up {
            self.down_at_ms = None;
            return;
        }
        let seen = before.carrier != self.carrier;
        let gained = |now: Option<u32>, then: Option<u32>| {
            u64::from(now.zip(then).map_or(0, |(now, then)| now.saturating_sub(then)))
        };
        let counted = gained(self.carrier_changes, before.carrier_changes);
        // Switched on this moment: coming up is no mishap, and what was counted while it was off is none either.
        let fresh = !before.admin_up;
        let times = if fresh { u64::from(seen) } else { counted.max(u64::from(seen)) };
        if times == 0 {
            return;
        }
        let downs = if fresh {
            0
        } else {
            gained(self.carrier_downs, before.carrier_downs).max(u64::from(seen && !self.carrier))
        };
        let down_ms =
            before.down_at_ms.filter(|_at| self.carrier).map(|since_ms| at_ms.saturating_sub(since_ms).max(0));
        let word = if self.carrier { "link up" } else { "link down" };
        let mut message = match (self.carrier, down_ms) {
            (true, Some(down_ms)) => format!("{} has a link again after {:.1} s", self.name, down_ms as f64 / 1e3),
            (true, None) => format!("{} has a link", self.name),
            (false, _) => format!("{} lost its link", self.name),
        };
        if times > 1 {
            message = format!("{message}; it changed {times} times");
        }
        self.down_at_ms = if self.carrier { None } else { before.down_at_ms.or(Some(at_ms)) };
        tell(NetworkChange { times, link_downs: downs, down_ms, ..self.change(word, message) });
    }
}
