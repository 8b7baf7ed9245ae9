//! Small servers within a namespace, for what no real program does wrong in the way that a test wants. Each ends with the one who holds it.

use std::fmt;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::namespace::Namespace;

/// Longest time until a server sees that it is to end.
const LISTEN_MAX: Duration = Duration::from_millis(20);

/// How long a caller may be silent.
const SILENT_MAX: Duration = Duration::from_secs(5);

/// Largest datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// A server that runs.
pub struct Serving {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Serving {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Serving").finish_non_exhaustive()
    }
}

impl Serving {
    /// Takes TCP connections at an address of a namespace, each on a thread of its own that is in that namespace too.
    pub fn tcp(
        namespace: &Namespace,
        at: SocketAddr,
        answer: impl Fn(TcpStream) + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        namespace.within(|| {
            let listener = TcpListener::bind(at).with_context(|| format!("listening at {at}"))?;
            let answer = Arc::new(answer);
            Self::start(move |ended| {
                while waits(&listener, ended) {
                    let Ok((stream, _from)) = listener.accept() else { continue };
                    let (read, write) =
                        (stream.set_read_timeout(Some(SILENT_MAX)), stream.set_write_timeout(Some(SILENT_MAX)));
                    let answer = Arc::clone(&answer);
                    drop((read, write, thread::spawn(move || answer(stream))));
                }
            })
        })?
    }

    /// Takes datagrams at an address of a namespace, each on a thread of its own that is in that namespace too. It ends when all are answered, and
    /// its port is free then.
    pub fn udp(
        namespace: &Namespace,
        at: SocketAddr,
        answer: impl Fn(&UdpSocket, &[u8], SocketAddr) + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        namespace.within(|| {
            let socket = Arc::new(UdpSocket::bind(at).with_context(|| format!("listening at {at}"))?);
            let answer = Arc::new(answer);
            Self::start(move |ended| {
                let mut heard = vec![0; DATAGRAM_BYTES_MAX];
                let mut answering: Vec<JoinHandle<()>> = Vec::new();
                while waits(&*socket, ended) {
                    let Ok((length, from)) = socket.recv_from(&mut heard) else { continue };
                    let datagram = heard.get(..length).unwrap_or_default().to_vec();
                    let (answer, socket) = (Arc::clone(&answer), Arc::clone(&socket));
                    answering.retain(|one| !one.is_finished());
                    answering.push(thread::spawn(move || answer(&socket, &datagram, from)));
                }
                for one in answering {
                    drop(one.join());
                }
            })
        })?
    }

    fn start(serve: impl FnOnce(&AtomicBool) + Send + 'static) -> anyhow::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&ended);
        let thread = thread::Builder::new().name("serving".into()).spawn(move || serve(&over))?;
        Ok(Self { ended, thread: Some(thread) })
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// Waits until somebody calls; false where the server is to end.
fn waits(socket: &impl AsFd, ended: &AtomicBool) -> bool {
    let time = Timespec::try_from(LISTEN_MAX).ok();
    while !ended.load(Ordering::Relaxed) {
        if matches!(poll(&mut [PollFd::new(socket, PollFlags::IN)], time.as_ref()), Ok(1..)) {
            return true;
        }
    }
    false
}
