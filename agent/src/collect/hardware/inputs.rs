//! Keyboards, mice and other inputs (/proc/bus/input/devices), with the batteries of those that have one.

use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::Input;

use super::supplies::{Supply, supplies};
use crate::collect::sysfs;
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const INPUTS: Collector =
    Collector { table: Input::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(15)), look };

const DEVICES: &str = "/proc/bus/input/devices";
const SUPPLIES: &str = "/sys/class/power_supply";

/// Most inputs that are told.
const INPUTS_MAX: usize = 128;

/// Longest text of one value, in characters.
const TEXT_CHARS_MAX: usize = 256;

/// Names of buses, by their number (linux/input.h).
const BUSES: [(&str, &str); 13] = [
    ("0001", "pci"),
    ("0003", "usb"),
    ("0005", "bluetooth"),
    ("0006", "virtual"),
    ("0010", "isa"),
    ("0011", "i8042"),
    ("0013", "rs232"),
    ("0017", "adb"),
    ("0018", "i2c"),
    ("0019", "host"),
    ("001c", "spi"),
    ("001d", "rmi"),
    ("001e", "cec"),
];

/// What an input can do, by the bits of what it announces (linux/input-event-codes.h).
mod bit {
    pub(super) const EV_KEY: usize = 0x01;
    pub(super) const EV_REL: usize = 0x02;
    pub(super) const EV_ABS: usize = 0x03;
    pub(super) const EV_SW: usize = 0x05;
    pub(super) const EV_SND: usize = 0x12;
    pub(super) const PROP_DIRECT: usize = 0x01;
    pub(super) const KEY_A: usize = 30;
    pub(super) const KEY_Z: usize = 44;
    pub(super) const KEY_ENTER: usize = 28;
    pub(super) const BTN_LEFT: usize = 0x110;
    pub(super) const BTN_JOYSTICK: usize = 0x120;
    pub(super) const BTN_GAMEPAD: usize = 0x130;
    pub(super) const BTN_TOOL_PEN: usize = 0x140;
    pub(super) const BTN_TOOL_FINGER: usize = 0x145;
    pub(super) const BTN_TOUCH: usize = 0x14a;
}

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let text = host.text(DEVICES).with_context(|| format!("reading {DEVICES}"))?;
    let (supplies, _more) = supplies(host)?;
    let batteries: Vec<(String, &Supply<'_>)> = supplies
        .iter()
        .filter(|supply| supply.of_device)
        .filter_map(|supply| Some((holder(&host.link(&format!("{SUPPLIES}/{}", supply.name)).ok()?)?, supply)))
        .collect();
    let mut rows = Rows::none();
    let (mut told, mut more) = (0, 0);
    for block in text.split("\n\n").filter(|block| !block.trim().is_empty()) {
        if told == INPUTS_MAX {
            more += 1;
            continue;
        }
        let (input, place) = parse(block);
        let battery = batteries.iter().find(|(holder, _supply)| under(&place, holder));
        rows.push(&battery.map_or_else(|| input.clone(), |(_holder, supply)| powered(input.clone(), supply)));
        told += 1;
    }
    if more > 0 {
        rows.missing(format!("{more} more inputs"));
    }
    Ok(rows)
}

/// The device that a battery belongs to: of `../../devices/…/0003:046D:4082.0006/power_supply/hidpp_battery_0`, the part from `/devices` to the supply.
fn holder(link: &str) -> Option<String> {
    let (device, _supply) = link.rsplit_once("/power_supply/")?;
    device.find("/devices/").and_then(|start| device.get(start..)).map(str::to_owned)
}

fn under(place: &str, holder: &str) -> bool {
    place.strip_prefix(holder).is_some_and(|rest| rest.starts_with('/'))
}

fn powered(input: Input, supply: &Supply<'_>) -> Input {
    let percent = supply.folder.count("capacity").filter(|percent| *percent <= 100);
    Input {
        battery_percent: percent.map(|percent| percent as f64),
        battery_level: supply.folder.line("capacity_level").unwrap_or_default(),
        battery_status: supply.folder.line("status").unwrap_or_default(),
        ..input
    }
}

/// One input, and its place under /sys: lines of a letter and what it stands for (drivers/input/input.c).
fn parse(block: &str) -> (Input, String) {
    let value = |start: &str| -> String {
        let line = block.lines().find_map(|line| line.trim_start().strip_prefix(start));
        line.unwrap_or_default().trim().trim_matches('"').chars().take(TEXT_CHARS_MAX).collect()
    };
    let id = |key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix("I: "))?;
        line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    };
    let bits = |key: &str| Bits::of(&value(&format!("B: {key}=")));
    // Jacks and the like sit on no bus and have no numbers.
    let bus = id("Bus").filter(|bus| *bus != "0000").unwrap_or_default();
    let handlers = value("H: Handlers=");
    let input = Input {
        name: value("N: Name="),
        phys: value("P: Phys="),
        uniq: value("U: Uniq="),
        kind: kind(&bits("EV"), &bits("KEY"), &bits("PROP"), &handlers, &value("P: Phys=")).to_owned(),
        bus: BUSES.iter().find(|(number, _name)| *number == bus).map_or(bus, |(_number, name)| name).to_owned(),
        ids: if bus.is_empty() { String::new() } else { sysfs::ids(id("Vendor"), id("Product")) },
        handlers: handlers.split_whitespace().map(str::to_owned).collect(),
        ..Input::default()
    };
    (input, value("S: Sysfs="))
}

/// What a person would call it, as udev decides it (udev-builtin-input_id).
fn kind(events: &Bits, keys: &Bits, properties: &Bits, handlers: &str, phys: &str) -> &'static str {
    let absolute = events.has(bit::EV_ABS);
    let typed = [bit::KEY_A, bit::KEY_Z, bit::KEY_ENTER].iter().all(|key| keys.has(*key));
    match () {
        () if keys.has(bit::BTN_TOOL_PEN) => "tablet",
        () if absolute && keys.has(bit::BTN_TOUCH) && properties.has(bit::PROP_DIRECT) => "touchscreen",
        () if absolute && keys.has(bit::BTN_TOOL_FINGER) => "touchpad",
        () if handlers.split_whitespace().any(|handler| handler.starts_with("js")) => "joystick",
        () if absolute && (keys.has(bit::BTN_JOYSTICK) || keys.has(bit::BTN_GAMEPAD)) => "joystick",
        () if (events.has(bit::EV_REL) || absolute) && keys.has(bit::BTN_LEFT) => "mouse",
        () if typed => "keyboard",
        () if events.has(bit::EV_SW) && phys == "ALSA" => "jack",
        () if events.has(bit::EV_KEY) => "buttons",
        () if events.has(bit::EV_SW) => "switch",
        () if events.has(bit::EV_SND) => "sound",
        () => "",
    }
}

/// A bitmap as the kernel prints it: words of 64 bits in hexadecimal, the highest first, leading ones left out.
struct Bits(Vec<u64>);

impl Bits {
    fn of(text: &str) -> Self {
        Self(text.split_whitespace().rev().map(|word| u64::from_str_radix(word, 16).unwrap_or_default()).collect())
    }

    fn has(&self, bit: usize) -> bool {
        self.0.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYBOARD: &str = "I: Bus=0011 Vendor=0001 Product=0001 Version=ab41\nN: Name=\"AT Translated Set 2 keyboard\"\n\
        P: Phys=isa0060/serio0/input0\nS: Sysfs=/devices/platform/i8042/serio0/input/input1\nU: Uniq=\n\
        H: Handlers=sysrq kbd leds event1 \nB: PROP=0\nB: EV=120013\nB: KEY=402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe\n\
        B: MSC=10\nB: LED=7\n";
    const TOUCHPAD: &str = "I: Bus=0018 Vendor=06cb Product=ce67 Version=0100\nN: Name=\"SYNA8018:00 06CB:CE67 Touchpad\"\n\
        P: Phys=i2c-SYNA8018:00\nH: Handlers=mouse1 event6 \nB: PROP=5\nB: EV=1b\nB: KEY=e520 10000 0 0 0 0\nB: ABS=2e0800000000003\n";
    const MOUSE: &str = "I: Bus=0003 Vendor=046d Product=4082 Version=0111\nN: Name=\"Logitech MX Master 3\"\n\
        S: Sysfs=/devices/pci0000:00/usb1/1-2/0003:046D:4082.0006/input/input20\nH: Handlers=sysrq kbd mouse0 event5 \n\
        B: PROP=0\nB: EV=120017\nB: KEY=ffff0000 0 0 0 0\nB: REL=1943\n";

    fn kind_of(block: &str) -> String {
        parse(block).0.kind
    }

    #[test]
    fn an_input_is_what_a_person_calls_it() {
        assert_eq!(
            (kind_of(KEYBOARD), kind_of(TOUCHPAD), kind_of(MOUSE)),
            ("keyboard".into(), "touchpad".into(), "mouse".into())
        );
        let lid = "N: Name=\"Lid Switch\"\nP: Phys=PNP0C0D/button/input0\nB: EV=21\nB: SW=1\n";
        let jack = "N: Name=\"HDA Intel PCH Mic\"\nP: Phys=ALSA\nB: EV=21\nB: SW=10\n";
        let power = "N: Name=\"Power Button\"\nB: EV=3\nB: KEY=10000000000000 0\n";
        assert_eq!((kind_of(lid), kind_of(jack), kind_of(power)), ("switch".into(), "jack".into(), "buttons".into()));
    }

    #[test]
    fn an_input_is_named_and_placed() {
        let (keyboard, place) = parse(KEYBOARD);
        assert_eq!(
            (keyboard.name.as_str(), keyboard.bus.as_str(), keyboard.ids.as_str()),
            ("AT Translated Set 2 keyboard", "i8042", "0001:0001")
        );
        assert_eq!(keyboard.handlers, ["sysrq", "kbd", "leds", "event1"]);
        assert_eq!(place, "/devices/platform/i8042/serio0/input/input1");
    }

    #[test]
    fn a_battery_belongs_to_the_input_below_the_same_device() {
        let holder =
            holder("../../devices/pci0000:00/usb1/1-2/0003:046D:4082.0006/power_supply/hidpp_battery_0").unwrap();
        assert!(under(&parse(MOUSE).1, &holder));
        assert!(!under("/devices/pci0000:00/usb1/1-2/0003:046D:4082.00066/input/input2", &holder));
        assert!(!under(&parse(KEYBOARD).1, &holder));
    }

    #[test]
    fn a_block_cut_anywhere_is_read_as_far_as_it_goes() {
        for cut in 0..TOUCHPAD.len() {
            let _told = parse(&TOUCHPAD[..cut]);
        }
        assert!(!Bits::of("zz 1").has(usize::MAX));
    }
}
