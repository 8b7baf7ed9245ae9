//! What is to be captured, read and bounded.

use deskside_proto::show;
use deskside_proto::v1::Route;

use super::filter;
use super::program::{self, Condition};
use crate::host::Host;
use crate::probe::{Arguments, Unrun, now};

/// All interfaces.
pub(super) const ANY: &str = "any";

const SECONDS: u64 = 30;
const SECONDS_MAX: u64 = 300;

/// Headers of Ethernet, IP and TCP with their options.
const SNAPLEN: u64 = 96;
const SNAPLEN_MAX: u64 = 65_535;

/// With [`BYTES_MAX`] room for a minute of full-size packets at 100 Mbit/s, which are some 510,000 and 70 MiB with 96 bytes of each.
const PACKETS_MAX: u64 = 1_000_000;

const BYTES_MIN: u64 = 4 * 1024;
const BYTES_MAX: u64 = 128 * 1024 * 1024;

/// A capture as it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    /// Absent for all.
    pub(super) interface: Option<String>,
    pub(super) filter: String,
    pub(super) condition: Option<Condition>,
    pub(super) seconds: u32,
    pub(super) snaplen: u32,
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

impl Plan {
    pub(super) fn read(host: &dyn Host, arguments: &Arguments) -> Result<Self, Unrun> {
        let filter = arguments.get("filter").unwrap_or_default();
        let condition = filter::read(filter).map_err(Unrun::Refused)?;
        let number = |name, default, (least, most)| number(arguments, name, default, least, most);
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let snaplen = small(number("snaplen", SNAPLEN, (1, SNAPLEN_MAX))?);
        // Why here: what is too long is said before anybody is asked to agree.
        program::program(condition.as_ref(), snaplen).map_err(Unrun::Refused)?;
        Ok(Self {
            interface: interface(host, arguments.get("interface"))?,
            filter: filter.to_owned(),
            condition,
            seconds: small(number("seconds", SECONDS, (1, SECONDS_MAX))?),
            snaplen,
            packets: number("packets", PACKETS_MAX, (1, PACKETS_MAX))?,
            bytes: number("bytes", BYTES_MAX, (BYTES_MIN, BYTES_MAX))?,
        })
    }

    /// In words.
    pub(super) fn words(&self) -> String {
        let place = self.interface.as_deref().unwrap_or("all interfaces");
        let which = if self.filter.is_empty() { "all packets" } else { "packets" };
        let filter =
            if self.filter.is_empty() { String::new() } else { format!(" with the filter \"{}\"", self.filter) };
        let (snaplen, seconds, packets) = (self.snaplen, self.seconds, self.packets);
        let bytes = show::bytes(self.bytes as f64);
        format!(
            "{which} of {place}{filter} for {seconds} s, {snaplen} bytes of each, at most {packets} packets and {bytes}"
        )
    }
}

fn interface(host: &dyn Host, asked: Option<&str>) -> Result<Option<String>, Unrun> {
    let there = host.list("/sys/class/net").unwrap_or_default();
    match asked {
        Some(ANY) => Ok(None),
        Some(name) if there.iter().any(|link| link == name) => Ok(Some(name.to_owned())),
        Some(name) => Err(Unrun::Refused(format!("there is no interface {name}; there are {}", there.join(", ")))),
        None => {
            let routes = now::rows::<Route>(host).unwrap_or_default();
            let default = routes.into_iter().filter(|route| route.destination == "default");
            Ok(default.min_by_key(|route| (route.family == "inet6", route.metric)).map(|route| route.interface))
        }
    }
}

fn number(arguments: &Arguments, name: &str, default: u64, least: u64, most: u64) -> Result<u64, Unrun> {
    let Some(text) = arguments.get(name) else { return Ok(default) };
    let read = text.parse().ok().filter(|number| (least..=most).contains(number));
    read.ok_or_else(|| Unrun::Refused(format!("{name} is a number from {least} to {most}, and not {text:?}")))
}
