//! The decoder: what the codes in messages mean, each with its name, a sentence, and where it is known from.

mod context;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::LazyLock;

pub use context::find;
use tables::{ALL, Table};

/// What a code may mean.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Meaning {
    /// Which codes it is one of: "errno", "exit status", "HRESULT".
    pub kind: &'static str,
    /// The number, as that kind writes it.
    pub number: String,
    /// Its name there.
    pub name: String,
    /// What it says.
    pub sentence: String,
    /// Where that is known from.
    pub source: &'static str,
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, number, name, sentence, source: _ } = self;
        let number = if number.is_empty() { String::new() } else { format!(" {number}") };
        write!(f, "{name} ({kind}{number}): {sentence}")
    }
}

/// All that a code may mean. Words beside it ("exit status 203") narrow it down; a bare number may be many things.
pub fn decode(text: &str) -> Vec<Meaning> {
    let text = text.trim();
    if text.contains(char::is_whitespace) {
        let found = find(text);
        if !found.is_empty() {
            return found;
        }
    }
    let bare = text.rsplit(char::is_whitespace).next().unwrap_or_default();
    let bare = bare.trim_matches(|c: char| "()[],;:.\"'".contains(c));
    match number(bare) {
        Some((number, is_hex)) => all_of(number, is_hex),
        None => named(bare).into_iter().collect(),
    }
}

/// Whether a hexadecimal number is a code of the kinds that are unlikely to be anything else.
pub fn is_known_hex(number: u32) -> bool {
    static KNOWN: LazyLock<BTreeSet<u32>> = LazyLock::new(|| {
        let numbers = [&tables::NTSTATUS, &tables::HRESULT].into_iter().flat_map(Table::numbers);
        numbers.filter_map(|number| u32::try_from(number).ok()).filter(|number| number >> 28 != 0).collect()
    });
    KNOWN.contains(&number) || inner_win32(i64::from(number)).is_some()
}

/// "28", "-28", "0x1C": the number, and whether it was hexadecimal.
fn number(text: &str) -> Option<(i64, bool)> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return Some((i64::from(u32::from_str_radix(hex, 16).ok()?), true));
    }
    Some((text.parse::<i32>().ok()?.into(), false))
}

fn all_of(number: i64, is_hex: bool) -> Vec<Meaning> {
    // -2147024891 is how scripts write 0x80070005.
    let unsigned = if number < -4096 { number & 0xffff_ffff } else { number };
    let mut all = Vec::new();
    for table in ALL {
        let fits = if is_hex { table.in_hex } else { table.in_decimal || unsigned != number };
        let asked = if table.kind == tables::ERRNO.kind { unsigned.abs() } else { unsigned };
        all.extend(fits.then(|| table.meaning(asked)).flatten());
    }
    all.extend(signal_of_exit(unsigned));
    all.extend(inner_win32(unsigned));
    all
}

/// A shell tells a program that a signal ended as 128 and the signal's number.
fn signal_of_exit(status: i64) -> Option<Meaning> {
    let signal = (129..=192).contains(&status).then(|| tables::SIGNAL.meaning(status - 128))??;
    let sentence = format!("signal {} ended it: {}", signal.number, signal.sentence);
    Some(Meaning { kind: tables::EXIT.kind, number: status.to_string(), sentence, ..signal })
}

/// A Win32 error in an HRESULT: 0x8007 and the number.
fn inner_win32(number: i64) -> Option<Meaning> {
    if number >> 16 != 0x8007 || tables::HRESULT.meaning(number).is_some() {
        return None;
    }
    let inner = tables::WIN32.meaning(number & 0xffff)?;
    Some(Meaning { kind: tables::HRESULT.kind, number: format!("0x{number:08X}"), ..inner })
}

/// `ENOSPC`, `status_access_denied`.
fn named(name: &str) -> Option<Meaning> {
    ALL.iter().find_map(|table| table.named(name))
}
