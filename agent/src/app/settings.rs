//! The settings of all rooms as one file has them, each room owning its part and its defaults.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{ask, collect::logs, host, record, redact, schedule};

/// All settings. What a file leaves out has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where the machine's print server is, if not where CUPS puts it: "host:port" or a socket's path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub print_server: Option<String>,
    /// A file with an enrolment token, `dsk1…`, for a machine that has no identity yet: the agent enrols by itself once its server can be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// How much is remembered.
    pub record: record::Bounds,
    /// When to look.
    pub schedule: schedule::Config,
    /// What may be kept beyond the rule.
    pub redact: redact::Config,
    /// How printers are asked.
    pub snmp: host::SnmpConfig,
    /// Which logs are followed.
    pub logs: logs::Config,
    /// What questions in SQL may take and show.
    pub sql: ask::Limits,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn files(folder: &str) -> Vec<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(folder);
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry").path()).collect();
        files.sort();
        assert!(files.len() >= 3, "the folder holds examples");
        files
    }

    #[test]
    fn valid_files_are_read_and_read_again_as_written() {
        for path in files("valid") {
            let settings: Settings = crate::config::read(&path).expect("valid");
            let text = crate::config::write(&settings).expect("written");
            assert_eq!(toml::from_str::<Settings>(&text).expect("read again"), settings, "{}", path.display());
        }
    }

    /// The first line of an invalid file is a comment with the words that the error must have.
    #[test]
    fn invalid_files_are_refused_with_their_place() {
        for path in files("invalid") {
            let text = std::fs::read_to_string(&path).expect("readable");
            let error = format!("{:#}", crate::config::read::<Settings>(&path).expect_err("invalid"));
            let wanted = text.lines().next().expect("a first line").trim_start_matches("# ");
            for words in wanted.split(" | ") {
                assert!(error.contains(words), "{}: {error:?} lacks {words:?}", path.display());
            }
        }
    }

    #[test]
    fn no_file_means_the_defaults() {
        let settings: Settings = crate::config::read(Path::new("/nonexistent/agent.toml")).expect("defaults");
        assert_eq!(settings, Settings::default());
    }
}
