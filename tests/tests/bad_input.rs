//! Bad input to the real programs: a clear error for the one who sent it, and no harm to anyone else.

#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use deskside_agent::uplink::identity::{Identity, want};
use deskside_agent::uplink::line::{self, Client};
use deskside_agent::uplink::trust;
use deskside_proto::v1::agent_gateway_client::AgentGatewayClient;
use deskside_proto::v1::{
    Batch, EnrollRequest, FromAgent, Hello, Numbered, Outcome, Reading, ToAgent, UploadBegin, UploadChunk, from_agent,
    to_agent, upload_chunk,
};
use deskside_proto::{first_contact, invite, v1};
use deskside_tests::house::said;
use deskside_tests::lab::process::{Agent, Server, Technician, program, until};
use ring::digest;
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use zip::write::SimpleFileOptions;

/// Epoch of the records that the tests make up.
const EPOCH: u64 = 7;

/// A server with one honest agent, and a technician.
struct House {
    folder: TempDir,
    server: Server,
    agent: Agent,
    technician: Technician,
    device: String,
}

impl House {
    fn open() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let server = Server::start(folder.path())?;
        let mut agent = Agent::new(folder.path(), "")?;
        let device = agent.enrol(&server)?;
        let technician = server.technician(folder.path())?;
        Ok(Self { folder, server, agent, technician, device })
    }

    /// The honest agent is still served: a line of its log arrives.
    fn still_serves(&mut self) -> anyhow::Result<()> {
        self.server.must_live()?;
        self.agent.write_lines(&["all is well".to_owned()])?;
        until("the honest agent's line", || {
            Ok(self.server.stored_lines(&self.device)?.contains(&"all is well".to_owned()).then_some(()))
        })
    }

    /// An identity of another device, whose agent does not run.
    fn stranger(&self) -> anyhow::Result<Identity> {
        let folder = self.folder.path().join(format!("stranger-{}", now_ms()));
        fs::create_dir(&folder)?;
        let stranger = Agent::new(&folder, "")?;
        stranger.says(&["enroll", &self.server.token(&[])?])?;
        Identity::load(stranger.state())?.context("it is enrolled")
    }
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_millis()).expect("before the year 292278994")
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

async fn client(identity: &Identity) -> anyhow::Result<Client> {
    Ok(line::connect(&identity.addresses, trust::mutual(identity)?).await?)
}

/// The complaint of a command that must go wrong.
fn complaint(command: &mut Command) -> anyhow::Result<String> {
    let ran = command.output()?;
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stderr), String::from_utf8_lossy(&ran.stdout));
    anyhow::ensure!(!ran.status.success(), "it went well: {said}");
    anyhow::ensure!(!said.contains("panicked"), "{said}");
    Ok(said)
}

/// A session spoken by hand.
struct Session {
    up: mpsc::Sender<FromAgent>,
    down: Streaming<ToAgent>,
}

impl Session {
    async fn open(identity: &Identity, device_id: &str) -> anyhow::Result<Result<Self, Status>> {
        let (up, messages) = mpsc::channel(8);
        let hello = Hello {
            device_id: device_id.into(),
            epoch: EPOCH,
            last_seq: 100,
            first_seq: 1,
            clock_ms: now_ms(),
            hostname: "stranger".into(),
            ..Hello::default()
        };
        up.send(FromAgent { kind: Some(from_agent::Kind::Hello(hello)) }).await?;
        let stream = tokio_stream::wrappers::ReceiverStream::new(messages);
        let mut down = match client(identity).await?.session(stream).await {
            Ok(down) => down.into_inner(),
            Err(status) => return Ok(Err(status)),
        };
        match down.message().await {
            Ok(Some(ToAgent { kind: Some(to_agent::Kind::Welcome(_)) })) => Ok(Ok(Self { up, down })),
            Ok(other) => anyhow::bail!("no welcome: {other:?}"),
            Err(status) => Ok(Err(status)),
        }
    }

    async fn batch(&self, epoch: u64, readings: Vec<(u64, Reading)>) -> anyhow::Result<()> {
        let readings = readings.into_iter().map(|(seq, reading)| Numbered { seq, reading: Some(reading) }).collect();
        let batch = from_agent::Kind::Batch(Batch { epoch, readings });
        self.up.send(FromAgent { kind: Some(batch) }).await?;
        Ok(())
    }

    /// The number that is kept, or why the session ended.
    async fn kept(&mut self) -> Result<u64, Status> {
        loop {
            match self.down.message().await? {
                Some(ToAgent { kind: Some(to_agent::Kind::Kept(kept)) }) => return Ok(kept.seq),
                Some(_other) => {}
                None => return Err(Status::ok("it ended")),
            }
        }
    }
}

fn reading(table: &str, rows: Vec<Vec<u8>>) -> Reading {
    let rows = rows.into_iter().map(Into::into).collect();
    Reading { table: table.into(), at_ms: now_ms(), outcome: Outcome::Ok.into(), rows, ..Reading::default() }
}

#[test]
fn tokens_that_are_expired_used_revoked_or_forged_let_nobody_in() -> anyhow::Result<()> {
    let mut house = House::open()?;
    let enrolment = |name: &str, token: &str| -> anyhow::Result<Command> {
        let mut command = Command::new(program("deskside-agent")?);
        command.arg("--state").arg(house.folder.path().join(name)).args(["enroll", token]);
        Ok(command)
    };
    let enrol = |token: &str| complaint(&mut enrolment("nobody", token)?);
    let used = house.server.token(&[])?;
    said(&mut enrolment("somebody", &used)?)?;
    assert!(enrol(&used)?.contains("used"), "{}", enrol(&used)?);

    let expired = house.server.token(&["--expires", "1s"])?;
    let made_ms = now_ms();
    until("the token to expire", || Ok((now_ms() > made_ms + 1_100).then_some(())))?;
    assert!(enrol(&expired)?.contains("expired"), "{}", enrol(&expired)?);

    let gone: Json = serde_json::from_str(&house.server.says(&["token", "create", "--json"])?)?;
    house.server.says(&["token", "revoke", gone["id"].as_str().context("an id")?])?;
    let revoked = enrol(gone["token"].as_str().context("a token")?)?;
    assert!(revoked.contains("revoked"), "{revoked}");
    let sound = house.server.token(&[])?;
    let mut forged = invite::read(&sound)?;
    forged.secret = vec![0x5a; forged.secret.len()];
    let unknown = enrol(&invite::write(&forged))?;
    assert!(unknown.contains("token"), "{unknown}");
    let mut other_ca = invite::read(&sound)?;
    other_ca.ca_sha256 = vec![0x5a; 32];
    let refused = enrol(&invite::write(&other_ca))?;
    assert!(refused.contains("fingerprint"), "{refused}");
    for garbage in ["", "dsk1", "dsk1garbage", "https://example.com", &sound[..sound.len() - 3]] {
        let said = enrol(garbage)?;
        assert!(!said.trim().is_empty(), "{garbage:?}");
    }
    // What failed has not used the token up.
    said(&mut enrolment("last", &sound)?)?;
    house.still_serves()
}

#[test]
fn nobody_speaks_without_a_certificate_of_this_server() -> anyhow::Result<()> {
    let (mut house, other) = (House::open()?, House::open()?);
    let ours = house.stranger()?;
    let mut theirs = other.stranger()?;
    theirs.addresses.clone_from(&ours.addresses);
    theirs.ca.clone_from(&ours.ca);
    runtime()?.block_on(async {
        let refused = match Session::open(&theirs, &theirs.device_id).await {
            Ok(Ok(_session)) => anyhow::bail!("a certificate of another CA was taken"),
            Ok(Err(status)) => format!("{status:?}"),
            Err(error) => format!("{error:#}"),
        };
        assert!(!refused.is_empty());
        // A signing request that is none, and a call without any certificate.
        let tls = first_contact::tls(&first_contact::fingerprint(&ours.ca))?;
        let mut anyone: AgentGatewayClient<Channel> = line::connect(&ours.addresses, tls).await?;
        let secret = invite::read(&house.server.token(&[])?)?.secret;
        let request = EnrollRequest { secret, csr_der: b"garbage".to_vec(), ..EnrollRequest::default() };
        let status = anyone.enroll(request).await.expect_err("garbage is no signing request");
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let status = anyone.renew(v1::RenewRequest { csr_der: want()?.csr }).await.expect_err("no certificate");
        assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
        anyhow::Ok(())
    })?;
    house.still_serves()
}

#[test]
fn a_device_cannot_speak_for_another() -> anyhow::Result<()> {
    let mut house = House::open()?;
    let stranger = house.stranger()?;
    let status = runtime()?.block_on(async {
        let Err(status) = Session::open(&stranger, &house.device).await? else {
            anyhow::bail!("it was let in as another device");
        };
        Ok(status)
    })?;
    assert!(matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated), "{status:?}");
    assert!(house.agent.status()?.connected_since_ms.is_some(), "the other keeps its session");
    house.still_serves()
}

#[test]
fn batches_that_are_wrong_are_refused_or_kept_as_unreadable() -> anyhow::Result<()> {
    let mut house = House::open()?;
    let stranger = house.stranger()?;
    let id = stranger.device_id.as_str();
    runtime()?.block_on(async {
        let open = async || Session::open(&stranger, id).await?.map_err(anyhow::Error::from);
        let boot = || reading("boot", Vec::new());

        let mut session = open().await?;
        session.batch(EPOCH, vec![(5, boot()), (4, boot())]).await?;
        let status = session.kept().await.expect_err("numbers that go down");
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let mut session = open().await?;
        session.batch(EPOCH + 1, vec![(5, boot())]).await?;
        let status = session.kept().await.expect_err("another epoch");
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");

        // What cannot be read is kept as that, so that it does not stop what comes after it.
        let mut session = open().await?;
        session.batch(EPOCH, vec![(6, reading("boot", vec![vec![0xff; 64]])), (7, boot())]).await?;
        assert_eq!(session.kept().await?, 7);
        session.batch(EPOCH, vec![(8, reading("../../etc/passwd", vec![vec![1, 2, 3]])), (9, boot())]).await?;
        assert_eq!(session.kept().await?, 9);
        session.batch(EPOCH, vec![(9, boot()), (3, boot())]).await?;
        let status = session.kept().await.expect_err("numbers that go down, some repeated");
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        anyhow::Ok(())
    })?;
    let stored = house.server.stored(id, "boot")?;
    let unreadable = stored.iter().find(|reading| reading.outcome() == Outcome::Failed).context("kept as failed")?;
    assert!(unreadable.rows.is_empty() && !unreadable.reason.is_empty(), "{unreadable:?}");
    house.still_serves()
}

#[test]
fn a_frame_of_a_hundred_megabytes_is_refused_before_it_is_read() -> anyhow::Result<()> {
    let mut house = House::open()?;
    let stranger = house.stranger()?;
    let before = resident_bytes(&house)?;
    runtime()?.block_on(async {
        let mut session = match Session::open(&stranger, &stranger.device_id).await? {
            Ok(session) => session,
            Err(status) => anyhow::bail!("{status}"),
        };
        // Our own client would refuse to send it, so its bound is lifted.
        let (up, messages) = mpsc::channel(1);
        let mut client = client(&stranger).await?.max_encoding_message_size(usize::MAX);
        let huge = reading("boot", vec![vec![0; 100 * 1024 * 1024]]);
        let batch = Batch { epoch: EPOCH, readings: vec![Numbered { seq: 1, reading: Some(huge) }] };
        up.send(FromAgent { kind: Some(from_agent::Kind::Batch(batch)) }).await?;
        let stream = tokio_stream::wrappers::ReceiverStream::new(messages);
        let status = match client.session(stream).await {
            Ok(down) => down.into_inner().message().await.expect_err("too large"),
            Err(status) => status,
        };
        assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
        session.batch(EPOCH, vec![(1, reading("boot", Vec::new()))]).await?;
        // The small one may have lost its place to the newer session, and is none the worse for it.
        drop(session.kept().await);
        anyhow::Ok(())
    })?;
    let grown = resident_bytes(&house)?.saturating_sub(before);
    assert!(grown < 50 * 1024 * 1024, "the server grew by {grown} bytes");
    house.still_serves()
}

fn resident_bytes(house: &House) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", house.server.pid()?))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().split(' ').next().context("VmRSS")?.parse::<u64>()? * 1024)
}

/// Sends an upload for a collection; the server's last word.
async fn upload(identity: &Identity, begin: UploadBegin, bytes: &[u8]) -> anyhow::Result<Result<bool, Status>> {
    let kinds = [upload_chunk::Kind::Begin(begin), upload_chunk::Kind::Bytes(bytes.to_vec())];
    let chunks = tokio_stream::iter(kinds.map(|kind| UploadChunk { kind: Some(kind) }));
    let mut states = match client(identity).await?.upload(chunks).await {
        Ok(states) => states.into_inner(),
        Err(status) => return Ok(Err(status)),
    };
    loop {
        match states.message().await {
            Ok(Some(state)) if state.stored => return Ok(Ok(true)),
            Ok(Some(_)) => {}
            Ok(None) => return Ok(Ok(false)),
            Err(status) => return Ok(Err(status)),
        }
    }
}

/// A collection that waits for a device whose agent does not run.
fn collection(house: &House, device: &str) -> anyhow::Result<String> {
    let ticket = house.technician.json(&["ticket", "new", "It is broken", "--device", device])?;
    let number = ticket["number"].as_u64().context("a number")?.to_string();
    let escalated = house.technician.json(&["ticket", "escalate", &number])?;
    Ok(escalated["collections"][0]["id"].as_str().context("a collection")?.to_owned())
}

#[test]
fn a_bundle_of_the_wrong_hash_size_or_device_is_not_attached() -> anyhow::Result<()> {
    let mut house = House::open()?;
    let stranger = house.stranger()?;
    let sha256 = |bytes: &[u8]| digest::digest(&digest::SHA256, bytes).as_ref().to_vec();
    let bytes = b"not quite a bundle";
    runtime()?.block_on(async {
        let begin = |collection_id: &str, size: usize, sha256: Vec<u8>| UploadBegin {
            collection_id: collection_id.into(),
            size: size as u64,
            sha256,
            ..UploadBegin::default()
        };
        let wrong = [
            begin(&collection(&house, &stranger.device_id)?, bytes.len(), sha256(b"something else")),
            begin(&collection(&house, &stranger.device_id)?, bytes.len() - 3, sha256(bytes)),
            begin(&collection(&house, &house.device)?, bytes.len(), sha256(bytes)),
            begin("00000000-0000-4000-8000-000000000000", bytes.len(), sha256(bytes)),
            begin("../../etc/passwd", bytes.len(), sha256(bytes)),
            begin(&collection(&house, &stranger.device_id)?, usize::MAX >> 1, sha256(bytes)),
        ];
        for begin in wrong {
            let said = upload(&stranger, begin.clone(), bytes).await?;
            let status = said.expect_err("a wrong bundle");
            assert!(!status.message().is_empty(), "{begin:?}: {status:?}");
        }
        anyhow::Ok(())
    })?;
    let strangers: Vec<Json> = serde_json::from_value(house.technician.json(&["evidence", "list"])?)?;
    assert!(strangers.iter().all(|item| item["device"]["id"] != stranger.device_id.as_str()), "{strangers:?}");
    house.still_serves()
}

#[test]
fn a_bundle_whose_names_lead_elsewhere_is_not_unpacked() -> anyhow::Result<()> {
    let mut house = House::open()?;
    let stranger = house.stranger()?;
    let evil = house.folder.path().join("evil.zip");
    let text = b"{\"files\":[{\"path\":\"../escaped\",\"sha256\":\"00\"}]}";
    let mut zip = zip::ZipWriter::new(fs::File::create(&evil)?);
    for (name, content) in [("manifest.json", &text[..]), ("summary.md", b"# Fine"), ("../escaped", b"boo")] {
        zip.start_file(name, SimpleFileOptions::default())?;
        zip.write_all(content)?;
    }
    zip.finish()?;
    let bytes = fs::read(&evil)?;
    let begin = UploadBegin {
        collection_id: collection(&house, &stranger.device_id)?,
        size: bytes.len() as u64,
        sha256: digest::digest(&digest::SHA256, &bytes).as_ref().to_vec(),
        parts: vec![v1::PartOutcome { name: "../../part".into(), outcome: Outcome::Ok.into(), ..Default::default() }],
    };
    assert!(runtime()?.block_on(upload(&stranger, begin, &bytes))??);
    let items: Vec<Json> = serde_json::from_value(house.technician.json(&["evidence", "list"])?)?;
    let id = items[0]["id"].as_str().context("it is attached, whatever it holds")?;
    let (inside, out) = (house.folder.path().join("in"), house.folder.path().join("in/out"));
    fs::create_dir(&inside)?;
    let mut open = house.technician.command()?;
    let said = complaint(open.args(["evidence", "open", id, "-o"]).arg(&out))?;
    assert!(said.contains("not safe") || said.contains("damaged"), "{said}");
    assert!(!out.exists() && !inside.join("escaped").exists() && !Path::new("/escaped").exists());
    house.still_serves()
}

#[test]
fn configuration_that_is_wrong_is_named_with_its_place() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("wrong.toml");
    for (text, wanted) in [
        ("[logs]\nno_such_key = 1\n", "no_such_key"),
        ("[logs]\nfirst_minutes = \"many\"\n", "first_minutes"),
        ("[logs\n", "line 1"),
    ] {
        fs::write(&config, text)?;
        let said = complaint(Command::new(program("deskside-agent")?).arg("--config").arg(&config).arg("check"))?;
        assert!(said.contains(wanted) && said.contains("wrong.toml"), "{said}");
    }
    for (text, wanted) in [
        ("[agents]\nno_such_key = 1\n", "no_such_key"),
        ("[retention]\ndays = \"many\"\n", "days"),
        ("[desk\n", "line 1"),
    ] {
        fs::write(&config, text)?;
        let mut check = Command::new(program("deskside-server")?);
        let said = complaint(check.args(["check", "--data"]).arg(folder.path()).arg("--config").arg(&config))?;
        assert!(said.contains(wanted) && said.contains("wrong.toml"), "{said}");
    }
    Ok(())
}

#[test]
fn a_record_of_random_bytes_is_set_aside_and_the_agent_goes_on() -> anyhow::Result<()> {
    let mut house = House::open()?;
    house.still_serves()?;
    house.agent.stop()?;
    let record = house.agent.state().join("record");
    let mut random = 7_u64;
    for file in fs::read_dir(&record)? {
        let path = file?.path();
        let mut bytes = vec![0_u8; 64 * 1024];
        for byte in &mut bytes {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (random >> 56) as u8;
        }
        fs::write(path, bytes)?;
    }
    house.agent.run()?;
    assert_eq!(house.agent.status()?.record.set_aside, 1);
    until("the loss to be told", || Ok((!house.server.stored(&house.device, "losses")?.is_empty()).then_some(())))?;
    house.agent.write_lines(&["after the damage".to_owned()])?;
    until("lines to arrive again", || {
        Ok(house.server.stored_lines(&house.device)?.contains(&"after the damage".to_owned()).then_some(()))
    })
}
