//! The string `dsk1...`: address, CA fingerprint and secret in one, so that the first contact is already verified.

use data_encoding::BASE64URL_NOPAD;
use prost::Message;

use crate::v1::Invite;

const PREFIX: &str = "dsk1";
const BEARER: &str = "Bearer ";

/// Longest string that is looked at.
const LENGTH_MAX: usize = 2048;

/// Why a string is not an invite.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InviteError {
    /// It does not begin with `dsk1`.
    #[error("this is not a Deskside token: it must begin with \"dsk1\"; ask for a new one")]
    Prefix,
    /// It was cut or altered on its way.
    #[error("this token is damaged (cut or altered when it was copied); copy the whole string again")]
    Damaged,
}

/// Writes the string.
pub fn write(invite: &Invite) -> String {
    let mut bytes = invite.encode_to_vec();
    bytes.push(checksum(&bytes));
    format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes))
}

/// Reads the string.
pub fn read(text: &str) -> Result<Invite, InviteError> {
    let body = text.trim().strip_prefix(PREFIX).ok_or(InviteError::Prefix)?;
    if body.len() > LENGTH_MAX {
        return Err(InviteError::Damaged);
    }
    let bytes = BASE64URL_NOPAD.decode(body.as_bytes()).map_err(|_error| InviteError::Damaged)?;
    let (sum, bytes) = bytes.split_last().ok_or(InviteError::Damaged)?;
    let invite = Invite::decode(bytes).map_err(|_error| InviteError::Damaged)?;
    let whole = !invite.addresses.is_empty() && invite.ca_sha256.len() == 32 && !invite.secret.is_empty();
    if *sum != checksum(bytes) || !whole {
        return Err(InviteError::Damaged);
    }
    Ok(invite)
}

/// How a technician's secret travels with every call of the desk: the value of `authorization`.
pub fn authorization(secret: &[u8]) -> String {
    format!("{BEARER}{}", BASE64URL_NOPAD.encode(secret))
}

/// The secret out of the value of `authorization`; nothing where it is not ours.
pub fn authorized(value: &str) -> Option<Vec<u8>> {
    let text = value.strip_prefix(BEARER).filter(|text| text.len() <= LENGTH_MAX)?;
    BASE64URL_NOPAD.decode(text.as_bytes()).ok().filter(|secret| !secret.is_empty())
}

/// Catches a slip of the mouse; forgery is caught by the secret.
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0x5a, |sum: u8, byte| sum.rotate_left(3) ^ byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invite() -> Invite {
        Invite { addresses: vec!["desk.example:8443".into()], ca_sha256: vec![7; 32], secret: vec![9; 16] }
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(read(&write(&invite())), Ok(invite()));
    }

    #[test]
    fn a_secret_comes_back_out_of_its_authorization() {
        assert_eq!(authorized(&authorization(&[0, 255, 7])), Some(vec![0, 255, 7]));
        for wrong in ["", "Bearer ", "Basic AA", "Bearer !!"] {
            assert_eq!(authorized(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_string_that_lost_its_end_is_called_damaged() {
        let text = write(&invite());
        for cut in 5..text.len() {
            assert_eq!(read(&text[..cut]), Err(InviteError::Damaged), "cut at {cut}");
        }
    }
}
