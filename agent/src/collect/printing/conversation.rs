//! The conversation with the printers behind the queues: IPP and SNMP to each, several at once, within a look's time. The tables of the
//! family have the same conversation; the door remembers it for them.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use deskside_proto::rows::Row;
use ipp::model::Operation;

use crate::collect::Rows;
use crate::collect::printing::announced::{self, Announced};
use crate::collect::printing::cups::{self, Described};
use crate::collect::printing::device::{self, Device, Way};
use crate::collect::printing::printer_mib::{self, Mib};
use crate::host::{Host, SNMP_PORT, SnmpAsk};

/// How often printers are asked.
pub(super) const EVERY: Duration = Duration::from_mins(5);

/// Printers that are asked at the same time. A printer that is off costs two seconds.
const AT_ONCE: usize = 16;

/// After this no other printer is asked. Why: a silent one takes up to five seconds, and a look must end within ten.
const BEGIN_MAX_MS: i64 = 4_500;

/// Most printers of one look.
const DEVICES_MAX: usize = 200;

/// Stack of a thread that asks.
const STACK_BYTES: usize = 512 * 1024;

/// Ports of printers: IPP, raw printing, LPD.
pub(super) const PORTS: [u16; 3] = [631, 9100, 515];

/// What is asked by IPP (RFC 8011, PWG 5100.13, and CUPS's marker-*).
const ASKED: &[&str] = &[
    "marker-colors",
    "marker-high-levels",
    "marker-levels",
    "marker-low-levels",
    "marker-names",
    "marker-types",
    "media-ready",
    "printer-alert",
    "printer-alert-description",
    "printer-device-id",
    "printer-firmware-string-version",
    "printer-impressions-completed",
    "printer-input-tray",
    "printer-is-accepting-jobs",
    "printer-make-and-model",
    "printer-media-sheets-completed",
    "printer-state",
    "printer-state-message",
    "printer-state-reasons",
    "printer-supply",
    "printer-supply-description",
    "printer-up-time",
    "printer-uuid",
];

/// What a printer said, each part apart.
pub(super) struct Spoken {
    pub(super) device: Device,
    pub(super) addresses: io::Result<Vec<IpAddr>>,
    pub(super) ipp: anyhow::Result<Described>,
    pub(super) snmp: anyhow::Result<Mib>,
    /// Whether each port is open, where that was asked: the [`PORTS`], and the queue's own.
    pub(super) ports: BTreeMap<u16, io::Result<Duration>>,
}

/// All printers that were asked, and those that were not.
pub(super) struct Conversation {
    pub(super) spoken: Vec<Spoken>,
    /// Not asked, and why.
    pub(super) unasked: Vec<(Device, &'static str)>,
}

impl Conversation {
    /// Rows of what was said, with what was not said named.
    pub(super) fn rows<R: Row>(&self, of: impl Fn(&Spoken) -> Vec<R>) -> Rows {
        let heard = self.spoken.iter().any(|spoken| spoken.ipp.is_ok() || spoken.snmp.is_ok());
        if !heard && self.spoken.len() + self.unasked.len() > 0 {
            // Why not "failed": that they do not answer is what print_devices tells, and it is told once.
            return Rows::unsupported(format!("no printer answered: {}", self.silent().join("; ")));
        }
        let mut rows: Rows = self.spoken.iter().flat_map(of).collect();
        self.silent().into_iter().for_each(|silent| rows.missing(silent));
        rows
    }

    /// The printers of which nothing, or not all, is known, and why.
    fn silent(&self) -> Vec<String> {
        let spoken = self.spoken.iter().filter_map(|spoken| match (&spoken.ipp, &spoken.snmp) {
            (Err(ipp), Err(snmp)) => {
                Some(format!("{}: IPP: {}, SNMP: {}", spoken.device.host, words(ipp), words(snmp)))
            }
            (_, Ok(Mib(answer))) => {
                let cut = answer.cut.as_ref()?;
                Some(format!("{}: SNMP was cut short: {cut}", spoken.device.host))
            }
            _ => None,
        });
        let unasked = self.unasked.iter().map(|(device, why)| format!("{}: {why}", device.host));
        spoken.chain(unasked).collect()
    }
}

/// Asks every printer behind the queues. `ports` says whether their ports are tried too.
pub(super) fn converse(host: &dyn Host, ports: bool) -> anyhow::Result<Conversation> {
    let begun_ms = host.now_ms();
    let (mut devices, mut unasked) = (device::of_queues(host)?, Vec::new());
    for device in devices.split_off(devices.len().min(DEVICES_MAX)) {
        unasked.push((device, "not asked: too many printers"));
    }
    let (cabled, devices): (Vec<Device>, Vec<Device>) = devices.into_iter().partition(|device| device.way == Way::Usb);
    unasked.extend(cabled.into_iter().map(|device| (device, CABLE)));
    let (mut devices, absent) = place_announced(host, devices);
    unasked.extend(absent);
    // Why from another place each time: where there are too many dead ones, each has its turn.
    let turn = usize::try_from(begun_ms / EVERY.as_millis() as i64).unwrap_or_default();
    let first = turn.saturating_mul(AT_ONCE).checked_rem(devices.len()).unwrap_or_default();
    devices.rotate_left(first);
    let (next, found) = (AtomicUsize::new(0), Mutex::new((Vec::new(), unasked)));
    let work = || {
        while let Some(device) = devices.get(next.fetch_add(1, Ordering::Relaxed)) {
            let late = host.now_ms() - begun_ms > BEGIN_MAX_MS;
            let spoken = (!late).then(|| speak(host, device, ports));
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            match spoken {
                Some(spoken) => found.0.push(spoken),
                None => found.1.push((device.clone(), LATE)),
            }
        }
    };
    thread::scope(|scope| {
        for _worker in 0..devices.len().min(AT_ONCE) {
            if let Err(error) = asker().spawn_scoped(scope, work) {
                tracing::warn!(%error, "no thread to ask a printer");
            }
        }
    });
    let (mut spoken, mut unasked) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    spoken.sort_by(|one: &Spoken, other: &Spoken| one.device.host.cmp(&other.device.host));
    unasked.sort_by(|(one, _), (other, _)| one.host.cmp(&other.host));
    Ok(Conversation { spoken, unasked })
}

/// Why a printer is not asked whose turn came too late.
const LATE: &str = "not asked: other printers took too long to answer";

/// Why a printer at a cable is not asked.
pub(super) const CABLE: &str = "USB: its state is told by its queue alone";

fn asker() -> thread::Builder {
    thread::Builder::new().name("printer".into()).stack_size(STACK_BYTES)
}

/// Gives those that announce themselves the address that they announce; those that do not are left over.
fn place_announced(host: &dyn Host, devices: Vec<Device>) -> (Vec<Device>, Vec<(Device, &'static str)>) {
    if devices.iter().all(|device| device.way != Way::Announced) {
        return (devices, Vec::new());
    }
    let announced = announced::browse(host).unwrap_or_default();
    let (mut placed, mut absent) = (Vec::new(), Vec::new());
    for mut device in devices {
        if device.way == Way::Announced {
            let Some(found) = announced.iter().find(|found| is_of(found, &device)) else {
                absent.push((device, ABSENT));
                continue;
            };
            (device.ipp_uri, device.port) = (found.ipp_uri(), Some(found.port));
        }
        placed.push(device);
    }
    (placed, absent)
}

/// Why a printer that should announce itself is not asked.
pub(super) const ABSENT: &str = "it does not announce itself by multicast DNS";

fn is_of(found: &Announced, device: &Device) -> bool {
    let same_name = found.name.eq_ignore_ascii_case(&device.host);
    let same_uuid = !device.uuid.is_empty() && found.uuid.eq_ignore_ascii_case(&device.uuid);
    (same_name || same_uuid) && !found.addresses.is_empty()
}

/// One printer, its ways at the same time.
fn speak(host: &dyn Host, device: &Device, ports: bool) -> Spoken {
    let place = address_of(device);
    let mut tried: Vec<u16> = if ports { PORTS.to_vec() } else { Vec::new() };
    tried.extend(device.port.filter(|port| ports && !PORTS.contains(port)));
    let addresses = host.resolve(&place);
    if let Err(error) = &addresses {
        let unnamed = || anyhow::Error::new(io::Error::new(error.kind(), error.to_string()));
        return Spoken {
            device: device.clone(),
            ipp: Err(unnamed()),
            snmp: Err(unnamed()),
            ports: BTreeMap::new(),
            addresses,
        };
    }
    let (mut ipp, mut snmp, mut opened) = (None, None, BTreeMap::new());
    thread::scope(|scope| {
        let walking = asker().spawn_scoped(scope, || walk(host, &place));
        let place = &place;
        let trying: Vec<_> =
            tried.iter().map(|&port| (port, asker().spawn_scoped(scope, move || host.reach(place, port)))).collect();
        ipp = Some(describe(host, &device.ipp_uri));
        snmp = walking.ok().and_then(|walking| walking.join().ok());
        for (port, thread) in trying {
            let answer =
                thread.and_then(|thread| thread.join().unwrap_or_else(|_panicked| Err(ErrorKind::Other.into())));
            opened.insert(port, answer);
        }
    });
    let unheard = || anyhow::anyhow!("it could not be asked");
    Spoken {
        device: device.clone(),
        addresses,
        ipp: ipp.unwrap_or_else(|| Err(unheard())),
        snmp: snmp.unwrap_or_else(|| Err(unheard())),
        ports: opened,
    }
}

/// The address or name at which a device is asked.
fn address_of(device: &Device) -> String {
    if device.way != Way::Announced {
        return device.host.clone();
    }
    let authority = device.ipp_uri.split('/').nth(2).unwrap_or_default();
    let place = authority.rsplit_once(':').map_or(authority, |(place, _port)| place);
    place.trim_start_matches('[').trim_end_matches(']').to_owned()
}

fn walk(host: &dyn Host, place: &str) -> anyhow::Result<Mib> {
    let ask = SnmpAsk { host: place.to_owned(), port: SNMP_PORT, subtrees: printer_mib::subtrees() };
    Ok(Mib(host.snmp(&ask)?))
}

/// server-error-version-not-supported (RFC 8011, B.1.5.4).
const OLDER: [u8; 2] = [0x05, 0x03];

/// Get-Printer-Attributes, in the older version to a printer that does not know the newer one.
fn describe(host: &dyn Host, uri: &str) -> anyhow::Result<Described> {
    let details = [("printer-uri", cups::uri(uri)?), ("requested-attributes", cups::keywords(ASKED)?)];
    let mut question = cups::question(Operation::GetPrinterAttributes, &details)?.to_vec();
    let mut answer = host.device_ipp(uri, &question)?;
    if answer.get(2..4) == Some(&OLDER) {
        question.splice(..2, [1, 1]);
        answer = host.device_ipp(uri, &question)?;
    }
    cups::read_device(&answer)
}

/// Why something was not answered, shortly.
pub(super) fn words(error: &anyhow::Error) -> String {
    let cause = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    cause.map_or_else(|| format!("{error:#}"), io_words)
}

/// The same of a port.
pub(super) fn io_words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "refused".into(),
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "timed out".into(),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "unreachable".into(),
        ErrorKind::ConnectionReset => "closed by the printer".into(),
        _ => error.to_string(),
    }
}
