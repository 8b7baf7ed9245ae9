//! What the kernel's rtnetlink(7) listings say, message by message.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context, bail};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteVia};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::collect::Rows;
use crate::host::{Host, Netlink};

/// `struct nlmsghdr`: the length comes first.
const HEADER_BYTES: usize = 16;

/// Messages begin at multiples of this.
const ALIGNMENT: usize = 4;

/// One listing.
pub(super) struct Listing {
    /// What was understood.
    pub(super) messages: Vec<RouteNetlinkMessage>,
    /// How many messages were not.
    unread: usize,
}

impl Listing {
    /// Says in the rows that messages were not understood, where some were not.
    pub(super) fn confess(&self, rows: &mut Rows) {
        if self.unread > 0 {
            rows.missing(format!("{} entries that rtnetlink lists in a form unknown here", self.unread));
        }
    }
}

/// Asks for a listing.
pub(super) fn ask(host: &dyn Host, what: Netlink) -> anyhow::Result<Listing> {
    let dump = host.netlink(what).with_context(|| format!("asking rtnetlink for {what:?}"))?;
    read(&dump).with_context(|| format!("rtnetlink's list of {what:?}"))
}

/// Why not all or nothing: a newer kernel's odd message costs that entry, not the table.
pub(super) fn read(mut dump: &[u8]) -> anyhow::Result<Listing> {
    let mut listing = Listing { messages: Vec::new(), unread: 0 };
    while let Some(length) = dump.first_chunk::<ALIGNMENT>() {
        let length = u32::from_ne_bytes(*length) as usize;
        let message = dump.get(..length).filter(|message| message.len() >= HEADER_BYTES);
        let Some(message) = message else { bail!("a message of {length} bytes where {} are left", dump.len()) };
        match NetlinkMessage::<RouteNetlinkMessage>::deserialize(message).map(|message| message.payload) {
            Ok(NetlinkPayload::InnerMessage(message)) => listing.messages.push(message),
            Ok(NetlinkPayload::Error(error)) => bail!("the kernel refused: {error}"),
            Ok(_done) => {}
            Err(_unknown) => listing.unread += 1,
        }
        dump = dump.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
    }
    Ok(listing)
}

/// The links of a listing.
pub(super) fn links(listing: &Listing) -> impl Iterator<Item = &LinkMessage> {
    listing.messages.iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewLink(link) => Some(link),
        _ => None,
    })
}

/// The names of the interfaces, by index.
pub(super) struct Names(BTreeMap<u32, String>);

impl Names {
    /// Asks for them.
    pub(super) fn ask(host: &dyn Host) -> anyhow::Result<Self> {
        Ok(Self::of(&ask(host, Netlink::Links)?))
    }

    /// Of a listing of links.
    pub(super) fn of(listing: &Listing) -> Self {
        Self::among(links(listing))
    }

    /// Of these links.
    pub(super) fn among<'a>(links: impl IntoIterator<Item = &'a LinkMessage>) -> Self {
        Self(links.into_iter().filter_map(|link| Some((link.header.index, name(link)?))).collect())
    }

    /// Whether there is such an interface.
    pub(super) fn knows(&self, index: u32) -> bool {
        self.0.contains_key(&index)
    }

    /// The name of an interface; one that has gone meanwhile is told by its number.
    pub(super) fn get(&self, index: u32) -> String {
        self.0.get(&index).cloned().unwrap_or_else(|| format!("#{index}"))
    }
}

/// The name of a link.
pub(super) fn name(link: &LinkMessage) -> Option<String> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    })
}

/// `inet` or `inet6`; absent for families that no table tells of.
pub(super) fn family(family: AddressFamily) -> Option<&'static str> {
    match family {
        AddressFamily::Inet => Some("inet"),
        AddressFamily::Inet6 => Some("inet6"),
        _ => None,
    }
}

/// The address of a route's end or gateway.
pub(super) fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

/// The gateway of a route whose gateway is of another family.
pub(super) fn via(via: &RouteVia) -> Option<IpAddr> {
    match via {
        RouteVia::Inet(address) => Some((*address).into()),
        RouteVia::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::{Live, LiveOptions};

    fn dumps() -> Vec<Vec<u8>> {
        let host = Live::new(LiveOptions::default());
        Netlink::ALL.into_iter().map(|what| host.netlink(what).unwrap()).collect()
    }

    #[test]
    fn every_message_of_this_kernel_is_understood() {
        for dump in dumps() {
            assert_eq!(read(&dump).unwrap().unread, 0);
        }
        assert!(links(&read(&dumps()[0]).unwrap()).any(|link| name(link).as_deref() == Some("lo")));
    }

    #[test]
    fn a_list_that_ends_early_is_refused_and_an_odd_message_costs_itself() {
        let dump = &dumps()[0];
        assert!(read(&dump[..dump.len() - 8]).is_err());
        // RTM_NEWLINK without anything in it.
        let mut odd = vec![0; HEADER_BYTES];
        odd[..4].copy_from_slice(&16_u32.to_ne_bytes());
        odd[4..6].copy_from_slice(&16_u16.to_ne_bytes());
        let listing = read(&[&odd, dump.as_slice()].concat()).unwrap();
        assert_eq!((listing.unread, listing.messages.len()), (1, read(dump).unwrap().messages.len()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn no_bytes_break_it(which in 0..Netlink::ALL.len(), changes in proptest::collection::vec((16_usize..4096, any::<u8>()), 1..6)) {
            thread_local!(static DUMPS: Vec<Vec<u8>> = dumps());
            let mut dump = DUMPS.with(|dumps| dumps[which].clone());
            let length = dump.len();
            prop_assume!(length > 16);
            for (at, byte) in changes {
                dump[at % length] = byte;
            }
            drop(read(&dump));
        }
    }
}
