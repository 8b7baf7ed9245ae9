//! An attempt to open a TCP connection, and who or what ended it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::{getsockopt, sockopt as nix_sockopt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, ipproto, socket_with, sockopt};

use super::error_queue;
use crate::host::Knock;

/// How long an open connection is watched for a reset.
const WATCHED: Duration = Duration::from_millis(150);

/// Opens it and closes it again.
pub(super) fn knock(to: SocketAddr, wait: Duration) -> io::Result<(Knock, Duration)> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    error_queue::wanted(&socket, to.is_ipv4())?;
    let begun = Instant::now();
    match connect(&socket, &to) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
        Err(error) => return Ok((ended(&socket, io::Error::from(error).kind()), begun.elapsed())),
    }
    if waited(&socket, PollFlags::OUT, begun + wait)?.is_empty() {
        // Why asked again: an error that lets the kernel go on trying is in the queue alone.
        return Ok((told(&socket).unwrap_or(Knock::Silent), begun.elapsed()));
    }
    let took = begun.elapsed();
    if let Err(error) = sockopt::socket_error(&socket)? {
        return Ok((ended(&socket, io::Error::from(error).kind()), took));
    }
    let segment = getsockopt(&socket, nix_sockopt::TcpMaxSeg).ok();
    let gone = waited(&socket, PollFlags::empty(), Instant::now() + WATCHED)?.contains(PollFlags::ERR);
    Ok((if gone { Knock::Reset } else { Knock::Open(segment) }, took))
}

/// What became of the socket until then; empty where nothing did.
fn waited(socket: &OwnedFd, events: PollFlags, until: Instant) -> io::Result<PollFlags> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let wait = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut polled = [PollFd::from_borrowed_fd(socket.as_fd(), events)];
        match poll(&mut polled, Some(&wait)) {
            Ok(_ready) => {
                let [polled] = polled;
                return Ok(polled.revents());
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn told(socket: &OwnedFd) -> Option<Knock> {
    error_queue::next(socket).ok().flatten()?.icmp.map(Knock::Told)
}

fn ended(socket: &OwnedFd, error: io::ErrorKind) -> Knock {
    let told = told(socket);
    match error {
        _ if told.is_some() => told.unwrap_or(Knock::Silent),
        io::ErrorKind::ConnectionRefused => Knock::Refused,
        io::ErrorKind::TimedOut => Knock::Silent,
        // It opened and was reset before this was looked at.
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Knock::Reset,
        kind => Knock::NoWay(kind),
    }
}
