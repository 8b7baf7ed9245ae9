//! Information elements (IEEE 802.11-2020, 9.4.2): what an access point says of itself in beacons and answers to probes.

/// The capability bit "privacy" (9.4.1.4): something is encrypted.
const PRIVACY: u16 = 1 << 4;

/// Most bytes of a country or a network's name.
const SSID: u8 = 0;
const COUNTRY: u8 = 7;
const BSS_LOAD: u8 = 11;
const HT_CAPABILITIES: u8 = 45;
const RSN: u8 = 48;
const MOBILITY_DOMAIN: u8 = 54;
const HT_OPERATION: u8 = 61;
const RM_CAPABILITIES: u8 = 70;
const EXTENDED_CAPABILITIES: u8 = 127;
const VHT_CAPABILITIES: u8 = 191;
const VHT_OPERATION: u8 = 192;
const VENDOR: u8 = 221;
const EXTENSION: u8 = 255;

/// Behind [`EXTENSION`].
const HE_CAPABILITIES: u8 = 35;
const HE_OPERATION: u8 = 36;
const EHT_OPERATION: u8 = 106;
const EHT_CAPABILITIES: u8 = 108;

/// The older Wi-Fi Protected Access, an element of a vendor.
const WPA: [u8; 4] = [0x00, 0x50, 0xf2, 1];

/// Organisation of the suites that the standard itself names, and of those of the older WPA.
const STANDARD: [u8; 3] = [0x00, 0x0f, 0xac];
const MICROSOFT: [u8; 3] = [0x00, 0x50, 0xf2];

/// What is known of an access point.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AccessPoint {
    pub(super) ssid: String,
    pub(super) country: String,
    pub(super) standard: String,
    pub(super) security: String,
    pub(super) frame_protection: String,
    pub(super) width_mhz: Option<u32>,
    pub(super) stations: Option<u32>,
    pub(super) busy_percent: Option<f64>,
    pub(super) roaming: Vec<String>,
}

/// Reads the elements; where one comes twice, the first counts. What is torn ends them.
pub(super) fn read(elements: &[u8], capability: u16) -> AccessPoint {
    let find = |kind: u8| each(elements).find_map(|(known, value)| (known == kind).then_some(value));
    let extension = |kind: u8| {
        each(elements).find_map(|(known, value)| {
            let (first, rest) = value.split_first()?;
            (known == EXTENSION && *first == kind).then_some(rest)
        })
    };
    let load = find(BSS_LOAD).and_then(|load| load.first_chunk::<3>());
    let rsn = find(RSN).and_then(Suites::read);
    let wpa = each(elements)
        .find_map(|(kind, value)| (kind == VENDOR).then(|| value.strip_prefix(&WPA)).flatten().and_then(Suites::read));
    let standard = match () {
        () if extension(EHT_CAPABILITIES).is_some() => "802.11be",
        () if extension(HE_CAPABILITIES).is_some() => "802.11ax",
        () if find(VHT_CAPABILITIES).is_some() => "802.11ac",
        () if find(HT_CAPABILITIES).is_some() => "802.11n",
        () => "legacy",
    };
    AccessPoint {
        ssid: find(SSID).map(super::nl80211::ssid).unwrap_or_default(),
        country: find(COUNTRY).and_then(country).unwrap_or_default(),
        standard: standard.to_owned(),
        security: security(rsn.as_ref(), wpa.as_ref(), capability),
        frame_protection: rsn.as_ref().map(|suites| suites.protection().to_owned()).unwrap_or_default(),
        width_mhz: width(find(HT_OPERATION), find(VHT_OPERATION), extension(HE_OPERATION), extension(EHT_OPERATION)),
        stations: load.map(|[low, high, _busy]| u32::from(u16::from_le_bytes([*low, *high]))),
        busy_percent: load.map(|[_low, _high, busy]| f64::from(*busy) * 100.0 / 255.0),
        roaming: roaming(find(RM_CAPABILITIES), find(MOBILITY_DOMAIN), find(EXTENDED_CAPABILITIES)),
    }
}

fn each(mut elements: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let &[kind, length] = elements.first_chunk::<2>()?;
        let end = 2 + usize::from(length);
        let value = elements.get(2..end)?;
        elements = elements.get(end..).unwrap_or_default();
        Some((kind, value))
    })
}

fn country(value: &[u8]) -> Option<String> {
    let letters = value.first_chunk::<2>().filter(|letters| letters.iter().all(u8::is_ascii_alphanumeric))?;
    Some(letters.iter().map(|letter| char::from(*letter)).collect())
}

/// Ciphers left out: the ways of authentication that it takes, and what it says of management frames (9.4.2.24).
#[derive(Debug, Default)]
struct Suites {
    authentication: Vec<[u8; 4]>,
    capabilities: u16,
}

impl Suites {
    /// Version, group cipher, then two counted lists and the capabilities; the end may be left out anywhere.
    fn read(value: &[u8]) -> Option<Self> {
        let mut rest = value.get(2 + 4..)?;
        let mut list = || -> Option<Vec<[u8; 4]>> {
            let count = usize::from(u16::from_le_bytes(*rest.first_chunk()?));
            let suites = rest.get(2..2 + count * 4)?;
            rest = rest.get(2 + count * 4..)?;
            Some(suites.chunks_exact(4).filter_map(|suite| suite.first_chunk().copied()).collect())
        };
        list();
        let authentication = list().unwrap_or_default();
        let capabilities = rest.first_chunk().map(|bits| u16::from_le_bytes(*bits)).unwrap_or_default();
        Some(Self { authentication, capabilities })
    }

    fn protection(&self) -> &'static str {
        match (self.capabilities & 0x40 != 0, self.capabilities & 0x80 != 0) {
            (true, _) => "required",
            (false, true) => "optional",
            (false, false) => "no",
        }
    }

    /// Table 9-151, in words that people know.
    fn words(&self, version: &str) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        for [a, b, c, number] in &self.authentication {
            let known = [*a, *b, *c] == STANDARD || [*a, *b, *c] == MICROSOFT;
            let word = match number {
                _ if !known => "of a vendor".to_owned(),
                // Who demands protected frames and SHA-256 of 802.1X offers WPA3-Enterprise (WPA3 specification, 3.3).
                5 if self.capabilities & 0x40 != 0 => "WPA3-802.1X".to_owned(),
                1 | 3 | 5 => format!("{version}-802.1X"),
                2 | 4 | 6 | 19 | 20 => format!("{version}-PSK"),
                8 | 9 | 24 | 25 => "WPA3-SAE".to_owned(),
                11 | 12 | 13 | 22 | 23 => "WPA3-802.1X-192".to_owned(),
                14..=17 => "FILS".to_owned(),
                18 => "OWE".to_owned(),
                number => format!("suite {number}"),
            };
            if !words.contains(&word) {
                words.push(word);
            }
        }
        words
    }
}

fn security(rsn: Option<&Suites>, wpa: Option<&Suites>, capability: u16) -> String {
    let mut words = rsn.map(|suites| suites.words("WPA2")).unwrap_or_default();
    words.extend(wpa.map(|suites| suites.words("WPA")).unwrap_or_default());
    match (words.is_empty(), rsn.is_some() || wpa.is_some(), capability & PRIVACY != 0) {
        (false, _, _) => words.join("+"),
        (true, true, _) => "unknown".into(),
        (true, false, true) => "WEP".into(),
        (true, false, false) => "open".into(),
    }
}

/// The widest that it says it uses. In 6 GHz only the newer elements tell.
fn width(ht: Option<&[u8]>, vht: Option<&[u8]>, he: Option<&[u8]>, eht: Option<&[u8]>) -> Option<u32> {
    let widest = |bits: u8| match bits {
        0 => Some(20),
        1 => Some(40),
        2 => Some(80),
        3 => Some(160),
        4 => Some(320),
        _ => None,
    };
    // 9.4.2.311 (802.11be): parameters, basic rates, then the control field where bit 0 says so.
    let by_eht = eht.and_then(|told| widest((told.first()? & 1 != 0).then_some(*told.get(5)? & 7)?));
    // 9.4.2.249 (802.11ax): three bytes of parameters, colour, basic rates, then fields that the parameters announce.
    let by_he = he.and_then(|told| {
        let parameters = u32::from_le_bytes([*told.first()?, *told.get(1)?, *told.get(2)?, 0]);
        let before = 6 + if parameters & 1 << 14 != 0 { 3 } else { 0 } + usize::from(parameters & 1 << 15 != 0);
        widest((parameters & 1 << 17 != 0).then_some(*told.get(before + 1)? & 3)?)
    });
    // 9.4.2.158: width, centre, second centre. Width 1 with two centres 8 channels apart is 160 MHz, as are the older values 2 and 3.
    let by_vht = vht.and_then(|told| match *told.first_chunk::<3>()? {
        [0, ..] => None,
        [1, _first, 0] => Some(80),
        [1, first, second] if first.abs_diff(second) == 8 => Some(160),
        [1, ..] => Some(80),
        _ => Some(160),
    });
    // 9.4.2.56: secondary channel offset 1 is above, 3 below.
    let by_ht = ht.and_then(|told| Some(if matches!(told.get(1)? & 3, 1 | 3) { 40 } else { 20 }));
    by_eht.or(by_he).or(by_vht).or(by_ht)
}

fn roaming(measurement: Option<&[u8]>, mobility: Option<&[u8]>, extended: Option<&[u8]>) -> Vec<String> {
    let neighbours = measurement.and_then(<[u8]>::first).is_some_and(|bits| bits & 1 << 1 != 0);
    // Bit 19 of the extended capabilities.
    let transition = extended.and_then(|bits| bits.get(2)).is_some_and(|bits| bits & 1 << 3 != 0);
    let offered = [("802.11k", neighbours), ("802.11r", mobility.is_some()), ("802.11v", transition)];
    offered.into_iter().filter(|(_name, offers)| *offers).map(|(name, _offers)| name.to_owned()).collect()
}

/// Channel number and band of a frequency in MHz (IEEE 802.11-2020, annex E).
pub(super) fn channel(frequency_mhz: u32) -> (Option<u32>, &'static str) {
    match frequency_mhz {
        2484 => (Some(14), "2.4 GHz"),
        2407..2484 => (Some((frequency_mhz - 2407) / 5), "2.4 GHz"),
        5000..5950 => (Some((frequency_mhz - 5000) / 5), "5 GHz"),
        5955..=7115 => (Some((frequency_mhz - 5950) / 5), "6 GHz"),
        56_160..=71_000 => (Some((frequency_mhz - 56_160) / 2160), "60 GHz"),
        _ => (None, ""),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn element(kind: u8, value: &[u8]) -> Vec<u8> {
        [&[kind, value.len() as u8], value].concat()
    }

    fn rsn(suites: &[u8], capabilities: u16) -> Vec<u8> {
        let mut value = vec![1, 0, 0, 0x0f, 0xac, 4, 1, 0, 0, 0x0f, 0xac, 4, suites.len() as u8, 0];
        value.extend(suites.iter().flat_map(|suite| [0, 0x0f, 0xac, *suite]));
        value.extend(capabilities.to_le_bytes());
        element(RSN, &value)
    }

    fn secured(elements: &[u8], capability: u16) -> (String, String) {
        let read = read(elements, capability);
        (read.security, read.frame_protection)
    }

    #[test]
    fn security_is_what_the_access_point_takes() {
        let told = |suites: &[u8], capabilities| secured(&rsn(suites, capabilities), PRIVACY);
        assert_eq!(told(&[2], 0), ("WPA2-PSK".into(), "no".into()));
        assert_eq!(told(&[2, 8], 0x80), ("WPA2-PSK+WPA3-SAE".into(), "optional".into()));
        assert_eq!(told(&[8], 0xc0), ("WPA3-SAE".into(), "required".into()));
        assert_eq!(told(&[1, 3], 0), ("WPA2-802.1X".into(), "no".into()));
        assert_eq!(told(&[5], 0xc0).0, "WPA3-802.1X");
        assert_eq!(told(&[18], 0xc0).0, "OWE");
        assert_eq!(secured(&[], PRIVACY).0, "WEP");
        assert_eq!(secured(&[], 0), ("open".into(), String::new()));
        assert_eq!(secured(&element(RSN, &[1, 0]), PRIVACY).0, "WEP");
        let older = [0, 0x50, 0xf2, 1, 1, 0, 0, 0x50, 0xf2, 2, 1, 0, 0, 0x50, 0xf2, 2, 1, 0, 0, 0x50, 0xf2, 2];
        assert_eq!(secured(&element(VENDOR, &older), PRIVACY).0, "WPA-PSK");
    }

    #[test]
    fn the_width_is_the_widest_that_is_used() {
        let ht = |offset: u8| element(HT_OPERATION, &[36, offset, 0]);
        let width = |elements: &[Vec<u8>]| read(&elements.concat(), 0).width_mhz;
        assert_eq!((width(&[]), width(&[ht(0)]), width(&[ht(3)])), (None, Some(20), Some(40)));
        assert_eq!(width(&[ht(1), element(VHT_OPERATION, &[0, 0, 0])]), Some(40));
        assert_eq!(width(&[ht(1), element(VHT_OPERATION, &[1, 42, 0])]), Some(80));
        assert_eq!(width(&[ht(1), element(VHT_OPERATION, &[1, 42, 50])]), Some(160));
        let he = [HE_OPERATION, 0, 0, 2, 0, 0, 0, 37, 2, 39, 0, 6];
        assert_eq!(width(&[element(EXTENSION, &he)]), Some(80));
        let eht = [EHT_OPERATION, 1, 0, 0, 0, 0, 4, 31, 63];
        assert_eq!(width(&[element(EXTENSION, &he), element(EXTENSION, &eht)]), Some(320));
    }

    #[test]
    fn load_country_standard_and_roaming_are_read() {
        let elements = [
            element(SSID, b"desk-office"),
            element(COUNTRY, b"DE \x01\x0d\x14"),
            element(BSS_LOAD, &[12, 0, 80, 0x20, 0x4e]),
            element(RM_CAPABILITIES, &[2, 0, 0, 0, 0]),
            element(MOBILITY_DOMAIN, &[1, 2, 0]),
            element(EXTENDED_CAPABILITIES, &[4, 0, 0x48]),
            element(VHT_CAPABILITIES, &[0; 12]),
        ];
        let read = read(&elements.concat(), 0);
        assert_eq!(
            (read.ssid.as_str(), read.country.as_str(), read.standard.as_str()),
            ("desk-office", "DE", "802.11ac")
        );
        assert_eq!((read.stations, read.busy_percent.map(f64::round)), (Some(12), Some(31.0)));
        assert_eq!(read.roaming, ["802.11k", "802.11r", "802.11v"]);
    }

    #[test]
    fn channels_are_numbered_as_people_know_them() {
        let known =
            [(2412, 1, "2.4 GHz"), (2484, 14, "2.4 GHz"), (5180, 36, "5 GHz"), (5955, 1, "6 GHz"), (6115, 33, "6 GHz")];
        for (frequency, number, band) in known {
            assert_eq!(channel(frequency), (Some(number), band), "{frequency}");
        }
        assert_eq!((channel(0), channel(900)), ((None, ""), (None, "")));
    }

    proptest! {
        #[test]
        fn no_elements_make_it_panic(elements in proptest::collection::vec(any::<u8>(), 0..300), kind in any::<u8>(), value in proptest::collection::vec(any::<u8>(), 0..40), capability: u16) {
            read(&elements, capability);
            read(&element(kind, &value), capability);
            read(&rsn(&value, capability), capability);
        }
    }
}
