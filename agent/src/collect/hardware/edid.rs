//! What a screen says of itself: EDID (VESA Enhanced EDID 1.4), the first block of 128 bytes.

/// Bytes of one block.
const BLOCK_BYTES: usize = 128;

const HEADER: [u8; 8] = [0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0];

/// Where the four descriptors of 18 bytes begin.
const DESCRIPTORS: [usize; 4] = [54, 72, 90, 108];

/// Year 0 of the year of manufacture.
const YEAR_ZERO: u32 = 1990;

/// Makers by their three letters (the UEFI Forum's list of PNP ids): those that are met on desks.
const MAKERS: [(&str, &str); 40] = [
    ("AAC", "AcerView"),
    ("ACI", "ASUS"),
    ("ACR", "Acer"),
    ("AOC", "AOC"),
    ("APP", "Apple"),
    ("AUO", "AU Optronics"),
    ("AUS", "ASUS"),
    ("BNQ", "BenQ"),
    ("BOE", "BOE"),
    ("CMN", "Innolux"),
    ("CMO", "Chi Mei Optoelectronics"),
    ("CSO", "CSOT"),
    ("DEL", "Dell"),
    ("ENC", "EIZO"),
    ("EIZ", "EIZO"),
    ("EPI", "Envision"),
    ("FUS", "Fujitsu"),
    ("GBT", "Gigabyte"),
    ("GSM", "LG"),
    ("HEC", "Hisense"),
    ("HPN", "HP"),
    ("HWP", "HP"),
    ("HWV", "Huawei"),
    ("IVM", "iiyama"),
    ("IVO", "InfoVision"),
    ("LEN", "Lenovo"),
    ("LGD", "LG Display"),
    ("MED", "Medion"),
    ("MEI", "Panasonic"),
    ("MSI", "MSI"),
    ("NEC", "NEC"),
    ("PHL", "Philips"),
    ("SAM", "Samsung"),
    ("SDC", "Samsung Display"),
    ("SHP", "Sharp"),
    ("SNY", "Sony"),
    ("TSB", "Toshiba"),
    ("VIZ", "Vizio"),
    ("VSC", "ViewSonic"),
    ("XMI", "Xiaomi"),
];

/// What the first block says. What it does not say is empty or absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Edid {
    pub(super) manufacturer: String,
    pub(super) manufacturer_id: String,
    pub(super) model: String,
    pub(super) product_code: String,
    pub(super) serial: String,
    pub(super) year: Option<u32>,
    pub(super) width_mm: Option<u32>,
    pub(super) height_mm: Option<u32>,
    pub(super) native_mode: String,
    pub(super) digital: Option<bool>,
}

/// Reads it, and says what is wrong with it; a block with a wrong checksum is read all the same, since most of it is mostly right.
pub(super) fn parse(bytes: &[u8]) -> (Edid, String) {
    let Some(block) = bytes.get(..BLOCK_BYTES) else {
        let problem =
            if bytes.is_empty() { "the screen does not describe itself".to_owned() } else { cut(bytes.len(), 1) };
        return (Edid::default(), problem);
    };
    if !block.starts_with(&HEADER) {
        return (Edid::default(), "the screen's description does not begin as one".to_owned());
    }
    (first(block), problem(bytes, usize::from(byte(block, 126))))
}

/// What is wrong with the blocks: each sums up to 0, and there are as many as the first says.
fn problem(bytes: &[u8], extensions: usize) -> String {
    let blocks = extensions + 1;
    let bad = bytes
        .chunks_exact(BLOCK_BYTES)
        .take(blocks)
        .position(|block| block.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)) != 0);
    match bad {
        Some(place) => format!("the checksum of block {} of {blocks} of the screen's description is wrong", place + 1),
        None if bytes.len() < blocks * BLOCK_BYTES => cut(bytes.len(), blocks),
        None => String::new(),
    }
}

fn cut(bytes: usize, blocks: usize) -> String {
    format!("the screen's description is cut: {bytes} of {} bytes", blocks * BLOCK_BYTES)
}

fn first(block: &[u8]) -> Edid {
    let id = letters(pair(block, 8).swap_bytes());
    let maker = MAKERS.iter().find(|(letters, _name)| *letters == id).map(|(_letters, name)| (*name).to_owned());
    let number = u32::from(pair(block, 12)) | u32::from(pair(block, 14)) << 16;
    let mut edid = Edid {
        manufacturer: maker.unwrap_or_else(|| id.clone()),
        manufacturer_id: id,
        product_code: format!("{:04x}", pair(block, 10)),
        // 0 and 0x01010101 are written where there is none.
        serial: if matches!(number, 0 | 0x0101_0101) { String::new() } else { number.to_string() },
        year: Some(u32::from(byte(block, 17))).filter(|year| *year > 0).map(|year| year + YEAR_ZERO),
        width_mm: centimetres(byte(block, 21), byte(block, 22)),
        height_mm: centimetres(byte(block, 22), byte(block, 21)),
        digital: Some(byte(block, 20) & 0x80 != 0),
        ..Edid::default()
    };
    // A laptop's panel has no name and puts its maker's words into free text.
    let mut free = Vec::new();
    for start in DESCRIPTORS {
        let descriptor = block.get(start..start + 18).unwrap_or_default();
        match (pair(descriptor, 0), byte(descriptor, 3)) {
            (0, 0xff) => edid.serial = text(descriptor),
            (0, 0xfc) => edid.model = text(descriptor),
            (0, 0xfe) => free.push(text(descriptor)),
            (0, _other) => {}
            (clock, _) if edid.native_mode.is_empty() => detailed(&mut edid, clock, descriptor),
            _ => {}
        }
    }
    if edid.model.is_empty() {
        free.retain(|text| text.chars().any(char::is_alphanumeric));
        edid.model = free.pop().unwrap_or_default();
    }
    edid
}

/// A detailed timing: the first one is the mode that the screen is made for, and has its size to the millimetre.
fn detailed(edid: &mut Edid, clock: u16, timing: &[u8]) {
    let twelve = |low: usize, high: u8| u32::from(byte(timing, low)) | u32::from(high) << 8;
    let (width, blank_width) = (twelve(2, byte(timing, 4) >> 4), twelve(3, byte(timing, 4) & 15));
    let (height, blank_height) = (twelve(5, byte(timing, 7) >> 4), twelve(6, byte(timing, 7) & 15));
    let dots = u64::from(width + blank_width) * u64::from(height + blank_height);
    if width == 0 || height == 0 || dots == 0 {
        return;
    }
    edid.native_mode = format!("{width}x{height}@{:.2}", f64::from(clock) * 10_000.0 / dots as f64);
    let (width_mm, height_mm) = (twelve(12, byte(timing, 14) >> 4), twelve(13, byte(timing, 14) & 15));
    if width_mm > 0 && height_mm > 0 {
        (edid.width_mm, edid.height_mm) = (Some(width_mm), Some(height_mm));
    }
}

/// One side of the screen. Where the other side is 0, this one is no size but an aspect ratio.
fn centimetres(side: u8, other: u8) -> Option<u32> {
    (side > 0 && other > 0).then(|| u32::from(side) * 10)
}

/// Three letters of five bits each, 1 is A.
fn letters(packed: u16) -> String {
    [10, 5, 0]
        .map(|shift| u8::try_from(packed >> shift & 31).unwrap_or_default())
        .map(|five| char::from(b'@' + five))
        .iter()
        .collect()
}

/// The text of a descriptor: it ends with a line feed.
fn text(descriptor: &[u8]) -> String {
    let bytes = descriptor.get(5..).unwrap_or_default();
    let plain = bytes.iter().map_while(|byte| (*byte != b'\n').then_some(*byte));
    plain.filter(|byte| byte.is_ascii_graphic() || *byte == b' ').map(char::from).collect::<String>().trim().to_owned()
}

fn byte(bytes: &[u8], place: usize) -> u8 {
    bytes.get(place).copied().unwrap_or_default()
}

/// Two bytes, the lower one first.
fn pair(bytes: &[u8], place: usize) -> u16 {
    u16::from_le_bytes([byte(bytes, place), byte(bytes, place + 1)])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The description of QEMU's virtio screen of 1280 by 800, as Linux gave it.
    const QEMU: &str = "00ffffffffffff0049143412000000002a180104a520147806ee91a3544c99260f5054210800e1c0d1c0d100a940b300\
                        950081808140ea2900c051201c304026444045cb10000018000000f7000a004082002820000000000000000000fd0032\
                        7d1ea0ff010a202020202020000000fc0051454d55204d6f6e69746f720a013a02030b00467d6560591f610000001000\
                        000000000000000000000000000000001000000000000000000000000000000000001000000000000000000000000000\
                        000000001000000000000000000000000000000000001000000000000000000000000000000000001000000000000000\
                        0000000000000000000000000000002f";

    fn qemu() -> Vec<u8> {
        data_encoding::HEXLOWER.decode(QEMU.as_bytes()).unwrap()
    }

    #[test]
    fn a_screen_is_told_by_its_own_words() {
        let (edid, problem) = parse(&qemu());
        assert_eq!((edid.manufacturer.as_str(), edid.model.as_str(), problem.as_str()), ("RHT", "QEMU Monitor", ""));
        assert_eq!((edid.native_mode.as_str(), edid.year, edid.digital), ("1280x800@74.99", Some(2014), Some(true)));
        assert_eq!((edid.width_mm, edid.height_mm, edid.serial.as_str()), (Some(325), Some(203), ""));
    }

    #[test]
    fn what_is_wrong_with_a_description_is_told() {
        let told = |bytes: &[u8]| parse(bytes).1;
        assert_eq!(told(&[]), "the screen does not describe itself");
        assert_eq!(told(&qemu()[..100]), "the screen's description is cut: 100 of 128 bytes");
        assert_eq!(told(&qemu()[..128]), "the screen's description is cut: 128 of 256 bytes");
        let mut bent = qemu();
        bent[200] ^= 1;
        assert!(told(&bent).contains("the checksum of block 2 of 2"), "{}", told(&bent));
        bent[12] ^= 1;
        let (edid, problem) = parse(&bent);
        assert!(problem.contains("block 1 of 2") && edid.model == "QEMU Monitor", "{problem}");
        bent[0] = 9;
        assert_eq!(parse(&bent).0, Edid::default());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _told = parse(&bytes);
            let _told = parse(&[&HEADER[..], &bytes].concat());
        }
    }
}
