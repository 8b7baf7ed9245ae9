//! A line that breaks: connections go through to a server, and all of them are cut at once after so many bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;

/// Bytes that are passed on at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// Between two looks for a new connection.
const PAUSE: Duration = Duration::from_millis(5);

/// The line. It ends with the one who holds it.
#[derive(Debug)]
pub struct Cut {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    to: SocketAddr,
    /// Bytes towards the server before each cut that is still to come, the last first.
    left: Mutex<Vec<usize>>,
    open: Mutex<Vec<TcpStream>>,
    cuts: AtomicUsize,
    ended: AtomicBool,
}

impl Cut {
    /// A line to a server, cut whenever so many more bytes went there.
    pub fn line(to: SocketAddr, mut after: Vec<usize>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("listening")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        after.reverse();
        let shared = Arc::new(Shared {
            to,
            left: Mutex::new(after),
            open: Mutex::default(),
            cuts: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        });
        let own = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || {
            while !own.ended.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _from)) => drop(own.pass(&stream)),
                    Err(_none) => std::thread::sleep(PAUSE),
                }
            }
        });
        Ok(Self { address, shared, accepting: Some(accepting) })
    }

    /// Where it is reached.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often it was cut.
    pub fn cuts(&self) -> usize {
        self.shared.cuts.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn pass(self: &Arc<Self>, near: &TcpStream) -> std::io::Result<()> {
        near.set_nonblocking(false)?;
        let far = TcpStream::connect(self.to)?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.extend([near.try_clone()?, far.try_clone()?]);
        drop(open);
        for (from, to, counted) in
            [(near.try_clone()?, far.try_clone()?, true), (far.try_clone()?, near.try_clone()?, false)]
        {
            let own = Arc::clone(self);
            std::thread::spawn(move || own.copy(from, to, counted));
        }
        Ok(())
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream, counted: bool) {
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(read) = from.read(&mut piece) {
            let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            if (counted && self.is_over(read)) || to.write_all(bytes).is_err() {
                break;
            }
        }
        drop(from.shutdown(Shutdown::Both));
        drop(to.shutdown(Shutdown::Both));
    }

    /// Counts what goes to the server; at the end of the count everything that is open is cut.
    fn is_over(&self, bytes: usize) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(next) = left.last_mut() else { return false };
        if *next > bytes {
            *next -= bytes;
            return false;
        }
        left.pop();
        self.cuts.fetch_add(1, Ordering::Relaxed);
        self.close();
        true
    }

    fn close(&self) {
        for stream in self.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.shared.close();
        if let Some(accepting) = self.accepting.take() {
            drop(accepting.join());
        }
    }
}
