//! Bad days on real processes: whatever is killed, cut off or filled up, what was kept is not lost, nothing comes twice, and all goes on
//! by itself.

#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::net::IpAddr;

use anyhow::Context;
use deskside_tests::lab::disk::SmallDisk;
use deskside_tests::lab::netns::Wired;
use deskside_tests::lab::process::{Agent, Server, Technician, until};
use serde_json::Value as Json;
use tempfile::TempDir;

/// A server, an agent enrolled with it, and a technician.
struct Day {
    server: Server,
    agent: Agent,
    technician: Technician,
    device: String,
    written: Vec<String>,
    _folder: TempDir,
}

impl Day {
    fn begin() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (server, agent) = (Server::start(folder.path())?, Agent::new(folder.path(), "")?);
        Self::with(folder, server, agent)
    }

    fn with(folder: TempDir, server: Server, mut agent: Agent) -> anyhow::Result<Self> {
        let device = agent.enrol(&server)?;
        let technician = server.technician(folder.path())?;
        let mut day = Self { server, agent, technician, device, written: Vec::new(), _folder: folder };
        day.write(1)?;
        day.all_arrive_once()?;
        Ok(day)
    }

    /// The agent's log grows by so many errors.
    fn write(&mut self, lines: usize) -> anyhow::Result<()> {
        let first = self.written.len();
        let more: Vec<String> = (first..first + lines).map(|number| format!("line {number}")).collect();
        self.agent.write_lines(&more)?;
        self.written.extend(more);
        Ok(())
    }

    /// Waits until the server has the last line, and finds each there once and in order.
    fn all_arrive_once(&self) -> anyhow::Result<()> {
        let last = self.written.last().context("lines were written")?;
        let stored = until("the last line to arrive", || {
            let stored = self.server.stored_lines(&self.device)?;
            Ok(stored.contains(last).then_some(stored))
        })
        .with_context(|| self.agent.logged())?;
        let stored: Vec<String> = stored.into_iter().filter(|line| line.starts_with("line ")).collect();
        assert_eq!(stored, self.written, "every line once and in order");
        Ok(())
    }

    /// Opens and escalates a ticket; the collection that it begins.
    fn escalate(&self) -> anyhow::Result<Json> {
        let ticket = self.technician.json(&["ticket", "new", "It is broken", "--device", &self.device])?;
        let number = ticket["number"].as_u64().context("a ticket has a number")?.to_string();
        let escalated = self.technician.json(&["ticket", "escalate", &number])?;
        Ok(escalated["collections"][0].clone())
    }

    /// Waits until a collection has ended; its evidence, every hash checked by the command that opens it.
    fn evidence(&self, collection: &Json) -> anyhow::Result<Json> {
        let id = collection["id"].as_str().context("a collection has an id")?;
        let ended = until("the collection to end", || {
            // A server that has just been started may still refuse.
            let ended = self.technician.json(&["collection", "wait", id]).ok();
            Ok(ended.filter(|ended| !ended["ended_ms"].is_null()))
        })
        .with_context(|| self.agent.logged())?;
        let evidence = ended["evidence_id"].as_str().context("evidence came")?;
        self.technician.json(&["evidence", "open", evidence])
    }
}

#[test]
fn the_server_is_killed_while_lines_stream() -> anyhow::Result<()> {
    let mut day = Day::begin()?;
    for _night in 0..2 {
        day.write(200)?;
        day.server.kill()?;
        day.write(200)?;
        day.server.resume()?;
        day.write(200)?;
    }
    day.all_arrive_once()
}

#[test]
fn the_agent_is_killed_while_lines_stream() -> anyhow::Result<()> {
    let mut day = Day::begin()?;
    for _night in 0..3 {
        day.write(200)?;
        day.agent.kill()?;
        day.write(200)?;
        day.agent.run()?;
        day.write(200)?;
    }
    day.all_arrive_once()
}

#[test]
fn both_are_restarted_in_either_order() -> anyhow::Result<()> {
    let mut day = Day::begin()?;
    day.write(50)?;
    day.server.stop()?;
    day.write(50)?;
    day.agent.stop()?;
    day.write(50)?;
    day.agent.run()?;
    day.server.resume()?;
    day.all_arrive_once()?;
    day.write(50)?;
    day.agent.kill()?;
    day.server.kill()?;
    day.write(50)?;
    day.server.resume()?;
    day.agent.run()?;
    day.all_arrive_once()
}

/// Text that does not compress, so that its upload takes a while.
fn noise(lines: usize, line_bytes: usize) -> Vec<String> {
    let mut random = 1_u64;
    let mut letter = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + (random >> 40) as u8 % 90)
    };
    (0..lines).map(|_line| (0..line_bytes).map(|_place| letter()).collect()).collect()
}

/// Bytes of an upload that have come so far.
fn staged(day: &Day) -> u64 {
    let Ok(files) = std::fs::read_dir(day.server.data().join("staging")) else { return 0 };
    files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).sum()
}

fn killed_during_upload(kill: impl Fn(&mut Day) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut day = Day::begin()?;
    day.agent.write_lines(&noise(300, 12_000))?;
    day.write(1)?;
    day.all_arrive_once()?;
    let collection = day.escalate()?;
    until("a part of the upload", || Ok((staged(&day) > 0).then_some(())))
        .with_context(|| format!("{}\n{:?}", day.agent.logged(), day.technician.says(&["ticket", "show", "1"])))?;
    kill(&mut day)?;
    let opened = day.evidence(&collection)?;
    assert!(opened["evidence"]["size"].as_u64() > Some(1_000_000), "{}", opened["evidence"]);
    let case = day.technician.json(&["ticket", "show", "1"])?;
    assert_eq!(case["evidence"].as_array().map(Vec::len), Some(1), "evidence is attached once");
    day.write(10)?;
    day.all_arrive_once()
}

#[test]
fn the_server_is_killed_during_an_upload() -> anyhow::Result<()> {
    killed_during_upload(|day| {
        day.server.kill()?;
        day.server.resume()
    })
}

#[test]
fn the_agent_is_killed_during_an_upload() -> anyhow::Result<()> {
    killed_during_upload(|day| {
        day.agent.kill()?;
        day.agent.run()
    })
}

#[test]
fn the_network_between_them_is_unplugged() -> anyhow::Result<()> {
    let wired = Wired::new()?;
    wired.ip(&format!("link add dsk0 netns {} type veth peer name far0 netns {}", wired.desk, wired.far))?;
    for words in ["link set lo up", "addr add 192.0.2.1/24 dev dsk0", "link set dsk0 up"] {
        wired.at_desk(words)?;
    }
    for words in ["link set lo up", "addr add 192.0.2.2/24 dev far0", "link set far0 up"] {
        wired.at_far(words)?;
    }
    let folder = tempfile::tempdir()?;
    let server = Server::start_at(folder.path(), Some(&wired.far), IpAddr::from([192, 0, 2, 2]))?;
    let agent = Agent::new(folder.path(), "")?.inside(&wired.desk);
    let mut day = Day::with(folder, server, agent)?;
    for _time in 0..2 {
        wired.at_far("link set far0 down")?;
        day.write(100)?;
        until("lines to wait", || Ok((day.agent.status()?.record.queued > 0).then_some(())))?;
        wired.at_far("link set far0 up")?;
        day.all_arrive_once()?;
    }
    Ok(())
}

#[test]
fn the_agents_disk_is_full_for_a_while() -> anyhow::Result<()> {
    let disk = SmallDisk::mount(24 * 1024 * 1024)?;
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path())?;
    std::os::unix::fs::symlink(disk.path().join("agent"), folder.path().join("agent"))?;
    std::fs::create_dir(disk.path().join("agent"))?;
    let agent = Agent::new(folder.path(), "")?;
    let mut day = Day::with(folder, server, agent)?;
    for _time in 0..2 {
        disk.fill()?;
        // More than the room that the record still has in its own files; the oldest that waits may be dropped, and is counted.
        day.agent.write_lines(&noise(400, 12_000))?;
        day.write(100)?;
        until("readings to wait for room", || Ok((day.agent.status()?.record.waiting > 0).then_some(())))?;
        disk.free()?;
        day.write(10)?;
        day.all_arrive_once()?;
        assert_eq!(day.agent.status()?.record.waiting, 0);
    }
    Ok(())
}
