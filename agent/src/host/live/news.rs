//! News of the network: the multicast groups of rtnetlink(7), and inotify(7) on the folders in which resolv.conf lies.

use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;
use rustix::event::epoll;
use rustix::fs::inotify;
use rustix::io::Errno;

use crate::host::{Heard, News};

/// Groups of linux/rtnetlink.h: links, neighbours, addresses and routes of both families.
const GROUPS: [u32; 6] = [1, 3, 5, 7, 9, 11];

/// What may wait in the kernel to be heard.
const WAITING_BYTES_MAX: usize = 1024 * 1024;

/// Larger than any message that the kernel sends by itself.
const PIECE_BYTES: usize = 32 * 1024;

/// Where resolv.conf lies, itself or what it links to: the system's own, systemd-resolved's, NetworkManager's and resolvconf's.
const FOLDERS: [&str; 4] = ["/etc", "/run/systemd/resolve", "/run/NetworkManager", "/run/resolvconf"];
const FILES: [&[u8]; 2] = [b"resolv.conf", b"stub-resolv.conf"];

/// Events of one reading.
const EVENTS_BYTES: usize = 4 * 1024;

struct LiveNews {
    socket: Socket,
    /// Absent where files cannot be watched.
    files: Option<OwnedFd>,
    either: OwnedFd,
}

/// Begins to listen.
pub(super) fn listen() -> io::Result<Box<dyn News>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.set_rx_buf_sz(WAITING_BYTES_MAX)?;
    socket.set_non_blocking(true)?;
    socket.bind_auto()?;
    for group in GROUPS {
        socket.add_membership(group)?;
    }
    let either = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&either, &socket, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
    let files = watched().ok();
    if let Some(files) = &files {
        epoll::add(&either, files, epoll::EventData::new_u64(1), epoll::EventFlags::IN)?;
    }
    Ok(Box::new(LiveNews { socket, files, either }))
}

/// A folder that is not there is not watched: what it would hold is linked to by nothing yet.
fn watched() -> io::Result<OwnedFd> {
    let files = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
    let written = inotify::WatchFlags::CLOSE_WRITE
        | inotify::WatchFlags::MOVED_TO
        | inotify::WatchFlags::CREATE
        | inotify::WatchFlags::DELETE;
    for folder in FOLDERS {
        match inotify::add_watch(&files, folder, written) {
            Err(error) if error != Errno::NOENT && error != Errno::ACCESS => return Err(error.into()),
            _watched_or_absent => {}
        }
    }
    Ok(files)
}

impl News for LiveNews {
    fn ready(&self) -> BorrowedFd<'_> {
        self.either.as_fd()
    }

    fn hear(&self) -> io::Result<Option<Heard>> {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        match self.socket.recv(&mut piece, 0) {
            Ok(_bytes) => return Ok(Some(Heard::Network(piece))),
            Err(error) if error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) => return Ok(Some(Heard::Lost)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        self.written()
    }
}

impl LiveNews {
    fn written(&self) -> io::Result<Option<Heard>> {
        let Some(files) = &self.files else { return Ok(None) };
        let mut room = [MaybeUninit::uninit(); EVENTS_BYTES];
        let mut events = inotify::Reader::new(files, &mut room);
        loop {
            match events.next() {
                Ok(event) if event.file_name().is_some_and(|name| FILES.contains(&name.to_bytes())) => {
                    return Ok(Some(Heard::Resolvers));
                }
                Ok(_other) => {}
                Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_is_left_alone_can_be_listened_to() {
        let news = listen().unwrap();
        // Others may change the network meanwhile; what counts is that hearing does not wait.
        for _piece in 0..1000 {
            if news.hear().unwrap().is_none() {
                return;
            }
        }
        panic!("news without end");
    }
}
