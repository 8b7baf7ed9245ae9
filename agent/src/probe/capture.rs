//! Packets as they pass an interface, into a file for a ticket: by a filter, bounded in time, packets and bytes, ended at once when nobody
//! waits for it any more.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::time::Duration;

use anyhow::Context;
use data_encoding::HEXLOWER;
use deskside_proto::rows::Row;
use deskside_proto::show;
use deskside_proto::v1::Capture;

use super::{Arguments, Asked, Errand, Probe, Steps, Unrun};
use crate::collect::Rows;
use crate::host::{BpfInstruction, Host, Packet, Packets, Tap};
use pcapng::{Captured, Counted, File};
use plan::Plan;
use program::Condition;

mod filter;
mod links;
mod own;
mod pcapng;
mod plan;
mod program;
#[cfg(test)]
mod tests;

/// Longer than the longest capture.
pub(super) const CAPTURE: Probe = Probe { table: Capture::TABLE, deadline: Duration::from_secs(330), run };

/// Between two looks at whether somebody still waits: so soon it ends when nobody does.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What came before the end and is not handed over yet is waited for, twice as long as the kernel holds it.
const LAST_WAIT: Duration = Duration::from_millis(20);

/// And fetched for so long at most.
const LAST_MS: i64 = 2_000;

/// Between two words on how far it is.
const TELL_EVERY_MS: i64 = 1_000;

const BUFFER_BYTES: usize = 64 * 1024;

/// What is asked for, in words for the person who is to agree. It is refused here where it cannot be done.
pub(super) fn described(host: &dyn Host, arguments: &Arguments) -> Result<String, Unrun> {
    Ok(Plan::read(host, arguments)?.words())
}

fn run(host: &dyn Host, asked: &Asked, steps: &mut Steps<'_>) -> anyhow::Result<Rows> {
    let plan = Plan::read(host, &asked.arguments)?;
    let errand = &asked.errand;
    let out = errand.take_out().ok_or_else(|| {
        let words = "a capture is evidence of a ticket: deskside capture DEVICE --ticket N; at the machine: deskside-agent capture --out FILE";
        Unrun::Refused(words.into())
    })?;
    let program = program(host, &plan).map_err(Unrun::Refused)?;
    let tap = Tap { interface: plan.interface.clone(), program, snaplen: plan.snaplen };
    let packets = host.wire().packets(&tap).context("opening a tap on packets")?;
    steps.tell(format!("capturing {}", plan.words()))?;
    let mut course = Course::begin(host, &plan, errand, out, packets)?;
    course.run(host, steps)?;
    Ok(Rows::one(course.end(host, errand)?))
}

/// The filter that was asked for, and the agent's own connections and what would be seen twice taken out.
fn program(host: &dyn Host, plan: &Plan) -> Result<Vec<BpfInstruction>, String> {
    let left_out = [Some(Condition::sent_over_loopback()), own::connections(host)].into_iter().flatten();
    let conditions = left_out.map(Condition::negated).chain(plan.condition.clone());
    program::program(conditions.reduce(Condition::and).as_ref(), plan.snaplen)
}

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Time,
    Packets,
    Bytes,
}

/// A capture under way.
struct Course<'a> {
    plan: &'a Plan,
    packets: Box<dyn Packets>,
    file: File<BufWriter<Box<dyn Write + Send>>>,
    links: links::Links,
    /// By the kernel's number: the number in the file and what is in it; none of a kind of link that is not known here.
    known: BTreeMap<u32, Option<(u32, u64)>>,
    written: u64,
    strange: u64,
    begun_ms: i64,
    until_ms: i64,
    ended: Option<Ended>,
}

impl<'a> Course<'a> {
    fn begin(
        host: &dyn Host,
        plan: &'a Plan,
        errand: &Errand,
        out: Box<dyn Write + Send>,
        packets: Box<dyn Packets>,
    ) -> anyhow::Result<Self> {
        let application = concat!("deskside-agent ", env!("CARGO_PKG_VERSION"));
        let out = BufWriter::with_capacity(BUFFER_BYTES, out);
        let file =
            File::begin(out, &errand.words(&plan.words()), application).context("beginning the capture's file")?;
        let links = links::Links::ask(host);
        let begun_ms = host.now_ms();
        let mut course = Self {
            plan,
            packets,
            file,
            links,
            known: BTreeMap::new(),
            written: 0,
            strange: 0,
            begun_ms,
            until_ms: begun_ms.saturating_add(i64::from(plan.seconds) * 1_000),
            ended: None,
        };
        if let Some(link) = plan.interface.as_deref().and_then(|name| course.links.named(name)) {
            course.declare(link.index, link.kind)?;
        }
        Ok(course)
    }

    fn run(&mut self, host: &dyn Host, steps: &mut Steps<'_>) -> anyhow::Result<()> {
        let mut told_ms = self.begun_ms;
        while self.ended.is_none() {
            steps.still_wanted()?;
            let now_ms = host.now_ms();
            if now_ms < self.begun_ms || now_ms >= self.until_ms {
                return self.rest(host, steps);
            }
            if now_ms - told_ms >= TELL_EVERY_MS {
                told_ms = now_ms;
                let (_passed, dropped) = self.packets.counted().context("counting dropped packets")?;
                let seconds = (now_ms - self.begun_ms) / 1_000;
                let bytes = show::bytes(self.file.bytes() as f64);
                steps.tell(format!("{seconds} s: {} packets, {bytes}, {dropped} dropped", self.written))?;
            }
            let left = Duration::from_millis((self.until_ms - now_ms).unsigned_abs());
            self.take(left.min(LOOK_EVERY))?;
        }
        Ok(())
    }

    /// What came in time and still waits in the kernel.
    fn rest(&mut self, host: &dyn Host, steps: &mut Steps<'_>) -> anyhow::Result<()> {
        let last_ms = host.now_ms().saturating_add(LAST_MS);
        while self.ended.is_none() && self.take(LAST_WAIT)? > 0 && host.now_ms() < last_ms {
            steps.still_wanted()?;
        }
        self.ended.get_or_insert(Ended::Time);
        Ok(())
    }

    /// Packets of one block. Why the tap is put aside: it lends its packets to the file.
    fn take(&mut self, wait: Duration) -> anyhow::Result<usize> {
        let mut packets = std::mem::replace(&mut self.packets, Box::new(Closed));
        let taken = packets.take(wait, &mut |packet| self.add(packet));
        self.packets = packets;
        taken.context("capturing")
    }

    fn add(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        if packet.at_ns / 1_000_000 >= self.until_ms.unsigned_abs() {
            self.ended.get_or_insert(Ended::Time);
        }
        if self.ended.is_some() {
            return Ok(());
        }
        let known = match self.known.get(&packet.interface) {
            Some(known) => *known,
            None => self.declare(packet.interface, packet.link)?,
        };
        let Some((number, _count)) = known else {
            self.strange += 1;
            return Ok(());
        };
        if self.file.bytes().saturating_add(File::<io::Sink>::needs(packet.bytes)) > self.plan.bytes {
            self.ended = Some(Ended::Bytes);
            return Ok(());
        }
        self.file.packet(&Captured {
            interface: number,
            at_ns: packet.at_ns,
            outgoing: packet.outgoing,
            length: packet.length,
            bytes: packet.bytes,
        })?;
        if let Some(Some((_number, count))) = self.known.get_mut(&packet.interface) {
            *count += 1;
        }
        self.written += 1;
        if self.written >= self.plan.packets {
            self.ended = Some(Ended::Packets);
        }
        Ok(())
    }

    /// Tells the file of an interface.
    fn declare(&mut self, index: u32, kind: u16) -> io::Result<Option<(u32, u64)>> {
        let known = match links::in_files(kind) {
            Some(link) => {
                let name = self.links.name(index);
                let number = self.file.interface(&name, link, self.plan.snaplen, &self.plan.filter)?;
                Some((number, 0))
            }
            None => None,
        };
        self.known.insert(index, known);
        Ok(known)
    }

    fn end(mut self, host: &dyn Host, errand: &Errand) -> anyhow::Result<Capture> {
        let (passed, dropped) = self.packets.counted().context("counting dropped packets")?;
        drop(self.packets);
        let now_ms = host.now_ms();
        let mut delivered: Vec<(u32, u64)> = self.known.values().flatten().copied().collect();
        delivered.sort_unstable();
        let counts: Vec<u64> = delivered.into_iter().map(|(_number, delivered)| delivered).collect();
        let at_ns = now_ms.unsigned_abs().saturating_mul(1_000_000);
        let told = Counted { accepted: passed, dropped };
        let (bytes, hash) = self.file.finish(at_ns, told, &counts).context("writing the capture's file")?;
        let took_ms = u32::try_from(now_ms.saturating_sub(self.begun_ms)).unwrap_or_default();
        let plan = self.plan;
        let mut row = Capture {
            number: 1,
            step: "verdict".into(),
            outcome: "ok".into(),
            found: String::new(),
            interface: plan.interface.clone().unwrap_or_else(|| plan::ANY.into()),
            filter: plan.filter.clone(),
            snaplen: plan.snaplen,
            packets: self.written,
            bytes,
            dropped,
            took_ms,
            sha256: HEXLOWER.encode(&hash),
            file: errand.file.clone(),
            ticket: errand.ticket,
            asked_by: errand.asked_by.clone(),
            consent: errand.consent.clone(),
        };
        row.found = verdict(plan, &row, self.ended, self.strange);
        Ok(row)
    }
}

/// A tap while its packets are lent.
struct Closed;

impl Packets for Closed {
    fn take(&mut self, _wait: Duration, _each: &mut dyn FnMut(&Packet<'_>) -> io::Result<()>) -> io::Result<usize> {
        Err(ErrorKind::NotConnected.into())
    }

    fn counted(&mut self) -> io::Result<(u64, u64)> {
        Err(ErrorKind::NotConnected.into())
    }
}

fn verdict(plan: &Plan, row: &Capture, ended: Option<Ended>, strange: u64) -> String {
    let place = if row.interface == plan::ANY { "all interfaces".to_owned() } else { row.interface.clone() };
    let time = show::duration(f64::from(row.took_ms) / 1e3);
    let filtered = if row.filter.is_empty() { String::new() } else { format!(" with the filter \"{}\"", row.filter) };
    let words = match row.packets {
        0 => format!("No packet was seen on {place}{filtered} in {time}"),
        1 => format!("One packet was captured on {place}{filtered} in {time}"),
        many => {
            format!("{many} packets ({}) were captured on {place}{filtered} in {time}", show::bytes(row.bytes as f64))
        }
    };
    let early = format!(" before the {} s that were asked for", plan.seconds);
    let ended = match ended {
        Some(Ended::Packets) => format!(", where the bound of {} packets ended it{early}", plan.packets),
        Some(Ended::Bytes) => format!(", where the bound of {} ended it{early}", show::bytes(plan.bytes as f64)),
        Some(Ended::Time) | None => String::new(),
    };
    let lost = match row.dropped {
        0 => ", and none was dropped".to_owned(),
        1 => "; one more came too fast and was dropped".to_owned(),
        many => format!("; {many} more came too fast and were dropped"),
    };
    let strange = match strange {
        0 => String::new(),
        many => format!("; {many} on links of a kind that is not known here were left out"),
    };
    format!("{words}{ended}{lost}{strange}.")
}
