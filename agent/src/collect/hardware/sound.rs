//! Sound cards, what plays and records on them, and what is plugged in (/proc/asound, Documentation/sound/designs/procfile.rst).

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::Sound;

use crate::collect::sysfs::Folder;
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const SOUND: Collector =
    Collector { table: Sound::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_mins(15)), look };

const ASOUND: &str = "/proc/asound";
const CLASS: &str = "/sys/class/sound";

/// The kernel itself knows no more than 32 cards; an interface for studios has some tens of streams.
const CARDS_MAX: usize = 32;
const STREAMS_MAX: usize = 64;

/// Most screens of one card that are asked whether they take sound.
const DISPLAYS_MAX: usize = 16;

/// Longest text of one value, in characters.
const TEXT_CHARS_MAX: usize = 200;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let cards = match host.text(&format!("{ASOUND}/cards")) {
        // A kernel without sound is a machine without a sound card.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Rows::none()),
        text => text.context("reading the list of sound cards")?,
    };
    let cards = parse(&cards);
    let mut rows = Rows::none();
    let devices = host.list(CLASS).unwrap_or_default();
    let pcms = host.text(&format!("{ASOUND}/pcm")).unwrap_or_default();
    let inputs =
        if cards.is_empty() { String::new() } else { host.text("/proc/bus/input/devices").unwrap_or_default() };
    for card in cards.iter().take(CARDS_MAX) {
        let number = card.number;
        let folder = Folder::new(host, format!("{CLASS}/card{number}/device"));
        let streams = streams(&pcms, number);
        rows.push(&Sound {
            driver: folder.link_name("driver").unwrap_or_default(),
            device: Folder::new(host, format!("{CLASS}/card{number}")).link_name("device").unwrap_or_default(),
            codecs: codecs(host, &devices, number),
            in_use: streams.iter().flat_map(|stream| stream.open(host, number)).collect(),
            streams: streams.iter().map(Stream::told).collect(),
            jacks: jacks(&inputs, number),
            displays: displays(host, number),
            power_state: folder.line("power/runtime_status").unwrap_or_default(),
            ..card.clone()
        });
    }
    if cards.len() > CARDS_MAX {
        rows.missing(format!("{} more sound cards", cards.len() - CARDS_MAX));
    }
    Ok(rows)
}

/// " 0 [PCH            ]: HDA-Intel - HDA Intel PCH", then a line with its longer name and place.
fn parse(text: &str) -> Vec<Sound> {
    let card = |line: &str| {
        let (number, rest) = line.trim_start().split_once(" [")?;
        let (card, rest) = rest.split_once(']')?;
        let (_driver, name) = rest.split_once(" - ")?;
        Some(Sound { number: number.trim().parse().ok()?, card: cut(card), name: cut(name), ..Sound::default() })
    };
    text.lines().filter_map(card).collect()
}

fn cut(text: &str) -> String {
    text.trim().chars().take(TEXT_CHARS_MAX).collect()
}

/// The codec chips, as the driver remembers them. Why not /proc/asound/card0/codec#0: that wakes the codec.
fn codecs(host: &dyn Host, devices: &[String], card: u32) -> Vec<String> {
    let own = devices.iter().filter(|name| name.starts_with(&format!("hwC{card}D")));
    let name = |device: &String| {
        let folder = Folder::new(host, format!("{CLASS}/{device}"));
        let words = [folder.line("vendor_name"), folder.line("chip_name")];
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    own.map(name).filter(|name| !name.is_empty()).collect()
}

/// One stream of a card, in one or both directions.
struct Stream {
    device: u32,
    name: String,
    playback: bool,
    capture: bool,
}

/// "00-03: HDMI 0 : HDMI 0 : playback 1 : capture 1": card, device, id, name, and how many streams each way.
fn streams(text: &str, card: u32) -> Vec<Stream> {
    let stream = |line: &str| {
        let (place, rest) = line.split_once(':')?;
        let (of, device) = place.trim().split_once('-')?;
        let mut parts = rest.split(" : ").map(str::trim);
        let (id, name) = (parts.next()?, parts.next()?);
        let ways: Vec<&str> = parts.collect();
        let way = |word: &str| ways.iter().any(|way| way.starts_with(word));
        (of.parse::<u32>().ok()? == card).then_some(())?;
        let name = if name.is_empty() { id } else { name };
        let (playback, capture) = (way("playback"), way("capture"));
        (playback || capture).then_some(())?;
        Some(Stream { device: device.parse().ok()?, name: cut(name), playback, capture })
    };
    text.lines().filter_map(stream).take(STREAMS_MAX).collect()
}

impl Stream {
    fn told(&self) -> String {
        let ways: Vec<&str> = self.ways().map(|(_letter, way)| way).collect();
        format!("{} ({})", self.name, ways.join(" and "))
    }

    fn ways(&self) -> impl Iterator<Item = (char, &'static str)> {
        [(self.playback, 'p', "playback"), (self.capture, 'c', "capture")]
            .into_iter()
            .filter_map(|(has, letter, way)| has.then_some((letter, way)))
    }

    /// The ways in which it is open now: its first substream, which is the only one that hardware cards have.
    fn open(&self, host: &dyn Host, card: u32) -> Vec<String> {
        let state = |letter: char| host.line(&format!("{ASOUND}/card{card}/pcm{}{letter}/sub0/status", self.device));
        let open = |(letter, way): (char, &str)| {
            state(letter).is_some_and(|state| !state.starts_with("closed")).then(|| format!("{} ({way})", self.name))
        };
        self.ways().filter_map(open).collect()
    }
}

/// The sockets that notice a plug: inputs below the card, "HDA Intel PCH Headphone".
fn jacks(inputs: &str, card: u32) -> Vec<String> {
    let below = format!("/sound/card{card}/");
    let own =
        inputs.split("\n\n").filter(|block| block.lines().any(|line| line.starts_with("S: ") && line.contains(&below)));
    let name = |block: &str| Some(cut(block.lines().find_map(|line| line.strip_prefix("N: Name="))?.trim_matches('"')));
    own.filter_map(name).take(STREAMS_MAX).collect()
}

/// Screens that told the card what sound they take (ELD).
fn displays(host: &dyn Host, card: u32) -> Vec<String> {
    let folder = format!("{ASOUND}/card{card}");
    let names = host.list(&folder).unwrap_or_default();
    let screen = |name: &String| {
        let text = host.text(&format!("{folder}/{name}")).ok()?;
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        (value("eld_valid") == Some("1")).then(|| cut(value("monitor_name").unwrap_or_default()))
    };
    names
        .iter()
        .filter(|name| name.starts_with("eld#"))
        .take(DISPLAYS_MAX)
        .filter_map(screen)
        .filter(|name| !name.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARDS: &str = " 0 [PCH            ]: HDA-Intel - HDA Intel PCH\n                      HDA Intel PCH at 0x603d1c8000 irq 196\n \
                         1 [C920           ]: USB-Audio - HD Pro Webcam C920\n                      HD Pro Webcam C920 at usb-0000:00:14.0-3, high speed\n";

    #[test]
    fn cards_are_read_by_their_first_lines() {
        let cards: Vec<(u32, String, String)> =
            parse(CARDS).into_iter().map(|card| (card.number, card.card, card.name)).collect();
        assert_eq!(cards, [(0, "PCH".into(), "HDA Intel PCH".into()), (1, "C920".into(), "HD Pro Webcam C920".into())]);
        assert!(parse("--- no soundcards ---\n").is_empty());
        for end in 0..CARDS.len() {
            let _cards = parse(&CARDS[..end]);
        }
    }

    #[test]
    fn streams_belong_to_their_card() {
        let pcm = "00-00: ALC257 Analog : ALC257 Analog : playback 1 : capture 1\n00-03: HDMI 0 : HDMI 0 : playback 1\n\
                   01-00: USB Audio : USB Audio : capture 1\ngarbage\n";
        let told: Vec<String> = streams(pcm, 0).iter().map(Stream::told).collect();
        assert_eq!(told, ["ALC257 Analog (playback and capture)", "HDMI 0 (playback)"]);
        assert_eq!(streams(pcm, 1).len(), 1);
    }

    #[test]
    fn a_jack_is_an_input_below_its_card() {
        let inputs = "N: Name=\"HDA Intel PCH Mic\"\nS: Sysfs=/devices/pci0000:00/0000:00:1f.3/sound/card0/input12\n\n\
                      N: Name=\"Lid Switch\"\nS: Sysfs=/devices/LNXSYSTM:00/input/input0\n";
        assert_eq!(jacks(inputs, 0), ["HDA Intel PCH Mic"]);
        assert!(jacks(inputs, 1).is_empty());
    }
}
