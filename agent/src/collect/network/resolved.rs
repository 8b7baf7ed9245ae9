//! systemd-resolved, asked over D-Bus (org.freedesktop.resolve1(5)).

use std::net::IpAddr;

use serde_json::Value;

use super::bus::{self, Properties};
use super::rtnetlink::Names;
use crate::host::Host;

/// Its folder; without it it does not run.
pub(super) const FOLDER: &str = "/run/systemd/resolve";

const SERVICE: &str = "org.freedesktop.resolve1";
const ROOT: &str = "/org/freedesktop/resolve1";

/// Most links that are asked one by one.
pub(super) const LINKS_MAX: usize = 16;

/// One name server as it has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// Link; 0 for the machine.
    pub(super) index: u32,
    pub(super) address: IpAddr,
    /// 0 for 53.
    pub(super) port: u32,
    pub(super) name: String,
}

/// What it says of the machine.
pub(super) struct Resolved {
    pub(super) properties: Properties,
    pub(super) servers: Vec<Server>,
    pub(super) fallback: Vec<Server>,
    /// Link, domain, whether it only routes.
    pub(super) domains: Vec<(u32, String, bool)>,
    /// The links that have servers or domains, and what each says.
    pub(super) links: Vec<(u32, Properties)>,
    /// Links that were not asked.
    pub(super) unasked: usize,
}

/// Asks; absent where it does not run.
pub(super) fn ask(host: &dyn Host, names: &Names) -> anyhow::Result<Option<Resolved>> {
    if host.list(FOLDER).is_err() {
        return Ok(None);
    }
    let Some(properties) = bus::properties(host, SERVICE, ROOT, "org.freedesktop.resolve1.Manager")? else {
        return Ok(None);
    };
    let servers = servers(properties.get("DNSEx").or_else(|| properties.get("DNS")));
    let fallback = self::servers(properties.get("FallbackDNSEx").or_else(|| properties.get("FallbackDNS")));
    let domains = domains(properties.get("Domains"));
    let mut indexes: Vec<u32> =
        servers.iter().map(|server| server.index).chain(domains.iter().map(|(index, ..)| *index)).collect();
    indexes.sort_unstable();
    indexes.dedup();
    indexes.retain(|index| *index != 0 && names.knows(*index));
    let unasked = indexes.len().saturating_sub(LINKS_MAX);
    let mut links = Vec::new();
    for index in indexes.into_iter().take(LINKS_MAX) {
        let path = format!("{ROOT}/link/_3{index}");
        // A link may have gone since.
        if let Some(link) = bus::properties(host, SERVICE, &path, "org.freedesktop.resolve1.Link")? {
            links.push((index, link));
        }
    }
    Ok(Some(Resolved { properties, servers, fallback, domains, links, unasked }))
}

/// The server that is asked now: of the machine (`(iiay)`) or of a link (`(iay)`).
pub(super) fn current(properties: &Properties) -> Option<IpAddr> {
    let tuple = properties.get("CurrentDNSServerEx").or_else(|| properties.get("CurrentDNSServer"))?;
    tuple.as_array()?.iter().find(|field| field.is_array()).and_then(bus::ip)
}

/// `a(iiayqs)`, or in older releases `a(iiay)`.
fn servers(list: Option<&Value>) -> Vec<Server> {
    let each = list.and_then(Value::as_array).into_iter().flatten();
    let server = |of: &Value| {
        Some(Server {
            index: u32::try_from(of.get(0)?.as_u64()?).ok()?,
            address: bus::ip(of.get(2)?)?,
            port: of.get(3).and_then(Value::as_u64).and_then(|port| u32::try_from(port).ok()).unwrap_or_default(),
            name: of.get(4).and_then(Value::as_str).unwrap_or_default().to_owned(),
        })
    };
    each.filter_map(server).collect()
}

/// `a(isb)`
fn domains(list: Option<&Value>) -> Vec<(u32, String, bool)> {
    let each = list.and_then(Value::as_array).into_iter().flatten();
    let domain = |of: &Value| {
        let index = u32::try_from(of.get(0)?.as_u64()?).ok()?;
        Some((index, of.get(1)?.as_str()?.to_owned(), of.get(2)?.as_bool()?))
    };
    each.filter_map(domain).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn servers_and_domains_are_read_with_their_links() {
        let found = servers(Some(&json!([[2, 2, [192, 0, 2, 1], 853, "dns.example"], [0, 2, [1, 2], 0, ""], "odd"])));
        let expected = Server { index: 2, address: [192, 0, 2, 1].into(), port: 853, name: "dns.example".into() };
        assert_eq!(found, [expected]);
        assert_eq!(domains(Some(&json!([[2, "corp.example", true], [2]]))), [(2, "corp.example".to_owned(), true)]);
        assert_eq!(servers(None), []);
    }

    #[test]
    fn the_current_server_is_found_in_both_forms_and_no_server_is_none() {
        let of = |value: Value| current(&Properties::from([("CurrentDNSServerEx".to_owned(), value)]));
        assert_eq!(of(json!([2, [192, 0, 2, 1], 0, ""])), Some([192, 0, 2, 1].into()));
        assert_eq!(of(json!([3, 2, [192, 0, 2, 1], 0, ""])), Some([192, 0, 2, 1].into()));
        assert_eq!(of(json!([0, [], 0, ""])), None);
    }
}
