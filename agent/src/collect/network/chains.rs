//! Chains of a packet filter: what follows from their rules, whoever listed them; and the listing of nft(8) as JSON (libnftables-json(5)).

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use deskside_proto::v1::Firewall;
use serde_json::Value;

/// Most ports of one row.
const PORTS_MAX: usize = 64;

/// Most chains that one chain may lead to.
const CHAINS_MAX: usize = 5_000;

/// What a rule does with the packets that it fits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing that ends the way: it counts, logs, marks.
    #[default]
    None,
    Accept,
    Drop,
    /// Back to where the chain was called, or to the policy.
    Return,
    /// On to another chain.
    Chain(String),
}

/// One rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) verdict: Verdict,
    /// It does not fit every packet.
    pub(super) conditional: bool,
    pub(super) packets: Option<u64>,
    /// "tcp/22"
    pub(super) ports: Vec<String>,
}

/// One chain. Only a base chain has a hook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) hook: String,
    pub(super) r#type: String,
    pub(super) priority: Option<i32>,
    pub(super) policy: String,
    /// Packets that its policy dropped.
    pub(super) policy_packets: Option<u64>,
    pub(super) rules: Vec<Rule>,
}

/// Family, table and chain.
pub(super) type Place = (String, String, String);

/// All chains of a listing.
pub(super) type Chains = BTreeMap<Place, Chain>;

/// A row for each base chain.
pub(super) fn rows(chains: &Chains, backend: &str) -> Vec<Firewall> {
    let based = chains.iter().filter(|(_place, chain)| !chain.hook.is_empty());
    based.map(|(place, chain)| row(chains, place, chain, backend)).collect()
}

fn row(chains: &Chains, place: &Place, chain: &Chain, backend: &str) -> Firewall {
    let (family, table, name) = place.clone();
    let reached = reached(chains, place);
    let drops = |rule: &&Rule| rule.verdict == Verdict::Drop;
    let rules: Vec<&Rule> =
        reached.iter().filter_map(|place| chains.get(place)).flat_map(|chain| &chain.rules).collect();
    let counted = rules.iter().copied().filter(drops).filter_map(|rule| rule.packets).chain(chain.policy_packets);
    let counted: Vec<u64> = counted.collect();
    let ports = |verdict: Verdict| {
        let with = rules.iter().filter(|rule| rule.verdict == verdict).flat_map(|rule| rule.ports.iter().cloned());
        with.collect::<BTreeSet<String>>().into_iter().take(PORTS_MAX).collect()
    };
    Firewall {
        backend: backend.into(),
        author: author(&table, &reached).into(),
        family,
        table,
        chain: name,
        r#type: chain.r#type.clone(),
        hook: chain.hook.clone(),
        priority: chain.priority,
        policy: chain.policy.clone(),
        rules: u32::try_from(rules.len()).unwrap_or(u32::MAX),
        dropping_rules: u32::try_from(rules.iter().copied().filter(drops).count()).unwrap_or(u32::MAX),
        drops_rest: drops_rest(chains, place, &mut BTreeSet::new()),
        dropped_packets: (!counted.is_empty())
            .then(|| counted.iter().fold(0_u64, |sum, count| sum.saturating_add(*count))),
        accepted_ports: ports(Verdict::Accept),
        dropped_ports: ports(Verdict::Drop),
    }
}

/// A chain and all that it leads to.
fn reached(chains: &Chains, from: &Place) -> BTreeSet<Place> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from.clone()]);
    while let Some(place) = next.pop() {
        let Some(chain) = chains.get(&place) else { continue };
        if seen.len() >= CHAINS_MAX || !seen.insert(place.clone()) {
            continue;
        }
        for rule in &chain.rules {
            if let Verdict::Chain(name) = &rule.verdict {
                next.push((place.0.clone(), place.1.clone(), name.clone()));
            }
        }
    }
    seen
}

/// Whether a rule that fits every packet drops it, here or in a chain that every packet is led to.
fn drops_rest(chains: &Chains, place: &Place, seen: &mut BTreeSet<Place>) -> bool {
    let Some(chain) = chains.get(place) else { return false };
    if seen.len() >= CHAINS_MAX || !seen.insert(place.clone()) {
        return false;
    }
    // Why none after a return: some packets never come there.
    let certain = chain.rules.iter().take_while(|rule| rule.verdict != Verdict::Return);
    for rule in certain.filter(|rule| !rule.conditional) {
        match &rule.verdict {
            Verdict::Accept => return false,
            Verdict::Drop => return true,
            Verdict::Chain(name) if drops_rest(chains, &(place.0.clone(), place.1.clone(), name.clone()), seen) => {
                return true;
            }
            Verdict::Chain(_) | Verdict::Return | Verdict::None => {}
        }
    }
    false
}

/// By the names that the programs give to their tables and chains.
fn author(table: &str, reached: &BTreeSet<Place>) -> &'static str {
    let chain = |start: &str| reached.iter().any(|(_family, _table, name)| name.starts_with(start));
    match table {
        "firewalld" => "firewalld",
        table if table.starts_with("libvirt") => "libvirt",
        table if table.starts_with("docker") => "docker",
        _ if chain("ufw-") || chain("ufw6-") => "ufw",
        _ if chain("DOCKER") => "docker",
        _ if chain("LIBVIRT_") => "libvirt",
        "filter" | "nat" | "mangle" | "raw" | "security" if chain("INPUT") || chain("OUTPUT") || chain("FORWARD") => {
            "iptables"
        }
        _ => "",
    }
}

/// The objects that `nft --json list ruleset` prints.
pub(super) fn nftables(listing: &[u8]) -> anyhow::Result<Chains> {
    let listing: Value = serde_json::from_slice(listing).context("reading what nft lists")?;
    let objects = listing.get("nftables").and_then(Value::as_array).context("nft lists no objects")?;
    let mut chains = Chains::new();
    for object in objects {
        if let Some(of) = object.get("chain") {
            let (word, number) = (|name| text(of, name), of.get("prio").and_then(Value::as_i64));
            let chain = chains.entry(place(of, "name")).or_default();
            (chain.hook, chain.r#type, chain.policy) = (word("hook"), word("type"), word("policy"));
            chain.priority = number.and_then(|number| i32::try_from(number).ok());
        } else if let Some(of) = object.get("rule") {
            let expressions = of.get("expr").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            chains.entry(place(of, "chain")).or_default().rules.push(rule(expressions));
        }
    }
    Ok(chains)
}

fn text(of: &Value, name: &str) -> String {
    of.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn place(of: &Value, chain: &str) -> Place {
    (text(of, "family"), text(of, "table"), text(of, chain))
}

fn rule(expressions: &[Value]) -> Rule {
    let mut rule = Rule::default();
    for expression in expressions {
        let Some((name, of)) = expression.as_object().and_then(|of| of.iter().next()) else { continue };
        match name.as_str() {
            "counter" => rule.packets = of.get("packets").and_then(Value::as_u64),
            "accept" => rule.verdict = Verdict::Accept,
            "drop" | "reject" => rule.verdict = Verdict::Drop,
            "return" => rule.verdict = Verdict::Return,
            "jump" | "goto" => rule.verdict = Verdict::Chain(text(of, "target")),
            // What iptables has and nftables does not, such as its REJECT.
            "xt" if text(of, "type") == "target" => {
                let refuses = ["REJECT", "DROP"].contains(&text(of, "name").as_str());
                rule.verdict = if refuses { Verdict::Drop } else { Verdict::None };
            }
            "match" => {
                rule.conditional = true;
                rule.ports.extend(ports(of));
            }
            "xt" | "limit" | "vmap" | "fib" | "ct count" | "quota" => rule.conditional = true,
            _ => {}
        }
    }
    rule
}

/// `tcp dport 22`, `{ 22, 80-90 }`; sets with a name do not say what is in them.
fn ports(of: &Value) -> Vec<String> {
    let payload = of.pointer("/left/payload");
    let Some(payload) = payload.filter(|payload| text(payload, "field") == "dport") else { return Vec::new() };
    if text(of, "op") != "==" {
        return Vec::new();
    }
    let protocol = match text(payload, "protocol").as_str() {
        "th" => "any".to_owned(),
        other => other.to_owned(),
    };
    let right = of.get("right").unwrap_or(&Value::Null);
    let several = right.get("set").and_then(Value::as_array).map_or_else(|| std::slice::from_ref(right), Vec::as_slice);
    let one = |port: &Value| match (port.as_u64(), port.get("range").and_then(Value::as_array).map(Vec::as_slice)) {
        (Some(port), _) => Some(format!("{protocol}/{port}")),
        (None, Some([from, to])) => Some(format!("{protocol}/{from}-{to}")),
        _ => None,
    };
    several.iter().take(PORTS_MAX).filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What nft 1.0.6 printed of `policy drop; ct state established accept; tcp dport { 22, 8000-8010 } accept; udp dport 5353 counter drop;
    /// goto rest`, the chain `rest` being `counter reject`.
    const LISTING: &str = r#"{"nftables": [{"metainfo": {"version": "1.0.6", "json_schema_version": 1}},
      {"table": {"family": "inet", "name": "t", "handle": 1}},
      {"chain": {"family": "inet", "table": "t", "name": "input", "handle": 1, "type": "filter", "hook": "input", "prio": 0, "policy": "accept"}},
      {"chain": {"family": "inet", "table": "t", "name": "rest", "handle": 2}},
      {"rule": {"family": "inet", "table": "t", "chain": "input", "handle": 4, "expr": [{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}, {"accept": null}]}},
      {"rule": {"family": "inet", "table": "t", "chain": "input", "handle": 6, "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": {"set": [22, {"range": [8000, 8010]}]}}}, {"accept": null}]}},
      {"rule": {"family": "inet", "table": "t", "chain": "input", "handle": 7, "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": 5353}}, {"counter": {"packets": 3, "bytes": 90}}, {"drop": null}]}},
      {"rule": {"family": "inet", "table": "t", "chain": "input", "handle": 8, "expr": [{"goto": {"target": "rest"}}]}},
      {"rule": {"family": "inet", "table": "t", "chain": "rest", "handle": 9, "expr": [{"counter": {"packets": 4, "bytes": 90}}, {"reject": {"type": "icmpx", "expr": "admin-prohibited"}}]}}]}"#;

    #[test]
    fn a_base_chain_is_told_with_all_that_it_leads_to() {
        let all = rows(&nftables(LISTING.as_bytes()).unwrap(), "nftables");
        let [row] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!((row.hook.as_str(), row.policy.as_str(), row.rules, row.dropping_rules), ("input", "accept", 5, 2));
        assert!(row.drops_rest);
        assert_eq!(row.dropped_packets, Some(7));
        assert_eq!(row.accepted_ports, ["tcp/22", "tcp/8000-8010"]);
        assert_eq!(row.dropped_ports, ["udp/5353"]);
    }

    #[test]
    fn a_listing_cut_anywhere_is_refused() {
        for cut in 0..LISTING.len() {
            assert!(nftables(&LISTING.as_bytes()[..cut]).is_err());
        }
        assert!(
            rows(
                &nftables(br#"{"nftables": [{"rule": {"expr": [3, {}, {"match": {}}]}}, {"chain": 3}]}"#).unwrap(),
                ""
            )
            .is_empty()
        );
    }

    #[test]
    fn chains_that_lead_to_one_another_end() {
        let place = |name: &str| ("ip".to_owned(), "filter".to_owned(), name.to_owned());
        let jump = |to: &str| Rule { verdict: Verdict::Chain(to.into()), ..Rule::default() };
        let chain = |hook: &str, to: &str| Chain { hook: hook.into(), rules: vec![jump(to)], ..Chain::default() };
        let chains = Chains::from([(place("INPUT"), chain("input", "a")), (place("a"), chain("", "INPUT"))]);
        let all = rows(&chains, "nftables");
        assert_eq!(
            all.first().map(|row| (row.rules, row.drops_rest, row.author.as_str())),
            Some((2, false, "iptables"))
        );
    }
}
