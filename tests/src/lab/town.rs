//! A small internet for one test: a workstation, its router, a provider's router and a server, each in a namespace of its own, with faults that
//! are set while it runs. Root is needed.
//!
//! ```text
//! desk ==== router ==wire== far router ==== server
//!  192.0.2.0/24   198.51.100.0/24    203.0.113.0/24
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tempfile::TempDir;

use super::namespace::Namespace;
use super::serving::Serving;
use super::wire::Wire;
use resolver::{Answers, Resolver};

pub mod portal;
pub mod resolver;

/// The workstation, at its interface `eth0`.
pub const DESK: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
/// Its router: gateway, name server, and the portal of a captive network.
pub const ROUTER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// A machine of the workstation's network that routes nothing; it is there once [`Town::neighbor`] has been asked for.
pub const NEIGHBOR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 66));
/// An address of the workstation's network that nobody has.
pub const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 77));
/// The provider's router, behind the wire.
pub const FAR_ROUTER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 2));
/// The server.
pub const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 2));
/// An address of the server's network that nobody has.
pub const NO_SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 77));
/// The workstation's router by IPv6.
pub const ROUTER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1));
/// The server by IPv6.
pub const SERVER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 3, 0, 0, 0, 0, 2));

/// What a firewall does with a connection that it forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bars {
    /// Nothing comes back.
    Drops,
    /// The connection is reset.
    Resets,
    /// ICMP says that it is administratively prohibited.
    Prohibits,
}

/// The town.
#[derive(Debug)]
pub struct Town {
    /// From the workstation to its router; absent where that cord has no faults.
    cord: Option<Wire>,
    /// From router to router.
    pub wire: Wire,
    /// The name server.
    pub resolver: Resolver,
    _portal: Serving,
    neighbor: Option<Namespace>,
    /// The workstation.
    pub desk: Namespace,
    /// Its router.
    pub router: Namespace,
    /// The provider's router.
    pub far_router: Namespace,
    /// The server.
    pub server: Namespace,
    _folder: TempDir,
}

impl Town {
    /// A town in which all is well. Everybody at the workstation may send echo requests, as on most desktops.
    pub fn new() -> anyhow::Result<Self> {
        Self::build(false)
    }

    /// The same, where the cord from the workstation to its router can have the faults of a [`Wire`]; it cannot be unplugged.
    pub fn with_faulty_cord() -> anyhow::Result<Self> {
        Self::build(true)
    }

    fn build(faulty_cord: bool) -> anyhow::Result<Self> {
        let (desk, router) = (Namespace::new("desk")?, Namespace::new("router")?);
        let (far_router, server) = (Namespace::new("far")?, Namespace::new("server")?);
        let cord = if faulty_cord { Some(Wire::between((&desk, "eth0"), (&router, "port0"))?) } else { None };
        if cord.is_none() {
            desk.ip(&format!("link add eth0 type veth peer name port0 netns {}", router.name()))?;
        }
        server.ip(&format!("link add eth0 type veth peer name dmz0 netns {}", far_router.name()))?;
        let wire = Wire::between((&router, "wan0"), (&far_router, "wan0"))?;
        for each in [&router, &far_router] {
            each.sysctl("ipv4/ip_forward", "1")?;
            each.sysctl("ipv6/conf/all/forwarding", "1")?;
            // Why: a trace asks more than one question a second, and each is to be answered.
            each.sysctl("ipv4/icmp_ratelimit", "0")?;
            each.sysctl("ipv6/icmp/ratelimit", "0")?;
        }
        router.ip(ROUTER_SET_UP)?;
        far_router.ip(FAR_ROUTER_SET_UP)?;
        server.ip(SERVER_SET_UP)?;
        desk.ip(DESK_SET_UP)?;
        server.carries("eth0")?;
        if cord.is_none() {
            carried(&desk, &router)?;
        }
        let folder = tempfile::tempdir()?;
        let resolver = Resolver::start(&router, folder.path().join("dnsmasq.log"))?;
        let portal = portal::start(&router)?;
        desk.name_servers(&["192.0.2.1"])?;
        let neighbor = None;
        let town =
            Self { cord, wire, resolver, _portal: portal, neighbor, desk, router, far_router, server, _folder: folder };
        town.unprivileged_echo(true)?;
        Ok(town)
    }

    /// The cord from the workstation to its router, where it was made to have faults.
    pub fn cord(&self) -> Option<&Wire> {
        self.cord.as_ref()
    }

    /// Whether users may send echo requests (`ping_group_range`).
    pub fn unprivileged_echo(&self, allowed: bool) -> anyhow::Result<()> {
        self.desk.sysctl("ipv4/ping_group_range", if allowed { "0 2147483647" } else { "1 0" })
    }

    /// Pulls the workstation's cord out of its router, so that it has no carrier, or plugs it in again.
    pub fn plugged(&self, plugged: bool) -> anyhow::Result<()> {
        self.router.ip(if plugged { "link set port0 up" } else { "link set port0 down" })?;
        if plugged { carried(&self.desk, &self.router) } else { Ok(()) }
    }

    /// The provider's router bars a TCP port of the server.
    pub fn bar(&self, port: u16, how: Bars) -> anyhow::Result<()> {
        let does = match how {
            Bars::Drops => "drop",
            Bars::Resets => "reject with tcp reset",
            Bars::Prohibits => "reject with icmpx type admin-prohibited",
        };
        self.far_router.nft(&format!("{FORWARD}\nadd rule inet faults forward tcp dport {port} {does}"))
    }

    /// The workstation's router lets connections to a TCP port be opened, and resets them at once.
    pub fn hang_up(&self, port: u16) -> anyhow::Result<()> {
        let opened = format!("tcp dport {port} tcp flags & (syn | ack) == ack");
        self.router.nft(&format!("{FORWARD}\nadd rule inet faults forward {opened} reject with tcp reset"))
    }

    /// The provider's router lets nothing through and says so (`admin-prohibited`).
    pub fn prohibit_all(&self) -> anyhow::Result<()> {
        self.far_router.nft(&format!("{FORWARD}\nadd rule inet faults forward reject with icmpx type admin-prohibited"))
    }

    /// The provider's router loses every second echo request.
    pub fn lose_upstream(&self) -> anyhow::Result<()> {
        self.far_router.nft(&every_second_echo())
    }

    /// The workstation's router loses every second echo request.
    pub fn lose_nearby(&self) -> anyhow::Result<()> {
        self.router.nft(&every_second_echo())
    }

    /// The provider's router answers no echo request and tells of no time exceeded, though it forwards well.
    pub fn mute_far_router(&self) -> anyhow::Result<()> {
        let chain = "add chain inet faults said { type filter hook output priority 0; }";
        self.far_router.nft(&format!(
            "add table inet faults\n{chain}\nadd rule inet faults said meta l4proto {{ icmp, icmpv6 }} drop"
        ))
    }

    /// The server's network takes no packet larger than this, which the provider's router says, or does not (a black hole).
    pub fn narrow(&self, mtu: u16, says: bool) -> anyhow::Result<()> {
        self.far_router.ip(&format!("link set dmz0 mtu {mtu}"))?;
        self.server.ip(&format!("link set eth0 mtu {mtu}"))?;
        if says {
            return Ok(());
        }
        let chain = "add chain inet faults unsaid { type filter hook output priority 0; }";
        let rules = "add rule inet faults unsaid icmp type destination-unreachable drop\n\
                     add rule inet faults unsaid icmpv6 type packet-too-big drop";
        self.far_router.nft(&format!("add table inet faults\n{chain}\n{rules}"))
    }

    /// The workstation's router lets nothing through, and answers every web page with its own.
    pub fn captive(&self) -> anyhow::Result<()> {
        let port = portal::PORT;
        self.router.nft(&format!(
            "add table ip captive\nadd chain ip captive pre {{ type nat hook prerouting priority -100; }}\n\
             add rule ip captive pre iifname lan0 ip daddr != {ROUTER} tcp dport 80 redirect to :{port}\n\
             add chain ip captive forward {{ type filter hook forward priority 0; }}\nadd rule ip captive forward reject"
        ))
    }

    /// Takes away what firewalls and narrow links do. The wires, the cord, the name server and the workstation keep what they are told.
    pub fn mend(&self) -> anyhow::Result<()> {
        self.router.nft("flush ruleset")?;
        self.far_router.nft("flush ruleset")?;
        self.far_router.ip("link set dmz0 mtu 1500")?;
        self.server.ip("link set eth0 mtu 1500")?;
        // What the workstation has learnt of narrow links.
        self.desk.ip("route flush cache")
    }

    /// What the name server answers from now on.
    pub fn answers(&mut self, answers: Answers) -> anyhow::Result<()> {
        self.resolver.answer(&self.router, answers)
    }

    /// The workstation's default route leads to another address of its network.
    pub fn gateway(&self, address: IpAddr) -> anyhow::Result<()> {
        self.desk.ip(&format!("route replace default via {address}"))
    }

    /// Another machine of the workstation's network, which routes nothing.
    pub fn neighbor(&mut self) -> anyhow::Result<&Namespace> {
        if self.neighbor.is_none() {
            let neighbor = Namespace::new("neighbor")?;
            neighbor.ip(&format!("link add eth0 type veth peer name port1 netns {}", self.router.name()))?;
            neighbor.ip(&format!("addr add {NEIGHBOR}/24 dev eth0\nlink set eth0 up"))?;
            self.router.ip("link set port1 master lan0\nlink set port1 up")?;
            self.router.wait_for("-j -d link show dev port1", FORWARDS)?;
            neighbor.sysctl("ipv4/ip_forward", "0")?;
            self.neighbor = Some(neighbor);
        }
        self.neighbor.as_ref().ok_or_else(|| anyhow::anyhow!("there is no neighbour"))
    }

    /// Another machine of the workstation's network has the workstation's address too.
    pub fn duplicate(&mut self) -> anyhow::Result<()> {
        self.neighbor()?.ip(&format!("addr add {DESK}/24 dev eth0"))
    }
}

/// Every second echo request is lost, those for each hop counted apart. Why not by chance: few are sent for each hop of a trace, and of those that
/// are lost by chance sometimes none is.
fn every_second_echo() -> String {
    let rule =
        |hops| format!("add rule inet faults taken ip ttl {hops} icmp type echo-request numgen inc mod 2 0 drop\n");
    let chain = "add chain inet faults taken { type filter hook prerouting priority 0; }";
    format!("add table inet faults\n{chain}\n{}", (1..=64).map(rule).collect::<String>())
}

/// Waits until the cord carries from end to end.
fn carried(desk: &Namespace, router: &Namespace) -> anyhow::Result<()> {
    desk.carries("eth0")?;
    router.wait_for("-j -d link show dev port0", FORWARDS)
}

/// A port of a bridge that lets frames through, as ip(8) says it.
const FORWARDS: &str = "\"state\":\"forwarding\"";

const FORWARD: &str = "add table inet faults\nadd chain inet faults forward { type filter hook forward priority 0; }";

const DESK_SET_UP: &str = "addr add 192.0.2.10/24 dev eth0\naddr add 2001:db8:1::10/64 dev eth0 nodad\nlink set eth0 up\n\
    route add default via 192.0.2.1\nroute add default via 2001:db8:1::1\n";

const ROUTER_SET_UP: &str = "link add lan0 type bridge\nlink set port0 master lan0\nlink set port0 up\n\
    addr add 192.0.2.1/24 dev lan0\naddr add 2001:db8:1::1/64 dev lan0 nodad\nlink set lan0 up\n\
    addr add 198.51.100.1/24 dev wan0\naddr add 2001:db8:2::1/64 dev wan0 nodad\nlink set wan0 up\n\
    route add 203.0.113.0/24 via 198.51.100.2\nroute add 2001:db8:3::/64 via 2001:db8:2::2\n";

const FAR_ROUTER_SET_UP: &str = "addr add 198.51.100.2/24 dev wan0\naddr add 2001:db8:2::2/64 dev wan0 nodad\nlink set wan0 up\n\
    addr add 203.0.113.1/24 dev dmz0\naddr add 2001:db8:3::1/64 dev dmz0 nodad\nlink set dmz0 up\n\
    route add 192.0.2.0/24 via 198.51.100.1\nroute add 2001:db8:1::/64 via 2001:db8:2::1\n";

const SERVER_SET_UP: &str = "addr add 203.0.113.2/24 dev eth0\naddr add 2001:db8:3::2/64 dev eth0 nodad\nlink set eth0 up\n\
    route add default via 203.0.113.1\nroute add default via 2001:db8:3::1\n";
