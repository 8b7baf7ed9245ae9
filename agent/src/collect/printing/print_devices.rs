//! Printers themselves: what answers, in which state they say they are, and whether they still have the address that the queues use.

use std::collections::BTreeMap;
use std::net::IpAddr;

use deskside_proto::rows::Row;
use deskside_proto::v1::PrintDevice;

use crate::collect::printing::announced::{self, Announced};
use crate::collect::printing::conversation::{self, ABSENT, CABLE, PORTS, Spoken, io_words, words};
use crate::collect::printing::device::{Device, Way};
use crate::collect::printing::print_counters::uptime_s;
use crate::collect::printing::printer_mib::{Mib, detected_errors, entry};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const PRINT_DEVICES: Collector =
    Collector { table: PrintDevice::TABLE, systems: &[Os::Linux], cadence: Cadence::Far(conversation::EVERY), look };

/// hrPrinterStatus.
const PRINTER_STATUS: &[(i64, &str)] = &[(1, "other"), (2, "unknown"), (3, "idle"), (4, "printing"), (5, "warmup")];

/// hrDeviceStatus.
const DEVICE_STATUS: &[(i64, &str)] = &[(1, "unknown"), (2, "running"), (3, "warning"), (4, "testing"), (5, "down")];

/// Printers at a cable, as the kernel shows them.
const CABLED: &str = "/sys/class/usbmisc";

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let conversation = conversation::converse(host, true)?;
    let mut devices: Vec<PrintDevice> = conversation.spoken.iter().map(row).collect();
    find_moved(host, &mut devices);
    let mut rows: Rows = devices.into_iter().collect();
    for (device, why) in &conversation.unasked {
        rows.push(&unasked(host, device, why));
        if *why != CABLE && *why != ABSENT {
            rows.missing(format!("{}: {why}", device.host));
        }
    }
    Ok(rows)
}

fn row(spoken: &Spoken) -> PrintDevice {
    let mut row = PrintDevice {
        addresses: spoken.addresses.iter().flatten().map(IpAddr::to_string).collect(),
        summary: summary(spoken),
        reachable: Some(answers(spoken)),
        queue_port_state: spoken.device.port.map(|port| port_state(spoken, port)).unwrap_or_default(),
        port_631: port_state(spoken, PORTS[0]),
        port_9100: port_state(spoken, PORTS[1]),
        port_515: port_state(spoken, PORTS[2]),
        connect_ms: spoken.ports.values().flatten().min().and_then(|took| u32::try_from(took.as_millis()).ok()),
        ipp: spoken.ipp.as_ref().map_or_else(words, |_described| "answered".to_owned()),
        snmp: spoken.snmp.as_ref().map_or_else(words, |_mib| "answered".to_owned()),
        uptime_s: uptime_s(spoken),
        ..named(&spoken.device)
    };
    if let Ok(mib) = &spoken.snmp {
        row = by_snmp(row, mib);
    }
    if spoken.ipp.is_ok() { by_ipp(row, spoken) } else { row }
}

fn named(device: &Device) -> PrintDevice {
    PrintDevice {
        host: device.host.clone(),
        queues: device.queues.clone(),
        schemes: device.schemes.clone(),
        queue_port: device.port.map(u32::from),
        ipp_uri: device.ipp_uri.clone(),
        uuid: device.uuid.clone(),
        ..PrintDevice::default()
    }
}

fn port_state(spoken: &Spoken, port: u16) -> String {
    spoken.ports.get(&port).map(|tried| tried.as_ref().map_or_else(io_words, |_took| "open".into())).unwrap_or_default()
}

/// A refused connection is an answer too: somebody is at the address.
fn answers(spoken: &Spoken) -> bool {
    let heard = |state: String| state == "open" || state == "refused";
    spoken.ipp.is_ok() || spoken.snmp.is_ok() || spoken.ports.keys().any(|port| heard(port_state(spoken, *port)))
}

fn summary(spoken: &Spoken) -> String {
    if let Err(error) = &spoken.addresses {
        return format!("its name has no address: {}", io_words(error));
    }
    let ipp = spoken.ipp.as_ref().map_or_else(|why| format!("IPP: {}", words(why)), |_answer| "IPP answered".into());
    let snmp = match &spoken.snmp {
        Ok(mib) => format!("SNMP answered (version {})", mib.0.version),
        Err(why) => format!("SNMP: {}", words(why)),
    };
    let ports = spoken.ports.keys().map(|port| format!("port {port} {}", port_state(spoken, *port)));
    [ipp, snmp].into_iter().chain(ports).collect::<Vec<_>>().join("; ")
}

fn by_snmp(row: PrintDevice, mib: &Mib) -> PrintDevice {
    let (devices, printers) = (mib.rows(entry::DEVICE), mib.rows(entry::PRINTER));
    let (general, display) = (mib.rows(entry::GENERAL), mib.rows(entry::DISPLAY));
    let (index, printer) = printers.iter().next().map_or((None, None), |(index, entry)| (Some(index), Some(entry)));
    // The printer's own line among the parts of the device (processors, memory); a printer without a printer table has one line.
    let device = index.and_then(|index| devices.get(index)).or_else(|| devices.values().next());
    let general = general.values().next();
    let lines: Vec<String> = display.values().map(|line| line.text(2)).filter(|line| !line.is_empty()).collect();
    PrintDevice {
        snmp_version: mib.0.version.clone(),
        description: mib.description(),
        model: device.map(|device| device.text(3)).unwrap_or_default(),
        serial: general.map(|general| general.text(17)).unwrap_or_default(),
        printer_status: printer.map(|printer| printer.word(1, PRINTER_STATUS)).unwrap_or_default(),
        device_status: device.map(|device| device.word(5, DEVICE_STATUS)).unwrap_or_default(),
        detected_errors: printer.map(|printer| detected(printer.octets(2))).unwrap_or_default(),
        display: lines.join(" / "),
        ..row
    }
}

fn detected(octets: &[u8]) -> Vec<String> {
    detected_errors(octets).map(|error| error.name.to_owned()).collect()
}

fn by_ipp(row: PrintDevice, spoken: &Spoken) -> PrintDevice {
    let Ok(described) = &spoken.ipp else { return row };
    let model = described.text("printer-make-and-model");
    let id = described.text("printer-device-id");
    let uuid = described.text("printer-uuid").trim_start_matches("urn:uuid:").to_lowercase();
    PrintDevice {
        model: if model.is_empty() { row.model } else { model },
        serial: if row.serial.is_empty() { of_device_id(&id, &["SN", "SERN", "SERIALNUMBER"]) } else { row.serial },
        firmware: described.texts("printer-firmware-string-version").join(", "),
        uuid: if uuid.is_empty() { row.uuid } else { uuid },
        state: match described.number("printer-state") {
            Some(3) => "idle".into(),
            Some(4) => "processing".into(),
            Some(5) => "stopped".into(),
            Some(other) => format!("state {other}"),
            None => String::new(),
        },
        state_reasons: described.reasons("printer-state-reasons"),
        state_message: described.text("printer-state-message"),
        accepting_jobs: described.number("printer-state").map(|_state| described.flag("printer-is-accepting-jobs")),
        ..row
    }
}

/// A part of an IEEE 1284 device id: "MFG:Acme;MDL:Laser 9;SN:X1;"
fn of_device_id(id: &str, names: &[&str]) -> String {
    let mut parts = id.split(';').filter_map(|part| part.split_once(':'));
    let found = parts.find(|(name, _value)| names.contains(&name.trim().to_uppercase().as_str()));
    found.map(|(_name, value)| value.trim().to_owned()).unwrap_or_default()
}

/// A printer that was not asked, and why. One at a cable tells its id through the kernel.
fn unasked(host: &dyn Host, device: &Device, why: &str) -> PrintDevice {
    let row = PrintDevice { summary: why.to_owned(), ..named(device) };
    if device.way != Way::Usb {
        return PrintDevice { reachable: (why == ABSENT).then_some(false), ..row };
    }
    let (_scheme, path) = device.host.split_once("://").unwrap_or_default();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let plain = |text: &str| text.replace("%20", " ").to_lowercase();
    let serial = query.split('&').find_map(|part| part.strip_prefix("serial=")).unwrap_or_default();
    let ids = host.list(CABLED).unwrap_or_default().into_iter().filter(|name| name.starts_with("lp"));
    let mut ids = ids.filter_map(|name| host.line(&format!("{CABLED}/{name}/device/ieee1284_id")));
    let found = ids.find(|id| {
        let model = of_device_id(id, &["MDL", "MODEL"]);
        plain(path).ends_with(&plain(&model)) && !model.is_empty()
    });
    let Some(id) = found else {
        let seen = "the kernel shows no printer of this name: it is off, unplugged, or held by the print server";
        return PrintDevice { summary: format!("{why}; {seen}"), serial: serial.to_owned(), ..row };
    };
    let maker = of_device_id(&id, &["MFG", "MANUFACTURER"]);
    PrintDevice {
        summary: format!("{why}; plugged in"),
        reachable: Some(true),
        model: format!("{maker} {}", of_device_id(&id, &["MDL", "MODEL"])).trim().to_owned(),
        serial: Some(of_device_id(&id, &["SN", "SERN"])).filter(|id| !id.is_empty()).unwrap_or_else(|| serial.into()),
        ..row
    }
}

/// Looks for printers that do not answer where the queues look for them, or where another one answers now, by the UUID that was last
/// seen there. Why only then: everybody on the link hears the question.
fn find_moved(host: &dyn Host, devices: &mut [PrintDevice]) {
    let own = |device: &PrintDevice| (!device.uuid.is_empty()).then(|| (device.host.clone(), device.uuid.clone()));
    let seen: BTreeMap<String, String> = devices.iter().filter_map(own).collect();
    let before = remember(host, &seen);
    let wanted = |device: &PrintDevice| before.get(&device.host).or_else(|| seen.get(&device.host)).cloned();
    let lost = |device: &PrintDevice| {
        let uuid = wanted(device)?;
        (device.ipp != "answered" || uuid != device.uuid).then_some(uuid)
    };
    let mut lost: Vec<(&mut PrintDevice, String)> =
        devices.iter_mut().filter_map(|device| lost(device).map(|uuid| (device, uuid))).collect();
    if lost.is_empty() {
        return;
    }
    let announced = announced::browse(host).unwrap_or_default();
    let mut kept = seen.clone();
    for (device, uuid) in &mut lost {
        let found = announced.iter().find(|found| found.uuid.eq_ignore_ascii_case(uuid));
        if let Some(found) = found {
            tell_place(device, found);
        }
        // What is looked for stays known until it is found elsewhere no more and another one stands in its place.
        if found.is_some() || device.uuid.is_empty() {
            kept.insert(device.host.clone(), uuid.clone());
        }
    }
    if kept != seen {
        remember(host, &kept);
    }
}

/// Leaves the UUIDs by host for the next look; those of the look before.
fn remember(host: &dyn Host, uuids: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let note = serde_json::to_string(uuids).unwrap_or_default();
    let before = host.recall(PrintDevice::TABLE, note);
    before.and_then(|before| serde_json::from_str(&before.text).ok()).unwrap_or_default()
}

fn tell_place(device: &mut PrintDevice, found: &Announced) {
    device.announced_name.clone_from(&found.name);
    device.announced_addresses = found.addresses.iter().map(IpAddr::to_string).collect();
    let same = device.announced_addresses.iter().any(|address| device.addresses.contains(address));
    device.address_changed = (!found.addresses.is_empty()).then_some(!same);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_the_highest_bit_of_the_first_byte() {
        assert_eq!(detected(&[0x60, 0x80]), ["noPaper", "lowToner", "inputTrayMissing"]);
        assert_eq!(detected(&[0x05]), ["jammed", "serviceRequested"]);
        assert_eq!(detected(&[0x00, 0x02, 0xff]), ["overduePreventMaint"]);
        assert_eq!(detected(&[]), Vec::<String>::new());
    }

    #[test]
    fn a_device_id_is_read_by_its_keys() {
        let id = "MFG:HP;CMD:PJL,PCL;MDL:LaserJet 400;CLS:PRINTER;SERN:VNC123;";
        assert_eq!(of_device_id(id, &["SN", "SERN"]), "VNC123");
        assert_eq!(of_device_id(id, &["MDL"]), "LaserJet 400");
        assert_eq!(of_device_id("nonsense", &["MDL"]), "");
    }
}
