//! Seals a ZIP file that is otherwise whole: its seal becomes the last file of it.
//!
//! Why by hand: what comes before the seal is sealed byte for byte, so that nothing may write it again, and the ZIP library's writer leaves the old
//! directory in the file when it adds to one.

use std::io::{Read, Seek, SeekFrom, Write};

use flate2::Crc;

use super::archive::{ATTRIBUTES, CENTRAL, END, END_BYTES, LOCAL, MADE_BY, end};
use super::{BUNDLE_SEAL, Broken, Bundle, Container, Signer, Statement, Subject};

/// The version of the format that its reader needs: 1.0.
const NEEDED: u16 = 10;

/// Most bytes of the directory that is written again.
const DIRECTORY_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Seals a bundle. `subjects` are all of its files. `at` is the time that the ZIP file gives for the seal, as the format packs it: time, date.
pub fn seal_bundle<F: Read + Write + Seek>(
    file: &mut F,
    signer: &Signer,
    subjects: Vec<Subject>,
    bundle: Bundle,
    at: (u16, u16),
) -> Result<(), Broken> {
    let length = file.seek(SeekFrom::End(0))?;
    let (count, bytes) = end(file, 0, length)?;
    file.rewind()?;
    let (sha256, _size) = super::sha256_of(&mut file.take(bytes))?;
    let mut directory = Vec::new();
    file.take(length - bytes - END_BYTES).take(DIRECTORY_BYTES_MAX).read_to_end(&mut directory)?;
    let bundle = Bundle { container: Container { bytes, sha256 }, ..bundle };
    let envelope = signer.seal(&Statement::new(subjects, bundle))?.write();
    let large = |_error| Broken::new("the bundle is too large to be sealed");
    let (size, place) = (u32::try_from(envelope.len()).map_err(large)?, u32::try_from(bytes).map_err(large)?);
    let both = header(&envelope, size, at);
    let name = BUNDLE_SEAL.as_bytes();
    let local = [LOCAL, both.as_slice(), name, &envelope].concat();
    directory.extend([CENTRAL, &(MADE_BY | NEEDED).to_le_bytes(), both.as_slice()].concat());
    // Comment, disk and inner attributes: none.
    directory.extend([0; 6]);
    directory.extend([ATTRIBUTES.to_le_bytes(), place.to_le_bytes()].concat());
    directory.extend(name);
    let directory_at = u32::try_from(bytes + local.len() as u64).map_err(large)?;
    let directory_size = u32::try_from(directory.len()).map_err(large)?;
    let count = count.checked_add(1).ok_or_else(|| Broken::new("the bundle has too many files to be sealed"))?;
    let counts = [[0; 4], [count.to_le_bytes(), count.to_le_bytes()].concat().try_into().unwrap_or_default()].concat();
    let sizes = [directory_size.to_le_bytes(), directory_at.to_le_bytes()].concat();
    file.seek(SeekFrom::Start(bytes))?;
    for part in [local.as_slice(), &directory, END, &counts, &sizes, &[0; 2]] {
        file.write_all(part)?;
    }
    Ok(file.flush()?)
}

/// What both headers of the seal say: version, flags, method, time, CRC, sizes, lengths of name and extras.
fn header(envelope: &[u8], size: u32, (time, date): (u16, u16)) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(envelope);
    let (stored, flags, extra) = (0_u16, 0_u16, 0_u16);
    let mut bytes = Vec::new();
    for half in [NEEDED, flags, stored, time, date] {
        bytes.extend(half.to_le_bytes());
    }
    for word in [crc.sum(), size, size] {
        bytes.extend(word.to_le_bytes());
    }
    for half in [BUNDLE_SEAL.len() as u16, extra] {
        bytes.extend(half.to_le_bytes());
    }
    bytes
}
