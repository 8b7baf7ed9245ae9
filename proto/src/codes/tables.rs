//! The tables of codes: files of lines "number, name, sentence", one file a kind. The sentences are our own.

use super::Meaning;

/// Codes of one kind.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) kind: &'static str,
    source: &'static str,
    text: &'static str,
    /// A bare number written so may be one of these.
    pub(super) in_decimal: bool,
    pub(super) in_hex: bool,
}

impl Table {
    const fn new(
        kind: &'static str,
        source: &'static str,
        text: &'static str,
        (in_decimal, in_hex): (bool, bool),
    ) -> Self {
        Self { kind, source, text, in_decimal, in_hex }
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> &'static str {
        self.text
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> + use<> {
        self.text.lines().filter_map(|line| {
            let (number, rest) = line.split_once('\t')?;
            let (name, sentence) = rest.split_once('\t')?;
            Some((number, name, sentence))
        })
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = i64> + use<> {
        self.lines().filter_map(|(number, _name, _sentence)| parse(number))
    }

    pub(super) fn meaning(&self, number: i64) -> Option<Meaning> {
        self.lines().find(|line| parse(line.0) == Some(number)).map(|line| self.told(line))
    }

    pub(super) fn named(&self, name: &str) -> Option<Meaning> {
        self.lines().find(|line| line.1.eq_ignore_ascii_case(name)).map(|line| self.told(line))
    }

    fn told(&self, (number, name, sentence): (&str, &str, &str)) -> Meaning {
        let number = if number == "-" { "" } else { number };
        Meaning {
            kind: self.kind,
            number: number.into(),
            name: name.into(),
            sentence: sentence.into(),
            source: self.source,
        }
    }
}

fn parse(number: &str) -> Option<i64> {
    match number.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => number.parse().ok(),
    }
}

pub(super) static ERRNO: Table = Table::new("errno", "Linux, errno(3)", include_str!("errno.tsv"), (true, false));
pub(super) static EXIT: Table =
    Table::new("exit status", "sysexits.h, systemd.exec(5), bash(1)", include_str!("exit.tsv"), (true, true));
pub(super) static SIGNAL: Table = Table::new("signal", "Linux, signal(7)", include_str!("signal.tsv"), (true, false));
pub(super) static HTTP: Table = Table::new("HTTP status", "RFC 9110, IANA", include_str!("http.tsv"), (true, false));
pub(super) static IPP: Table = Table::new("IPP status", "RFC 8011, IANA", include_str!("ipp.tsv"), (false, true));
pub(super) static CUPS: Table =
    Table::new("CUPS backend status", "backend(7)", include_str!("cups.tsv"), (false, false));
pub(super) static BUGCHECK: Table =
    Table::new("bug check", "Windows, bug check code reference", include_str!("bugcheck.tsv"), (false, true));
pub(super) static NTSTATUS: Table =
    Table::new("NTSTATUS", "[MS-ERREF] 2.3", include_str!("ntstatus.tsv"), (false, true));
pub(super) static HRESULT: Table = Table::new("HRESULT", "[MS-ERREF] 2.1", include_str!("hresult.tsv"), (false, true));
pub(super) static WIN32: Table = Table::new("Win32", "[MS-ERREF] 2.2", include_str!("win32.tsv"), (true, false));
pub(super) static SMART: Table =
    Table::new("SMART attribute", "smartctl(8), drive database", include_str!("smart.tsv"), (false, false));
pub(super) static KERBEROS: Table =
    Table::new("Kerberos", "RFC 4120 7.5.9", include_str!("kerberos.tsv"), (false, false));
pub(super) static TLS: Table = Table::new("TLS alert", "RFC 8446 6, IANA", include_str!("tls.tsv"), (false, false));
pub(super) static WIFI: Table =
    Table::new("Wi-Fi reason", "IEEE 802.11, reason codes", include_str!("wifi.tsv"), (false, false));
pub(super) static RESULT: Table =
    Table::new("systemd result", "systemd.service(5)", include_str!("result.tsv"), (false, false));

/// Every table, in the order in which a bare code is told.
pub(super) static ALL: [&Table; 15] = [
    &ERRNO, &EXIT, &SIGNAL, &HTTP, &IPP, &CUPS, &BUGCHECK, &NTSTATUS, &HRESULT, &WIN32, &SMART, &KERBEROS, &TLS, &WIFI,
    &RESULT,
];
