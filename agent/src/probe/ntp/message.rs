//! A question and an answer of the Network Time Protocol in its simple form (RFC 5905, section 14; RFC 4330).

use anyhow::Context;

/// Seconds from 1900-01-01 to 1970-01-01.
const EPOCH_S: u64 = 2_208_988_800;

const BYTES: usize = 48;

/// What a server said.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::probe) struct Answer {
    /// How far its clock is ahead of ours.
    pub(in crate::probe) offset_ms: f64,
    pub(in crate::probe) delay_ms: f64,
    pub(in crate::probe) stratum: u32,
    pub(in crate::probe) leap: &'static str,
    pub(in crate::probe) reference: String,
    /// Why it refuses; empty where it does not.
    pub(in crate::probe) kiss_code: String,
}

/// A question: version 4, client. Why random bytes for the time of sending: the server returns them, which proves that it was asked, and our clock is
/// nobody's business.
pub(super) fn question(cookie: [u8; 8]) -> Vec<u8> {
    let mut packet = vec![0x23];
    packet.resize(BYTES - cookie.len(), 0);
    packet.extend(cookie);
    packet
}

/// Reads the answer to a question that was sent at a time of our clock and took so long.
pub(super) fn answer(packet: &[u8], cookie: [u8; 8], sent_ms: f64, took_ms: f64) -> anyhow::Result<Answer> {
    let packet: &[u8; BYTES] = packet.first_chunk().context("the answer is too short")?;
    let [first, stratum, ..] = *packet;
    anyhow::ensure!(first & 0x07 == 4, "the answer is no server's");
    anyhow::ensure!(packet.get(24..32) == Some(&cookie[..]), "the answer is to another question");
    let leap = match first >> 6 {
        0 => "none",
        1 => "add second",
        2 => "remove second",
        _ => "unsynchronized",
    };
    let name = packet.get(12..16).unwrap_or_default();
    let text = || name.iter().filter(|byte| byte.is_ascii_graphic()).map(|byte| char::from(*byte)).collect::<String>();
    let (receive, transmit) = (time_ms(packet, 32, sent_ms)?, time_ms(packet, 40, sent_ms)?);
    let arrived_ms = sent_ms + took_ms;
    let reference = match (stratum, name) {
        (0 | 1, _) => text(),
        (_, [a, b, c, d]) => format!("{a}.{b}.{c}.{d}"),
        _ => String::new(),
    };
    Ok(Answer {
        offset_ms: f64::midpoint(receive - sent_ms, transmit - arrived_ms),
        delay_ms: (took_ms - (transmit - receive)).max(0.0),
        stratum: u32::from(stratum),
        leap,
        reference,
        kiss_code: if stratum == 0 { text() } else { String::new() },
    })
}

/// A timestamp in milliseconds since 1970, in the era of 136 years that is nearest to our clock.
fn time_ms(packet: &[u8], at: usize, near_ms: f64) -> anyhow::Result<f64> {
    const ERA_MS: f64 = 4_294_967_296_000.0;
    let word = |at: usize| {
        let bytes = packet.get(at..).and_then(|rest| rest.first_chunk::<4>()).context("the answer is too short")?;
        anyhow::Ok(u32::from_be_bytes(*bytes))
    };
    let (seconds, fraction) = (f64::from(word(at)?), f64::from(word(at + 4)?));
    let ms = (seconds - EPOCH_S as f64) * 1_000.0 + fraction * 1_000.0 / 4_294_967_296.0;
    Ok(ms + ((near_ms - ms) / ERA_MS).round() * ERA_MS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW_MS: f64 = 1_795_000_000_000.0;

    fn packet(stratum: u8, receive_ms: f64, transmit_ms: f64) -> Vec<u8> {
        let mut packet = vec![0x24, stratum, 6, 0xe8];
        packet.resize(12, 0);
        packet.extend(if stratum == 0 { *b"RATE" } else { [192, 0, 2, 1] });
        packet.extend([0; 8]);
        packet.extend([7; 8]);
        for ms in [receive_ms, transmit_ms] {
            let seconds = (ms / 1_000.0).floor();
            packet.extend(((seconds as u64 + EPOCH_S) as u32).to_be_bytes());
            packet.extend((((ms / 1_000.0 - seconds) * 4_294_967_296.0) as u32).to_be_bytes());
        }
        packet
    }

    #[test]
    fn offset_and_delay_are_those_of_the_standard() {
        let told = answer(&packet(2, NOW_MS + 400_010.0, NOW_MS + 400_012.0), [7; 8], NOW_MS, 22.0).unwrap();
        assert!((told.offset_ms - 400_000.0).abs() < 0.01 && (told.delay_ms - 20.0).abs() < 0.01, "{told:?}");
        assert_eq!((told.stratum, told.leap, told.reference.as_str()), (2, "none", "192.0.2.1"));
        let kiss = answer(&packet(0, NOW_MS, NOW_MS), [7; 8], NOW_MS, 1.0).unwrap();
        assert_eq!(kiss.kiss_code, "RATE");
        // The seconds begin anew on 2036-02-07.
        let next = 2_200_000_000_000.0;
        let told = answer(&packet(2, next, next), [7; 8], next, 0.0).unwrap();
        assert!(told.offset_ms.abs() < 0.01, "{told:?}");
    }

    #[test]
    fn what_was_not_asked_for_is_no_answer() {
        assert!(answer(&packet(2, NOW_MS, NOW_MS), [8; 8], NOW_MS, 1.0).is_err());
        assert!(answer(&question([7; 8]), [0; 8], NOW_MS, 1.0).is_err());
        let whole = packet(2, NOW_MS, NOW_MS);
        for cut in 0..whole.len() {
            assert!(answer(&whole[..cut], [7; 8], NOW_MS, 1.0).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _read = answer(&bytes, [7; 8], NOW_MS, 1.0).is_ok();
        }
    }
}
