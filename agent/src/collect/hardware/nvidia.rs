//! What NVIDIA's own driver tells of its graphics processors: in /proc/driver/nvidia, and by nvidia-smi where that is installed.

use std::io::ErrorKind;

use deskside_proto::v1::Gpu;

use crate::host::Host;

/// Columns of a line of nvidia-smi, in the order of [`fill`].
const QUERY: [&str; 2] = [
    "--query-gpu=pci.bus_id,name,driver_version,vbios_version,memory.total,memory.used,utilization.gpu,temperature.gpu,power.draw",
    "--format=csv,noheader,nounits",
];

const MIB: f64 = 1024.0 * 1024.0;

/// Adds what the driver tells to the rows of its processors. An error says what could not be asked.
pub(super) fn ask(host: &dyn Host, gpus: &mut [Gpu]) -> Result<(), String> {
    let own = |gpu: &&mut Gpu| gpu.driver == "nvidia";
    let (mut any, mut asleep) = (false, false);
    for gpu in gpus.iter_mut().filter(own) {
        any = true;
        asleep |= gpu.power_state == "suspended";
        let text = host.text(&format!("/proc/driver/nvidia/gpus/{}/information", gpu.address)).unwrap_or_default();
        if let Some(model) = value(&text, "Model") {
            gpu.model = model;
        }
        if let Some(firmware) = value(&text, "Video BIOS").filter(|version| !version.contains('?')) {
            gpu.firmware = firmware;
        }
    }
    // nvidia-smi wakes every processor that the driver has.
    if !any || asleep {
        return Ok(());
    }
    let ran = match host.run("nvidia-smi", &QUERY) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        ran => ran.map_err(|error| format!("what nvidia-smi tells: {error}"))?,
    };
    let text = String::from_utf8_lossy(&ran.stdout);
    if ran.status != Some(0) {
        let complaint: String = text.lines().next().unwrap_or_default().chars().take(200).collect();
        return Err(format!("what nvidia-smi tells: it ended with status {:?}: {complaint}", ran.status));
    }
    for line in text.lines() {
        let columns: Vec<&str> = line.split(',').map(str::trim).collect();
        let of_line = |gpu: &&mut Gpu| columns.first().is_some_and(|bus| same(bus, &gpu.address));
        if let Some(gpu) = gpus.iter_mut().find(of_line) {
            fill(gpu, &columns);
        }
    }
    Ok(())
}

/// nvidia-smi writes the domain with eight digits, and capital letters.
fn same(bus: &str, address: &str) -> bool {
    !address.is_empty() && bus.to_lowercase().ends_with(address)
}

fn fill(gpu: &mut Gpu, columns: &[&str]) {
    // "[N/A]" and "[Not Supported]" are no numbers.
    let number = |place: usize| columns.get(place)?.parse::<f64>().ok().filter(|number| (0.0..1e9).contains(number));
    let text = |place: usize| {
        columns.get(place).filter(|text| !text.is_empty() && !text.starts_with('[')).map(|text| (*text).to_owned())
    };
    gpu.model = text(1).unwrap_or_else(|| std::mem::take(&mut gpu.model));
    gpu.driver_version = text(2).unwrap_or_else(|| std::mem::take(&mut gpu.driver_version));
    gpu.firmware = text(3).unwrap_or_else(|| std::mem::take(&mut gpu.firmware));
    let bytes = |mib: f64| (mib * MIB) as u64;
    gpu.memory_bytes = number(4).map(bytes);
    gpu.memory_used_bytes = number(5).map(bytes);
    gpu.used_percent = number(6).filter(|percent| *percent <= 100.0);
    gpu.temperature_celsius = number(7).filter(|celsius| *celsius <= 150.0);
    gpu.power_microwatts = number(8).map(|watts| (watts * 1e6) as u64);
}

/// A line `Model:` and, after tabs and blanks, its value.
fn value(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    Some(line.trim().chars().take(200).collect()).filter(|value: &String| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_nvidia_smi_fills_the_row_of_its_processor() {
        let line = "00000000:01:00.0, NVIDIA GeForce RTX 3060, 535.183.01, 94.06.2F.00.9E, 12288, 1034, 7, 41, 17.52";
        let columns: Vec<&str> = line.split(',').map(str::trim).collect();
        let mut gpu = Gpu { address: "0000:01:00.0".into(), ..Gpu::default() };
        assert!(same(columns[0], &gpu.address) && !same(columns[0], "0000:02:00.0") && !same(columns[0], ""));
        fill(&mut gpu, &columns);
        assert_eq!((gpu.model.as_str(), gpu.memory_bytes), ("NVIDIA GeForce RTX 3060", Some(12_884_901_888)));
        assert_eq!((gpu.used_percent, gpu.power_microwatts), (Some(7.0), Some(17_520_000)));
    }

    #[test]
    fn what_the_card_does_not_support_is_not_known() {
        let mut gpu = Gpu { model: "known".into(), ..Gpu::default() };
        fill(&mut gpu, &["x", "[N/A]", "", "[N/A]", "[N/A]", "-1", "101", "nan", "1e300"]);
        assert_eq!(gpu, Gpu { model: "known".into(), ..Gpu::default() });
        fill(&mut gpu, &[]);
    }

    #[test]
    fn the_driver_names_the_model() {
        let text = "Model: \t\t NVIDIA GeForce GTX 1650\nIRQ:   \t\t 128\nVideo BIOS: \t ??.??.??.??.??\n";
        assert_eq!(value(text, "Model").as_deref(), Some("NVIDIA GeForce GTX 1650"));
        assert_eq!(value(text, "GPU UUID"), None);
    }
}
