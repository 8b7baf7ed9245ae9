//! The sensor chips of the kernel (Documentation/hwmon/sysfs-interface.rst): what temperatures, fans and supply rails have in common.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use crate::collect::sysfs::{self, Folder};
use crate::host::Host;

const CLASS: &str = "/sys/class/hwmon";

/// Most chips that are read; a big server has about thirty.
const CHIPS_MAX: usize = 64;

/// Most channels of one kind that are read of one chip.
const CHANNELS_MAX: usize = 64;

/// The part of the machine that a chip or a thermal zone belongs to, by the beginning of its name.
const PARTS: [(&str, &str); 44] = [
    ("coretemp", "cpu"),
    ("k10temp", "cpu"),
    ("k8temp", "cpu"),
    ("zenpower", "cpu"),
    ("fam15h_power", "cpu"),
    ("via_cputemp", "cpu"),
    ("x86_pkg_temp", "cpu"),
    ("cpu", "cpu"),
    ("TCPU", "cpu"),
    ("B0D4", "cpu"),
    ("soc", "cpu"),
    ("amdgpu", "gpu"),
    ("radeon", "gpu"),
    ("nouveau", "gpu"),
    ("i915", "gpu"),
    ("xe", "gpu"),
    ("gpu", "gpu"),
    ("nvme", "disk"),
    ("drivetemp", "disk"),
    ("jc42", "memory"),
    ("spd5118", "memory"),
    ("iwlwifi", "network"),
    ("ath1", "network"),
    ("mt7", "network"),
    ("rtw", "network"),
    ("phy", "network"),
    ("r8169", "network"),
    ("enp", "network"),
    ("BAT", "battery"),
    ("CMB", "battery"),
    ("AC", "power"),
    ("ADP", "power"),
    ("ucsi_source_psy", "power"),
    ("corsairpsu", "power"),
    ("rpi_volt", "power"),
    ("pmbus", "power"),
    ("ina2", "power"),
    ("acpi_power_meter", "power"),
    ("power_meter", "power"),
    ("dps", "power"),
    ("acpitz", "board"),
    ("nct", "board"),
    ("it8", "board"),
    ("thinkpad", "board"),
];

/// One sensor chip.
pub(super) struct Chip<'a> {
    /// As its driver names it.
    pub(super) name: String,
    /// The device that it sits on.
    pub(super) device: String,
    /// Why it is not asked.
    pub(super) asleep: Option<&'static str>,
    folder: Folder<'a>,
    files: BTreeSet<String>,
}

/// The chips, and whether there were more than are read. Absent: the kernel has no sensor driver loaded.
pub(super) fn chips(host: &dyn Host) -> anyhow::Result<Option<(Vec<Chip<'_>>, bool)>> {
    let members = sysfs::class(host, CLASS)?;
    let cut = members.len() > CHIPS_MAX;
    let chips: Vec<Chip<'_>> =
        members.into_iter().take(CHIPS_MAX).filter_map(|(name, folder)| Chip::open(name, folder)).collect();
    Ok(Some((chips, cut)).filter(|(chips, _cut)| !chips.is_empty()))
}

/// What a reading says where no chip was found.
pub(super) fn no_chips() -> &'static str {
    "the kernel shows no sensor chip: a virtual machine has none; elsewhere the driver is not loaded (package lm-sensors, sensors-detect)"
}

/// The part of the machine that a chip or a zone belongs to; what is not known sits on the board.
pub(super) fn part(name: &str) -> &'static str {
    PARTS.iter().find(|(start, _part)| name.starts_with(start)).map_or("board", |(_start, part)| part)
}

impl<'a> Chip<'a> {
    fn open(hwmon: String, folder: Folder<'a>) -> Option<Self> {
        // Some older drivers hang their attributes on the device itself.
        let own = folder.line("name");
        let device = folder.at("device");
        let device_name = folder.link_name("device").unwrap_or(hwmon);
        let asleep = asleep(own.as_deref().unwrap_or_default(), &device);
        let (name, folder) = match own {
            Some(name) => (name, folder),
            None => (device.line("name")?, device),
        };
        let files = folder.names().ok()?.into_iter().collect();
        Some(Self { name, device: device_name, asleep, folder, files })
    }

    /// The part of the machine that it watches.
    pub(super) fn part(&self) -> &'static str {
        part(&self.name)
    }

    /// Its channels of a kind ("temp", "fan", "in"), in the order of their numbers, and whether there were more than are read.
    pub(super) fn channels(&self, kind: &str) -> (Vec<Channel<'_>>, bool) {
        let numbers: BTreeSet<u32> =
            self.files.iter().filter_map(|file| file.strip_prefix(kind)?.split_once('_')?.0.parse().ok()).collect();
        let channel = |number: u32| Channel { chip: self, name: format!("{kind}{number}") };
        (numbers.iter().take(CHANNELS_MAX).map(|number| channel(*number)).collect(), numbers.len() > CHANNELS_MAX)
    }

    /// An attribute of the chip's own.
    pub(super) fn number(&self, file: &str) -> Option<i64> {
        self.files.contains(file).then(|| self.folder.number(file)).flatten()
    }
}

/// Why a device is not asked: it sleeps, or asking would keep it from sleeping.
fn asleep(chip: &str, device: &Folder<'_>) -> Option<&'static str> {
    if device.asleep() {
        return Some("its device sleeps and was not woken");
    }
    // Documentation/hwmon/drivetemp.rst: reading the temperature resets the spin-down timer of some drives.
    let disk = (chip == "drivetemp").then(|| device.at("block"))?;
    let spins = |disk: &Folder<'_>| disk.line("queue/rotational").is_some_and(|rotational| rotational == "1");
    let names = disk.names().unwrap_or_default();
    names.iter().any(|name| spins(&disk.at(name))).then_some("a disk that spins is not asked: that would keep it awake")
}

/// One sensor of a chip.
pub(super) struct Channel<'a> {
    chip: &'a Chip<'a>,
    /// "temp1"
    pub(super) name: String,
}

impl Channel<'_> {
    /// An attribute of it, as a number.
    pub(super) fn number(&self, attribute: &str) -> Option<i64> {
        self.chip.number(&format!("{}_{attribute}", self.name))
    }

    /// What the driver calls it.
    pub(super) fn label(&self) -> String {
        let file = format!("{}_label", self.name);
        let known = self.chip.files.contains(&file);
        known.then(|| self.chip.folder.line(&file)).flatten().unwrap_or_default()
    }

    /// Whether it has an attribute.
    pub(super) fn has(&self, attribute: &str) -> bool {
        self.chip.files.contains(&format!("{}_{attribute}", self.name))
    }

    /// Its number now, or why there is none.
    pub(super) fn input(&self) -> Result<i64, String> {
        if let Some(why) = self.chip.asleep {
            return Err(why.to_owned());
        }
        if self.number("fault").is_some_and(|fault| fault != 0) {
            return Err("the sensor reports a fault".to_owned());
        }
        match self.chip.folder.ask(&format!("{}_input", self.name)) {
            Ok(text) => text.parse().map_err(|_error| "the sensor gives no number".to_owned()),
            Err(error) if error.kind() == ErrorKind::NotFound => Err("the sensor gives no number".to_owned()),
            Err(error) => Err(format!("the sensor does not answer: {error}")),
        }
    }

    /// The alarms that are raised, by the end of the attribute's name: "max", "lcrit"; "alarm" where it says no more.
    pub(super) fn alarms(&self) -> Vec<String> {
        if self.chip.asleep.is_some() {
            return Vec::new();
        }
        let start = format!("{}_", self.name);
        let named = self.chip.files.iter().filter_map(|file| Some((file, file.strip_prefix(&start)?)));
        let alarms = named.filter_map(|(file, rest)| match rest.strip_suffix("_alarm") {
            Some(which) => Some((file, which)),
            None => (rest == "alarm").then_some((file, rest)),
        });
        let raised = alarms.filter(|(file, _which)| self.chip.number(file).is_some_and(|alarm| alarm != 0));
        raised.map(|(_file, which)| which.to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_told_which_part_is_hot() {
        let parts =
            ["coretemp", "nvme", "amdgpu", "iwlwifi_1", "spd5118", "acpitz", "cpu-thermal", "dell_smm"].map(part);
        assert_eq!(parts, ["cpu", "disk", "gpu", "network", "memory", "board", "cpu", "board"]);
    }
}
