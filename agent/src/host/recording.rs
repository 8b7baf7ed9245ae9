//! Writes down what a machine answers, so that it can be looked at again elsewhere.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;

use super::folder::{self, INDEX, Index, Program, Refusal};
use super::{Before, Host, InterfaceDriver, Netlink, Oid, Own, Ran, SnmpAnswer, SnmpAsk, SnmpValue, Space, Wire};

/// Most files of one recording. What is asked beyond it is answered and not written down, and counted.
const FILES_MAX: usize = 4096;

/// Most bytes of one recording.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// Questions whose "not found" says something, and is written down.
const ASKED_ANYWHERE: [&str; 8] = ["genl ", "ipp ", "run ", "device_ipp ", "snmp ", "reach ", "resolve ", "mdns"];

/// Takes secrets out of a text before it is written.
pub type Clean<'a> = &'a (dyn Fn(&str) -> String + Sync);

/// Another host, and a folder in which its answers are written.
pub struct Recording<'a> {
    host: &'a dyn Host,
    folder: PathBuf,
    clean: Clean<'a>,
    written: Mutex<Written>,
}

/// How much a recording holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Files written.
    pub files: usize,
    /// Bytes in them.
    pub bytes: usize,
    /// Answers left out for want of room.
    pub left_out: usize,
}

#[derive(Default)]
struct Written {
    index: Index,
    size: Size,
    /// The first error in writing; the recording is worthless after it.
    error: Option<anyhow::Error>,
}

impl<'a> Recording<'a> {
    /// Begins a recording in a folder that is empty or not there yet. Answers that are text pass through `clean`; the collectors
    /// see them as they are.
    pub fn begin(host: &'a dyn Host, folder: &Path, clean: Clean<'a>) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let mut entries = fs::read_dir(folder).with_context(|| format!("opening {}", folder.display()))?;
        anyhow::ensure!(entries.next().is_none(), "{} is not empty: name a new folder", folder.display());
        let index = Index { now_ms: host.now_ms(), ..Index::default() };
        let written = Mutex::new(Written { index, ..Written::default() });
        Ok(Self { host, folder: folder.into(), clean, written })
    }

    /// Writes the index, and says how much there is.
    pub fn end(self) -> anyhow::Result<Size> {
        let mut written = self.written.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = written.error {
            return Err(error);
        }
        let json = serde_json::to_vec_pretty(&written.index).context("writing the index")?;
        let index = self.folder.join(INDEX);
        fs::write(&index, &json).with_context(|| format!("writing {}", index.display()))?;
        written.size.files += 1;
        written.size.bytes += json.len();
        Ok(written.size)
    }

    fn note(&self, note: impl FnOnce(&mut Index)) {
        note(&mut self.written.lock().unwrap_or_else(PoisonError::into_inner).index);
    }

    /// An answer and its question: an error is written down here. Why not each missing file: what is not recorded is missing.
    fn answered<T>(&self, question: impl FnOnce() -> String, answer: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &answer {
            let question = question();
            if error.kind() != ErrorKind::NotFound || ASKED_ANYWHERE.iter().any(|word| question.starts_with(word)) {
                self.note(|index| {
                    index.refusals.insert(question, Refusal::of(error));
                });
            }
        }
        answer
    }

    /// A program's answer and its question.
    fn ran(&self, program: &str, arguments: &[&str], answer: io::Result<Ran>) -> io::Result<Ran> {
        let question = || format!("run {}", [&[program], arguments].concat().join(" "));
        let ran = self.answered(question, answer)?;
        let place = Path::new("run").join(folder::program_name(program, arguments));
        let program = Program {
            name: program.to_owned(),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            status: ran.status,
            stderr: String::from_utf8_lossy(&ran.stderr).into_owned(),
        };
        let json = serde_json::to_vec_pretty(&program).map_err(io::Error::other)?;
        self.write(&place.with_extension("json"), &json);
        self.write(&place.with_extension("out"), &ran.stdout);
        Ok(ran)
    }

    fn write(&self, place: &Path, bytes: &[u8]) {
        let clean = std::str::from_utf8(bytes).map(|text| (self.clean)(text).into_bytes());
        self.write_raw(place, &clean.unwrap_or_else(|_binary| bytes.to_vec()));
    }

    fn write_raw(&self, place: &Path, bytes: &[u8]) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let place = self.folder.join(place);
        let known = place.exists();
        if !known && (written.size.files >= FILES_MAX || written.size.bytes + bytes.len() > BYTES_MAX) {
            written.size.left_out += 1;
            return;
        }
        let folder = place.parent().map_or(Ok(()), fs::create_dir_all);
        let result = folder.and_then(|()| fs::write(&place, bytes));
        if let Err(error) = result {
            let error = anyhow::Error::new(error).context(format!("writing {}", place.display()));
            written.error.get_or_insert(error);
        } else if !known {
            written.size.files += 1;
            written.size.bytes += bytes.len();
        }
    }
}

impl Host for Recording<'_> {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let bytes = self.answered(|| format!("read {path}"), self.host.read(path))?;
        if let Some(place) = folder::file(path) {
            self.write(&place, &bytes);
        }
        Ok(bytes)
    }

    fn tail(&self, path: &str, bytes_max: usize) -> io::Result<Vec<u8>> {
        let bytes = self.answered(|| format!("read {path}"), self.host.tail(path, bytes_max))?;
        if let Some(place) = folder::file(path) {
            self.write(&place, &bytes);
        }
        Ok(bytes)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let names = self.answered(|| format!("list {folder}"), self.host.list(folder))?;
        self.note(|index| {
            index.lists.insert(folder.to_owned(), names.clone());
        });
        Ok(names)
    }

    fn link(&self, path: &str) -> io::Result<String> {
        let target = self.answered(|| format!("link {path}"), self.host.link(path))?;
        self.note(|index| {
            index.links.insert(path.to_owned(), target.clone());
        });
        Ok(target)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> io::Result<Ran> {
        self.ran(program, arguments, self.host.run(program, arguments))
    }

    fn run_shared(&self, program: &str, arguments: &[&str], time: Duration) -> io::Result<Ran> {
        self.ran(program, arguments, self.host.run_shared(program, arguments, time))
    }

    fn space(&self, mount_point: &str) -> io::Result<Space> {
        let space = self.answered(|| format!("space {mount_point}"), self.host.space(mount_point))?;
        self.note(|index| {
            index.spaces.insert(mount_point.to_owned(), space);
        });
        Ok(space)
    }

    fn ipp(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let key = folder::ipp_key(request);
        let answer = self.answered(|| format!("ipp {key}"), self.host.ipp(request))?;
        self.write_raw(&Path::new("ipp").join(&key).with_extension("bin"), &answer);
        Ok(answer)
    }

    fn netlink(&self, what: Netlink) -> io::Result<Vec<u8>> {
        let listing = self.answered(|| format!("netlink {}", what.name()), self.host.netlink(what))?;
        self.write_raw(&Path::new("netlink").join(what.name()).with_extension("bin"), &listing);
        Ok(listing)
    }

    fn genl(&self, family: &str, request: &[u8], all: bool) -> io::Result<Vec<u8>> {
        let question = || folder::genl_question(family, request, all);
        let answer = self.answered(question, self.host.genl(family, request, all))?;
        self.write_raw(&folder::genl(family, request, all), &answer);
        Ok(answer)
    }

    fn interface_driver(&self, interface: &str) -> io::Result<InterfaceDriver> {
        let question = || format!("interface_driver {interface}");
        let driver = self.answered(question, self.host.interface_driver(interface))?;
        self.note(|index| {
            index.drivers.insert(interface.to_owned(), driver.clone());
        });
        Ok(driver)
    }

    fn wire(&self) -> &dyn Wire {
        self.host.wire()
    }

    fn device_ipp(&self, uri: &str, request: &[u8]) -> io::Result<Vec<u8>> {
        let answer = self.answered(|| format!("device_ipp {uri}"), self.host.device_ipp(uri, request))?;
        self.write_raw(&folder::device(uri, request), &answer);
        Ok(answer)
    }

    fn snmp(&self, ask: &SnmpAsk) -> io::Result<SnmpAnswer> {
        let answer = self.answered(|| format!("snmp {}:{}", ask.host, ask.port), self.host.snmp(ask))?;
        // Why together with what is there: several walks of one device are one file.
        let place = folder::snmp(&ask.host, ask.port);
        let before = fs::read_to_string(self.folder.join(&place)).unwrap_or_default();
        let mut all = SnmpAnswer { version: answer.version.clone(), ..SnmpAnswer::read(&before) };
        let new = |(name, _value): &&(Oid, SnmpValue)| !all.objects.iter().any(|(known, _value)| known == name);
        let more: Vec<_> = answer.objects.iter().filter(new).cloned().collect();
        all.objects.extend(more);
        self.write(&place, all.text().as_bytes());
        Ok(answer)
    }

    fn reach(&self, address: &str, port: u16) -> io::Result<Duration> {
        let place = format!("{address}:{port}");
        let took = self.answered(|| format!("reach {place}"), self.host.reach(address, port))?;
        self.note(|index| {
            index.reached.insert(place, took.as_millis() as u64);
        });
        Ok(Duration::from_millis(took.as_millis() as u64))
    }

    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let addresses = self.answered(|| format!("resolve {name}"), self.host.resolve(name))?;
        self.note(|index| {
            index.resolved.insert(name.to_owned(), addresses.clone());
        });
        Ok(addresses)
    }

    fn mdns(&self, query: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let answers = self.answered(|| "mdns".into(), self.host.mdns(query))?;
        for (number, answer) in answers.iter().enumerate() {
            self.write_raw(&folder::mdns(query).join(format!("{number:03}.bin")), answer);
        }
        Ok(answers)
    }

    fn forget(&self) {
        self.host.forget();
    }

    fn own(&self) -> io::Result<Own> {
        let own = self.answered(|| "own".into(), self.host.own())?;
        self.note(|index| index.own = Some(own));
        Ok(own)
    }

    fn now_ms(&self) -> i64 {
        self.host.now_ms()
    }

    fn recall(&self, what: &'static str, note: String) -> Option<Before> {
        let before = self.host.recall(what, note);
        if let Some(before) = before.clone() {
            self.note(|index| {
                // Why the first: a collector that asks twice left the second note itself.
                index.notes.entry(what.to_owned()).or_insert(before);
                index.now_ms = self.host.now_ms();
            });
        }
        before
    }

    fn noted(&self, what: &'static str) -> Option<Before> {
        let note = self.host.noted(what);
        if let Some(note) = note.clone() {
            self.note(|index| {
                index.notes.insert(what.to_owned(), note);
            });
        }
        note
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Live, LiveOptions, Recorded};

    #[test]
    fn a_recorded_machine_answers_as_the_machine_did() {
        let (machine, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(machine.path().join("version"), "6.1 key=hunter2\n").unwrap();
        fs::write(machine.path().join("raw"), b"\xff\x00").unwrap();
        fs::create_dir(machine.path().join("empty")).unwrap();
        let live = Live::new(LiveOptions { root: Some(machine.path().into()), ..LiveOptions::default() });
        let clean = |text: &str| text.replace("hunter2", "***");
        let recording = Recording::begin(&live, folder.path(), &clean).unwrap();
        assert_eq!(recording.read("/version").unwrap(), b"6.1 key=hunter2\n");
        recording.read("/raw").unwrap();
        recording.read("/absent").unwrap_err();
        let empty = recording.read("/empty").unwrap_err();
        recording.list("/empty").unwrap();
        let ran = recording.run("sh", &["-c", "echo out; echo err >&2; exit 2"]).unwrap();
        recording.run("no-such-program", &[]).unwrap_err();
        let links = recording.netlink(Netlink::Links).unwrap();
        let space = recording.space("/").unwrap();
        recording.recall("test", "one".into());
        recording.recall("test", "two".into());
        assert_eq!(recording.end().unwrap().left_out, 0);

        let recorded = Recorded::open(folder.path()).unwrap();
        assert_eq!(recorded.read("/version").unwrap(), b"6.1 key=***\n");
        assert_eq!(recorded.read("/raw").unwrap(), b"\xff\x00");
        assert_eq!(recorded.read("/absent").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(recorded.read("/empty").unwrap_err().to_string(), empty.to_string());
        assert!(recorded.list("/empty").unwrap().is_empty());
        assert_eq!(recorded.run("sh", &["-c", "echo out; echo err >&2; exit 2"]).unwrap(), ran);
        assert!(recorded.run("no-such-program", &[]).unwrap_err().to_string().contains("not installed"));
        assert_eq!(recorded.netlink(Netlink::Links).unwrap(), links);
        assert_eq!(recorded.space("/").unwrap(), space);
        assert_eq!(recorded.recall("test", String::new()).unwrap().text, "one");
    }

    #[test]
    fn a_printer_answers_again_as_it_did() {
        use std::io::{Read, Write};
        let (listener, folder) = (std::net::TcpListener::bind("127.0.0.1:0").unwrap(), tempfile::tempdir().unwrap());
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                if stream.read(&mut [0; 1024]).unwrap_or_default() > 0 {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc").unwrap();
                }
            }
        });
        let uri = format!("ipp://127.0.0.1:{port}/ipp/print");
        let ask = SnmpAsk { host: "127.0.0.1".into(), port: 9, subtrees: vec![Oid::new(&[1, 3, 6])] };
        let live = Live::default();
        let recording = Recording::begin(&live, folder.path(), &str::to_owned).unwrap();
        assert_eq!(recording.device_ipp(&uri, b"ask").unwrap(), b"abc");
        recording.device_ipp("ipp://127.0.0.1:9/", b"ask").unwrap_err();
        let took = recording.reach("127.0.0.1", port).unwrap();
        let refused = recording.reach("127.0.0.1", 9).unwrap_err();
        let addresses = recording.resolve("localhost").unwrap();
        recording.snmp(&ask).unwrap_err();
        recording.end().unwrap();

        let recorded = Recorded::open(folder.path()).unwrap();
        assert_eq!(recorded.device_ipp(&uri, b"ask").unwrap(), b"abc");
        assert_eq!(recorded.device_ipp(&uri, b"another").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(recorded.device_ipp("ipp://127.0.0.1:9/", b"ask").unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(recorded.reach("127.0.0.1", port).unwrap(), took);
        assert_eq!(recorded.reach("127.0.0.1", 9).unwrap_err().kind(), refused.kind());
        assert_eq!(recorded.resolve("localhost").unwrap(), addresses);
        assert_eq!(recorded.snmp(&ask).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert!(recorded.mdns(b"who").unwrap().is_empty());
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("letter.txt"), "dear").unwrap();
        assert!(Recording::begin(&Live::default(), folder.path(), &str::to_owned).is_err());
    }
}
