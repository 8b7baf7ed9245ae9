//! One folder of /sys, read attribute by attribute (Documentation/filesystems/sysfs.rst).

use std::io::{self, ErrorKind};

use anyhow::Context;

use crate::host::Host;

/// Most characters of one attribute; a hostile device may name itself at any length.
const TEXT_CHARS_MAX: usize = 256;

/// A folder of attributes. What an attribute cannot say is absent.
pub(super) struct Folder<'a> {
    host: &'a dyn Host,
    path: String,
}

impl<'a> Folder<'a> {
    /// The folder at this path, whether it is there or not.
    pub(super) fn new(host: &'a dyn Host, path: impl Into<String>) -> Self {
        Self { host, path: path.into() }
    }

    /// A folder below it, or one that a link of it leads to.
    pub(super) fn at(&self, name: &str) -> Self {
        Self::new(self.host, self.path_of(name))
    }

    /// The path of an attribute.
    pub(super) fn path_of(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    /// The names in it.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        self.host.list(&self.path)
    }

    /// An attribute's text, trimmed. The driver may refuse, or the device not answer.
    pub(super) fn ask(&self, name: &str) -> io::Result<String> {
        let text = self.host.text(&self.path_of(name))?;
        Ok(text.trim().trim_matches('\0').chars().take(TEXT_CHARS_MAX).collect())
    }

    /// An attribute's text; absent where it cannot be read or is empty.
    pub(super) fn line(&self, name: &str) -> Option<String> {
        self.ask(name).ok().filter(|text| !text.is_empty())
    }

    /// An attribute's number.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.line(name)?.parse().ok()
    }

    /// An attribute's number, where it is not negative.
    pub(super) fn count(&self, name: &str) -> Option<u64> {
        self.line(name)?.parse().ok()
    }

    /// The last part of what a link points to: the name of a device or a driver.
    pub(super) fn link_name(&self, name: &str) -> Option<String> {
        let target = self.host.link(&self.path_of(name)).ok()?;
        target.rsplit('/').next().filter(|last| !last.is_empty()).map(str::to_owned)
    }

    /// Whether its device sleeps (`Documentation/power/runtime_pm.rst`): then most questions would wake it.
    pub(super) fn asleep(&self) -> bool {
        self.line("power/runtime_status").is_some_and(|status| status == "suspended")
    }
}

/// The members of a class, by name. A kernel that does not know the class has none of its members.
pub(super) fn class<'a>(host: &'a dyn Host, path: &str) -> anyhow::Result<Vec<(String, Folder<'a>)>> {
    let names = match host.list(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        names => names.with_context(|| format!("listing {path}"))?,
    };
    let folder = Folder::new(host, path);
    Ok(names.into_iter().map(|name| (name.clone(), folder.at(&name))).collect())
}

/// Two hexadecimal numbers of a device as people write them: "046d:c52b". The kernel writes them with or without "0x".
pub(super) fn ids(vendor: Option<&str>, product: Option<&str>) -> String {
    let plain = |id: Option<&str>| id.map(|id| id.trim_start_matches("0x").to_lowercase());
    match (plain(vendor), plain(product)) {
        (Some(vendor), Some(product)) => format!("{vendor}:{product}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_in_one_way() {
        assert_eq!(ids(Some("0x8086"), Some("0x9A49")), "8086:9a49");
        assert_eq!(ids(Some("046d"), Some("c52b")), "046d:c52b");
        assert_eq!(ids(Some("046d"), None), "");
    }
}
