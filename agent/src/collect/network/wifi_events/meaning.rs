//! What one line of a log says about a radio.

use super::codes;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Connected,
    Disconnected,
    Left,
    Roamed,
    BeaconsLost,
    WrongKey,
    Refused,
    Unanswered,
    Disabled,
    EapFailed,
    EapCertificate,
    FirmwareCrash,
    Restarted,
    NoRegulatoryDatabase,
}

impl Kind {
    /// As the table says it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::Left => "left",
            Self::Roamed => "roamed",
            Self::BeaconsLost => "beacons-lost",
            Self::WrongKey => "wrong-key",
            Self::Refused => "refused",
            Self::Unanswered => "unanswered",
            Self::Disabled => "disabled",
            Self::EapFailed => "eap-failed",
            Self::EapCertificate => "eap-certificate",
            Self::FirmwareCrash => "firmware-crash",
            Self::Restarted => "restarted",
            Self::NoRegulatoryDatabase => "no-regulatory-database",
        }
    }

    /// `wpa_supplicant` has words of its own for it.
    pub(super) fn is_told_by_supplicant(self) -> bool {
        matches!(self, Self::Connected | Self::Disconnected | Self::Left | Self::Roamed | Self::Refused)
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Happened {
    pub(super) interface: String,
    pub(super) kind: Kind,
    pub(super) code: Option<u32>,
    pub(super) reason: String,
    pub(super) ssid: String,
    pub(super) bssid: String,
}

/// Words of drivers for a firmware that has crashed.
const CRASHES: [&str; 4] =
    ["Microcode SW error detected", "firmware crashed", "Firmware has halted or crashed", "SER catches error"];

/// Absent where the line says nothing of the kind: both logs speak of other interfaces too.
pub(super) fn meaning(supplicant: bool, text: &str) -> Option<Happened> {
    let (interface, rest) = text.split_once(": ")?;
    let happened = if supplicant { by_supplicant(rest)? } else { by_kernel(interface, rest)? };
    Some(Happened { interface: interface.to_owned(), ..happened })
}

fn happened(kind: Kind) -> Happened {
    Happened {
        interface: String::new(),
        kind,
        code: None,
        reason: String::new(),
        ssid: String::new(),
        bssid: String::new(),
    }
}

fn by_supplicant(text: &str) -> Option<Happened> {
    let (event, rest) = text.strip_prefix("CTRL-EVENT-")?.split_once(' ').unwrap_or_default();
    let code = |name: &str| value(rest, name).and_then(|value| value.parse::<u32>().ok());
    let bssid = value(rest, "bssid=").unwrap_or_default().to_owned();
    Some(match event {
        "CONNECTED" => Happened { bssid: mac(rest), ..happened(Kind::Connected) },
        "DISCONNECTED" => {
            let reason = code("reason=");
            let own = rest.contains("locally_generated=1");
            Happened { bssid, ..disconnected(reason, own) }
        }
        "SSID-TEMP-DISABLED" => {
            let ssid = between(rest, "ssid=\"", "\" auth_failures=").unwrap_or_default().to_owned();
            let why = value(rest, "reason=").unwrap_or_default();
            let kind = if why == "WRONG_KEY" { Kind::WrongKey } else { Kind::Disabled };
            Happened { ssid, reason: why.to_lowercase().replace('_', " "), ..happened(kind) }
        }
        "EAP-FAILURE" => happened(Kind::EapFailed),
        "EAP-TLS-CERT-ERROR" => {
            let why = between(rest, "err='", "'").unwrap_or_default().to_owned();
            Happened { code: code("reason="), reason: why, ..happened(Kind::EapCertificate) }
        }
        "ASSOC-REJECT" | "AUTH-REJECT" => {
            let status = code("status_code=");
            // AUTH-REJECT begins with the address alone.
            let bssid = if bssid.is_empty() { mac(rest) } else { bssid };
            Happened { code: status, reason: codes::status(status), bssid, ..happened(Kind::Refused) }
        }
        _ => return None,
    })
}

/// A machine that leaves by itself with reason 3 was told to: another network, suspend, switched off.
fn disconnected(reason: Option<u32>, own: bool) -> Happened {
    let kind = if own && reason == Some(3) { Kind::Left } else { Kind::Disconnected };
    Happened { code: reason, reason: codes::reason(reason), ..happened(kind) }
}

fn by_kernel(about: &str, text: &str) -> Option<Happened> {
    if CRASHES.iter().any(|crash| text.contains(crash)) || (about.starts_with("mt7") && text.ends_with("timeout")) {
        let reason =
            CRASHES.iter().find(|crash| text.contains(*crash)).map_or("no answer of the firmware", |crash| crash);
        return Some(Happened { reason: (*reason).to_owned(), ..happened(Kind::FirmwareCrash) });
    }
    if text.starts_with("Hardware restart was requested") {
        return Some(happened(Kind::Restarted));
    }
    if text.contains("failed to load regulatory.db") {
        return Some(happened(Kind::NoRegulatoryDatabase));
    }
    // What remains is about an interface, whose name is one word.
    if about.contains(' ') {
        return None;
    }
    let bssid = mac(text);
    if bssid.is_empty() {
        return None;
    }
    if let Some((_before, to)) = text.split_once(" for new auth to ") {
        return Some(Happened { bssid: mac(to), ..happened(Kind::Roamed) });
    }
    if let Some(reason) = between(text, "(Reason: ", "=").and_then(|reason| reason.parse().ok()) {
        return Some(Happened { bssid, ..disconnected(Some(reason), text.contains("by local choice")) });
    }
    if text.starts_with("Connection to AP ") && text.ends_with(" lost") {
        return Some(Happened { bssid, ..happened(Kind::BeaconsLost) });
    }
    if text.contains("denied authentication") || text.contains("denied association") {
        let status = ["(status ", "(code="].iter().find_map(|before| between(text, before, ")"));
        let status = status.and_then(|status| status.parse().ok());
        return Some(Happened { bssid, code: status, reason: codes::status(status), ..happened(Kind::Refused) });
    }
    text.ends_with("timed out").then(|| Happened { bssid, ..happened(Kind::Unanswered) })
}

/// "reason=15 more" is "15" for "reason=".
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split_whitespace().find_map(|word| word.strip_prefix(name))
}

fn between<'a>(text: &'a str, before: &str, behind: &str) -> Option<&'a str> {
    Some(text.split_once(before)?.1.split_once(behind)?.0)
}

/// The first hardware address in a text; empty where there is none.
fn mac(text: &str) -> String {
    let is_mac = |word: &&str| {
        word.len() == 17 && word.split(':').count() == 6 && word.bytes().all(|c| c == b':' || c.is_ascii_hexdigit())
    };
    text.split_whitespace().find(is_mac).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(text: &str) -> Option<(Kind, Option<u32>, String)> {
        meaning(false, text).map(|happened| (happened.kind, happened.code, happened.interface))
    }

    #[test]
    fn the_kernels_words_are_understood() {
        let seen = [
            (
                "wlan0: deauthenticated from 02:00:5e:00:00:00 (Reason: 15=4WAY_HANDSHAKE_TIMEOUT)",
                Kind::Disconnected,
                Some(15),
            ),
            (
                "wlan0: disassociated from 02:00:5e:00:00:00 (Reason: 8=DISASSOC_STA_HAS_LEFT)",
                Kind::Disconnected,
                Some(8),
            ),
            (
                "wlan0: deauthenticating from 02:00:5e:00:00:00 by local choice (Reason: 3=DEAUTH_LEAVING)",
                Kind::Left,
                Some(3),
            ),
            ("wlan0: Connection to AP 02:00:5e:00:00:00 lost", Kind::BeaconsLost, None),
            ("wlan0: 02:00:5e:00:00:00 denied authentication (status 17)", Kind::Refused, Some(17)),
            ("wlan0: 02:00:5e:00:00:00 denied association (code=30)", Kind::Refused, Some(30)),
            ("wlan0: authentication with 02:00:5e:00:00:00 timed out", Kind::Unanswered, None),
        ];
        for (text, kind, code) in seen {
            assert_eq!(kernel(text), Some((kind, code, "wlan0".into())), "{text}");
        }
    }

    #[test]
    fn crashes_of_the_firmware_name_the_device() {
        let seen = [
            ("iwlwifi 0000:00:14.3: Microcode SW error detected. Restarting 0x0.", "iwlwifi 0000:00:14.3"),
            (
                "ath10k_pci 0000:04:00.0: firmware crashed! (guid 3d4f13cc-686b-4a95-a378-9765cc9f3711)",
                "ath10k_pci 0000:04:00.0",
            ),
            ("ieee80211 phy0: brcmf_fw_crashed: Firmware has halted or crashed", "ieee80211 phy0"),
            ("mt7921e 0000:02:00.0: Message 00020007 (seq 3) timeout", "mt7921e 0000:02:00.0"),
        ];
        for (text, device) in seen {
            assert_eq!(kernel(text), Some((Kind::FirmwareCrash, None, device.into())), "{text}");
        }
        assert_eq!(kernel("nvme 0000:01:00.0: Message 7 timeout"), None);
        assert_eq!(kernel("bluetooth hci0: firmware loaded"), None);
    }

    #[test]
    fn wpa_supplicants_words_are_understood() {
        let told = |text: &str| {
            let told = meaning(true, text).unwrap();
            (told.kind, told.code, told.reason, told.bssid, told.ssid)
        };
        let reject = told("wlan0: CTRL-EVENT-ASSOC-REJECT bssid=02:00:5e:00:00:01 status_code=17");
        assert_eq!((reject.0, reject.1, reject.3.as_str()), (Kind::Refused, Some(17), "02:00:5e:00:00:01"));
        let reject =
            told("wlan0: CTRL-EVENT-AUTH-REJECT 02:00:5e:00:00:01 auth_type=3 auth_transaction=2 status_code=1");
        assert_eq!((reject.0, reject.1, reject.3.as_str()), (Kind::Refused, Some(1), "02:00:5e:00:00:01"));
        let eap = told(
            "wlan0: CTRL-EVENT-EAP-TLS-CERT-ERROR reason=4 depth=1 subject='/CN=ca' err='certificate has expired'",
        );
        assert_eq!((eap.0, eap.1, eap.2.as_str()), (Kind::EapCertificate, Some(4), "certificate has expired"));
        let odd = told(
            "wlan0: CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid=\"a \\\" auth_failures\" auth_failures=2 duration=10 reason=AUTH_FAILED",
        );
        assert_eq!((odd.0, odd.2.as_str()), (Kind::Disabled, "auth failed"));
        assert_eq!(meaning(true, "wlan0: Trying to associate"), None);
    }
}
