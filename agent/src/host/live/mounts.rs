//! The machine's own table of mounts, where the agent itself runs among others.

use std::fs;
use std::io;

use super::READ_BYTES_MAX;

/// Where a process finds the mounts that it sees itself.
pub(super) const TABLE: &str = "/proc/self/mountinfo";

/// The first process sees the machine's own.
const MACHINES: &str = "/proc/1/mountinfo";

/// Bytes that are asked for at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// The machine's table as the service manager hands it over, open, as standard input; none where it does not. Why: a service that may write
/// nowhere sees every mount as read-only, besides some that are its own, and may not open the first process's table by itself. It is read anew
/// from its beginning each time.
pub(super) fn handed() -> Option<io::Result<Vec<u8>>> {
    let handed = fs::read_link("/proc/self/fd/0").is_ok_and(|path| path.as_os_str() == MACHINES);
    handed.then(read)
}

fn read() -> io::Result<Vec<u8>> {
    let (stdin, mut bytes) = (io::stdin(), Vec::new());
    let mut piece = vec![0; PIECE_BYTES];
    while bytes.len() < READ_BYTES_MAX {
        let count = rustix::io::pread(&stdin, piece.as_mut_slice(), bytes.len() as u64)?;
        let Some(read) = piece.get(..count).filter(|read| !read.is_empty()) else { break };
        bytes.extend_from_slice(read);
    }
    Ok(bytes)
}
