//! Opens a log file and tells its form by its content; what is packed is unpacked beside, within a bound.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use anyhow::Context;
use bzip2::read::MultiBzDecoder;
use deskside_proto::xz::Xz;
use flate2::read::MultiGzDecoder;

use super::Refused;

/// Most bytes that a packed file may become. Why only for these: a plain file is read piece by piece, and is as large as it is.
const UNPACKED_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Bytes at the beginning that tell the form.
const HEAD_BYTES: usize = 16 * 1024;

const GZIP: &[u8] = &[0x1f, 0x8b];
const XZ: &[u8] = b"\xfd7zXZ\0";
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const BZIP2: &[u8] = b"BZh";

/// Largest dictionary of an xz file; `xz -9` has one of 64 MiB.
const XZ_DICTIONARY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Who wrote a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A Windows event log.
    Windows,
    /// macOS' `log show --style ndjson`.
    Apple,
    /// Lines of text.
    Text,
}

/// A file that stands at its beginning.
#[derive(Debug)]
pub struct Opened {
    /// The file.
    pub file: File,
    /// Who wrote it.
    pub form: Form,
}

/// Opens a file of a known form; everything else is refused with what to do about it.
pub fn open(path: &Path) -> anyhow::Result<Opened> {
    let name = path.display();
    let about = std::fs::metadata(path).with_context(|| format!("reading {name}"))?;
    if about.is_dir() {
        let advice = "of a .logarchive: `log show --archive FOLDER --style ndjson > FILE`, then `deskside log FILE`";
        return Err(Refused::new(format!("{name} is a folder"), advice).into());
    }
    if !about.is_file() {
        return Err(Refused::new(format!("{name} is not a file"), "name a file").into());
    }
    let file = File::open(path).with_context(|| format!("reading {name}"))?;
    known(file, &name.to_string())
}

/// The same of a file that is open, whatever lies behind it.
pub fn known(mut file: File, name: &str) -> anyhow::Result<Opened> {
    let begin = head(&mut file)?;
    if [GZIP, XZ, ZSTD, BZIP2].iter().any(|magic| begin.starts_with(magic)) {
        file = unpack(&begin, file, UNPACKED_BYTES_MAX).with_context(|| format!("unpacking {name}"))?;
    }
    let form = form(&head(&mut file)?).map_err(|(what, advice)| Refused::new(format!("{name} {what}"), advice))?;
    Ok(Opened { file, form })
}

fn head(file: &mut File) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    Read::by_ref(file).take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(head)
}

/// What unpacks a file that begins so.
fn unpacker<'a>(begin: &[u8], packed: impl Read + 'static) -> anyhow::Result<Box<dyn Read + 'a>> {
    Ok(if begin.starts_with(XZ) {
        Box::new(Xz::new(packed, XZ_DICTIONARY_BYTES_MAX))
    } else if begin.starts_with(ZSTD) {
        Box::new(zstd::stream::read::Decoder::new(packed)?)
    } else if begin.starts_with(BZIP2) {
        Box::new(MultiBzDecoder::new(packed))
    } else {
        Box::new(MultiGzDecoder::new(packed))
    })
}

fn unpack(begin: &[u8], packed: impl Read + 'static, bytes_max: u64) -> anyhow::Result<File> {
    let mut file = tempfile::tempfile().context("making a temporary file")?;
    let mut content = unpacker(begin, packed)?;
    let mut buffer = vec![0; 64 * 1024];
    let mut bytes = 0;
    loop {
        // A packed file that ends too early still gives what stood before; its end is told as an error, since nobody can say what is missing.
        let read = content.read(&mut buffer).context("it is damaged or cut")?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        if bytes > bytes_max {
            let what = format!("it becomes larger than {} MiB", bytes_max / 1024 / 1024);
            return Err(Refused::new(what, "unpack it, and cut out the part that matters").into());
        }
        file.write_all(buffer.get(..read).unwrap_or_default())?;
    }
    file.rewind()?;
    Ok(file)
}

/// The form that the beginning of a file tells, or what it is instead and what to do about it.
fn form(head: &[u8]) -> Result<Form, (&'static str, &'static str)> {
    const OTHERS: [(usize, &[u8], &str, &str); 8] = [
        (4, b"LfLe", "is an .evt of Windows XP", "open it in Event Viewer and save it as .evtx"),
        (0, b"LPKSHHRH", "is a journal of systemd", "`journalctl --file FILE > TEXT`, then `deskside log TEXT`"),
        (0, GZIP, "is packed twice", "unpack it first"),
        (0, b"PK\x03\x04", "is a zip archive", "unpack it first"),
        (0, XZ, "is packed twice", "unpack it first"),
        (0, ZSTD, "is packed twice", "unpack it first"),
        (0, BZIP2, "is packed twice", "unpack it first"),
        (0, b"\xff\xfe", "is UTF-16", "`iconv -f UTF-16 -t UTF-8 FILE > TEXT`, then `deskside log TEXT`"),
    ];
    if head.starts_with(b"ElfFile\0") {
        return Ok(Form::Windows);
    }
    for (at, magic, what, advice) in OTHERS {
        if head.get(at..).is_some_and(|head| head.starts_with(magic)) {
            return Err((what, advice));
        }
    }
    if head.contains(&0) {
        return Err((
            "is no log that is known: it is not text",
            ".evtx, macOS' ndjson and text are read, packed or not",
        ));
    }
    let says = |name: &[u8]| head.windows(name.len()).any(|window| window == name);
    let is_apple = says(b"\"machTimestamp\"") || says(b"\"processImagePath\"");
    let opening = head.iter().find(|byte| !byte.is_ascii_whitespace());
    match (is_apple, opening) {
        (true, Some(b'[')) => Err(("is macOS' `log show --style json`", "write it with `--style ndjson`")),
        (true, _) => Ok(Form::Apple),
        (false, _) => Ok(Form::Text),
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(content: &[u8]) -> Vec<u8> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(content).unwrap();
        packed.finish().unwrap()
    }

    #[test]
    fn forms_are_told_by_content_and_the_rest_is_refused_with_advice() {
        assert_eq!(form(b"ElfFile\0\0"), Ok(Form::Windows));
        assert_eq!(form(b"{\"machTimestamp\" : 1}"), Ok(Form::Apple));
        assert_eq!(form(b"Filtering the log data\n{\"processImagePath\":\"\\/usr\"}"), Ok(Form::Apple));
        assert_eq!(form(b"Nov 22 01:10:57 desk7 a: x"), Ok(Form::Text));
        assert_eq!(form(b""), Ok(Form::Text));
        for (head, told) in [
            (&b"0\0\0\0LfLe"[..], "Windows XP"),
            (b"LPKSHHRH", "journal"),
            (b"[{\"machTimestamp\":1}]", "json"),
            (b"\xff\xfea\0", "UTF-16"),
            (b"a\0b", "not text"),
        ] {
            let (what, advice) = form(head).unwrap_err();
            assert!(what.contains(told) && !advice.is_empty(), "{what}");
        }
    }

    #[test]
    fn what_is_packed_is_unpacked_within_a_bound() {
        let unpack = |packed: Vec<u8>, most| unpack(GZIP, io::Cursor::new(packed), most);
        let mut file = unpack(packed(b"one\n"), 4).unwrap();
        assert_eq!(head(&mut file).unwrap(), b"one\n");
        let bomb = packed(&vec![0; 8 * 1024 * 1024]);
        assert!(bomb.len() < 100_000);
        assert!(unpack(bomb, 1024 * 1024).unwrap_err().to_string().contains("larger than 1 MiB"));
        let whole = packed(b"one\n");
        for cut in 2..whole.len() {
            assert!(unpack(whole[..cut].to_vec(), 4).is_err(), "{cut}");
        }
    }
}
