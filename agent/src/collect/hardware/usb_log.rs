//! What the kernel wrote about USB ports: disconnections, devices that do not answer, too much current.

use std::collections::BTreeMap;

use crate::collect::kernel_log::Line;

/// What is looked for in the kernel's log.
pub(super) const LOGGED: &str = "usb .*USB disconnect|usb .*error -71|usb .*error -110|usb .*not accepting address|\
                                 usb .*unable to enumerate|usb .*Cannot enable|usb .*disabled by hub|over-current|usb .*: Product: ";

const DAY_MS: i64 = 24 * 3600 * 1000;
const HOUR_MS: i64 = 3600 * 1000;

/// Ports that are remembered.
const PORTS_MAX: usize = 256;

/// What happened to one port in the last day.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) disconnected_ms: Vec<i64>,
    pub(super) errors: u32,
    pub(super) over_currents: u32,
    pub(super) last_ms: Option<i64>,
    pub(super) message: String,
    /// What was last connected, by its own name.
    pub(super) product: String,
}

impl Port {
    /// Something else than a device that was pulled out now and then.
    pub(super) fn is_trouble(&self) -> bool {
        self.errors > 0 || self.over_currents > 0 || self.disconnected_ms.len() >= 3
    }

    /// Most disconnections within any one hour.
    pub(super) fn worst_hour(&self) -> u32 {
        let times = &self.disconnected_ms;
        let within = |from: &i64| times.iter().filter(|at| (0..HOUR_MS).contains(&at.saturating_sub(*from))).count();
        u32::try_from(times.iter().map(within).max().unwrap_or_default()).unwrap_or(u32::MAX)
    }
}

/// By port, from lines that are oldest first.
pub(super) fn ports(lines: &[Line], now_ms: i64) -> BTreeMap<String, Port> {
    let mut ports: BTreeMap<String, Port> = BTreeMap::new();
    for line in lines {
        let Some(name) = port(&line.text) else { continue };
        if ports.len() >= PORTS_MAX && !ports.contains_key(&name) {
            continue;
        }
        let port = ports.entry(name).or_default();
        if let Some((_port, product)) = line.text.split_once(": Product: ") {
            product.trim().clone_into(&mut port.product);
            continue;
        }
        if now_ms.saturating_sub(line.at_ms) > DAY_MS {
            continue;
        }
        if line.text.contains("over-current") {
            port.over_currents = port.over_currents.saturating_add(1);
        } else if line.text.contains("USB disconnect") {
            port.disconnected_ms.push(line.at_ms);
        } else {
            port.errors = port.errors.saturating_add(1);
        }
        port.last_ms = Some(line.at_ms);
        line.text.clone_into(&mut port.message);
    }
    ports
}

/// The port that a message is about: "usb 1-4.2: USB disconnect, device number 7", "usb usb1-port4: Cannot enable. Maybe the USB cable
/// is bad?", "usb 1-4-port2: over-current condition", "hub 1-0:1.0: over-current condition on port 4".
fn port(message: &str) -> Option<String> {
    let (driver, rest) = message.split_once(' ')?;
    let (subject, said) = rest.split_once(": ")?;
    let found = match driver {
        "usb" => match subject.split_once("-port") {
            Some((hub, number)) => below(hub.trim_start_matches("usb"), number),
            None => subject.to_owned(),
        },
        "hub" => {
            let (_before, number) = said.split_once("port ")?;
            let number = number.split(|c: char| !c.is_ascii_digit()).next()?;
            below(subject.split(':').next()?.trim_end_matches("-0"), number)
        }
        _ => return None,
    };
    is_port(&found).then_some(found)
}

/// Port `number` of a hub: "1" is a bus, "1-4" a hub on port 4 of it.
fn below(hub: &str, number: &str) -> String {
    let separator = if hub.contains('-') { '.' } else { '-' };
    format!("{hub}{separator}{number}")
}

/// "1-4.2".
pub(super) fn is_port(text: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
    text.split_once('-').is_some_and(|(bus, ports)| number(bus) && ports.split('.').all(number))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(at_ms: i64, text: &str) -> Line {
        Line { at_ms, boot_id: String::new(), text: text.into() }
    }

    #[test]
    fn messages_are_about_ports() {
        for (message, expected) in [
            ("usb 1-4.2: USB disconnect, device number 7", Some("1-4.2")),
            ("usb usb1-port4: Cannot enable. Maybe the USB cable is bad?", Some("1-4")),
            ("usb 1-4-port2: over-current condition", Some("1-4.2")),
            ("hub 1-0:1.0: over-current condition on port 4", Some("1-4")),
            ("hub 3-1.2:1.0: over-current condition on port 12", Some("3-1.2.12")),
            ("usb usb2: USB disconnect, device number 1", None),
            ("usbcore: registered new interface driver hub", None),
            ("usb : error -71", None),
            ("", None),
        ] {
            assert_eq!(port(message).as_deref(), expected, "{message}");
        }
    }

    #[test]
    fn what_happened_is_counted_by_port_and_for_a_day() {
        let now_ms = 3 * DAY_MS;
        let hour = |hours: i64| now_ms - hours * HOUR_MS;
        let lines = [
            line(hour(50), "usb 1-4: Product: USB Dock"),
            line(hour(49), "usb 1-4: USB disconnect, device number 3"),
            line(hour(9), "usb 1-4: USB disconnect, device number 4"),
            line(hour(2), "usb 1-4: USB disconnect, device number 5"),
            line(hour(2) + 1, "usb 1-4: USB disconnect, device number 6"),
            line(hour(1), "usb 1-4: device descriptor read/64, error -71"),
            line(hour(1), "usb 2-1: USB disconnect, device number 2"),
        ];
        let ports = ports(&lines, now_ms);
        let dock = &ports["1-4"];
        assert_eq!((dock.disconnected_ms.len(), dock.worst_hour(), dock.errors), (3, 2, 1));
        assert_eq!((dock.product.as_str(), dock.last_ms), ("USB Dock", Some(hour(1))));
        assert!(dock.is_trouble() && !ports["2-1"].is_trouble());
    }

    proptest! {
        #[test]
        fn no_message_makes_it_panic(message in r"(usb|hub) .{0,12}(-port.{0,4})?: .{0,30}(port|over-current|: Product: ).{0,6}", at_ms: i64, now_ms: i64) {
            let lines = [line(at_ms, &message), line(now_ms, &message)];
            for (name, port) in ports(&lines, now_ms) {
                prop_assert!(is_port(&name) && port.worst_hour() <= 2);
            }
        }
    }
}
