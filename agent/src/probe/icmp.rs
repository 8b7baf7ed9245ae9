//! What ICMP errors mean, in words (RFC 792, RFC 1812 5.2.7, RFC 4443).

use crate::host::IcmpError;

/// What an error says.
pub(super) fn words(error: &IcmpError) -> &'static str {
    match (error.from.is_ipv4(), error.kind, error.code) {
        (true, 3, 0 | 6 | 11) | (false, 1, 0) => "no route leads there",
        (true, 3, 1 | 7 | 12) | (false, 1, 3) => "nobody answers at that address",
        (true, 3, 2) => "it does not take that protocol",
        (true, 3, 3) | (false, 1, 4) => "nobody listens at that port",
        (true, 3, 4) | (false, 2, 0) => "the packet is too large for the next link",
        (true, 3, 9 | 10 | 13) | (false, 1, 1) => "it is administratively prohibited",
        (false, 1, 5 | 6) => "a rule for that address rejects it",
        (true, 11, 0) | (false, 3, 0) => "the packet has passed too many routers",
        (true, 3, _) | (false, 1, _) => "it cannot be reached",
        _ => "the packet cannot be passed on",
    }
}

/// A firewall forbids it.
pub(super) fn is_prohibited(error: &IcmpError) -> bool {
    matches!((error.from.is_ipv4(), error.kind, error.code), (true, 3, 9 | 10 | 13) | (false, 1, 1 | 5 | 6))
}

/// It answers a packet that passed as many hops as it might.
pub(super) fn is_hop(error: &IcmpError) -> bool {
    matches!((error.from.is_ipv4(), error.kind, error.code), (true, 11, 0) | (false, 3, 0))
}

/// The next link takes only smaller packets.
pub(super) fn is_too_large(error: &IcmpError) -> bool {
    matches!((error.from.is_ipv4(), error.kind, error.code), (true, 3, 4) | (false, 2, _))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn each_family_has_numbers_of_its_own() {
        let error = |from: &str, kind, code| IcmpError { from: from.parse::<IpAddr>().unwrap(), kind, code, mtu: None };
        for (from, kind, code, said) in [
            ("192.0.2.1", 3, 13, "it is administratively prohibited"),
            ("2001:db8::1", 1, 1, "it is administratively prohibited"),
            ("192.0.2.1", 3, 1, "nobody answers at that address"),
            ("2001:db8::1", 3, 0, "the packet has passed too many routers"),
            ("192.0.2.1", 3, 99, "it cannot be reached"),
            ("192.0.2.1", 12, 0, "the packet cannot be passed on"),
        ] {
            assert_eq!(words(&error(from, kind, code)), said);
        }
        assert!(is_prohibited(&error("192.0.2.1", 3, 10)) && !is_prohibited(&error("192.0.2.1", 3, 1)));
        assert!(is_hop(&error("2001:db8::1", 3, 0)) && !is_hop(&error("192.0.2.1", 3, 0)));
    }
}
