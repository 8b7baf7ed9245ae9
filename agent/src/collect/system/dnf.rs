//! Updates as dnf knows them (dnf(8) of versions 4 and 5), and rpm's word on when software last changed.

use std::io::ErrorKind;

use anyhow::Context;
use deskside_proto::v1::Updates;

use super::updates::{Pending, changed_ms, complaint, seen};
use crate::host::Host;

/// Exit status of `check-update` where there are updates.
const UPDATES_WAIT: i32 = 100;

/// Where dnf 5 and dnf 4 keep package lists for the whole machine. Who is not root is otherwise shown a cache of its own, which is empty.
const CACHES: [&str; 2] = ["/var/cache/libdnf5", "/var/cache/dnf"];

/// dnf-automatic of dnf 5 and of dnf 4, with what its timer is called.
const TIMERS: [&str; 4] =
    ["dnf5-automatic.timer", "dnf-automatic.timer", "dnf-automatic-install.timer", "dnf-automatic-download.timer"];
const WANTED: &str = "/etc/systemd/system/timers.target.wants";
const AUTOMATIC: [&str; 2] = ["/etc/dnf/automatic.conf", "/etc/dnf/dnf5-plugins/automatic.conf"];

/// The row of a machine with dnf.
pub(super) fn row(host: &dyn Host, missing: &mut Vec<String>) -> Option<Updates> {
    let cache = CACHES.into_iter().find(|cache| host.list(cache).is_ok())?;
    let mut row = Updates { manager: "dnf".into(), ..Updates::default() };
    match pending(host, cache) {
        Err(error) if not_installed(&error) => return None,
        found => {
            if let Some(pending) = seen("pending updates of dnf", found, missing) {
                pending.put_into(&mut row);
            }
        }
    }
    row.refreshed_ms = seen("when the package lists changed", refreshed_ms(host, cache), missing).flatten();
    row.last_success_ms = seen("when software last changed", last_change_ms(host), missing).flatten();
    let timer = TIMERS.iter().find(|timer| host.link(&format!("{WANTED}/{timer}")).is_ok());
    let applies = AUTOMATIC.iter().filter_map(|file| host.text(file).ok()).any(|text| says_apply(&text));
    row.installs_itself = Some(timer.is_some_and(|timer| applies || timer.contains("install")));
    // makecache runs by its own timer, which the package switches on.
    let makes = ["dnf-makecache.timer", "dnf5-makecache.timer"];
    row.refreshes_itself =
        Some(timer.is_some() || makes.iter().any(|timer| host.link(&format!("{WANTED}/{timer}")).is_ok()));
    Some(row)
}

fn not_installed(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<std::io::Error>();
    cause.is_some_and(|cause| cause.kind() == ErrorKind::NotFound)
}

fn pending(host: &dyn Host, cache: &str) -> anyhow::Result<Pending> {
    let check = |more: &[&str]| -> anyhow::Result<Vec<String>> {
        let cachedir = format!("--setopt=cachedir={cache}");
        let arguments = [&["--cacheonly", "--quiet", &cachedir, "check-update"], more].concat();
        let ran = host.run("dnf", &arguments).context("running dnf")?;
        let fine = matches!(ran.status, Some(0 | UPDATES_WAIT));
        anyhow::ensure!(fine, "dnf ended with status {:?}: {}", ran.status, complaint(&ran));
        Ok(listed(&String::from_utf8_lossy(&ran.stdout)))
    };
    let all = check(&[])?;
    let security = if all.is_empty() { Vec::new() } else { check(&["--security"])? };
    Ok(Pending { all, security })
}

/// Lines "name.architecture version repository", until those that these would replace.
fn listed(listing: &str) -> Vec<String> {
    let lines = listing.lines().take_while(|line| !line.starts_with("Obsoleting"));
    let names = lines.filter_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [name, _version, _repository] = words.as_slice() else { return None };
        Some(name.rsplit_once('.')?.0.to_owned())
    });
    names.collect()
}

/// Lists lie in a folder each, or beside each other, in the cache.
fn refreshed_ms(host: &dyn Host, cache: &str) -> anyhow::Result<Option<i64>> {
    let names = host.list(cache).with_context(|| format!("listing {cache}"))?;
    let places: Vec<String> = names
        .iter()
        .filter(|name| name.rsplit_once('-').is_some_and(|(_repository, key)| key.len() == 16))
        .map(|name| format!("{cache}/{name}/repodata/repomd.xml"))
        .collect();
    let places: Vec<&str> = places.iter().map(String::as_str).collect();
    if places.is_empty() { Ok(None) } else { changed_ms(host, &places) }
}

/// The latest installation in rpm's database.
fn last_change_ms(host: &dyn Host) -> anyhow::Result<Option<i64>> {
    let ran = host.run("rpm", &["-qa", "--qf", "%{INSTALLTIME}\\n"]).context("running rpm")?;
    anyhow::ensure!(ran.status == Some(0), "rpm ended with status {:?}: {}", ran.status, complaint(&ran));
    let text = String::from_utf8_lossy(&ran.stdout);
    let latest = text.lines().filter_map(|line| line.parse::<i64>().ok()).max();
    Ok(latest.and_then(|seconds| seconds.checked_mul(1_000)))
}

/// `apply_updates = yes` of automatic.conf.
fn says_apply(text: &str) -> bool {
    let mut pairs = text.lines().filter_map(|line| line.split_once('='));
    let value = pairs.rfind(|(key, _value)| key.trim() == "apply_updates");
    value.is_some_and(|(_key, value)| matches!(value.trim().to_ascii_lowercase().as_str(), "yes" | "true" | "1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_listed_until_those_that_are_replaced() {
        let listing = "\nbash.x86_64    5.2.37-1.fc41   updates\nkernel-core.x86_64   6.12.4-200.fc41  updates\n\
                       Obsoleting packages\nold.noarch   1-1   updates\n    older.noarch   0-1   @System\n";
        assert_eq!(listed(listing), ["bash", "kernel-core"]);
        assert_eq!(listed(""), Vec::<String>::new());
        assert_eq!(listed("one two\nthree four five six\n"), Vec::<String>::new());
    }

    #[test]
    fn updates_are_applied_only_where_the_last_word_says_so() {
        assert!(says_apply("[commands]\napply_updates = yes\n"));
        assert!(!says_apply("[commands]\napply_updates = yes\napply_updates = no\n"));
        assert!(!says_apply("# apply_updates\n"));
    }
}
