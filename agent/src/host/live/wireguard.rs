//! `WireGuard`'s answers lose their keys at the door, so that no collector, recording or log can hold one.

/// `struct nlmsghdr` and `struct genlmsghdr`.
const HEADERS_BYTES: usize = 20;

/// `struct nlattr`; the two highest bits of its kind are flags.
const ATTRIBUTE_BYTES: usize = 4;
const KIND_MASK: u16 = 0x3fff;

/// `WGDEVICE_A_PRIVATE_KEY`, `WGDEVICE_A_PUBLIC_KEY`
const DEVICE_KEYS: [u16; 2] = [3, 4];
const WGDEVICE_A_PEERS: u16 = 8;

/// `WGPEER_A_PUBLIC_KEY`, `WGPEER_A_PRESHARED_KEY`
const PEER_KEYS: [u16; 2] = [1, 2];

/// Messages of the family "wireguard" with all keys overwritten. What is malformed is cut off there.
pub(super) fn without_keys(mut messages: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    while let Some(&[a, b, c, d]) = messages.get(at..at + 4) {
        let length = u32::from_ne_bytes([a, b, c, d]) as usize;
        let Some(message) = messages.get_mut(at..at.saturating_add(length)).filter(|of| of.len() >= HEADERS_BYTES)
        else {
            messages.truncate(at);
            break;
        };
        let whole = attributes(message.get_mut(HEADERS_BYTES..).unwrap_or_default(), &mut |kind, value| match kind {
            kind if DEVICE_KEYS.contains(&kind) => wipe(value),
            WGDEVICE_A_PEERS => attributes(value, &mut |_number, peer| {
                attributes(peer, &mut |kind, value| !PEER_KEYS.contains(&kind) || wipe(value))
            }),
            _ => true,
        });
        if !whole {
            messages.truncate(at);
            break;
        }
        at += length.next_multiple_of(4);
    }
    messages
}

fn wipe(key: &mut [u8]) -> bool {
    key.fill(0);
    true
}

/// Hands over each attribute; false where one ends early.
fn attributes(mut rest: &mut [u8], take: &mut dyn FnMut(u16, &mut [u8]) -> bool) -> bool {
    while let Some(&[low, high, kind_low, kind_high]) = rest.get(..ATTRIBUTE_BYTES) {
        let length = usize::from(u16::from_ne_bytes([low, high]));
        let kind = u16::from_ne_bytes([kind_low, kind_high]) & KIND_MASK;
        let Some(value) = rest.get_mut(ATTRIBUTE_BYTES..length) else { return false };
        if !take(kind, value) {
            return false;
        }
        let next = length.next_multiple_of(4).min(rest.len());
        rest = rest.split_at_mut(next).1;
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::attribute;

    fn message() -> Vec<u8> {
        let peer = [attribute(1, &[7; 32]), attribute(2, &[7; 32]), attribute(5, &[25, 0])].concat();
        let peers = attribute(8 | 0x8000, &attribute(0x8000, &peer));
        let body = [attribute(2, b"wg0\0"), attribute(3, &[7; 32]), attribute(4, &[7; 32]), peers].concat();
        let mut message = (20 + body.len() as u32).to_ne_bytes().to_vec();
        message.extend([0; 16]);
        message.extend(body);
        message
    }

    #[test]
    fn every_key_is_overwritten_and_nothing_else() {
        let clean = without_keys([message(), message()].concat());
        assert_eq!(clean.len(), message().len() * 2);
        assert!(!clean.contains(&7));
        assert!(clean.windows(3).any(|bytes| bytes == b"wg0") && clean.contains(&25));
    }

    #[test]
    fn a_message_cut_anywhere_gives_away_no_key() {
        let whole = message();
        for cut in 0..whole.len() {
            assert!(!without_keys(whole[..cut].to_vec()).contains(&7), "{cut}");
        }
        let mut torn = whole.clone();
        torn[20..22].copy_from_slice(&3_u16.to_ne_bytes());
        assert!(!without_keys(torn).contains(&7));
    }
}
