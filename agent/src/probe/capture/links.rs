//! Interfaces by the kernel's number, and what their frames are called in capture files.

use crate::host::Host;

/// Interfaces that are looked at.
const LINKS_MAX: usize = 1024;

/// An interface.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    /// `ARPHRD_`
    pub(super) kind: u16,
}

/// All interfaces as they were when it began.
#[derive(Clone, Debug, Default)]
pub(super) struct Links(Vec<Link>);

impl Links {
    pub(super) fn ask(host: &dyn Host) -> Self {
        let names = host.list("/sys/class/net").unwrap_or_default();
        let links = names.into_iter().take(LINKS_MAX).filter_map(|name| {
            let line = |file| host.line(&format!("/sys/class/net/{name}/{file}"));
            let (index, kind) = (line("ifindex")?.parse().ok()?, line("type")?.parse().ok()?);
            Some(Link { index, name, kind })
        });
        Self(links.collect())
    }

    pub(super) fn named(&self, name: &str) -> Option<Link> {
        self.0.iter().find(|link| link.name == name).cloned()
    }

    /// One that came later has its number alone.
    pub(super) fn name(&self, index: u32) -> String {
        let found = self.0.iter().find(|link| link.index == index);
        found.map_or_else(|| format!("if{index}"), |link| link.name.clone())
    }
}

/// Link types of capture files (tcpdump.org/linktypes) by the kernel's kinds (`linux/if_arp.h`).
pub(super) fn in_files(kind: u16) -> Option<u16> {
    const ETHERNET: u16 = 1;
    const RAW_IP: u16 = 101;
    const WIFI: u16 = 105;
    const WIFI_WITH_RADIOTAP: u16 = 127;
    match kind {
        // ETHER, LOOPBACK
        1 | 772 => Some(ETHERNET),
        // RAWIP, TUNNEL, TUNNEL6, SIT, IPGRE, IP6GRE, NONE: frames begin with the IP header.
        519 | 768 | 769 | 776 | 778 | 823 | 65_534 => Some(RAW_IP),
        801 => Some(WIFI),
        803 => Some(WIFI_WITH_RADIOTAP),
        _ => None,
    }
}
