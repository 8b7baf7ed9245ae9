//! A large bundle that waits in an agent's outbox, its way to the server over a line that breaks, and what that costs in memory.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, ensure};
use data_encoding::BASE64;
use deskside_proto::seal::{self, Bundle, Clocks, DeviceSeen, Signer, Subject, seal_bundle};
use deskside_proto::v1::UploadBegin;
use prost::Message;
use serde_json::Value as Json;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::cut::Cut;
use super::process::{Agent, Server, until, until_for};

/// Between two looks at memory.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Bytes of one file of the bundle at most.
const FILE_BYTES: u64 = 256 * 1024 * 1024;

/// How long the whole way may take.
const PATIENCE: Duration = Duration::from_hours(1);

/// What became of it.
#[derive(Clone, Debug, Default)]
pub struct Came {
    /// Bytes of the bundle.
    pub bytes: u64,
    /// How often the line was cut.
    pub cuts: usize,
    /// The agent's memory (PSS) before, and at its highest, in KiB.
    pub agent_kib: (u64, u64),
    /// The same of the server.
    pub server_kib: (u64, u64),
    /// How long it took.
    pub took: Duration,
    /// What the custody of the item says was done with it.
    pub custody: Vec<String>,
}

/// Sends a bundle of about so many bytes from an agent to a server, over a line that is cut after each of these counts of bytes.
pub fn flow(folder: &Path, bytes: u64, cuts: Vec<usize>) -> anyhow::Result<Came> {
    let server = Server::start_with(folder, &format!("[evidence]\nbundle_bytes_max = {}\n", bytes + (1 << 20)))?;
    let desk = server.technician(folder)?;
    let line = Cut::line(server.agents(), cuts)?;
    let mut agent = Agent::new(folder, "")?;
    let token = server.says(&["token", "create", "--address", &line.address().to_string()])?;
    agent.says(&["enroll", token.trim()])?;
    agent.run()?;
    let device = agent.status()?.device_id.context("an enrolled agent has an id")?;
    until("the device to be connected", || {
        Ok((desk.json(&["devices"])?.pointer("/0/connected") == Some(&Json::Bool(true))).then_some(()))
    })?;
    let idle = (pss_kib(agent.pid()?)?, pss_kib(server.pid()?)?);
    agent.stop()?;
    desk.json(&["ticket", "new", "everything is slow", "--device", &device])?;
    let collection = desk.json(&["collect", &device, "--ticket", "1", "--table", "os"])?;
    let id = collection.get("id").and_then(Json::as_str).context("a collection has an id")?.to_owned();
    let sha256 = pack(agent.state(), &device, &id, bytes)?;
    agent.run()?;
    let begun = std::time::Instant::now();
    let (watch_agent, watch_server) = (Peak::watch(agent.pid()?), Peak::watch(server.pid()?));
    let item = until_for(PATIENCE, "the evidence to be stored", || {
        let items = desk.json(&["evidence", "list", "--ticket", "1"])?;
        std::thread::sleep(LOOK_EVERY);
        Ok(items.get(0).cloned())
    })?;
    let took = begun.elapsed();
    ensure!(item.get("sha256").and_then(Json::as_str) == Some(&sha256), "it came with another hash: {item:#}");
    let custody = item.get("custody").and_then(Json::as_array).into_iter().flatten();
    let custody = custody.filter_map(|line| line.get("what").and_then(Json::as_str));
    Ok(Came {
        bytes: item.get("size").and_then(Json::as_u64).unwrap_or_default(),
        cuts: line.cuts(),
        agent_kib: (idle.0, watch_agent.end()),
        server_kib: (idle.1, watch_server.end()),
        took,
        custody: custody.map(str::to_owned).collect(),
    })
}

/// Packs and seals a bundle as the agent would, and lays it into the agent's outbox. Answers its SHA-256.
pub fn pack(state: &Path, device: &str, collection: &str, bytes: u64) -> anyhow::Result<String> {
    let path = state.join("evidence").join(format!("{collection}.zip"));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    let plain = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut zip = ZipWriter::new(BufWriter::new(file));
    let (mut left, mut subjects, mut noise) = (bytes, Vec::new(), Noise(0x9e37_79b9_7f4a_7c15));
    while left > 0 {
        let name = format!("packets/{}.pcapng", subjects.len());
        zip.start_file(&name, plain)?;
        let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
        let (size, mut piece) = (left.min(FILE_BYTES), vec![0; 64 * 1024]);
        let mut file_left = size;
        while file_left > 0 {
            noise.fill(&mut piece);
            let part = piece.get(..file_left.min(64 * 1024) as usize).context("a piece")?;
            hash.update(part);
            zip.write_all(part)?;
            file_left -= part.len() as u64;
        }
        subjects.push(Subject::new(name, data_encoding::HEXLOWER.encode(hash.finish().as_ref())));
        left -= size;
    }
    let mut file = zip.finish()?.into_inner()?;
    let said = Bundle {
        device: DeviceSeen { id: device.into(), hostname: "large".into() },
        collection: collection.into(),
        ticket: 1,
        sealed: Clocks { utc_ms: now_ms()?, ..Clocks::default() },
        ..Bundle::default()
    };
    seal_bundle(&mut file, &signer(state)?, subjects, said, (0, 33))?;
    lay(&path, collection)
}

/// Announces a bundle that lies in the outbox. Answers its SHA-256.
pub fn lay(path: &Path, collection: &str) -> anyhow::Result<String> {
    let mut file = File::open(path)?;
    file.rewind()?;
    let (sha256, size) = seal::sha256_of(&mut file)?;
    let begin = UploadBegin {
        collection_id: collection.into(),
        size,
        sha256: data_encoding::HEXLOWER.decode(sha256.as_bytes())?,
        ..UploadBegin::default()
    };
    fs::write(path.with_extension("begin"), begin.encode_to_vec())?;
    Ok(sha256)
}

/// The device's own key.
pub fn signer(state: &Path) -> anyhow::Result<Signer> {
    let identity: Json = serde_json::from_slice(&fs::read(state.join("identity.json"))?)?;
    let part = |name: &str| -> anyhow::Result<Vec<u8>> {
        let text = identity.get(name).and_then(Json::as_str).with_context(|| format!("an identity has its {name}"))?;
        Ok(BASE64.decode(text.as_bytes())?)
    };
    Ok(Signer::new(&part("key")?, &part("certificate")?, &part("ca")?)?)
}

fn now_ms() -> anyhow::Result<i64> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(i64::try_from(since.as_millis())?)
}

/// Bytes that cannot be packed any smaller (xorshift64).
struct Noise(u64);

impl Noise {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_exact_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            chunk.copy_from_slice(&self.0.to_le_bytes());
        }
    }
}

/// The highest memory that a process had while it was watched.
struct Peak {
    highest: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    watching: JoinHandle<()>,
}

impl Peak {
    fn watch(pid: u32) -> Self {
        let (highest, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen, stop) = (Arc::clone(&highest), Arc::clone(&ended));
        let watching = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                seen.fetch_max(pss_kib(pid).unwrap_or_default(), Ordering::Relaxed);
                std::thread::sleep(LOOK_EVERY);
            }
        });
        Self { highest, ended, watching }
    }

    fn end(self) -> u64 {
        self.ended.store(true, Ordering::Relaxed);
        drop(self.watching.join());
        self.highest.load(Ordering::Relaxed)
    }
}

/// Proportional share of memory, `proc_pid_smaps(5)`.
fn pss_kib(pid: u32) -> anyhow::Result<u64> {
    let mut text = String::new();
    File::open(format!("/proc/{pid}/smaps_rollup"))?.read_to_string(&mut text)?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
