//! Whose a socket is: by the open files of all processes (proc(5)), as far as they may be seen.

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;

use crate::collect::procfs;
use crate::host::Host;

/// Most processes that are looked into.
const PROCESSES_MAX: usize = 20_000;

/// Most open files that are looked at in one look.
const FILES_MAX: usize = 400_000;

/// A program that holds sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Owner {
    /// Its name.
    pub(super) program: String,
    /// Its unit of systemd; empty where its cgroup names none.
    pub(super) unit: String,
}

/// The owners of all sockets that may be seen.
#[derive(Debug, Default)]
pub(super) struct Owners {
    processes: HashMap<u64, u32>,
    known: BTreeMap<u32, Owner>,
    /// Processes whose files may not be seen.
    hidden: usize,
    cut: bool,
}

impl Owners {
    /// Looks at all processes.
    pub(super) fn look(host: &dyn Host) -> Self {
        let mut owners = Self::default();
        let mut left = FILES_MAX;
        let processes = host.list("/proc").unwrap_or_default();
        let mut numbers: Vec<u32> = processes.iter().filter_map(|name| name.parse().ok()).collect();
        numbers.sort_unstable();
        owners.cut = numbers.len() > PROCESSES_MAX;
        for pid in numbers.into_iter().take(PROCESSES_MAX) {
            let folder = format!("/proc/{pid}/fd");
            let files = match host.list(&folder) {
                Ok(files) => files,
                Err(error) => {
                    owners.hidden += usize::from(error.kind() == ErrorKind::PermissionDenied);
                    continue;
                }
            };
            for file in files {
                if left == 0 {
                    owners.cut = true;
                    return owners;
                }
                left -= 1;
                if let Some(inode) = host.link(&format!("{folder}/{file}")).ok().as_deref().and_then(socket) {
                    // Why the first: a parent that opened it stands before the children that inherited it.
                    owners.processes.entry(inode).or_insert(pid);
                }
            }
        }
        owners
    }

    /// The owner of a socket; nameless where it is nobody's, or may not be seen.
    pub(super) fn of(&mut self, host: &dyn Host, inode: u64) -> Owner {
        let Some(pid) = self.processes.get(&inode) else { return Owner::default() };
        self.known.entry(*pid).or_insert_with(|| owner(host, *pid)).clone()
    }

    /// Says in words whose sockets have no name, and what would help.
    pub(super) fn confess(&self, nameless: usize) -> Option<String> {
        if nameless > 0 && self.hidden > 0 {
            return Some(format!(
                "the programs of {nameless} sockets: {} processes may not be looked into; CAP_SYS_PTRACE with CAP_DAC_READ_SEARCH, or \
                 root, would allow it",
                self.hidden
            ));
        }
        self.cut.then(|| format!("programs after the first {PROCESSES_MAX} processes or {FILES_MAX} open files"))
    }
}

fn owner(host: &dyn Host, pid: u32) -> Owner {
    let stat = host.text(&format!("/proc/{pid}/stat")).ok().and_then(|text| procfs::stat(&text).ok());
    let program = stat.map(|stat| stat.name).unwrap_or_default();
    let groups = host.text(&format!("/proc/{pid}/cgroup")).unwrap_or_default();
    Owner { program, unit: unit(&groups).unwrap_or_default().to_owned() }
}

/// The innermost unit of a path such as `0::/system.slice/cups.service`.
fn unit(groups: &str) -> Option<&str> {
    let path = groups
        .lines()
        .find_map(|line| line.strip_prefix("0::").or_else(|| line.split_once(":name=systemd:").map(|(_, path)| path)));
    let is_unit = |part: &&str| [".service", ".scope", ".socket"].iter().any(|end| part.ends_with(end));
    path?.rsplit('/').find(is_unit)
}

/// "socket:[21510]"
fn socket(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_known_by_its_link_and_a_unit_by_its_cgroup() {
        assert_eq!((socket("socket:[21510]"), socket("pipe:[1]"), socket("socket:[x]")), (Some(21510), None, None));
        assert_eq!(unit("0::/system.slice/cups.service\n"), Some("cups.service"));
        assert_eq!(
            unit("0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox.scope/x\n"),
            Some("app-firefox.scope")
        );
        assert_eq!(unit("4:cpu:/a\n1:name=systemd:/system.slice/ssh.service\n"), Some("ssh.service"));
        assert_eq!(unit("0::/\n"), None);
    }
}
