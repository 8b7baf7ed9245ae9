//! Rules that choose a routing table (policy routing), as VPNs and network managers set them.

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::RouteRule;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};

use super::routes::protocol;
use crate::collect::network::rtnetlink;
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::{Host, Netlink};

pub(in crate::collect) const ROUTE_RULES: Collector =
    Collector { table: RouteRule::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(5)), look };

/// Most rules.
const ROWS_MAX: usize = 1_000;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let listing = rtnetlink::ask(host, Netlink::Rules)?;
    let all = listing.messages.iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewRule(rule) => row(rule),
        _ => None,
    });
    let all: Vec<RouteRule> = all.collect();
    let more = all.len().saturating_sub(ROWS_MAX);
    let mut rows: Rows = all.into_iter().take(ROWS_MAX).collect();
    if more > 0 {
        rows.missing(format!("{more} rules after the first {ROWS_MAX}"));
    }
    listing.confess(&mut rows);
    Ok(rows)
}

fn row(rule: &RuleMessage) -> Option<RouteRule> {
    let header = &rule.header;
    let mut row = RouteRule {
        family: rtnetlink::family(header.family)?.into(),
        from: "all".into(),
        to: "all".into(),
        inverted: header.flags.contains(RuleFlags::Invert),
        action: action(header.action),
        ..RouteRule::default()
    };
    if header.tos != 0 {
        row.conditions.push(format!("tos {}", header.tos));
    }
    // The header has room for table numbers up to 255 only; larger ones are in an attribute.
    let mut table = u32::from(header.table);
    let (mut mark, mut mask) = (None, None);
    for attribute in &rule.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => row.priority = *priority,
            RuleAttribute::Source(ip) => row.from = format!("{ip}/{}", header.src_len),
            RuleAttribute::Destination(ip) => row.to = format!("{ip}/{}", header.dst_len),
            RuleAttribute::Iifname(name) => row.input_interface.clone_from(name),
            RuleAttribute::Oifname(name) => row.output_interface.clone_from(name),
            RuleAttribute::FwMark(value) => mark = Some(*value),
            RuleAttribute::FwMask(value) => mask = Some(*value),
            RuleAttribute::Table(number) => table = *number,
            RuleAttribute::Protocol(number) => row.protocol = protocol(*number),
            RuleAttribute::UidRange(range) => row.users = format!("{}-{}", range.start, range.end),
            // The kernel says -1 where nothing is suppressed.
            RuleAttribute::SuppressPrefixLen(length) => {
                row.suppress_prefix_length = (*length != u32::MAX).then_some(*length);
            }
            other => row.conditions.extend(condition(other)),
        }
    }
    row.mark = mark_words(mark, mask);
    row.table = (header.action == RuleAction::ToTable).then_some(table);
    Some(row)
}

/// The words of ip-rule(8).
fn condition(attribute: &RuleAttribute) -> Option<String> {
    Some(match attribute {
        RuleAttribute::Goto(priority) => format!("goto {priority}"),
        RuleAttribute::IpProtocol(protocol) => format!("ipproto {}", i32::from(*protocol)),
        RuleAttribute::SourcePortRange(ports) => format!("sport {}", range(ports.start, ports.end)),
        RuleAttribute::DestinationPortRange(ports) => format!("dport {}", range(ports.start, ports.end)),
        RuleAttribute::TunId(number) => format!("tun_id {number}"),
        RuleAttribute::L3MDev(true) => "l3mdev".into(),
        RuleAttribute::SuppressIfGroup(group) if *group != u32::MAX => format!("suppress_ifgroup {group}"),
        _ => return None,
    })
}

fn range(start: u16, end: u16) -> String {
    if start == end { start.to_string() } else { format!("{start}-{end}") }
}

fn mark_words(mark: Option<u32>, mask: Option<u32>) -> String {
    match (mark, mask) {
        (None, None) => String::new(),
        (mark, None | Some(u32::MAX)) => format!("{:#x}", mark.unwrap_or_default()),
        (mark, Some(mask)) => format!("{:#x}/{mask:#x}", mark.unwrap_or_default()),
    }
}

fn action(action: RuleAction) -> String {
    match action {
        RuleAction::ToTable => "table".into(),
        RuleAction::Other(number) => number.to_string(),
        other => format!("{other:?}").to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::AddressFamily;

    use super::*;

    fn rule(attributes: Vec<RuleAttribute>) -> RuleMessage {
        let mut message = RuleMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.action = RuleAction::ToTable;
        message.attributes = attributes;
        message
    }

    #[test]
    fn a_tunnels_rule_is_told_in_the_words_of_ip_rule() {
        let mut message = rule(vec![
            RuleAttribute::Priority(32764),
            RuleAttribute::FwMark(0xca6c),
            RuleAttribute::FwMask(u32::MAX),
            RuleAttribute::Table(51820),
            RuleAttribute::SuppressPrefixLen(u32::MAX),
        ]);
        message.header.flags = RuleFlags::Invert;
        let row = row(&message).unwrap();
        assert_eq!((row.priority, row.mark.as_str(), row.table, row.inverted), (32764, "0xca6c", Some(51820), true));
        assert_eq!((row.from.as_str(), row.to.as_str(), row.suppress_prefix_length), ("all", "all", None));
        assert_eq!(row.action, "table");
    }

    #[test]
    fn a_mark_without_a_mask_is_whole_and_other_actions_have_no_table() {
        assert_eq!(mark_words(Some(1), Some(0xff)), "0x1/0xff");
        assert_eq!(mark_words(None, None), "");
        let mut message = rule(vec![RuleAttribute::SuppressPrefixLen(0)]);
        message.header.action = RuleAction::Prohibit;
        let row = row(&message).unwrap();
        assert_eq!((row.action.as_str(), row.table, row.suppress_prefix_length), ("prohibit", None, Some(0)));
    }
}
