//! A machine that was recorded, or written by hand, as a folder. What it was not asked then is not found now.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::folder::{self, INDEX, Index, Program};
use super::{Before, Host, InterfaceDriver, Netlink, NoWire, Own, Ran, SnmpAnswer, SnmpAsk, Space, Wire};

/// A recorded machine. It answers what the folder holds and nothing else, whatever machine it is read on.
#[derive(Debug)]
pub struct Recorded {
    folder: PathBuf,
    index: Index,
    /// With the place of each one's standard output.
    programs: Vec<(Program, PathBuf)>,
}

impl Recorded {
    /// Opens the folder. Errors name the file that is wrong.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let index = folder.join(INDEX);
        let index = match fs::read(&index) {
            Ok(json) => serde_json::from_slice(&json).with_context(|| format!("reading {}", index.display()))?,
            Err(error) => return Err(error).with_context(|| format!("{} is no recorded host", folder.display())),
        };
        let mut programs = Vec::new();
        for place in names(&folder.join("run")).unwrap_or_default() {
            let place = folder.join("run").join(place);
            if place.extension().is_some_and(|extension| extension == "json") {
                let wrong = || format!("reading {}", place.display());
                let program = serde_json::from_slice(&fs::read(&place).with_context(wrong)?).with_context(wrong)?;
                programs.push((program, place.with_extension("out")));
            }
        }
        Ok(Self { folder: folder.into(), index, programs })
    }

    fn refused(&self, question: &str) -> io::Result<()> {
        self.index.refusals.get(question).map_or(Ok(()), |refusal| Err(refusal.error()))
    }

    fn place(&self, path: &str) -> io::Result<PathBuf> {
        folder::file(path).map(|place| self.folder.join(place)).ok_or_else(|| unknown("the path", path))
    }
}

impl Host for Recorded {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.refused(&format!("read {path}"))?;
        fs::read(self.place(path)?).map_err(|_absent| unknown("the file", path))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.refused(&format!("list {folder}"))?;
        if let Some(names) = self.index.lists.get(folder) {
            return Ok(names.clone());
        }
        let below = format!("{}/", folder.trim_end_matches('/'));
        let linked = self.index.links.keys().filter_map(|link| link.strip_prefix(&below));
        let mut all: BTreeSet<String> = linked.filter_map(|rest| rest.split('/').next()).map(str::to_owned).collect();
        all.extend(names(&self.place(folder)?).unwrap_or_default().iter().map(|name| folder::unescape(name)));
        if all.is_empty() {
            return Err(unknown("the folder", folder));
        }
        Ok(all.into_iter().collect())
    }

    fn link(&self, path: &str) -> io::Result<String> {
        self.refused(&format!("link {path}"))?;
        self.index.links.get(path).cloned().ok_or_else(|| unknown("the link", path))
    }

    fn run(&self, program: &str, arguments: &[&str]) -> io::Result<Ran> {
        let line = [&[program], arguments].concat().join(" ");
        self.refused(&format!("run {line}"))?;
        let (found, output) = self
            .programs
            .iter()
            .find(|(known, _output)| known.name == program && known.arguments == arguments)
            .ok_or_else(|| unknown("the program", &line))?;
        let stdout = fs::read(output).unwrap_or_default();
        Ok(Ran { status: found.status, stdout, stderr: found.stderr.clone().into_bytes() })
    }

    fn space(&self, mount_point: &str) -> io::Result<Space> {
        self.refused(&format!("space {mount_point}"))?;
        self.index.spaces.get(mount_point).copied().ok_or_else(|| unknown("the size of", mount_point))
    }

    fn ipp(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let key = folder::ipp_key(request);
        self.refused("ipp")?;
        self.refused(&format!("ipp {key}"))?;
        fs::read(self.folder.join("ipp").join(&key).with_extension("bin"))
            .map_err(|_absent| unknown("the IPP answer", &key))
    }

    fn netlink(&self, what: Netlink) -> io::Result<Vec<u8>> {
        let name = what.name();
        self.refused(&format!("netlink {name}"))?;
        fs::read(self.folder.join("netlink").join(name).with_extension("bin"))
            .map_err(|_absent| unknown("the rtnetlink listing of", name))
    }

    fn genl(&self, family: &str, request: &[u8], all: bool) -> io::Result<Vec<u8>> {
        let place = folder::genl(family, request, all);
        self.refused(&folder::genl_question(family, request, all))?;
        fs::read(self.folder.join(place)).map_err(|_absent| unknown("the generic netlink answer of", family))
    }

    fn interface_driver(&self, interface: &str) -> io::Result<InterfaceDriver> {
        self.refused(&format!("interface_driver {interface}"))?;
        self.index.drivers.get(interface).cloned().ok_or_else(|| unknown("the driver of", interface))
    }

    fn wire(&self) -> &dyn Wire {
        &NoWire
    }

    fn device_ipp(&self, uri: &str, request: &[u8]) -> io::Result<Vec<u8>> {
        self.refused(&format!("device_ipp {uri}"))?;
        fs::read(self.folder.join(folder::device(uri, request))).map_err(|_absent| {
            unknown("the answer of the printer at", &format!("{uri} ({})", folder::ipp_key(request)))
        })
    }

    fn snmp(&self, ask: &SnmpAsk) -> io::Result<SnmpAnswer> {
        let place = format!("{}:{}", ask.host, ask.port);
        self.refused(&format!("snmp {place}"))?;
        let text = fs::read_to_string(self.folder.join(folder::snmp(&ask.host, ask.port)))
            .map_err(|_absent| unknown("the SNMP answers of", &place))?;
        let mut answer = SnmpAnswer::read(&text);
        answer.objects.retain(|(name, _value)| ask.subtrees.iter().any(|tree| name.below(tree).is_some()));
        Ok(answer)
    }

    fn reach(&self, address: &str, port: u16) -> io::Result<Duration> {
        let place = format!("{address}:{port}");
        self.refused(&format!("reach {place}"))?;
        let took_ms = self.index.reached.get(&place).ok_or_else(|| unknown("an answer of", &place))?;
        Ok(Duration::from_millis(*took_ms))
    }

    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.refused(&format!("resolve {name}"))?;
        if let Ok(address) = name.parse() {
            return Ok(vec![address]);
        }
        self.index.resolved.get(name).cloned().ok_or_else(|| unknown("the addresses of", name))
    }

    fn mdns(&self, query: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        self.refused("mdns")?;
        let place = self.folder.join(folder::mdns(query));
        let answers = names(&place).unwrap_or_default();
        answers.iter().map(|name| fs::read(place.join(name))).collect()
    }

    fn own(&self) -> io::Result<Own> {
        self.refused("own")?;
        self.index.own.ok_or_else(|| unknown("the agent's", "own process"))
    }

    fn now_ms(&self) -> i64 {
        self.index.now_ms
    }

    fn recall(&self, what: &'static str, _note: String) -> Option<Before> {
        self.noted(what)
    }

    fn noted(&self, what: &'static str) -> Option<Before> {
        self.index.notes.get(what).cloned()
    }
}

fn unknown(what: &str, which: &str) -> io::Error {
    io::Error::new(ErrorKind::NotFound, format!("this machine does not have {what} {which}"))
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<io::Result<Vec<String>>>()?;
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Recorded) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let host = Recorded::open(folder.path()).unwrap();
        (folder, host)
    }

    #[test]
    fn a_folder_lists_its_files_and_its_links() {
        let index = r#"{"now_ms": 5, "links": {"/sys/block/sda": "../devices/sda"}}"#;
        let (_folder, host) = host(&[("host.json", index), ("files/sys/block/zram0/size", "0\n")]);
        assert_eq!(host.list("/sys/block").unwrap(), ["sda", "zram0"]);
        assert_eq!(host.link("/sys/block/sda").unwrap(), "../devices/sda");
        assert_eq!(host.list("/sys/class").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(host.now_ms(), 5);
    }

    #[test]
    fn what_was_refused_is_refused_again() {
        let index = r#"{"refusals": {"read /etc/shadow": {"kind": "permission_denied", "text": "Permission denied"}}}"#;
        let (_folder, host) = host(&[("host.json", index)]);
        assert_eq!(host.read("/etc/shadow").unwrap_err().kind(), ErrorKind::PermissionDenied);
        assert_eq!(host.read("/etc/passwd").unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_program_is_known_by_its_arguments_whatever_the_name_of_its_file() {
        let program = r#"{"program": "rpm", "arguments": ["-qa"], "status": 0}"#;
        let (_folder, host) =
            host(&[("host.json", "{}"), ("run/by-hand.json", program), ("run/by-hand.out", "bash\n")]);
        assert_eq!(host.run("rpm", &["-qa"]).unwrap().stdout, b"bash\n");
        assert_eq!(host.run("rpm", &["-q"]).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn an_index_with_an_unknown_word_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("host.json"), r#"{"nwo_ms": 5}"#).unwrap();
        let error = format!("{:#}", Recorded::open(folder.path()).unwrap_err());
        assert!(error.contains("host.json") && error.contains("nwo_ms"), "{error}");
    }
}
