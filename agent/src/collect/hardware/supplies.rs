//! The power supplies of the kernel (Documentation/ABI/testing/sysfs-class-power): what batteries and mains have in common.

use crate::collect::sysfs::{self, Folder};
use crate::host::Host;

const CLASS: &str = "/sys/class/power_supply";

/// Most supplies that are read.
const SUPPLIES_MAX: usize = 64;

/// Ten thousand volts, amperes, watts or watt hours: what is more is nonsense.
const MICRO_MAX: u64 = 10_000_000_000;

/// One supply.
pub(super) struct Supply<'a> {
    /// Kernel name.
    pub(super) name: String,
    /// Battery, Mains, USB, UPS, Wireless. Absent where the kernel does not say.
    pub(super) kind: Option<String>,
    /// It feeds a mouse or the like, and not the machine.
    pub(super) of_device: bool,
    /// Its attributes.
    pub(super) folder: Folder<'a>,
}

/// All of them, and how many more there were. A kernel without power supplies is a machine without any.
pub(super) fn supplies(host: &dyn Host) -> anyhow::Result<(Vec<Supply<'_>>, usize)> {
    let members = sysfs::class(host, CLASS)?;
    let more = members.len().saturating_sub(SUPPLIES_MAX);
    Ok((members.into_iter().take(SUPPLIES_MAX).map(Supply::open).collect(), more))
}

impl<'a> Supply<'a> {
    fn open((name, folder): (String, Folder<'a>)) -> Self {
        Self {
            name,
            kind: folder.line("type"),
            of_device: folder.line("scope").is_some_and(|scope| scope == "Device"),
            folder,
        }
    }

    /// It is a battery of the machine itself.
    pub(super) fn is_battery(&self) -> bool {
        !self.of_device && self.kind.as_deref() == Some("Battery")
    }

    /// It feeds the machine from outside.
    pub(super) fn feeds(&self) -> bool {
        !self.of_device && self.kind.as_deref().is_some_and(|kind| kind != "Battery")
    }

    /// It feeds the machine now. 2 is one that is programmable (PPS). Absent where that is not said.
    pub(super) fn online(&self) -> Option<bool> {
        self.folder.count("online").map(|online| online != 0)
    }

    /// Microvolts, microamperes, microwatts or microwatt hours. Some drivers give a current that flows out as negative.
    pub(super) fn micro(&self, name: &str) -> Option<u64> {
        self.folder.number(name).map(i64::unsigned_abs).and_then(plausible)
    }

    /// Power now, measured or by voltage and current.
    pub(super) fn power(&self) -> Option<u64> {
        self.micro("power_now").or_else(|| product(self.micro("voltage_now")?, self.micro("current_now")?))
    }
}

/// Microvolts by microamperes are microwatts; by microampere hours, microwatt hours.
pub(super) fn product(voltage: u64, current: u64) -> Option<u64> {
    u64::try_from(u128::from(voltage) * u128::from(current) / 1_000_000).ok().and_then(plausible)
}

/// What a workstation's supply or battery can have.
pub(super) fn plausible(micro: u64) -> Option<u64> {
    (micro <= MICRO_MAX).then_some(micro)
}
