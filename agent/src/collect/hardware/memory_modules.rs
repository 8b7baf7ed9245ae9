//! Memory modules and slots, as the firmware describes them (SMBIOS types 16 and 17, DSP0134): from the kernel's copy of the firmware's
//! tables where they may be read, else from what udev read out of them.

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::MemoryModule;
use smbioslib::{
    MemorySize, MemorySizeExtended, MemorySpeed, MemorySpeedExtended, SMBiosMemoryDevice, SMBiosPhysicalMemoryArray,
    SMBiosString, UndefinedStructTable,
};

use super::udev::Properties;
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const MEMORY_MODULES: Collector = Collector {
    table: MemoryModule::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_hours(1)),
    look,
};

const TABLES: &str = "/sys/firmware/dmi/tables/DMI";

/// The largest table that is read. Real ones hold a few kilobytes, those of large servers some tens.
const TABLE_BYTES_MAX: usize = 256 * 1024;

/// Slots that are shown.
const SLOTS_MAX: usize = 256;

const MIB: u64 = 1024 * 1024;

/// DSP0134, 7.18.1.
const FORM_FACTORS: [&str; 20] = [
    "",
    "Other",
    "",
    "SIMM",
    "SIP",
    "Chip",
    "DIP",
    "ZIP",
    "Proprietary Card",
    "DIMM",
    "TSOP",
    "Row Of Chips",
    "RIMM",
    "SODIMM",
    "SRIMM",
    "FB-DIMM",
    "Die",
    "CAMM",
    "CUDIMM",
    "CSODIMM",
];

/// DSP0134, 7.18.2.
const TYPES: [&str; 38] = [
    "",
    "Other",
    "",
    "DRAM",
    "EDRAM",
    "VRAM",
    "SRAM",
    "RAM",
    "ROM",
    "Flash",
    "EEPROM",
    "FEPROM",
    "EPROM",
    "CDRAM",
    "3DRAM",
    "SDRAM",
    "SGRAM",
    "RDRAM",
    "DDR",
    "DDR2",
    "DDR2 FB-DIMM",
    "",
    "",
    "",
    "DDR3",
    "FBD2",
    "DDR4",
    "LPDDR",
    "LPDDR2",
    "LPDDR3",
    "LPDDR4",
    "Logical non-volatile device",
    "HBM",
    "HBM2",
    "DDR5",
    "LPDDR5",
    "HBM3",
    "MRDIMM",
];

/// DSP0134, 7.17.3.
const CORRECTIONS: [&str; 8] = ["", "Other", "", "None", "Parity", "Single-bit ECC", "Multi-bit ECC", "CRC"];

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let refused = match host.read(TABLES) {
        Ok(bytes) => return smbios(bytes),
        Err(error) => error,
    };
    if let Ok(known) = Properties::of(host, "+dmi:id")
        && let Some(rows) = udev(&known)
    {
        return Ok(rows);
    }
    match refused.kind() {
        ErrorKind::NotFound => Ok(Rows::unsupported("the firmware has no SMBIOS tables (container, or not a PC)")),
        _ => Err(refused).with_context(|| {
            format!("reading {TABLES}; it takes CAP_DAC_READ_SEARCH, or systemd 248 and later, whose udev tells it")
        }),
    }
}

fn smbios(mut bytes: Vec<u8>) -> anyhow::Result<Rows> {
    anyhow::ensure!(!bytes.is_empty(), "{TABLES} is empty");
    bytes.truncate(TABLE_BYTES_MAX);
    let table = UndefinedStructTable::from(bytes);
    let modules: Vec<MemoryModule> = table
        .defined_struct_iter::<SMBiosMemoryDevice<'_>>()
        .zip(0..)
        .map(|(device, number)| module(&device, number, &table))
        .take(SLOTS_MAX)
        .collect();
    if modules.is_empty() {
        return Ok(Rows::unsupported("the firmware does not describe the memory modules (virtual machine?)"));
    }
    Ok(modules.into_iter().collect())
}

fn module(device: &SMBiosMemoryDevice<'_>, number: u32, table: &UndefinedStructTable) -> MemoryModule {
    let array = device.physical_memory_array_handle().and_then(|handle| {
        table.find(|array: &SMBiosPhysicalMemoryArray<'_>| {
            smbioslib::SMBiosStruct::parts(array).header.handle() == handle
        })
    });
    let correction = array.and_then(|array| array.memory_error_correction()).map(|correction| correction.raw);
    // 0 and all ones: not known.
    let width = |width: Option<u16>| width.filter(|bits| ![0, u16::MAX].contains(bits)).map(u32::from);
    let extended = |speed: Option<MemorySpeedExtended>| match speed {
        Some(MemorySpeedExtended::MTs(speed)) => Some(speed),
        _ => None,
    };
    MemoryModule {
        number,
        slot: string(&device.device_locator()),
        bank: string(&device.bank_locator()),
        present: !matches!(device.size(), Some(MemorySize::NotInstalled)),
        size_bytes: size(device),
        r#type: named(&TYPES, device.memory_type().map(|kind| kind.raw)),
        form_factor: named(&FORM_FACTORS, device.form_factor().map(|form| form.raw)),
        speed_mts: speed(device.speed().as_ref()).or_else(|| extended(device.extended_speed())),
        configured_mts: speed(device.configured_memory_speed().as_ref())
            .or_else(|| extended(device.extended_configured_memory_speed())),
        data_width_bits: width(device.data_width()),
        total_width_bits: width(device.total_width()),
        error_correction: named(&CORRECTIONS, correction),
        ranks: device.attributes().map(|attributes| u32::from(attributes & 0x0f)).filter(|ranks| *ranks > 0),
        voltage_microvolts: device
            .configured_voltage()
            .filter(|millivolts| *millivolts > 0)
            .map(|millivolts| u32::from(millivolts) * 1000),
        manufacturer: string(&device.manufacturer()),
        part: string(&device.part_number()),
        serial: string(&device.serial_number()),
    }
}

fn size(device: &SMBiosMemoryDevice<'_>) -> Option<u64> {
    match (device.size()?, device.extended_size()) {
        (MemorySize::Kilobytes(size), _) => Some(u64::from(size) * 1024),
        (MemorySize::Megabytes(size), _) => Some(u64::from(size) * MIB),
        (MemorySize::SeeExtendedSize, Some(MemorySizeExtended::Megabytes(size))) => Some(u64::from(size) * MIB),
        _ => None,
    }
}

fn speed(speed: Option<&MemorySpeed>) -> Option<u32> {
    match speed {
        Some(MemorySpeed::MTs(speed)) => Some((*speed).into()),
        _ => None,
    }
}

fn named(names: &[&str], raw: Option<u8>) -> String {
    raw.and_then(|raw| names.get(usize::from(raw))).copied().unwrap_or_default().to_owned()
}

fn string(text: &SMBiosString) -> String {
    said(&text.to_utf8_lossy().unwrap_or_default()).to_owned()
}

/// What makers write where they have nothing to say, and what udev writes for a value that it does not know, is nothing.
fn said(text: &str) -> &str {
    let text = text.trim();
    let nothing = [
        "not specified",
        "unknown",
        "none",
        "no dimm",
        "<bad index>",
        "<out of spec>",
        "to be filled by o.e.m.",
        "[empty]",
        "n/a",
    ];
    if nothing.contains(&text.to_ascii_lowercase().as_str()) { "" } else { text }
}

/// `MEMORY_DEVICE_n_*` of systemd's `dmi_memory_id`. Absent where this udev does not tell. Its voltages are left out: it rounds 1.2 V to 1.
fn udev(known: &Properties) -> Option<Rows> {
    let correction = known.get("MEMORY_ARRAY_EC_TYPE");
    let mut rows = Rows::none();
    for number in 0..u32::try_from(SLOTS_MAX).unwrap_or(u32::MAX) {
        let text = |name: &str| said(&known.text(&format!("MEMORY_DEVICE_{number}_{name}"))).to_owned();
        let count = |name: &str| text(name).parse::<u32>().ok();
        // It writes a form factor for each slot, and nothing for a slot that is not there.
        if text("FORM_FACTOR").is_empty() && text("LOCATOR").is_empty() {
            return (number > 0).then_some(rows);
        }
        rows.push(&MemoryModule {
            number,
            slot: text("LOCATOR"),
            bank: text("BANK_LOCATOR"),
            present: text("PRESENT") != "0",
            size_bytes: text("SIZE").parse().ok(),
            r#type: text("TYPE"),
            form_factor: text("FORM_FACTOR"),
            speed_mts: count("SPEED_MTS"),
            configured_mts: count("CONFIGURED_SPEED_MTS"),
            data_width_bits: count("DATA_WIDTH"),
            total_width_bits: count("TOTAL_WIDTH"),
            // It leaves "None" out.
            error_correction: correction.map_or_else(|| "None".to_owned(), |text| said(text).to_owned()),
            ranks: count("RANK"),
            voltage_microvolts: None,
            manufacturer: text("MANUFACTURER"),
            part: text("PART_NUMBER"),
            serial: text("SERIAL_NUMBER"),
        });
    }
    Some(rows)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One structure: header, formatted part, strings.
    fn structure(kind: u8, handle: u16, fields: &[u8], strings: &[&str]) -> Vec<u8> {
        let [low, high] = handle.to_le_bytes();
        let mut bytes = vec![kind, u8::try_from(fields.len() + 4).unwrap(), low, high];
        bytes.extend(fields);
        for string in strings {
            bytes.extend(string.as_bytes());
            bytes.push(0);
        }
        bytes.extend(if strings.is_empty() { &[0, 0][..] } else { &[0] });
        bytes
    }

    fn dimm(size: u16, extended: u32) -> Vec<u8> {
        let mut fields = Vec::new();
        for word in [0x1000, 0xfffe, 72, 64, size] {
            fields.extend(u16::to_le_bytes(word));
        }
        fields.extend([9, 0, 1, 2, 26]);
        for word in [0x80, 3200] {
            fields.extend(u16::to_le_bytes(word));
        }
        fields.extend([3, 4, 0, 5, 2]);
        fields.extend(extended.to_le_bytes());
        for word in [2933, 1200, 1200, 1200] {
            fields.extend(u16::to_le_bytes(word));
        }
        structure(17, 0x1100, &fields, &["DIMM_A1", "BANK 0", "Samsung", "0123abcd", "M393A4K40DB3-CWE  "])
    }

    fn seen(bytes: &[u8]) -> Vec<MemoryModule> {
        let table = UndefinedStructTable::from(bytes.to_vec());
        table.defined_struct_iter().zip(0..).map(|(device, number)| module(&device, number, &table)).collect()
    }

    #[test]
    fn a_module_and_an_empty_slot_are_told_apart() {
        let array = structure(16, 0x1000, &[3, 3, 6, 0, 0, 0, 0x80, 0xfe, 0xff, 2, 0], &[]);
        let found = seen(&[array, dimm(0x7fff, 32 * 1024), dimm(0, 0)].concat());
        let [first, second] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((first.present, first.size_bytes), (true, Some(32 * 1024 * MIB)));
        assert_eq!((first.slot.as_str(), first.part.as_str()), ("DIMM_A1", "M393A4K40DB3-CWE"));
        assert_eq!((first.r#type.as_str(), first.form_factor.as_str()), ("DDR4", "DIMM"));
        assert_eq!((first.speed_mts, first.configured_mts, first.ranks), (Some(3200), Some(2933), Some(2)));
        assert_eq!((first.data_width_bits, first.total_width_bits), (Some(64), Some(72)));
        assert_eq!((first.error_correction.as_str(), first.voltage_microvolts), ("Multi-bit ECC", Some(1_200_000)));
        assert_eq!((second.present, second.size_bytes, second.number), (false, None, 1));
    }

    #[test]
    fn a_table_cut_anywhere_is_read_as_far_as_it_goes() {
        let bytes = [dimm(16 * 1024, 0), dimm(0x8400, 0)].concat();
        for cut in 0..bytes.len() {
            assert!(seen(&bytes[..cut]).len() < 2);
        }
        assert_eq!(seen(&bytes)[1].size_bytes, Some(1024 * 1024));
    }

    proptest! {
        #[test]
        fn no_table_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), kind in 16_u8..18) {
            let _rows = smbios(bytes.clone());
            let _rows = smbios([vec![kind, 40, 0, 0x10], bytes, vec![0, 0]].concat());
        }
    }
}
