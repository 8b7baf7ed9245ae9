//! The machine that the agent runs on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use memory::{give_back_memory, hold_little_memory};
pub use snmp::Config as SnmpConfig;

use super::folder;
use super::{Before, Host, InterfaceDriver, Netlink, News, Own, READ_BYTES_MAX, Ran, SnmpAnswer, SnmpAsk, Space, Wire};

mod device;
mod drivers;
mod ipp;
mod mdns;
mod memo;
mod memory;
mod mounts;
mod netlink;
mod news;
mod own;
mod reach;
mod run;
mod snmp;
mod space;
mod wire;
mod wireguard;

/// Most names that one folder's listing holds.
const NAMES_MAX: usize = 65_536;

/// Most bytes of one note between looks; a longer one is not kept.
const NOTE_BYTES_MAX: usize = 256 * 1024;

/// How the machine is reached, where it is not as usual.
#[derive(Clone, Debug, Default)]
pub struct LiveOptions {
    /// Where the print server listens: a socket's path, "host" or "host:port". Absent: `CUPS_SERVER`, then the usual places.
    pub print_server: Option<String>,
    /// A folder that stands for `/` where files are read.
    pub root: Option<PathBuf>,
    /// How devices are asked by SNMP.
    pub snmp: SnmpConfig,
}

/// The machine that the agent runs on.
#[derive(Debug, Default)]
pub struct Live {
    options: LiveOptions,
    notes: Mutex<BTreeMap<&'static str, Before>>,
    /// Mount points that were asked how full they are and have not answered yet.
    silent: Arc<Mutex<BTreeSet<String>>>,
    /// Names that wait to be resolved.
    resolving: Arc<AtomicUsize>,
    /// What programs answered a moment ago that several tables ask.
    programs: memo::Memo<Ran>,
    /// What printers answered a moment ago.
    printers: memo::Memo<Vec<u8>>,
    walks: memo::Memo<SnmpAnswer>,
    heard: memo::Memo<Vec<Vec<u8>>>,
}

impl Live {
    /// The machine, reached as the options say.
    pub fn new(options: LiveOptions) -> Self {
        Self { options, ..Self::default() }
    }

    fn open(&self, path: &str) -> io::Result<File> {
        // Why non-blocking: a name that turns out to be a pipe must not hold the look.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        OpenOptions::new().read(true).custom_flags(flags).open(self.place(path))
    }

    fn place(&self, path: &str) -> PathBuf {
        match &self.options.root {
            Some(root) => root.join(path.trim_start_matches('/')),
            None => PathBuf::from(path),
        }
    }
}

impl Host for Live {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        if path == mounts::TABLE
            && self.options.root.is_none()
            && let Some(table) = mounts::handed()
        {
            return table;
        }
        let file = self.open(path)?;
        let mut bytes = Vec::new();
        file.take(READ_BYTES_MAX as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn tail(&self, path: &str, bytes_max: usize) -> io::Result<Vec<u8>> {
        let mut file = self.open(path)?;
        let begin = file.metadata()?.len().saturating_sub(bytes_max as u64);
        // Why only where it matters: a pipe has no length, and cannot be read from its middle.
        if begin > 0 {
            file.seek(SeekFrom::Start(begin))?;
        }
        let mut bytes = Vec::new();
        file.take(bytes_max as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.place(folder))?.take(NAMES_MAX) {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn link(&self, path: &str) -> io::Result<String> {
        Ok(fs::read_link(self.place(path))?.to_string_lossy().into_owned())
    }

    fn run(&self, program: &str, arguments: &[&str]) -> io::Result<Ran> {
        self.programs.tidy();
        run::run(program, arguments)
    }

    fn run_shared(&self, program: &str, arguments: &[&str], time: Duration) -> io::Result<Ran> {
        let question = [&[program], arguments].concat().join(" ");
        self.programs.ask(question, || run::run_for(time, program, arguments))
    }

    fn space(&self, mount_point: &str) -> io::Result<Space> {
        space::space(&self.silent, mount_point)
    }

    fn ipp(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        ipp::ask(self.options.print_server.as_deref(), request)
    }

    fn netlink(&self, what: Netlink) -> io::Result<Vec<u8>> {
        netlink::dump(what)
    }

    fn genl(&self, family: &str, request: &[u8], all: bool) -> io::Result<Vec<u8>> {
        let answer = netlink::genl(family, request, all)?;
        Ok(if family == "wireguard" { wireguard::without_keys(answer) } else { answer })
    }

    fn interface_driver(&self, interface: &str) -> io::Result<InterfaceDriver> {
        drivers::interface(interface)
    }

    fn news(&self) -> io::Result<Box<dyn News>> {
        news::listen()
    }

    fn wire(&self) -> &dyn Wire {
        self
    }

    fn device_ipp(&self, uri: &str, request: &[u8]) -> io::Result<Vec<u8>> {
        let question = format!("{uri} {}", folder::ipp_key(request));
        self.printers.ask(question, || device::ask(uri, request, |name| self.resolve(name)))
    }

    fn snmp(&self, ask: &SnmpAsk) -> io::Result<SnmpAnswer> {
        let question = format!("{ask:?}");
        self.walks.ask(question, || snmp::ask(&self.options.snmp, ask, |name| self.resolve(name)))
    }

    fn reach(&self, address: &str, port: u16) -> io::Result<Duration> {
        reach::reach(&self.resolving, address, port)
    }

    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        reach::resolve(&self.resolving, name)
    }

    fn mdns(&self, query: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        self.heard.ask(folder::short_hash(query), || mdns::ask(query))
    }

    fn forget(&self) {
        self.printers.forget();
        self.walks.forget();
        self.heard.forget();
    }

    fn own(&self) -> io::Result<Own> {
        own::own()
    }

    fn now_ms(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
    }

    fn recall(&self, what: &'static str, note: String) -> Option<Before> {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if note.len() > NOTE_BYTES_MAX {
            return notes.remove(what);
        }
        notes.insert(what, Before { at_ms: self.now_ms(), text: note })
    }

    fn noted(&self, what: &'static str) -> Option<Before> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).get(what).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_that_nobody_writes_to_holds_no_look() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        );
        made.unwrap();
        assert_eq!(Live::default().read(pipe.to_str().unwrap()).unwrap(), b"");
    }

    #[test]
    fn an_endless_file_is_cut() {
        assert_eq!(Live::default().read("/dev/zero").unwrap().len(), READ_BYTES_MAX);
    }

    #[test]
    fn the_end_of_a_long_file_is_read_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "one\ntwo\n").unwrap();
        let tail = |bytes| Live::default().tail(path.to_str().unwrap(), bytes).unwrap();
        assert_eq!((tail(4), tail(100)), (b"two\n".to_vec(), b"one\ntwo\n".to_vec()));
    }

    #[test]
    fn the_second_look_gets_the_note_of_the_first() {
        let live = Live::default();
        assert_eq!(live.recall("test", "one".into()), None);
        assert_eq!(live.noted("test").unwrap().text, "one");
        assert_eq!(live.recall("test", "two".into()).unwrap().text, "one");
    }

    #[test]
    fn a_root_stands_for_the_machine() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("etc")).unwrap();
        fs::write(folder.path().join("etc/hostname"), "desk-7\n").unwrap();
        let live = Live::new(LiveOptions { root: Some(folder.path().into()), ..LiveOptions::default() });
        assert_eq!(live.line("/etc/hostname").as_deref(), Some("desk-7"));
        assert_eq!(live.list("/etc").unwrap(), ["hostname"]);
    }
}
