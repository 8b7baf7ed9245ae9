//! Proxies that are set for programs of this machine. What is written of users and passwords is cut out before anything is kept.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::Proxy;
use serde_json::Value;

use crate::collect::procfs;
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const PROXIES: Collector =
    Collector { table: Proxy::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_hours(1)), look };

/// Most rows.
const ROWS_MAX: usize = 200;

/// Most files of one folder.
const FILES_MAX: usize = 100;

/// Most lines of one file.
const LINES_MAX: usize = 10_000;

/// Longest value.
const VALUE_CHARS_MAX: usize = 500;

/// Most processes whose environment is looked for.
const PROCESSES_MAX: usize = 20_000;

/// Files, or folders of files, that set the environment: of logins, and of systemd's services.
const ENVIRONMENTS: [(&str, &str); 6] = [
    ("/etc/environment", "environment"),
    ("/etc/profile", "environment"),
    ("/etc/profile.d", "environment"),
    ("/etc/environment.d", "environment"),
    ("/etc/systemd/system.conf", "services"),
    ("/etc/systemd/system.conf.d", "services"),
];

/// File, consumer, and what each name means.
type Setting = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// Files with lines "name = value", the consumer, and the name's meaning.
const SETTINGS: [Setting; 3] = [
    ("/etc/wgetrc", "wget", &[("http_proxy", "http"), ("https_proxy", "https"), ("ftp_proxy", "ftp")]),
    ("/etc/dnf/dnf.conf", "dnf", &[("proxy", "all")]),
    ("/etc/yum.conf", "dnf", &[("proxy", "all")]),
];

/// Policies of browsers.
const FIREFOX: &str = "/etc/firefox/policies/policies.json";
const CHROME: [&str; 3] =
    ["/etc/opt/chrome/policies/managed", "/etc/chromium/policies/managed", "/etc/opt/edge/policies/managed"];

/// Programs whose environment a person's other programs inherit.
const SESSIONS: [&str; 8] = [
    "gnome-shell",
    "gnome-session-b",
    "plasmashell",
    "startplasma-x11",
    "startplasma-way",
    "xfce4-session",
    "cinnamon",
    "mate-session",
];

#[expect(clippy::unnecessary_wraps, reason = "it has the form of all looks, and tells of each part that fails")]
fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let mut found = Found { host, rows: Vec::new(), missing: Vec::new() };
    for (place, consumer) in ENVIRONMENTS {
        found.each_file(place, |found, path, text| found.environment(path, consumer, text));
    }
    for (place, consumer, names) in SETTINGS {
        found.each_file(place, |found, path, text| found.settings(path, consumer, names, text));
    }
    found.apt();
    for folder in found.folders("/etc/dconf/db", ".d") {
        found.each_file(&folder, Found::gnome);
    }
    found.each_file("/etc/xdg/kioslaverc", Found::kde);
    found.each_file(FIREFOX, Found::firefox);
    for folder in CHROME {
        found.each_file(folder, Found::chrome);
    }
    found.sessions();
    let Found { mut rows, mut missing, .. } = found;
    if rows.len() > ROWS_MAX {
        missing.push(format!("{} settings after the first {ROWS_MAX}", rows.len() - ROWS_MAX));
        rows.truncate(ROWS_MAX);
    }
    let mut rows: Rows = rows.into_iter().collect();
    for part in missing {
        rows.ends_early(part);
    }
    Ok(rows)
}

/// What was found so far.
struct Found<'a> {
    host: &'a dyn Host,
    rows: Vec<Proxy>,
    missing: Vec<String>,
}

impl Found<'_> {
    fn push(&mut self, source: &str, consumer: &str, scheme: &str, value: &str) {
        let value = value.trim().trim_matches(['"', '\'']);
        if value.is_empty() {
            return;
        }
        let mut row =
            Proxy { source: source.into(), consumer: consumer.into(), scheme: scheme.into(), ..Proxy::default() };
        (row.value, row.credentials) = cleaned(value, scheme == "none");
        // "DIRECT" of apt: none.
        if !["none", "mode"].contains(&scheme) && row.value != "DIRECT" {
            (row.host, row.port) = host_and_port(&row.value);
        }
        let known = self.rows.iter().any(|known| {
            (&known.source, &known.consumer, &known.scheme, &known.user)
                == (&row.source, &row.consumer, &row.scheme, &row.user)
        });
        if !known {
            self.rows.push(row);
        }
    }

    /// A file, or each file of a folder.
    fn each_file(&mut self, place: &str, mut take: impl FnMut(&mut Self, &str, &str)) {
        let files = match self.host.list(place) {
            Ok(names) => names.iter().take(FILES_MAX).map(|name| format!("{place}/{name}")).collect(),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                self.missing.push(format!("{place}; CAP_DAC_READ_SEARCH would allow it"));
                return;
            }
            Err(_no_folder) => vec![place.to_owned()],
        };
        for path in files {
            match self.host.text(&path) {
                Ok(text) => take(self, &path, &text),
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    self.missing.push(format!("{path}; CAP_DAC_READ_SEARCH would allow it"));
                }
                Err(_absent) => {}
            }
        }
    }

    fn folders(&self, place: &str, end: &str) -> Vec<String> {
        let names = self.host.list(place).unwrap_or_default().into_iter().filter(|name| name.ends_with(end));
        names.take(FILES_MAX).map(|name| format!("{place}/{name}")).collect()
    }

    /// `export http_proxy=...`, `HTTPS_PROXY="..."`, and `DefaultEnvironment="http_proxy=..." ...` of systemd.
    fn environment(&mut self, path: &str, consumer: &str, text: &str) {
        for line in text.lines().take(LINES_MAX) {
            let line = line.trim();
            if line.starts_with('#') {
                continue;
            }
            let line = line.strip_prefix("DefaultEnvironment=").unwrap_or(line);
            for (scheme, value) in variables(line) {
                self.push(path, consumer, scheme, &value);
            }
        }
    }

    fn settings(&mut self, path: &str, consumer: &str, names: &[(&str, &str)], text: &str) {
        for (name, value) in pairs(text) {
            if let Some((_name, scheme)) = names.iter().find(|(known, _scheme)| *known == name) {
                self.push(path, consumer, scheme, value);
            }
        }
    }

    /// `Acquire::http::Proxy "http://proxy.example:3128/";`, as apt puts all of its files together.
    fn apt(&mut self) {
        let ran = match self.host.run("apt-config", &["dump", "--no-empty"]) {
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(error) => return self.missing.push(format!("apt's settings: {error}")),
            Ok(ran) => ran,
        };
        for line in String::from_utf8_lossy(&ran.stdout).lines().take(LINES_MAX) {
            let Some((name, value)) = line.trim_end_matches(';').split_once(' ') else { continue };
            let parts: Vec<String> = name.split("::").map(str::to_lowercase).collect();
            match parts.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["acquire", scheme @ ("http" | "https" | "ftp" | "socks"), "proxy"] => {
                    self.push("apt", "apt", scheme, value);
                }
                ["acquire", _scheme, "proxy-auto-detect" | "proxyautodetect"] => {
                    self.push("apt", "apt", "mode", "auto");
                }
                _ => {}
            }
        }
    }

    /// Keyfiles of dconf(7): `[system/proxy]` and the groups below it.
    fn gnome(&mut self, path: &str, text: &str) {
        let mut group = "";
        let mut host = String::new();
        for line in text.lines().take(LINES_MAX).map(str::trim) {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                (group, host) = (name, String::new());
                continue;
            }
            let Some((name, value)) = line.split_once('=') else { continue };
            let value = value.trim().trim_matches('\'');
            match (group, name.trim()) {
                ("system/proxy", "mode") => self.push(path, "gnome", "mode", value),
                ("system/proxy", "autoconfig-url") => self.push(path, "gnome", "pac", value),
                ("system/proxy", "ignore-hosts") => {
                    let hosts = value.trim_matches(['[', ']']).replace(['\'', ' '], "");
                    self.push(path, "gnome", "none", &hosts);
                }
                (group, "host") if group.starts_with("system/proxy/") => value.clone_into(&mut host),
                (group, "port") if !host.is_empty() => {
                    if let Some(scheme) = group.strip_prefix("system/proxy/") {
                        self.push(path, "gnome", scheme, &format!("{host}:{value}"));
                    }
                }
                _ => {}
            }
        }
    }

    /// `[Proxy Settings]` of KDE's `kioslaverc`: the type is a number, host and port are parted by a blank.
    fn kde(&mut self, path: &str, text: &str) {
        for (name, value) in pairs(text) {
            match name {
                "ProxyType" => {
                    let mode = match value {
                        "0" => "none",
                        "1" => "manual",
                        "2" => "auto",
                        "3" => "wpad",
                        "4" => "system",
                        other => other,
                    };
                    self.push(path, "kde", "mode", mode);
                }
                "Proxy Config Script" => self.push(path, "kde", "pac", value),
                "NoProxyFor" => self.push(path, "kde", "none", value),
                "httpProxy" => self.push(path, "kde", "http", &value.replace(' ', ":")),
                "httpsProxy" => self.push(path, "kde", "https", &value.replace(' ', ":")),
                "ftpProxy" => self.push(path, "kde", "ftp", &value.replace(' ', ":")),
                "socksProxy" => self.push(path, "kde", "socks", &value.replace(' ', ":")),
                _ => {}
            }
        }
    }

    fn firefox(&mut self, path: &str, text: &str) {
        let policies = serde_json::from_str::<Value>(text).unwrap_or_default();
        let Some(proxy) = policies.pointer("/policies/Proxy") else { return };
        let names = [
            ("Mode", "mode"),
            ("HTTPProxy", "http"),
            ("SSLProxy", "https"),
            ("FTPProxy", "ftp"),
            ("SOCKSProxy", "socks"),
            ("AutoConfigURL", "pac"),
            ("Passthrough", "none"),
        ];
        self.named(path, "firefox", proxy, &names);
    }

    fn chrome(&mut self, path: &str, text: &str) {
        let policies = serde_json::from_str::<Value>(text).unwrap_or_default();
        let names =
            [("ProxyMode", "mode"), ("ProxyServer", "all"), ("ProxyPacUrl", "pac"), ("ProxyBypassList", "none")];
        self.named(path, "chrome", &policies, &names);
        if let Some(settings) = policies.get("ProxySettings") {
            self.named(path, "chrome", settings, &names);
        }
    }

    fn named(&mut self, path: &str, consumer: &str, of: &Value, names: &[(&str, &str)]) {
        for (name, scheme) in names {
            if let Some(value) = of.get(name).and_then(Value::as_str) {
                self.push(path, consumer, scheme, value);
            }
        }
    }

    /// The environment of a person's session, where it may be read: one process a person. No home is entered.
    fn sessions(&mut self) {
        let mut seen = BTreeSet::new();
        let processes = self.host.list("/proc").unwrap_or_default();
        for pid in processes.iter().filter(|name| name.parse::<u32>().is_ok()).take(PROCESSES_MAX) {
            let stat = self.host.text(&format!("/proc/{pid}/stat")).ok().and_then(|text| procfs::stat(&text).ok());
            let Some(program) = stat.map(|stat| stat.name) else { continue };
            if !SESSIONS.contains(&program.as_str()) {
                continue;
            }
            let status = self.host.text(&format!("/proc/{pid}/status")).unwrap_or_default();
            let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next());
            let Some(uid) = uid.filter(|uid| seen.insert((*uid).to_owned())) else { continue };
            match self.host.text(&format!("/proc/{pid}/environ")) {
                Ok(environ) => {
                    let from = self.rows.len();
                    for (scheme, value) in environ.split('\0').flat_map(variables) {
                        self.push(&format!("session of {program}"), "environment", scheme, &value);
                    }
                    self.rows.iter_mut().skip(from).for_each(|row| uid.clone_into(&mut row.user));
                }
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    self.missing.push("the environment of sessions; CAP_SYS_PTRACE would allow it".into());
                    return;
                }
                Err(_ended) => {}
            }
        }
    }
}

/// `name = value`
fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text.lines().take(LINES_MAX).filter(|line| !line.trim_start().starts_with(['#', ';']));
    lines.filter_map(|line| line.split_once('=')).map(|(name, value)| (name.trim(), value.trim()))
}

/// The assignments of a line that set a proxy, whatever stands before them.
fn variables(line: &str) -> Vec<(&'static str, String)> {
    let names = [
        ("http_proxy", "http"),
        ("https_proxy", "https"),
        ("ftp_proxy", "ftp"),
        ("all_proxy", "all"),
        ("no_proxy", "none"),
    ];
    let words = line.split_whitespace().map(|word| word.trim_matches(['"', '\'', ';']));
    let assigned = words.filter_map(|word| word.split_once('='));
    let known = assigned.filter_map(|(name, value)| {
        let scheme = names.iter().find(|(known, _scheme)| name.eq_ignore_ascii_case(known))?.1;
        Some((scheme, value.trim_matches(['"', '\'', ';']).to_owned()))
    });
    // A value that is put together from others says nothing here.
    known.filter(|(_scheme, value)| !value.starts_with('$')).collect()
}

/// Without `user:password@`, wherever it stands, and without what a URL asks with; and whether there was a user. A password may hold a slash,
/// a comma or an @: all before the last @ goes.
fn cleaned(value: &str, is_list: bool) -> (String, bool) {
    if is_list {
        return (value.chars().take(VALUE_CHARS_MAX).collect(), false);
    }
    let (scheme, rest) = value.split_once("://").map_or(("", value), |(scheme, rest)| (scheme, rest));
    let (user, place) = rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user), place));
    let place = place.split(['?', '#']).next().unwrap_or_default();
    let clean = if scheme.is_empty() { place.to_owned() } else { format!("{scheme}://{place}") };
    (clean.chars().take(VALUE_CHARS_MAX).collect(), user.is_some())
}

fn host_and_port(value: &str) -> (String, Option<u32>) {
    let rest = value.split_once("://").map_or(value, |(_scheme, rest)| rest);
    let place = rest.split('/').next().unwrap_or_default();
    match place.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && port.parse::<u16>().is_ok() => {
            (host.trim_matches(['[', ']']).to_owned(), port.parse().ok())
        }
        _ => (place.trim_matches(['[', ']']).to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn users_and_passwords_are_cut_out_wherever_they_stand() {
        let clean = |value: &str| cleaned(value, false).0;
        assert_eq!(
            cleaned("http://anna:secret@proxy.example:3128/", false),
            ("http://proxy.example:3128/".into(), true)
        );
        assert_eq!(clean("anna:secret@proxy.example:3128"), "proxy.example:3128");
        assert_eq!(clean("http://anna:se/cr@et@proxy.example:3128"), "http://proxy.example:3128");
        assert_eq!(cleaned("http://proxy.example:3128", false), ("http://proxy.example:3128".into(), false));
        assert_eq!(clean("http://wpad.example/proxy.pac?token=secret"), "http://wpad.example/proxy.pac");
        assert_eq!(cleaned("localhost,127.0.0.0/8,.example", true).0, "localhost,127.0.0.0/8,.example");
    }

    #[test]
    fn lines_of_shells_and_of_systemd_are_read() {
        let of = |line: &str| variables(line);
        assert_eq!(
            of("export http_proxy=\"http://p:1\" https_proxy='http://p:2'"),
            [("http", "http://p:1".into()), ("https", "http://p:2".into())]
        );
        assert_eq!(of("NO_PROXY=localhost,.example; export NO_PROXY"), [("none", "localhost,.example".into())]);
        assert_eq!(of("\"HTTP_PROXY=http://p:1\" \"LANG=C\""), [("http", "http://p:1".into())]);
        assert_eq!(of("export https_proxy=$http_proxy"), []);
    }

    #[test]
    fn host_and_port_are_told_apart() {
        assert_eq!(host_and_port("http://proxy.example:3128/"), ("proxy.example".into(), Some(3128)));
        assert_eq!(host_and_port("http://[2001:db8::1]:3128"), ("2001:db8::1".into(), Some(3128)));
        assert_eq!(host_and_port("proxy.example"), ("proxy.example".into(), None));
    }

    proptest! {
        #[test]
        fn no_password_stays(user in "[a-z]{1,8}", password in "[!-~]{0,20}", host in "[a-z]{1,12}\\.example") {
            let (clean, had) = cleaned(&format!("http://{user}:x{password}@{host}:3128/"), false);
            prop_assert!(had);
            prop_assert_eq!(clean, format!("http://{host}:3128/"));
        }
    }
}
