//! The proxies that programs of this machine are set to use, as the table `proxies` tells them.

use deskside_proto::v1::Proxy as Setting;

use super::EACH_MAX;
use super::listed::Listed;
use super::place::{Place, joined};
use crate::host::Host;
use crate::probe::now;

/// Who fetches pages for people, the one whose settings count first: the others follow the environment, or are browsers with settings of their own.
const PAGES: [&str; 5] = ["environment", "gnome", "kde", "firefox", "chrome"];

/// Words of desktops and browsers for "the proxy that is named here".
const NAMED: [&str; 2] = ["manual", "fixed_servers"];

/// And for "the one that a file chooses".
const BY_FILE: [&str; 3] = ["auto", "autoConfig", "pac_script"];

/// The usual port of a proxy that is written as a URL without one.
const PORT: u32 = 80;

/// A proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::probe) struct Proxy {
    /// Name or address.
    pub(in crate::probe) host: String,
    /// Port.
    pub(in crate::probe) port: u16,
    /// Where it is set.
    pub(in crate::probe) source: String,
    /// A login is written with it.
    pub(in crate::probe) login: bool,
    /// What it speaks that no probe does; empty where it speaks HTTP.
    pub(in crate::probe) speaks: &'static str,
}

impl Proxy {
    fn of(setting: &Setting) -> Option<Self> {
        let host = Place::read(&setting.host).ok()?.to_string();
        let port = u16::try_from(setting.port.unwrap_or(PORT)).ok()?;
        let speaks = match setting.value.split_once("://").map_or(setting.scheme.as_str(), |(scheme, _rest)| scheme) {
            scheme if scheme.starts_with("socks") => "SOCKS",
            "https" if setting.value.starts_with("https://") => "TLS to itself",
            _ => "",
        };
        Some(Self { host, port, source: setting.source.clone(), login: setting.credentials, speaks })
    }

    /// Host and port.
    pub(in crate::probe) fn place(&self) -> String {
        joined(&self.host, self.port)
    }
}

/// All that is set.
#[derive(Clone, Debug, Default)]
pub(in crate::probe) struct Proxies(Vec<Setting>);

impl Proxies {
    pub(in crate::probe) fn of(host: &dyn Host) -> Self {
        Self(now::rows(host).unwrap_or_default())
    }

    /// Every proxy that any program is set to use.
    pub(in crate::probe) fn all(&self) -> impl Iterator<Item = Proxy> {
        let named = |setting: &&Setting| !["none", "mode", "pac"].contains(&setting.scheme.as_str());
        self.0.iter().filter(named).filter_map(Proxy::of).take(EACH_MAX)
    }

    /// The proxy through which a page of a host is fetched; absent where it is fetched directly.
    pub(in crate::probe) fn for_page(&self, host: &str, secure: bool) -> Option<Proxy> {
        let wanted = if secure { "https" } else { "http" };
        PAGES
            .iter()
            .filter(|consumer| self.is_so(consumer, &NAMED))
            .find_map(|consumer| {
                let find = |scheme: &str| self.settings(consumer, scheme).find_map(Proxy::of);
                let proxy = find(wanted).or_else(|| find("all")).or_else(|| find("socks"))?;
                let apart = self.settings(consumer, "none").flat_map(|setting| setting.value.split([',', ';', ' ']));
                Some((proxy, { apart }.any(|line| is_apart(line, host))))
            })
            .filter(|(_proxy, apart)| !apart)
            .map(|(proxy, _apart)| proxy)
    }

    /// The address of the file that chooses the proxy, and where it is set.
    pub(in crate::probe) fn file(&self) -> Option<(&str, &str)> {
        let heeded = PAGES.iter().filter(|consumer| self.is_so(consumer, &BY_FILE));
        let mut settings = heeded.flat_map(|consumer| self.settings(consumer, "pac"));
        settings.next().map(|setting| (setting.value.as_str(), setting.source.as_str()))
    }

    fn settings(&self, consumer: &str, scheme: &str) -> impl Iterator<Item = &Setting> {
        self.0.iter().filter(move |setting| setting.consumer == consumer && setting.scheme == scheme)
    }

    /// Whether the consumer's mode is one of these; one without a mode uses whatever is set.
    fn is_so(&self, consumer: &str, modes: &[&str]) -> bool {
        self.settings(consumer, "mode").next().is_none_or(|mode| modes.contains(&mode.value.as_str()))
    }
}

/// Whether a line of `no_proxy` (curl(1)), or of what desktops and browsers have for it, means this host.
fn is_apart(line: &str, host: &str) -> bool {
    let line = line.trim().to_ascii_lowercase();
    if line == "<local>" {
        return !host.contains(['.', ':']);
    }
    if let (true, Ok(place)) = (line.contains('/'), Place::read(host)) {
        return Listed::read(&line).is_some_and(|network| network.covers(&place, None));
    }
    if line == "*" {
        return true;
    }
    let name = line.trim_start_matches(['*', '.']);
    !name.is_empty() && (host == name || host.strip_suffix(name).is_some_and(|before| before.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(consumer: &str, scheme: &str, value: &str, host: &str) -> Setting {
        Setting {
            source: format!("{consumer}'s file"),
            consumer: consumer.into(),
            scheme: scheme.into(),
            value: value.into(),
            host: host.into(),
            port: (!host.is_empty()).then_some(3128),
            ..Setting::default()
        }
    }

    #[test]
    fn a_page_goes_through_the_proxy_of_the_environment_before_that_of_a_browser() {
        let set = Proxies(vec![
            setting("firefox", "mode", "manual", ""),
            setting("firefox", "http", "fox.example:3128", "fox.example"),
            setting("environment", "https", "http://env.example:3128", "env.example"),
            setting("environment", "none", "localhost,.corp.example,10.0.0.0/8", ""),
            setting("apt", "http", "http://apt.example:3128", "apt.example"),
        ]);
        let of = |host: &str, secure| set.for_page(host, secure).map(|proxy| proxy.place());
        assert_eq!(of("a.example", true).as_deref(), Some("env.example:3128"));
        assert_eq!(of("a.example", false).as_deref(), Some("fox.example:3128"));
        assert_eq!([of("a.corp.example", true), of("10.1.2.3", true), of("localhost", true)], [None, None, None]);
        assert_eq!(of("notcorp.example", true).as_deref(), Some("env.example:3128"));
        assert_eq!(set.all().count(), 3);
    }

    #[test]
    fn a_proxy_that_the_mode_leaves_aside_is_none() {
        let old = |mode: &str| {
            Proxies(vec![
                setting("gnome", "mode", mode, ""),
                setting("gnome", "http", "old.example:3128", "old.example"),
                setting("gnome", "pac", "http://wpad.example/proxy.pac", "wpad.example"),
            ])
        };
        assert!(old("manual").for_page("a.example", false).is_some() && old("manual").file().is_none());
        assert!(old("auto").for_page("a.example", false).is_none());
        assert_eq!(old("auto").file(), Some(("http://wpad.example/proxy.pac", "gnome's file")));
        assert!(old("none").for_page("a.example", false).is_none() && old("none").file().is_none());
    }

    #[test]
    fn what_a_proxy_speaks_is_known_before_it_is_asked() {
        let speaks =
            |scheme: &str, value: &str| Proxy::of(&setting("gnome", scheme, value, "p.example")).unwrap().speaks;
        assert_eq!([speaks("all", "socks5://p.example:1080"), speaks("socks", "p.example:1080")], ["SOCKS"; 2]);
        assert_eq!(speaks("https", "https://p.example:3128"), "TLS to itself");
        assert_eq!([speaks("https", "http://p.example:3128"), speaks("https", "p.example:3128")], [""; 2]);
    }

    #[test]
    fn hosts_that_go_without_a_proxy_are_known_by_name_end_and_network() {
        for (line, host) in [
            ("*.a.example", "b.a.example"),
            ("a.example", "b.a.example"),
            ("A.Example", "a.example"),
            ("192.0.2.0/24", "192.0.2.9"),
            ("<local>", "intranet"),
            ("*", "b.example"),
        ] {
            assert!(is_apart(line, host), "{line} {host}");
        }
        for (line, host) in
            [("a.example", "ba.example"), ("", "a.example"), ("192.0.2.0/24", "a.example"), ("<local>", "a.example")]
        {
            assert!(!is_apart(line, host), "{line} {host}");
        }
    }
}
