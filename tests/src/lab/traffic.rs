//! Datagrams that somebody sends to a machine, for those who watch its wire.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::namespace::Namespace;

/// Bytes of a datagram.
pub const DATAGRAM_BYTES: usize = 1200;

/// So many a second are 100 Mbit/s on Ethernet.
pub const FULL_RATE: u32 = 10_064;

/// The desk's address, and the far machine's.
pub const DESK: &str = "192.0.2.20";
/// The far machine's address.
pub const FAR: &str = "192.0.2.1";

/// Somebody who sends datagrams until this is dropped.
#[derive(Debug)]
pub struct Traffic {
    stop: Arc<AtomicBool>,
    sending: Option<JoinHandle<()>>,
}

impl Traffic {
    /// To a port of an address, so many a second, or as many as can be.
    pub fn begin(socket: UdpSocket, to: &str, a_second: Option<u32>) -> anyhow::Result<Self> {
        socket.connect(to)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let sending = thread::spawn(move || {
            let (begun, mut sent) = (Instant::now(), 0_u64);
            while !stopped.load(Ordering::Relaxed) {
                // Nobody need listen.
                socket.send(&[0x5a; DATAGRAM_BYTES]).ok();
                sent += 1;
                if let Some(due) = a_second.map(|rate| Duration::from_secs_f64(sent as f64 / f64::from(rate))) {
                    thread::sleep(due.saturating_sub(begun.elapsed()));
                }
            }
        });
        Ok(Self { stop, sending: Some(sending) })
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(sending) = self.sending.take() {
            sending.join().ok();
        }
    }
}

/// A desk and a far machine at one wire (`eth0` of each).
pub fn wire() -> anyhow::Result<(Namespace, Namespace)> {
    let (desk, far) = (Namespace::new("desk")?, Namespace::new("far")?);
    desk.ip(&format!("link add eth0 type veth peer name eth0 netns {}", far.name()))?;
    for (namespace, address) in [(&desk, DESK), (&far, FAR)] {
        namespace.ip(&format!("addr add {address}/24 dev eth0\nlink set eth0 up\nlink set lo up"))?;
    }
    Ok((desk, far))
}
