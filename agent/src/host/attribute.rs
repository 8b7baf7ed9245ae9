//! One attribute of a netlink message (`struct nlattr`, netlink(7)), as it is sent.

use netlink_packet_core::{DefaultNla, Emitable};

/// Header, value, and zeros up to the next multiple of four.
pub fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let attribute = DefaultNla::new(kind, value.to_vec());
    let mut bytes = vec![0; attribute.buffer_len()];
    attribute.emit(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_is_padded_and_keeps_its_flags() {
        let [low, high] = 7_u16.to_ne_bytes();
        assert_eq!(attribute(0, b"lo\0"), [low, high, 0, 0, b'l', b'o', 0, 0]);
        let kind = (5_u16 | 1 << 15).to_ne_bytes();
        assert_eq!(attribute(5 | 1 << 15, &[])[2..], kind);
    }
}
