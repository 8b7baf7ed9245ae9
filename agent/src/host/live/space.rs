//! How full a file system is, asked so that one that hangs holds nobody up.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use crate::host::Space;

/// How long a file system may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Stack of the thread that waits for the answer.
const STACK_BYTES: usize = 64 * 1024;

/// Asks on a thread of its own. Why: statvfs(3) on a dead network mount never returns and cannot be interrupted, so such a mount
/// point costs one waiting thread, and is not asked again until that one has its answer.
pub(super) fn space(silent: &Arc<Mutex<BTreeSet<String>>>, mount_point: &str) -> io::Result<Space> {
    if !silent.lock().unwrap_or_else(PoisonError::into_inner).insert(mount_point.to_owned()) {
        return Err(too_late());
    }
    let (answer, answered) = mpsc::sync_channel(1);
    let (asked, pending) = (mount_point.to_owned(), Arc::clone(silent));
    let thread = thread::Builder::new().name("space".into()).stack_size(STACK_BYTES).spawn(move || {
        let space = rustix::fs::statvfs(&asked);
        pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&asked);
        if answer.send(space).is_err() {
            tracing::debug!("a file system answered after its deadline");
        }
    });
    if let Err(error) = thread {
        silent.lock().unwrap_or_else(PoisonError::into_inner).remove(mount_point);
        return Err(error);
    }
    let found = answered.recv_timeout(ANSWER_MAX).map_err(|_late| too_late())??;
    let block = found.f_frsize;
    Ok(Space {
        total_bytes: found.f_blocks.saturating_mul(block),
        free_bytes: found.f_bfree.saturating_mul(block),
        available_bytes: found.f_bavail.saturating_mul(block),
        inodes: found.f_files,
        inodes_free: found.f_ffree,
    })
}

fn too_late() -> io::Error {
    let seconds = ANSWER_MAX.as_secs();
    io::Error::new(ErrorKind::TimedOut, format!("it did not answer within {seconds} s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_has_a_size() {
        let silent = Arc::default();
        let space = space(&silent, "/").unwrap();
        assert!(space.total_bytes > space.available_bytes, "{space:?}");
        assert!(silent.lock().unwrap().is_empty());
    }

    #[test]
    fn a_mount_that_still_owes_an_answer_is_not_asked_again() {
        let silent = Arc::new(Mutex::new(BTreeSet::from(["/mnt/dead".to_owned()])));
        assert_eq!(space(&silent, "/mnt/dead").unwrap_err().kind(), ErrorKind::TimedOut);
    }
}
