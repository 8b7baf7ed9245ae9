//! What the machine was told of portals: by DHCP (RFC 8910), and by the settings of its own check.

use crate::host::Host;

/// Most lines of one file that are read.
const LINES_MAX: usize = 2_000;

/// Most files of a folder that are read.
const FILES_MAX: usize = 64;

/// Leases of `systemd-networkd(8)` and of NetworkManager's own client, one file a link.
const LEASES: [&str; 2] = ["/run/systemd/netif/leases", "/var/lib/NetworkManager"];

/// Leases of dhclient(8).
const DHCLIENT: [&str; 3] = ["/var/lib/dhcp", "/var/lib/dhclient", "/var/lib/NetworkManager"];

/// Settings of NetworkManager, the later over the earlier (`NetworkManager.conf(5)`).
const SETTINGS: [&str; 3] =
    ["/usr/lib/NetworkManager/conf.d", "/run/NetworkManager/conf.d", "/etc/NetworkManager/conf.d"];

/// What NetworkManager's page answers where its settings name no other answer.
const USUAL: &str = "NetworkManager is online";

/// A page whose answer is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::probe) struct Check {
    pub(in crate::probe) url: String,
    /// What its answer begins with; empty where it has no body (204).
    pub(in crate::probe) expect: String,
}

/// The page that NetworkManager is set up to check.
pub(in crate::probe) fn check(host: &dyn Host) -> Option<Check> {
    let mut texts = Vec::new();
    for folder in SETTINGS {
        for name in host.list(folder).unwrap_or_default().iter().take(FILES_MAX) {
            texts.extend(host.text(&format!("{folder}/{name}")).ok());
        }
    }
    texts.insert(0, host.text("/etc/NetworkManager/NetworkManager.conf").unwrap_or_default());
    let (mut url, mut expect) = (None, None);
    for text in &texts {
        let section = text.lines().take(LINES_MAX).map(str::trim).skip_while(|line| *line != "[connectivity]").skip(1);
        for line in section.take_while(|line| !line.starts_with('[')) {
            match line.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
                Some(("uri", value)) => url = Some(value.to_owned()),
                Some(("response", value)) => expect = Some(value.to_owned()),
                _ => {}
            }
        }
    }
    let url = url.filter(|url| !url.is_empty())?;
    Some(Check { url, expect: expect.unwrap_or_else(|| USUAL.into()) })
}

/// The addresses that DHCP's option 114 names, each once.
pub(super) fn option(host: &dyn Host) -> Vec<String> {
    let mut all = Vec::new();
    let mut take = |folders: &[&str], read: fn(&str) -> Option<String>| {
        for folder in folders {
            for name in host.list(folder).unwrap_or_default().iter().take(FILES_MAX) {
                let told = host.text(&format!("{folder}/{name}")).ok().and_then(|text| read(&text));
                all.extend(told.filter(|told| !all.contains(told)));
            }
        }
    };
    take(&LEASES, networkd);
    take(&DHCLIENT, dhclient);
    all
}

fn networkd(lease: &str) -> Option<String> {
    lease.lines().take(LINES_MAX).find_map(|line| line.strip_prefix("CAPTIVE_PORTAL=")).map(str::to_owned)
}

/// The last lease in the file stands. dhclient knows the option under the name that it had before RFC 8910.
fn dhclient(leases: &str) -> Option<String> {
    let last = leases.rsplit("lease {").next()?;
    let options = last.lines().take(LINES_MAX).filter_map(|line| line.trim().strip_prefix("option "));
    let mut named = options.filter_map(|option| option.split_once(' '));
    let (_name, value) =
        named.find(|(name, _value)| ["default-url", "captive-portal", "v4-captive-portal"].contains(name))?;
    Some(value.trim_end_matches(';').trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_names_its_portal() {
        assert_eq!(
            networkd("ADDRESS=192.0.2.9\nCAPTIVE_PORTAL=https://portal.example/api\n").as_deref(),
            Some("https://portal.example/api")
        );
        let leases = "lease {\n  option default-url \"http://old.example/\";\n}\nlease {\n  fixed-address 192.0.2.9;\n  \
                      option default-url \"https://portal.example/api\";\n}\n";
        assert_eq!(dhclient(leases).as_deref(), Some("https://portal.example/api"));
        assert_eq!(dhclient("lease {\n  option routers 192.0.2.1;\n}\n"), None);
        assert_eq!(dhclient(""), None);
    }
}
