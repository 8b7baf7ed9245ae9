//! A wire between two namespaces whose faults are set while it carries: delay, jitter, loss, doubled frames, silence. It stands in for tc-netem(8),
//! which many kernels lack.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use super::namespace::Namespace;

/// Longest time until a change of the faults is heard.
const LISTEN_MAX: Duration = Duration::from_millis(20);

/// Larger than any frame of an Ethernet.
const FRAME_BYTES_MAX: usize = 16 * 1024;

/// Frames that are on their way at once; one more is lost.
const FRAMES_MAX: usize = 4096;

/// Frames that are taken from one end before the other has its turn.
const FRAMES_AT_ONCE: usize = 64;

/// What is wrong with a wire.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// Added on the way, each way.
    pub delay: Duration,
    /// Added on top, evenly spread from nothing to this, so that frames overtake one another.
    pub jitter: Duration,
    /// Share of frames that are lost, 0 to 1/2, each way: of each run of 1/share frames one, so that the share is kept by few frames too.
    pub loss: f64,
    /// Share of frames that arrive twice, 0 to 1.
    pub doubled: f64,
    /// Nothing passes, though both ends have a carrier.
    pub silent: bool,
}

/// A wire. It is cut when this is dropped.
#[derive(Debug)]
pub struct Wire {
    faults: Arc<Mutex<Faults>>,
    ended: Arc<AtomicBool>,
    carrier: Option<JoinHandle<()>>,
}

impl Wire {
    /// Joins two namespaces by TAP interfaces of these names, which are not up yet.
    pub fn between(near: (&Namespace, &str), far: (&Namespace, &str)) -> anyhow::Result<Self> {
        let ends = [end(near)?, end(far)?];
        let (faults, ended) = (Arc::new(Mutex::new(Faults::default())), Arc::new(AtomicBool::new(false)));
        let (heard, over) = (Arc::clone(&faults), Arc::clone(&ended));
        let carrier = thread::Builder::new().name("wire".into()).spawn(move || carry(&ends, &heard, &over))?;
        Ok(Self { faults, ended, carrier: Some(carrier) })
    }

    /// Sets what is wrong with it from now on.
    pub fn set(&self, faults: Faults) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        drop(self.carrier.take().map(JoinHandle::join));
    }
}

fn end((namespace, name): (&Namespace, &str)) -> anyhow::Result<SyncDevice> {
    let made = namespace.within(|| DeviceBuilder::new().name(name).layer(Layer::L2).enable(false).build_sync())?;
    let device = made.with_context(|| format!("making the TAP interface {name}"))?;
    device.set_nonblocking(true).context("a TAP interface that does not wait")?;
    Ok(device)
}

/// A frame on its way: when it arrives, its number so that equal times keep their order, at which end, and its bytes.
type OnTheWay = Reverse<(Instant, u64, usize, Vec<u8>)>;

fn carry(ends: &[SyncDevice; 2], faults: &Mutex<Faults>, ended: &AtomicBool) {
    let (mut on_the_way, mut chance) = (BinaryHeap::<OnTheWay>::new(), Chance(0x9e37_79b9_7f4a_7c15));
    let (mut number, mut frame, mut losses) = (0, vec![0; FRAME_BYTES_MAX], [Run::default(); 2]);
    while !ended.load(Ordering::Relaxed) {
        let next = on_the_way.peek().map(|Reverse((at, ..))| at.saturating_duration_since(Instant::now()));
        wait(ends.each_ref().map(AsFd::as_fd), next.unwrap_or(LISTEN_MAX).min(LISTEN_MAX));
        let now = *faults.lock().unwrap_or_else(PoisonError::into_inner);
        for ((from, end), run) in ends.iter().enumerate().zip(&mut losses) {
            for _frame in 0..FRAMES_AT_ONCE {
                let Some(bytes) = end.recv(&mut frame).ok().and_then(|length| frame.get(..length)) else { break };
                if now.silent || run.loses(now.loss, &mut chance) || on_the_way.len() >= FRAMES_MAX {
                    continue;
                }
                for _copy in 0..=usize::from(chance.hits(now.doubled)) {
                    let at = Instant::now() + now.delay + now.jitter.mul_f64(chance.next());
                    on_the_way.push(Reverse((at, number, 1 - from, bytes.to_vec())));
                    number += 1;
                }
            }
        }
        while on_the_way.peek().is_some_and(|Reverse((at, ..))| *at <= Instant::now()) {
            if let Some(Reverse((_at, _number, to, bytes))) = on_the_way.pop()
                && let Some(end) = ends.get(to)
            {
                // An end that is down takes nothing, as a real one.
                drop(end.send(&bytes));
            }
        }
    }
}

fn wait(ends: [BorrowedFd<'_>; 2], time: Duration) {
    let mut ends = ends.map(|end| PollFd::from_borrowed_fd(end, PollFlags::IN));
    let ready = poll(&mut ends, Timespec::try_from(time).ok().as_ref());
    // Why a pause: an interface that is gone is always ready, with an error.
    if ready.is_ok() && ends.iter().any(|end| end.revents().contains(PollFlags::ERR)) {
        thread::sleep(Duration::from_millis(1));
    }
}

/// A run of frames of which one is lost.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    at: u32,
    lost_at: u32,
}

impl Run {
    /// Whether the next frame is the one, where this share is lost.
    fn loses(&mut self, share: f64, chance: &mut Chance) -> bool {
        if share <= 0.0 {
            return false;
        }
        let length = (1.0 / share).round().max(1.0);
        if self.at == 0 {
            self.lost_at = (chance.next() * length) as u32;
        }
        let lost = self.at == self.lost_at;
        self.at = (self.at + 1) % length as u32;
        lost
    }
}

/// A sequence that looks like chance and is the same each time (xorshift64*), so that a test that failed fails again.
struct Chance(u64);

impl Chance {
    /// Evenly spread from 0 to 1.
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn hits(&mut self, share: f64) -> bool {
        share > 0.0 && self.next() < share
    }
}
