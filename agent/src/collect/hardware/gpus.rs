//! Graphics processors: what drives the screens, by which driver, and how often it hung. One that sleeps is asked nothing that wakes it.

use std::time::Duration;

use deskside_proto::rows::Row;
use deskside_proto::v1::Gpu;

use super::{nvidia, pci};
use crate::collect::kernel_log::{self, Line};
use crate::collect::sysfs::{self, Folder};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

/// Why hourly: the hangs are searched for in the kernel's log of a week.
pub(in crate::collect) const GPUS: Collector =
    Collector { table: Gpu::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_hours(1)), look };

const DRM: &str = "/sys/class/drm";

/// The PCI base class of display controllers, as sysfs writes the beginning of a class.
const DISPLAY: &str = "0x03";

/// Most graphics processors of one machine.
const GPUS_MAX: usize = 32;

/// Lines of the kernel's log that tell of a hang, one a hang: NVIDIA's, i915's, amdgpu's and radeon's, nouveau's, and xe's.
const HANGS: &str = r"NVRM: Xid|GPU HANG|ring .* timeout|fifo: .*SCHED_ERROR|Timedout job";

/// Longest text of a log line that is kept, in characters.
const HANG_CHARS_MAX: usize = 300;

/// Makers as people call them, by their PCI number.
const VENDORS: [(&str, &str); 11] = [
    ("0x1002", "AMD"),
    ("0x10de", "NVIDIA"),
    ("0x8086", "Intel"),
    ("0x1a03", "ASPEED"),
    ("0x102b", "Matrox"),
    ("0x1af4", "Red Hat"),
    ("0x1b36", "Red Hat"),
    ("0x15ad", "VMware"),
    ("0x1234", "QEMU"),
    ("0x80ee", "VirtualBox"),
    ("0x1414", "Microsoft"),
];

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let mut gpus = gpus(host)?;
    let mut rows = Rows::none();
    if gpus.is_empty() {
        return Ok(rows);
    }
    if gpus.len() > GPUS_MAX {
        rows.missing(format!("{} more graphics processors", gpus.len() - GPUS_MAX));
        gpus.truncate(GPUS_MAX);
    }
    if let Err(problem) = nvidia::ask(host, &mut gpus) {
        rows.missing(problem);
    }
    match kernel_log::lines(host, HANGS) {
        Ok(found) => {
            count(&mut gpus, &found.lines);
            found.missing.into_iter().for_each(|missing| rows.ends_early(missing));
        }
        Err(error) => rows.missing(format!("whether it hung: {error:#}")),
    }
    for gpu in &gpus {
        rows.push(gpu);
    }
    Ok(rows)
}

/// Display controllers on PCI, with or without a driver, then cards that are elsewhere (a system on a chip, USB).
fn gpus(host: &dyn Host) -> anyhow::Result<Vec<Gpu>> {
    let cards: Vec<(String, String)> = sysfs::class(host, DRM)?
        .into_iter()
        .filter(|(name, _card)| name.starts_with("card") && !name.contains('-'))
        .filter_map(|(name, card)| Some((name, card.link_name("device")?)))
        .collect();
    let card = |device: &str| cards.iter().find(|(_name, of)| of == device).map(|(name, _of)| name.clone());
    let mut gpus = Vec::new();
    for (address, folder) in sysfs::class(host, pci::DEVICES)? {
        let class = folder.line("class").unwrap_or_default();
        if class.starts_with(DISPLAY) {
            let card = card(&address).unwrap_or_default();
            gpus.push(on_pci(host, address, card, &folder));
        }
    }
    for (name, device) in &cards {
        if gpus.iter().all(|gpu: &Gpu| gpu.address != *device) {
            let folder = Folder::new(host, format!("{DRM}/{name}/device"));
            let driver = folder.link_name("driver").unwrap_or_default();
            gpus.push(Gpu { address: device.clone(), card: name.clone(), driver, ..Gpu::default() });
        }
    }
    for gpu in &mut gpus {
        let module = Folder::new(host, format!("/sys/module/{}", gpu.driver));
        gpu.driver_version = module.line("version").unwrap_or_default();
    }
    Ok(gpus)
}

fn on_pci(host: &dyn Host, address: String, card: String, folder: &Folder<'_>) -> Gpu {
    let vendor = folder.line("vendor").unwrap_or_default();
    let subsystem = [folder.line("subsystem_vendor"), folder.line("subsystem_device")];
    let known = VENDORS.iter().find(|(id, _name)| *id == vendor);
    let text = |name: &str| folder.line(name).unwrap_or_default();
    let names = pci::Device::new(host, &address).names();
    let gpu = Gpu {
        address,
        card,
        vendor: known.map_or(names.vendor, |(_id, name)| (*name).to_owned()),
        model: names.device,
        ids: sysfs::ids(Some(&vendor), folder.line("device").as_deref()),
        subsystem_ids: sysfs::ids(subsystem[0].as_deref(), subsystem[1].as_deref()),
        driver: folder.link_name("driver").unwrap_or_default(),
        firmware: text("vbios_version"),
        primary: folder.count("boot_vga") == Some(1),
        power_state: text("power/runtime_status"),
        memory_bytes: folder.count("mem_info_vram_total"),
        ..Gpu::default()
    };
    if folder.asleep() {
        return gpu;
    }
    let speed = |name: &str| folder.line(name).filter(|speed| !speed.starts_with("Unknown")).unwrap_or_default();
    // 0 and 255 lanes: it is no PCI Express device of its own.
    let lanes = |name: &str| {
        folder.count(name).and_then(|lanes| u32::try_from(lanes).ok()).filter(|lanes| (1..=32).contains(lanes))
    };
    Gpu {
        memory_used_bytes: folder.count("mem_info_vram_used"),
        used_percent: folder.count("gpu_busy_percent").filter(|percent| *percent <= 100).map(|percent| percent as f64),
        link_speed: speed("current_link_speed"),
        link_width: lanes("current_link_width"),
        link_speed_max: speed("max_link_speed"),
        link_width_max: lanes("max_link_width"),
        ..gpu
    }
}

/// Gives each line to the processor that it names; one that names none belongs to the only one of its driver, or to the first.
fn count(gpus: &mut [Gpu], lines: &[Line]) {
    for gpu in gpus.iter_mut() {
        gpu.hangs = Some(0);
    }
    for line in lines.iter().filter(|line| about_graphics(&line.text)) {
        let text = line.text.to_lowercase();
        let named = gpus.iter().position(|gpu| text.contains(gpu.address.split('.').next().unwrap_or(&gpu.address)));
        let driven = || gpus.iter().position(|gpu| !gpu.driver.is_empty() && text.contains(&gpu.driver));
        let Some(gpu) = gpus.get_mut(named.or_else(driven).unwrap_or_default()) else { return };
        gpu.hangs = gpu.hangs.map(|hangs| hangs.saturating_add(1));
        gpu.first_hang_ms = gpu.first_hang_ms.or(Some(line.at_ms));
        gpu.last_hang_ms = Some(line.at_ms);
        gpu.last_hang = line.text.chars().take(HANG_CHARS_MAX).collect();
    }
}

/// Network cards have rings too, and they time out in the same words.
fn about_graphics(text: &str) -> bool {
    ["drm", "amdgpu", "radeon", "nouveau", "NVRM", "i915", "xe "].iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at_ms: i64, text: &str) -> Line {
        Line { at_ms, boot_id: String::new(), text: text.to_owned() }
    }

    fn gpu(address: &str, driver: &str) -> Gpu {
        Gpu { address: address.into(), driver: driver.into(), ..Gpu::default() }
    }

    #[test]
    fn a_hang_belongs_to_the_processor_that_it_names() {
        let mut gpus = [gpu("0000:00:02.0", "i915"), gpu("0000:01:00.0", "nvidia"), gpu("0000:03:00.0", "amdgpu")];
        let lines = [
            line(1, "NVRM: Xid (PCI:0000:01:00): 79, pid=812, GPU has fallen off the bus."),
            line(2, "[drm:amdgpu_job_timedout [amdgpu]] *ERROR* ring gfx_0.0.0 timeout, signaled seq=4, emitted seq=6"),
            line(3, "i915 0000:00:02.0: [drm] GPU HANG: ecode 12:1:85dffffb, in chrome [2210]"),
            line(4, "i915 0000:00:02.0: [drm] GPU HANG: ecode 12:1:85dffffb, in chrome [2210]"),
            line(5, "ath10k_pci 0000:02:00.0: ring 3 timeout"),
        ];
        count(&mut gpus, &lines);
        assert_eq!(gpus.each_ref().map(|gpu| gpu.hangs), [Some(2), Some(1), Some(1)]);
        assert_eq!((gpus[0].first_hang_ms, gpus[0].last_hang_ms), (Some(3), Some(4)));
        assert!(gpus[1].last_hang.contains("Xid"));
    }

    #[test]
    fn a_machine_whose_log_was_read_and_is_quiet_has_no_hangs() {
        let mut gpus = [gpu("0000:00:02.0", "i915")];
        count(&mut gpus, &[]);
        assert_eq!((gpus[0].hangs, gpus[0].last_hang_ms), (Some(0), None));
        count(&mut [], &[line(1, "GPU HANG drm")]);
    }
}
