//! Names into addresses, and whether a port of an address is open, each under a deadline.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long a name may take.
const NAME_MAX: Duration = Duration::from_secs(2);

/// How long a port may take.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// Names that may wait for their answer at the same time, each holding a thread.
const WAITING_MAX: usize = 16;

/// Stack of the thread that waits for a name.
const STACK_BYTES: usize = 256 * 1024;

/// Asks getaddrinfo(3) on a thread of its own. Why: it has no deadline, and with a dead name server takes half a minute.
pub(super) fn resolve(waiting: &Arc<AtomicUsize>, name: &str) -> io::Result<Vec<IpAddr>> {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(vec![address]);
    }
    let late = || {
        let seconds = NAME_MAX.as_secs();
        io::Error::new(ErrorKind::TimedOut, format!("the name {bare} was not resolved within {seconds} s"))
    };
    if waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
        waiting.fetch_sub(1, Ordering::Relaxed);
        return Err(late());
    }
    let (answer, answered) = mpsc::sync_channel(1);
    let (asked, done) = (bare.to_owned(), Arc::clone(waiting));
    let thread = thread::Builder::new().name("resolve".into()).stack_size(STACK_BYTES).spawn(move || {
        let found = (asked.as_str(), 0).to_socket_addrs().map(Iterator::collect::<Vec<SocketAddr>>);
        done.fetch_sub(1, Ordering::Relaxed);
        if answer.send(found).is_err() {
            tracing::debug!("a name was resolved after its deadline");
        }
    });
    if let Err(error) = thread {
        waiting.fetch_sub(1, Ordering::Relaxed);
        return Err(error);
    }
    let found = answered.recv_timeout(NAME_MAX).map_err(|_late| late())?;
    // Why not its own kind: "no such name" has none.
    let found = found.map_err(|error| io::Error::new(ErrorKind::NotFound, format!("the name {bare}: {error}")))?;
    let mut addresses: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
    addresses.dedup();
    addresses.truncate(ADDRESSES_MAX);
    Ok(addresses)
}

/// Opens a connection and closes it; how long it took to open. Errors keep their kind.
pub(super) fn reach(waiting: &Arc<AtomicUsize>, address: &str, port: u16) -> io::Result<Duration> {
    let addresses = resolve(waiting, address)?;
    let begun = Instant::now();
    let mut last = io::Error::new(ErrorKind::NotFound, format!("{address} has no address"));
    for ip in addresses {
        let left = CONNECT_MAX.saturating_sub(begun.elapsed());
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&SocketAddr::new(ip, port), left) {
            Ok(_stream) => return Ok(begun.elapsed()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn an_open_port_and_a_closed_one_are_told_apart() {
        let waiting = Arc::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(reach(&waiting, "127.0.0.1", port).unwrap() < CONNECT_MAX);
        drop(listener);
        assert_eq!(reach(&waiting, "localhost", port).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }

    #[test]
    fn names_and_addresses_are_resolved() {
        let waiting = Arc::default();
        assert_eq!(resolve(&waiting, "192.0.2.9").unwrap(), [IpAddr::from([192, 0, 2, 9])]);
        assert!(resolve(&waiting, "[2001:db8::9]").unwrap()[0].is_ipv6());
        assert!(resolve(&waiting, "localhost").unwrap().iter().all(IpAddr::is_loopback));
        assert_eq!(waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn names_that_wait_are_bounded() {
        let waiting = Arc::new(AtomicUsize::new(WAITING_MAX));
        assert_eq!(resolve(&waiting, "localhost").unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(waiting.load(Ordering::Relaxed), WAITING_MAX);
    }
}
