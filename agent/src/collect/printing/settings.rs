//! How the print server is set up: cupsd.conf(5) and cups-files.conf(5).

use std::io::{self, ErrorKind};

use crate::host::Host;

/// Where the settings lie: of a package, and of the snap.
const FOLDERS: [&str; 2] = ["/etc/cups", "/var/snap/cups/common/etc/cups"];

/// Where its programs lie where the settings do not say.
const PROGRAMS: [&str; 2] = ["/usr/lib/cups", "/usr/libexec/cups"];

/// Most directives of one file.
const DIRECTIVES_MAX: usize = 2_000;

/// The settings of both files.
#[derive(Debug, Default)]
pub(super) struct Settings {
    directives: Vec<(String, String)>,
    /// Names of the `<Policy NAME>` blocks.
    pub(super) policies: Vec<String>,
    /// What could not be read, and why.
    pub(super) unread: Vec<String>,
}

impl Settings {
    /// Reads both. A file that is not there has nothing to say: CUPS has a default for everything.
    pub(super) fn of(host: &dyn Host) -> Self {
        let mut settings = Self::default();
        for name in ["cupsd.conf", "cups-files.conf"] {
            match first(host, name) {
                Ok(text) => settings.parse(&text),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => settings.unread.push(format!("{name} ({error}; its group, lp as a rule, may read it)")),
            }
        }
        settings
    }

    /// The last value of a directive; CUPS takes no notice of upper and lower case.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).last()
    }

    /// All values of a directive.
    pub(super) fn all(&self, name: &str) -> impl DoubleEndedIterator<Item = &str> {
        let named = self.directives.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    /// Yes or no, where it is written.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        let value = self.get(name)?.to_ascii_lowercase();
        match value.as_str() {
            "yes" | "on" | "true" | "enabled" => Some(true),
            "no" | "off" | "false" | "disabled" => Some(false),
            _ => None,
        }
    }

    /// A number, where it is written.
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.get(name)?.parse().ok()
    }

    /// Where errors are written: a file, syslog or stderr.
    pub(super) fn error_log(&self) -> &str {
        self.get("ErrorLog").unwrap_or("/var/log/cups/error_log")
    }

    /// Folder of the jobs.
    pub(super) fn spool(&self) -> &str {
        self.get("RequestRoot").unwrap_or("/var/spool/cups")
    }

    /// Folder of filters and backends: as written, else the first usual one that is there.
    pub(super) fn programs(&self, host: &dyn Host) -> String {
        let usual = || PROGRAMS.iter().copied().find(|folder| host.list(folder).is_ok());
        self.get("ServerBin").or_else(usual).unwrap_or(PROGRAMS[0]).to_owned()
    }

    fn parse(&mut self, text: &str) {
        let mut depth = 0_u32;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(block) = line.strip_prefix('<') {
                if block.starts_with('/') {
                    depth = depth.saturating_sub(1);
                    continue;
                }
                depth += 1;
                let policy = block.strip_prefix("Policy ").map(|name| name.trim_end_matches('>').trim());
                self.policies.extend(policy.map(str::to_owned));
            } else if depth == 0 && self.directives.len() < DIRECTIVES_MAX {
                let (name, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
                self.directives.push((name.to_owned(), value.trim().to_owned()));
            }
        }
    }
}

fn first(host: &dyn Host, name: &str) -> io::Result<String> {
    let mut last = ErrorKind::NotFound.into();
    for folder in FOLDERS {
        match host.text(&format!("{folder}/{name}")) {
            Err(error) if error.kind() == ErrorKind::NotFound => last = error,
            read => return read,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(text: &str) -> Settings {
        let mut settings = Settings::default();
        settings.parse(text);
        settings
    }

    #[test]
    fn directives_outside_of_blocks_are_settings() {
        let read = settings(
            "# comment\nLogLevel warn\nlisten localhost:631\nListen /run/cups/cups.sock\nBrowsing On\nMaxJobs 0\n\
             <Location />\n  LogLevel none\n</Location>\n<Policy authenticated>\n<Limit All>\nOrder x\n</Limit>\n</Policy>\nPageLogFormat\n",
        );
        assert_eq!(read.get("loglevel"), Some("warn"));
        assert_eq!(read.all("Listen").collect::<Vec<_>>(), ["localhost:631", "/run/cups/cups.sock"]);
        assert_eq!((read.flag("Browsing"), read.flag("WebInterface")), (Some(true), None));
        assert_eq!((read.number("MaxJobs"), read.number("LogLevel")), (Some(0), None));
        assert_eq!(
            (read.policies.as_slice(), read.get("PageLogFormat")),
            (["authenticated".to_owned()].as_slice(), Some(""))
        );
        assert_eq!(read.error_log(), "/var/log/cups/error_log");
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "[<>/A-Za-z \\n#]{0,200}") {
            drop(settings(&text));
        }
    }
}
