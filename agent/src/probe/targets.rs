//! What probes may reach: what the machine is itself set up to use, and what policy lists. An agent is no scanner.

use std::net::IpAddr;

use deskside_proto::v1::Policy;

use super::Unrun;
use crate::host::Host;
use listed::Listed;
use place::Place;

pub(super) mod configured;
mod listed;
pub(super) mod place;
pub(super) mod proxies;

/// Most of each kind of place that the machine's settings name.
const EACH_MAX: usize = 64;

/// Most lines of a policy's list that are heeded.
const LISTED_MAX: usize = 1_000;

/// Whether a probe may send something to a target, at a port where it is one port that is meant. A name is matched by name and an address by
/// address: what a name resolves to is not asked. A refusal says what would allow it.
pub(super) fn allowed(host: &dyn Host, policy: &Policy, target: &str, port: Option<u16>) -> Result<(), Unrun> {
    let place = Place::read(target).map_err(Unrun::Refused)?;
    let listed = policy.targets.iter().take(LISTED_MAX).map(String::as_str);
    if listed.filter_map(Listed::read).any(|listed| listed.covers(&place, port)) {
        return Ok(());
    }
    let help_desk =
        Listed::read(&policy.help_desk).is_some_and(|listed| listed.is_one() && listed.covers(&place, port));
    if help_desk || configured::uses(host, &place, port) {
        return Ok(());
    }
    let at = port.map(|port| format!(", port {port}")).unwrap_or_default();
    Err(Unrun::Refused(format!(
        "{place}{at} is not tested: this machine is not set up to use it; add it to targets in the server's [policy] to allow it"
    )))
}

/// The machine itself: nothing leaves it.
fn is_here(place: &Place) -> bool {
    matches!(place, Place::Address(address) if address.is_loopback())
        || matches!(place, Place::Name(name) if name == "localhost")
}

/// The address itself: one that is IPv4 written as IPv6 is IPv4 (RFC 4291, 2.5.5.2).
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::host::Recorded;

    fn machine() -> (tempfile::TempDir, Recorded) {
        let folder = tempfile::tempdir().unwrap();
        let mounts = "36 1 0:40 / /home rw - nfs4 files.example:/home rw\n";
        for (path, text) in [
            ("host.json", "{}"),
            ("files/etc/resolv.conf", "nameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch a.example\n"),
            ("files/etc/chrony/chrony.conf", "server ntp.example\n"),
            ("files/etc/environment", "http_proxy=http://proxy.example:3128\n"),
            ("files/proc/self/mountinfo", mounts),
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let host = Recorded::open(folder.path()).unwrap();
        (folder, host)
    }

    fn policy(targets: &[&str]) -> Policy {
        Policy { targets: targets.iter().map(ToString::to_string).collect(), ..Policy::default() }
    }

    fn is_allowed(targets: &[&str], target: &str, port: Option<u16>) -> bool {
        allowed(&machine().1, &policy(targets), target, port).is_ok()
    }

    #[test]
    fn a_list_covers_what_it_says_and_nothing_else() {
        for (line, target, port) in [
            ("intranet.example", "intranet.example", Some(80)),
            ("intranet.example", "Intranet.Example.", None),
            ("*.example.com", "a.b.example.com", Some(443)),
            ("192.0.2.7", "192.0.2.7", None),
            ("192.0.2.7", "::ffff:192.0.2.7", None),
            ("::ffff:192.0.2.7", "192.0.2.7", None),
            ("10.1.0.0/16", "10.1.255.255", Some(1)),
            ("::ffff:10.1.0.0/112", "10.1.2.3", None),
            ("0.0.0.0/0", "203.0.113.1", None),
            ("10.1.0.0/16:22", "10.1.2.3", Some(22)),
            ("2001:db8::/32", "[2001:db8::7]", Some(443)),
            ("[2001:db8::/32]:443", "2001:db8::7", Some(443)),
            ("[2001:db8::7]:443", "2001:db8:0:0::7", Some(443)),
            ("fe80::/10", "fe80::1%eth0", None),
            ("*", "anything.example", Some(1)),
            ("*:443", "anything.example", Some(443)),
        ] {
            assert!(is_allowed(&[line], target, port), "{line} covers {target} {port:?}");
        }
        for (line, target, port) in [
            ("intranet.example", "intranet.example.org", None),
            ("intranet.example", "notintranet.example", None),
            ("*.example.com", "example.com", None),
            ("*.example.com", "notexample.com", None),
            ("*.example.com", "192.0.2.7", None),
            ("10.1.0.0/16", "10.2.0.1", None),
            ("10.1.0.0/16", "ten.example", None),
            ("0.0.0.0/0", "2001:db8::1", None),
            ("10.1.0.0/16:22", "10.1.2.3", Some(23)),
            ("10.1.0.0/16:22", "10.1.2.3", None),
            ("10.1.0.0/33", "10.1.0.0", None),
            ("10.1.0.0/-1", "10.1.0.0", None),
            ("10.1.0.0/", "10.1.0.0", None),
            ("*:443", "anything.example", Some(80)),
            ("*:0", "anything.example", Some(0)),
            ("**", "anything.example", None),
            ("*example.com", "example.com", None),
            ("", "anything.example", None),
        ] {
            assert!(!is_allowed(&[line], target, port), "{line} does not cover {target} {port:?}");
        }
    }

    #[test]
    fn what_the_machine_is_set_up_to_use_is_allowed_at_its_ports() {
        for (target, port) in [
            ("192.0.2.53", Some(53)),
            ("192.0.2.53", None),
            ("2001:db8::53", Some(853)),
            ("ntp.example", Some(123)),
            ("proxy.example", Some(3128)),
            ("files.example", Some(2049)),
            ("127.0.0.1", Some(631)),
            ("localhost", None),
        ] {
            assert!(is_allowed(&[], target, port), "{target} {port:?}");
        }
        for (target, port) in [
            ("192.0.2.53", Some(22)),
            ("ntp.example", Some(22)),
            ("proxy.example", Some(80)),
            ("a.example", None),
            ("192.0.2.54", None),
        ] {
            assert!(!is_allowed(&[], target, port), "{target} {port:?}");
        }
        let desk = Policy { help_desk: "desk.example:8080".into(), ..Policy::default() };
        assert!(allowed(&machine().1, &desk, "desk.example", Some(8080)).is_ok());
        assert!(allowed(&machine().1, &desk, "desk.example", Some(22)).is_err());
        let all = Policy { help_desk: "*".into(), ..Policy::default() };
        assert!(allowed(&machine().1, &all, "desk.example", Some(8080)).is_err(), "a help desk is one place");
    }

    #[test]
    fn who_gave_the_address_and_the_proxies_of_all_programs_are_allowed() {
        let host = |name: &str| {
            let hosts = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/hosts");
            Recorded::open(&hosts.join(name)).unwrap()
        };
        let is_allowed = |name: &str, target: &str, port| allowed(&host(name), &policy(&[]), target, port).is_ok();
        assert!(is_allowed("desktop", "192.0.2.2", None), "its DHCP server");
        assert!(is_allowed("desktop", "192.0.2.2", Some(67)) && !is_allowed("desktop", "192.0.2.2", Some(22)));
        assert!(!is_allowed("desktop", "192.0.2.188", None), "a DHCP server of a lease that is not held");
        assert!(is_allowed("desktop", "apt-cache.office.example", Some(3142)), "apt's proxy");
        assert!(
            is_allowed("laptop", "proxy.corp.example", Some(3128))
                && !is_allowed("laptop", "proxy.corp.example", Some(22))
        );
    }

    #[test]
    fn a_refusal_says_what_would_allow_it() {
        let refused = allowed(&machine().1, &policy(&[]), "192.0.2.99", Some(22)).unwrap_err().to_string();
        assert_eq!(
            refused,
            "192.0.2.99, port 22 is not tested: this machine is not set up to use it; add it to targets in the server's [policy] to allow it"
        );
    }

    #[test]
    fn what_is_no_target_is_refused_even_where_everything_is_allowed() {
        let huge = "a".repeat(100_000);
        let long = format!("{}.example", "a".repeat(64));
        for target in [
            "",
            ".",
            "..",
            "a..example",
            ".example",
            "a.example..",
            "a b",
            "a\n.example",
            "a\0",
            "a/b",
            "../etc",
            "-rf",
            "a.-b",
            "bücher.example",
            "010.0.0.1",
            "0x7f.1",
            "0x7f000001",
            "2130706433",
            "127.1",
            "256.1.1.1",
            "1.2.3.4.5",
            "192.0.2.7.",
            "[::1",
            "::1]",
            "fe80::1%",
            "fe80::1%a b",
            "1.2.3.4%eth0",
            "a.example:80",
            "*",
            "*.example",
            &huge,
            &long,
        ] {
            assert!(!is_allowed(&["*"], target, None), "{target:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_breaks_it_and_nothing_unlisted_passes(line in "[\\PC:*./\\[\\]%]{0,40}", target in "[\\PC:.%\\[\\]]{0,40}") {
            let listed = Listed::read(&line);
            if let (Some(listed), Ok(place)) = (listed, Place::read(&target)) {
                listed.covers(&place, Some(1));
            }
            prop_assert!(!Listed::read("a.example").unwrap().covers(&Place::Name("b.example".into()), None));
        }
    }
}
