//! Attributes of netlink messages (`struct nlattr`), as generic netlink families nest them.

use crate::host::attribute;

/// `struct nlmsghdr` and `struct genlmsghdr`, which stand before the attributes of a message.
const HEADER_BYTES: usize = 16;
const GENERIC_BYTES: usize = 4;

/// `struct nlattr`, and where the next one begins.
const ATTRIBUTE_BYTES: usize = 4;
const ALIGNMENT: usize = 4;

/// The upper two bits of a kind are flags (nested, byte order).
const KIND_MASK: u16 = 0x3fff;

/// A run of attributes. What is torn ends it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attributes<'a>(pub(super) &'a [u8]);

impl<'a> Attributes<'a> {
    /// Each attribute's kind and value.
    pub(super) fn iter(self) -> impl Iterator<Item = (u16, &'a [u8])> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let &[low, high, kind_low, kind_high] = rest.first_chunk::<ATTRIBUTE_BYTES>()?;
            let length = usize::from(u16::from_ne_bytes([low, high]));
            let value = rest.get(ATTRIBUTE_BYTES..length)?;
            rest = rest.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
            Some((u16::from_ne_bytes([kind_low, kind_high]) & KIND_MASK, value))
        })
    }

    /// The value of an attribute.
    pub(super) fn get(self, kind: u16) -> Option<&'a [u8]> {
        self.iter().find_map(|(known, value)| (known == kind).then_some(value))
    }

    /// The attributes in an attribute; none where it is absent.
    pub(super) fn nested(self, kind: u16) -> Self {
        Self(self.get(kind).unwrap_or_default())
    }

    /// Whether it is there: a flag has no value.
    pub(super) fn has(self, kind: u16) -> bool {
        self.get(kind).is_some()
    }

    /// A number of one byte.
    pub(super) fn u8(self, kind: u16) -> Option<u8> {
        self.get(kind)?.first().copied()
    }

    /// A number of two bytes.
    pub(super) fn u16(self, kind: u16) -> Option<u16> {
        Some(u16::from_ne_bytes(*self.get(kind)?.first_chunk()?))
    }

    /// A number of four bytes.
    pub(super) fn u32(self, kind: u16) -> Option<u32> {
        Some(u32::from_ne_bytes(*self.get(kind)?.first_chunk()?))
    }

    /// A number of eight bytes.
    pub(super) fn u64(self, kind: u16) -> Option<u64> {
        Some(u64::from_ne_bytes(*self.get(kind)?.first_chunk()?))
    }

    /// A text, which ends with a zero.
    pub(super) fn text(self, kind: u16) -> Option<String> {
        let bytes = self.get(kind)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        bytes.get(..end).map(|text| String::from_utf8_lossy(text).into_owned())
    }
}

/// The attributes of each message of a generic netlink answer.
pub(super) fn messages(mut answer: &[u8]) -> impl Iterator<Item = Attributes<'_>> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*answer.first_chunk()?) as usize;
        let message = answer.get(HEADER_BYTES + GENERIC_BYTES..length)?;
        answer = answer.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        Some(Attributes(message))
    })
}

/// A request: its command, version 1, and one attribute with a number.
pub(super) fn request(command: u8, about: Option<(u16, u32)>) -> Vec<u8> {
    let mut request = vec![command, 1, 0, 0];
    if let Some((kind, number)) = about {
        request.extend(attribute(kind, &number.to_ne_bytes()));
    }
    request
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn attributes_are_found_in_attributes() {
        let inner = [attribute(1, &[7]), attribute(2, b"wlan0\0")].concat();
        let all = [attribute(9, &3_u32.to_ne_bytes()), attribute(5 | 0x8000, &inner)].concat();
        let all = Attributes(&all);
        assert_eq!((all.u32(9), all.nested(5).u8(1), all.nested(5).text(2)), (Some(3), Some(7), Some("wlan0".into())));
        assert_eq!((all.u64(9), all.u16(7), all.has(5), all.has(6)), (None, None, true, false));
    }

    #[test]
    fn a_message_cut_anywhere_is_shorter_and_no_more() {
        let payload = [attribute(3, &3_u32.to_ne_bytes()), attribute(4, b"wlan0\0")].concat();
        let mut message = ((20 + payload.len()) as u32).to_ne_bytes().to_vec();
        message.resize(20, 0);
        message.extend(payload);
        assert_eq!(messages(&message).count(), 1);
        assert!((0..message.len()).all(|cut| messages(&message[..cut]).count() == 0));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_loop(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            for message in messages(&bytes) {
                assert!(message.iter().count() <= bytes.len());
            }
            assert!(Attributes(&bytes).iter().all(|(kind, _value)| kind <= KIND_MASK));
        }
    }
}
