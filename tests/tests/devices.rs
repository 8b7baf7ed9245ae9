//! Sensors, supplies, batteries, graphics and screens of other machines, as the real agent reads them under /sys, and what the rules make of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::path::Path;

use data_encoding::HEXLOWER;
use deskside_server::diagnose::rules::{self, check_rule};
use deskside_tests::lab::initramfs::Initramfs;
use deskside_tests::lab::mockdev::Machine;
use deskside_tests::lab::process::program;
use deskside_tests::lab::vm::{Kernel, Vm};
use serde_json::{Value, json};

const TABLES: [&str; 6] = ["temperatures", "fans", "power", "batteries", "gpus", "monitors"];

/// The description of QEMU's screen, as Linux gave it in a virtual machine.
const EDID: &str = "00ffffffffffff0049143412000000002a180104a520147806ee91a3544c99260f5054210800e1c0d1c0d100a940b300\
                    950081808140ea2900c051201c304026444045cb10000018000000f7000a004082002820000000000000000000fd0032\
                    7d1ea0ff010a202020202020000000fc0051454d55204d6f6e69746f720a013a02030b00467d6560591f610000001000\
                    000000000000000000000000000000001000000000000000000000000000000000001000000000000000000000000000\
                    000000001000000000000000000000000000000000001000000000000000000000000000000000001000000000000000\
                    0000000000000000000000000000002f";

/// A laptop: processor, disk, fan, battery, mains and USB-C.
fn laptop(cpu: &str, rpm: &str, battery: &[(&str, &str)], usb: &[(&str, &str)]) -> Machine {
    let battery = [
        &[("type", "Battery"), ("present", "1"), ("technology", "Li-poly"), ("energy_full", "40000000")][..],
        &[("energy_full_design", "50000000"), ("energy_now", "20000000"), ("capacity", "50"), ("cycle_count", "412")],
        battery,
    ];
    let usb = [&[("type", "USB"), ("usb_type", "[C] PD PD_PPS"), ("scope", "System")][..], usb];
    Machine::default()
        .with("/devices/platform/coretemp.0", "platform", &[])
        .with(
            "/devices/platform/coretemp.0/hwmon/hwmon4",
            "hwmon",
            &[
                ("name", "coretemp"),
                ("temp1_input", cpu),
                ("temp1_label", "Package id 0"),
                ("temp1_crit", "100000"),
                ("->device", "../../../coretemp.0"),
            ],
        )
        .with("/devices/platform/thinkpad_hwmon", "platform", &[])
        .with(
            "/devices/platform/thinkpad_hwmon/hwmon/hwmon5",
            "hwmon",
            &[("name", "thinkpad"), ("fan1_input", rpm), ("pwm1", "255"), ("->device", "../../../thinkpad_hwmon")],
        )
        .with("/devices/pci0000:00/0000:00:06.0/nvme/nvme0", "nvme", &[])
        .with(
            "/devices/pci0000:00/0000:00:06.0/nvme/nvme0/hwmon/hwmon1",
            "hwmon",
            &[
                ("name", "nvme"),
                ("temp1_input", "41850"),
                ("temp1_crit", "87850"),
                ("temp2_input", "-273150"),
                ("temp3_input", "30000"),
                ("temp3_fault", "1"),
                ("->device", "../../../nvme0"),
            ],
        )
        .with("/devices/ACPI0003:00/power_supply/AC", "power_supply", &[("type", "Mains"), ("online", "0")])
        .with("/devices/PNP0C0A:00/power_supply/BAT0", "power_supply", &battery.concat())
        .with("/devices/USBC000:00/power_supply/ucsi-source-psy-USBC000:001", "power_supply", &usb.concat())
}

const WEAK: [(&str, &str); 5] = [
    ("online", "1"),
    ("voltage_max", "5000000"),
    ("current_max", "3000000"),
    ("voltage_now", "5000000"),
    ("current_now", "3000000"),
];

const STRONG: [(&str, &str); 3] = [("online", "1"), ("voltage_max", "20000000"), ("current_max", "3250000")];

const NONE: [(&str, &str); 1] = [("online", "0")];

fn rows<'a>(said: &'a Value, table: &str) -> &'a Vec<Value> {
    said[table]["rows"].as_array().unwrap()
}

fn row<'a>(said: &'a Value, table: &str, column: &str, value: &str) -> &'a Value {
    let found = rows(said, table).iter().find(|row| row[column] == value);
    found.unwrap_or_else(|| panic!("no {value} in {table}: {said:#}"))
}

/// What the rules about these tables find, by rule.
fn findings(said: &Value) -> BTreeMap<String, String> {
    let asked = |rule: &&rules::Rule| rule.tables.iter().all(|table| TABLES.contains(&table.as_str()));
    let mut found = BTreeMap::new();
    for rule in rules::all().iter().filter(asked) {
        let tables = rule.tables.iter().map(|table| (table.clone(), said[table]["rows"].clone())).collect();
        for finding in check_rule(&rule.id, &Value::Object(tables)).unwrap() {
            found.insert(finding.rule, finding.title);
        }
    }
    found
}

#[test]
fn a_laptop_in_order_is_told_whole_and_without_a_finding() {
    let battery = [("status", "Charging"), ("power_now", "10000000"), ("charge_behaviour", "[auto] inhibit-charge")];
    let said = laptop("71000", "3120", &battery, &STRONG).look(&TABLES).unwrap();
    for table in ["temperatures", "fans", "power", "batteries"] {
        assert_eq!(said[table]["outcome"], "ok", "{said:#}");
    }
    let cpu = row(&said, "temperatures", "chip", "coretemp");
    assert_eq!(
        (&cpu["device"], &cpu["part"], &cpu["temperature_celsius"]),
        (&json!("coretemp.0"), &json!("cpu"), &json!(71.0))
    );
    let cold = row(&said, "temperatures", "sensor", "temp2");
    assert_eq!(
        (&cold["temperature_celsius"], &cold["problem"]),
        (&Value::Null, &json!("the sensor gives -273 °C, which cannot be"))
    );
    assert_eq!(row(&said, "temperatures", "sensor", "temp3")["problem"], "the sensor reports a fault");
    let fan = row(&said, "fans", "chip", "thinkpad");
    assert_eq!((&fan["rpm"], &fan["drive_percent"]), (&json!(3120), &json!(100.0)));
    let usb = row(&said, "power", "kind", "usb");
    assert_eq!(
        (&usb["power_max_microwatts"], &usb["usb_type"], &usb["online"]),
        (&json!(65_000_000), &json!("C"), &json!(true))
    );
    let battery = &rows(&said, "batteries")[0];
    assert_eq!((&battery["health_percent"], &battery["on_supply"]), (&json!(80.0), &json!(true)));
    assert_eq!((&battery["time_to_full_s"], &battery["time_to_empty_s"]), (&json!(7200), &Value::Null));
    assert_eq!(findings(&said), BTreeMap::new());
}

#[test]
fn a_charger_that_is_too_weak_is_told_from_none_at_all() {
    let discharging = [("status", "Discharging"), ("power_now", "14000000")];
    let weak = findings(&laptop("60000", "2000", &discharging, &WEAK).look(&TABLES).unwrap());
    assert_eq!(weak.keys().collect::<Vec<_>>(), ["battery-drains-on-supply"]);
    let weak = findings(&laptop("60000", "2000", &[("status", "Charging")], &WEAK).look(&TABLES).unwrap());
    assert_eq!(weak["usb-supply-weak"], "The machine is fed by a supply of 15.0 W only (ucsi-source-psy-USBC000:001)");
    assert_eq!(findings(&laptop("60000", "2000", &discharging, &NONE).look(&TABLES).unwrap()), BTreeMap::new());
}

#[test]
fn a_fan_that_stands_while_the_processor_boils_is_told() {
    let full = [("status", "Full")];
    let found = findings(&laptop("101000", "0", &full, &NONE).look(&TABLES).unwrap());
    assert_eq!(found.keys().collect::<Vec<_>>(), ["cpu-too-hot", "fan-stands-while-hot"]);
    assert_eq!(findings(&laptop("45000", "0", &full, &NONE).look(&TABLES).unwrap()), BTreeMap::new());
    let silent = findings(&laptop("101000", "65535", &full, &NONE).look(&TABLES).unwrap());
    assert_eq!(silent.keys().collect::<Vec<_>>(), ["cpu-too-hot"]);
}

#[test]
fn a_battery_that_talks_nonsense_is_told_and_an_empty_bay_is_not() {
    let nonsense = [("status", "Full"), ("capacity", "255"), ("energy_full_design", "0"), ("cycle_count", "65535")];
    let machine = laptop("45000", "0", &nonsense, &NONE).with(
        "/devices/PNP0C0A:01/power_supply/BAT1",
        "power_supply",
        &[("type", "Battery"), ("present", "0"), ("status", "Unknown")],
    );
    let said = machine.look(&TABLES).unwrap();
    assert_eq!(findings(&said).keys().collect::<Vec<_>>(), ["battery-says-nonsense"]);
    let battery = row(&said, "batteries", "name", "BAT0");
    assert_eq!((&battery["health_percent"], &battery["cycles"]), (&Value::Null, &Value::Null));
    assert_eq!(row(&said, "batteries", "name", "BAT1")["present"], false);
}

/// A graphics card with three sockets, in this power state.
fn graphics(state: &str) -> Machine {
    const CARD: &str = "/devices/pci0000:00/0000:00:01.0/0000:01:00.0";
    let pci = [
        ("class", "0x030000"),
        ("vendor", "0x1002"),
        ("device", "0x73ff"),
        ("boot_vga", "1"),
        ("power/runtime_status", state),
        ("gpu_busy_percent", "7"),
        ("mem_info_vram_total", "8573157376"),
        ("current_link_width", "16"),
        ("->driver", "../../../../bus/pci/drivers/amdgpu"),
    ];
    let sensor =
        [("name", "amdgpu"), ("temp1_input", "43000"), ("fan1_input", "0"), ("->device", "../../../0000:01:00.0")];
    let mut bent = HEXLOWER.decode(EDID.as_bytes()).unwrap();
    let whole = bent.clone();
    bent[255] ^= 1;
    let mut machine = Machine::default()
        .with(CARD, "pci", &pci)
        .with(&format!("{CARD}/hwmon/hwmon0"), "hwmon", &sensor)
        .with(&format!("{CARD}/drm/card1"), "drm", &[("->device", "../../../0000:01:00.0")]);
    for (name, edid) in [("DP-1", whole), ("DP-2", bent), ("HDMI-A-1", Vec::new())] {
        let socket =
            [("status", "connected"), ("enabled", "enabled"), ("modes", "1280x800"), ("->device", "../../card1")];
        machine = machine.with(&format!("{CARD}/drm/card1/card1-{name}"), "drm", &socket).with_bytes("edid", &edid);
    }
    machine
}

#[test]
fn a_screen_is_told_by_its_own_words_and_one_without_words_is_a_finding() {
    let said = graphics("active").look(&TABLES).unwrap();
    let gpu = &rows(&said, "gpus")[0];
    assert_eq!(
        (&gpu["address"], &gpu["card"], &gpu["driver"]),
        (&json!("0000:01:00.0"), &json!("card1"), &json!("amdgpu"))
    );
    assert_eq!((&gpu["used_percent"], &gpu["memory_bytes"]), (&json!(7.0), &json!(8_573_157_376_u64)));
    let screen = row(&said, "monitors", "connector", "DP-1");
    assert_eq!(
        (&screen["gpu"], &screen["model"], &screen["problem"]),
        (&gpu["address"], &json!("QEMU Monitor"), &json!(""))
    );
    let found = findings(&said);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["monitor-description-damaged", "monitor-without-description"]);
    assert!(found["monitor-without-description"].contains("HDMI-A-1"), "{found:#?}");
}

#[test]
fn a_graphics_card_that_sleeps_is_not_asked_what_would_wake_it() {
    let said = graphics("suspended").look(&TABLES).unwrap();
    let gpu = &rows(&said, "gpus")[0];
    assert_eq!((&gpu["power_state"], &gpu["memory_bytes"]), (&json!("suspended"), &json!(8_573_157_376_u64)));
    assert_eq!((&gpu["used_percent"], &gpu["link_width"]), (&Value::Null, &Value::Null));
    for table in ["temperatures", "fans"] {
        assert_eq!(rows(&said, table)[0]["problem"], "its device sleeps and was not woken");
    }
    assert_eq!(findings(&said).len(), 2);
}

/// What the kernel needs for the devices of the virtual machine; vivid makes up cameras.
const MODULES: [&str; 12] = [
    "virtio_pci",
    "virtio_gpu",
    "nvme",
    "xhci_pci",
    "hid_generic",
    "usbhid",
    "evdev",
    "vivid",
    "snd_hda_codec_generic",
    "snd_hda_intel",
    "snd_usb_audio",
    "psmouse",
];

const TOOLS: [&str; 6] = ["sh", "mount", "insmod", "poweroff", "sleep", "grep"];

const SCRIPT: &str = "#!/bin/sh
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp
for module in /modules/*; do insmod $module; done
until [ -e /sys/class/drm/card0-Virtual-1/status ] && [ -e /sys/class/hwmon/hwmon0/name ] && [ -e /sys/class/sound/hwC0D0 ] \\
  && [ -e /sys/class/video4linux/video0 ] && grep -q 'USB Tablet' /proc/bus/input/devices; do sleep 0.1; done
exec > /dev/ttyS1
deskside-agent collect temperatures fans power gpus monitors inputs sound cameras --json
poweroff -f
";

#[test]
fn a_real_kernel_tells_its_screen_its_sensors_its_sound_its_inputs_and_its_cameras() {
    let mut vm = Vm::new().unwrap();
    let disk = vm.image("disk", 16 * 1024 * 1024).unwrap();
    vm.with("-vga", "none".into());
    vm.with("-device", "virtio-vga,xres=1280,yres=800,edid=on,max_outputs=2".into());
    vm.with("-audiodev", "none,id=silence".into());
    for device in ["ich9-intel-hda", "hda-duplex,audiodev=silence", "qemu-xhci", "usb-kbd", "usb-tablet"] {
        vm.with("-device", device.into());
    }
    vm.with("-drive", format!("file={},if=none,format=raw,id=disk", disk.display()));
    vm.with("-device", "nvme,serial=LAB,drive=disk".into());
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vm");
    let kernel = Kernel::fetched(&kept).unwrap();
    let mut root = Initramfs::with_busybox(&TOOLS).unwrap();
    root.program("/bin/deskside-agent", &program("deskside-agent").unwrap(), vm.folder()).unwrap();
    root.modules(&kernel.modules.join("kernel"), &MODULES).unwrap();
    root.file("/init", SCRIPT);
    let readings: Vec<Value> = serde_json::from_str(&vm.run(&kernel, &root).unwrap()).unwrap();
    let said: Value =
        readings.into_iter().map(|reading| (reading["table"].as_str().unwrap().to_owned(), reading)).collect();

    let disk = row(&said, "temperatures", "chip", "nvme");
    assert_eq!(
        (&disk["device"], &disk["part"], &disk["label"]),
        (&json!("nvme0"), &json!("disk"), &json!("Composite"))
    );
    assert!(disk["temperature_celsius"].is_f64() && disk["critical_celsius"].is_f64(), "{disk:#}");
    assert_eq!((&said["fans"]["outcome"], &said["power"]["outcome"]), (&json!("empty"), &json!("empty")));
    let gpu = row(&said, "gpus", "card", "card0");
    assert_eq!((&gpu["ids"], &gpu["primary"]), (&json!("1af4:1050"), &json!(true)));
    let screen = row(&said, "monitors", "connector", "Virtual-1");
    assert_eq!((&screen["gpu"], &screen["model"]), (&gpu["address"], &json!("QEMU Monitor")));
    assert!(screen["native_mode"].as_str().unwrap().starts_with("1280x800@") && screen["problem"] == "", "{screen:#}");
    assert_eq!(row(&said, "monitors", "connector", "Virtual-2")["status"], "disconnected");
    let keyboard = row(&said, "inputs", "name", "QEMU QEMU USB Keyboard");
    assert_eq!(
        (&keyboard["kind"], &keyboard["bus"], &keyboard["ids"]),
        (&json!("keyboard"), &json!("usb"), &json!("0627:0001"))
    );
    assert_eq!(row(&said, "inputs", "name", "QEMU QEMU USB Tablet")["kind"], "mouse");
    let sound = row(&said, "sound", "driver", "snd_hda_intel");
    assert_eq!(
        (&sound["codecs"], &sound["streams"]),
        (&json!(["QEMU Generic"]), &json!(["Generic Analog (playback and capture)"]))
    );
    assert_eq!(row(&said, "cameras", "node", "video0")["driver"], "vivid");
}
