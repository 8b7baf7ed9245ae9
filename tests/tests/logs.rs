//! Logs as a real journald writes them, followed through everything that it does.

#![allow(clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use deskside_agent::collect::logs::{Config, Follower, LINE_BYTES_MAX, Lines, OWN_SOURCE};
use deskside_proto::rows::Row;
use deskside_proto::v1::LogEvent;
use deskside_tests::lab::journald::Journald;
use deskside_tests::lab::process::{Agent, Server, until};
use prost::Message;
use tokio::sync::mpsc;

/// Longest wait for something that is expected.
const PATIENCE: Duration = Duration::from_secs(20);

/// A follower, and what a record keeps: events, and the position in the same breath.
struct Followed {
    config: Config,
    kept: Vec<LogEvent>,
    positions: BTreeMap<String, String>,
    running: Option<(Follower, mpsc::Receiver<Lines>)>,
    runtime: tokio::runtime::Runtime,
}

impl Followed {
    fn start(journald: &Journald) -> anyhow::Result<Self> {
        let config = Config {
            journals: vec![journald.journals().display().to_string()],
            files: Vec::new(),
            files_without_journal: Vec::new(),
            kernel_ring: String::new(),
            ..Config::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let mut followed = Self { config, kept: Vec::new(), positions: BTreeMap::new(), running: None, runtime };
        followed.restart()?;
        Ok(followed)
    }

    /// Whatever was handed over and not kept is gone, as when the agent is killed.
    fn restart(&mut self) -> anyhow::Result<()> {
        self.running = None;
        let (sink, lines) = mpsc::channel(2);
        self.running = Some((Follower::start(self.config.clone(), self.positions.clone(), sink)?, lines));
        Ok(())
    }

    fn keep_one(&mut self) {
        let (_follower, lines) = self.running.as_mut().expect("it runs");
        let lines = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, lines.recv()).await });
        let lines = lines
            .unwrap_or_else(|_elapsed| panic!("nothing came after {:?}; told: {:?}", self.kept.last(), self.told()));
        let lines = lines.expect("the follower runs");
        let events = lines.events.iter().map(|event| LogEvent::decode(event.row.as_ref()).expect("an event"));
        self.kept.extend(events);
        self.positions.extend(lines.positions.into_iter().map(|position| (position.source, position.at)));
    }

    fn keep_until(&mut self, message: &str) {
        let mut seen = 0;
        while !self.kept.iter().skip(seen).any(|event| event.message == message) {
            seen = self.kept.len();
            self.keep_one();
        }
    }

    fn told(&self) -> Vec<&str> {
        let own = self.kept.iter().filter(|event| event.source == OWN_SOURCE);
        own.map(|event| event.message.as_str()).collect()
    }

    fn messages(&self, start: &str) -> Vec<&str> {
        let all = self.kept.iter().map(|event| event.message.as_str());
        all.filter(|message| message.starts_with(start)).collect()
    }
}

#[test]
fn entries_come_with_their_fields_whichever_way_they_were_written() -> anyhow::Result<()> {
    let journald = Journald::start()?;
    let mut followed = Followed::start(&journald)?;
    journald.syslog("<27>cupsd[812]: via syslog")?;
    journald.stdout("backup", &["<4>via stdout".into()])?;
    let (long, id) = ("x".repeat(100_000), b"fc2e22bc6ee647b6b90729ab34a250b1");
    journald.native(&[("MESSAGE", long.as_bytes()), ("SYSLOG_IDENTIFIER", b"long")])?;
    journald.native(&[("MESSAGE", b"broken \xff text"), ("SYSLOG_IDENTIFIER", b"broken"), ("UNIT", b"a.service")])?;
    journald.native(&[
        ("MESSAGE", b"via native"),
        ("MESSAGE_ID", id),
        ("PRIORITY", b"2"),
        ("CODE_FILE", b"a.c"),
        ("CODE_LINE", b"7"),
    ])?;
    // Each way has a socket of its own, and journald reads them in no particular order.
    let ours = |event: &&LogEvent| event.program != "systemd-journald";
    while followed.kept.iter().filter(ours).count() < 5 {
        followed.keep_one();
    }
    let by = |program: &str| followed.kept.iter().find(|event| event.program == program).expect("it came");
    let syslog = by("cupsd");
    assert_eq!((syslog.message.as_str(), syslog.priority, syslog.source.as_str()), ("via syslog", Some(3), "journal"));
    assert!(syslog.position.starts_with("s=") && syslog.boot_id.len() == 32 && syslog.pid.is_some());
    let age_ms = now_ms() - syslog.at_ms;
    assert!((0..60_000).contains(&age_ms), "{age_ms}");
    assert_eq!((by("backup").message.as_str(), by("backup").priority), ("via stdout", Some(4)));
    assert_eq!((by("long").message.len(), by("long").cut_from_bytes), (LINE_BYTES_MAX, Some(100_000)));
    assert_eq!((by("broken").message.as_str(), by("broken").invalid_utf8), ("broken \u{fffd} text", true));
    assert_eq!(by("broken").unit, "a.service");
    let native = followed.kept.iter().find(|event| event.message == "via native").expect("it came");
    assert_eq!((native.message_id.as_bytes(), native.priority), (&id[..], Some(2)));
    assert_eq!((native.code_file.as_str(), native.code_line), ("a.c", Some(7)));
    Ok(())
}

#[test]
fn every_entry_comes_once_through_restarts_rotation_and_a_crash_of_journald() -> anyhow::Result<()> {
    let mut journald = Journald::start()?;
    let mut followed = Followed::start(&journald)?;
    let mut sent = Vec::new();
    for round in 0..8 {
        for number in 0..300 {
            let message = format!("entry {round} {number}");
            journald.native(&[("MESSAGE", message.as_bytes())])?;
            sent.push(message);
        }
        match round % 4 {
            0 => followed.keep_one(),
            1 => journald.rotate()?,
            // What lies in the sockets of a journald that is killed is lost before it is written.
            2 => {
                followed.keep_until(sent.last().expect("entries were sent"));
                journald.crash()?;
            }
            _ => {}
        }
        followed.restart()?;
    }
    journald.native(&[("MESSAGE", b"the last")])?;
    followed.keep_until("the last");
    assert_eq!(followed.messages("entry "), sent);
    let cursors: BTreeSet<_> = followed.kept.iter().map(|event| &event.position).collect();
    assert_eq!(cursors.len(), followed.kept.len());
    Ok(())
}

#[test]
fn every_entry_comes_once_while_the_journal_rotates_again_and_again() -> anyhow::Result<()> {
    let journald = Journald::start()?;
    let mut followed = Followed::start(&journald)?;
    let mut sent = Vec::new();
    for round in 0..40 {
        for number in 0..10 {
            let message = format!("entry {round} {number}");
            journald.native(&[("MESSAGE", message.as_bytes())])?;
            sent.push(message);
        }
        journald.rotate()?;
    }
    journald.native(&[("MESSAGE", b"the last")])?;
    followed.keep_until("the last");
    assert_eq!(followed.messages("entry "), sent);
    Ok(())
}

#[test]
fn a_hundred_thousand_entries_come_once_through_rotation_vacuum_and_restarts() -> anyhow::Result<()> {
    const ENTRIES: usize = 100_000;
    let journald = Journald::start()?;
    let mut followed = Followed::start(&journald)?;
    followed.config.lines_per_s_max = u32::MAX;
    followed.config.lines_at_once_max = u32::MAX;
    followed.restart()?;
    let mut sent = 0;
    while sent < ENTRIES {
        for _entry in 0..5_000 {
            journald.native(&[("MESSAGE", format!("entry {sent}").as_bytes())])?;
            sent += 1;
        }
        followed.keep_until(&format!("entry {}", sent - 1));
        if sent % 20_000 == 0 {
            journald.rotate()?;
            followed.restart()?;
        }
        if sent == ENTRIES / 2 {
            journald.vacuum()?;
        }
    }
    let mut numbers =
        followed.kept.iter().filter_map(|event| event.message.strip_prefix("entry ")?.parse::<usize>().ok());
    assert!((0..ENTRIES).all(|number| numbers.next() == Some(number)) && numbers.next().is_none());
    Ok(())
}

#[test]
fn a_journal_that_is_damaged_is_named_and_the_others_are_followed() -> anyhow::Result<()> {
    let journald = Journald::start()?;
    for number in 0..100 {
        journald.native(&[("MESSAGE", format!("before {number}").as_bytes())])?;
    }
    journald.rotate()?;
    let files = journald.files()?;
    let archived = files.iter().find(|path| path.display().to_string().contains('@')).expect("an archived file");
    let sound = std::fs::read(archived)?;
    std::fs::write(archived.with_file_name("garbage.journal"), b"not a journal")?;
    std::fs::write(archived, damaged(&sound, 0, 1, 4096))?;
    for seed in 1..=20 {
        std::fs::write(archived.with_file_name(format!("seed{seed}.journal")), damaged(&sound, seed, 997, HEAD_BYTES))?;
    }
    let mut followed = Followed::start(&journald)?;
    journald.native(&[("MESSAGE", b"after")])?;
    followed.keep_until("after");
    let told = |followed: &Followed, part: &str| followed.told().iter().any(|message| message.contains(part));
    while !told(&followed, "garbage.journal") || !told(&followed, "system@") {
        followed.keep_one();
    }
    assert_eq!(followed.messages("after"), ["after"]);
    Ok(())
}

#[test]
fn an_agent_that_is_killed_sends_every_entry_of_a_real_journal_once() -> anyhow::Result<()> {
    let journald = Journald::start()?;
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path())?;
    let mut agent = Agent::new(folder.path(), "")?.following(&journald.journals())?;
    let device = agent.enrol(&server)?;
    let mut sent = BTreeSet::new();
    for round in 0..6 {
        for number in 0..100 {
            let message = |way: &str| format!("entry {way} {round} {number}");
            journald.syslog(&format!("<27>test: {}", message("syslog")))?;
            journald.native(&[("MESSAGE", message("native").as_bytes()), ("PRIORITY", b"3")])?;
            journald.stdout("test", &[format!("<3>{}", message("stdout"))])?;
            sent.extend(["syslog", "native", "stdout"].map(message));
        }
        match round {
            1 | 4 => {
                agent.kill()?;
                agent.run()?;
            }
            2 => journald.rotate()?,
            3 => agent.stop().and_then(|()| agent.run())?,
            _ => {}
        }
    }
    let stored = until("every entry to arrive", || {
        let lines = server.stored_lines(&device)?;
        let stored: Vec<String> = lines.into_iter().filter(|line| line.starts_with("entry ")).collect();
        Ok((stored.len() >= sent.len()).then_some(stored))
    })?;
    assert_eq!(stored.len(), sent.len());
    assert_eq!(stored.into_iter().collect::<BTreeSet<_>>(), sent);
    Ok(())
}

#[test]
fn a_hundred_thousand_entries_arrive_once_while_the_agent_is_killed_and_what_vacuum_took_is_told() -> anyhow::Result<()>
{
    const ENTRIES: usize = 100_000;
    let journald = Journald::start()?;
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path())?;
    let mut agent = Agent::new(folder.path(), "")?.following(&journald.journals())?.without_limit()?;
    let device = agent.enrol(&server)?;
    let send =
        |number: usize| journald.native(&[("MESSAGE", format!("entry {number}").as_bytes()), ("PRIORITY", b"3")]);
    // As long as something comes, more is waited for.
    let arrived = |number: usize| -> anyhow::Result<()> {
        let (last, from_ms, mut known) = (format!("entry {number}"), now_ms() - 10_000, 0);
        loop {
            let readings = until(&format!("{last} to arrive"), || {
                let readings = server.stored_since(&device, LogEvent::TABLE, from_ms)?;
                Ok((readings.len() > known).then_some(readings))
            })?;
            known = readings.len();
            let mut rows = readings.iter().flat_map(|reading| &reading.rows);
            if rows.any(|row| LogEvent::decode(row.as_ref()).is_ok_and(|event| event.message == last)) {
                return Ok(());
            }
        }
    };
    let mut sent = 0;
    for round in 0..20 {
        while sent < (round + 1) * ENTRIES / 20 {
            send(sent)?;
            sent += 1;
        }
        match round % 4 {
            // While it reads.
            0 => {
                agent.kill()?;
                journald.rotate()?;
                agent.run()?;
            }
            1 => journald.rotate()?,
            2 => {
                agent.kill()?;
                agent.run()?;
            }
            _ => {
                send(sent)?;
                sent += 1;
                arrived(sent - 1)?;
                journald.vacuum()?;
            }
        }
    }
    // What is written and vacuumed while nobody reads cannot arrive.
    agent.kill()?;
    (0..500).try_for_each(|_entry| journald.native(&[("MESSAGE", b"never read"), ("PRIORITY", b"3")]))?;
    journald.rotate()?;
    journald.vacuum()?;
    send(sent)?;
    agent.run()?;
    arrived(sent)?;
    let lines = server.stored_lines(&device)?;
    let told: Vec<&String> = lines.iter().filter(|line| line.contains("were removed (rotation or vacuum)")).collect();
    let removed = told.first().and_then(|line| line.split(' ').next()?.parse::<usize>().ok());
    // journald begins the new file before it has taken all that was sent, and says some things of its own in between.
    let came = lines.iter().filter(|line| *line == "never read").count();
    let all = removed.map(|removed| removed + came);
    assert!(told.len() == 1 && all.is_some_and(|all| (500..520).contains(&all)), "{came} came; {told:?}");
    let mut numbers: Vec<usize> = lines.iter().filter_map(|line| line.strip_prefix("entry ")?.parse().ok()).collect();
    numbers.sort_unstable();
    let wrong = (0..=sent).zip(&numbers).find(|(number, came)| number != *came);
    assert_eq!((numbers.len(), wrong), (sent + 1, None), "each once");
    Ok(())
}

#[test]
fn a_storm_of_lines_leaves_memory_flat_and_is_told_of() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path())?;
    let mut agent = Agent::new(folder.path(), "")?;
    let device = agent.enrol(&server)?;
    let before = agent.status()?.resident_bytes;
    let storm: Vec<String> = (0..1_000_000).map(|number| format!("the same trouble again, number {number}")).collect();
    agent.write_lines(&storm)?;
    until("the storm to be told of", || {
        let lines = server.stored_lines(&device)?;
        Ok(lines.iter().any(|line| line.contains("left out: more than")).then_some(()))
    })?;
    let grown = agent.status()?.resident_bytes.saturating_sub(before);
    assert!(grown < 16 * 1024 * 1024, "the agent grew by {grown} bytes");
    Ok(())
}

/// Where the head of a journal file ends.
const HEAD_BYTES: usize = 272;

/// A copy with an identity of its own, and beyond some bytes about one byte in so many changed.
fn damaged(sound: &[u8], seed: u8, one_in: u64, beyond: usize) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    bytes[24] ^= seed;
    bytes[72] ^= seed;
    let mut random = u64::from(seed) + 1;
    for byte in bytes.iter_mut().skip(beyond) {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if (random >> 33) % one_in == 0 {
            *byte ^= (random >> 56) as u8 | 1;
        }
    }
    bytes
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_millis()).expect("before the year 292278994")
}
