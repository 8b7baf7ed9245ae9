//! Evidence on its way in.

use deskside_proto::v1::{UploadBegin, UploadChunk, UploadState, upload_chunk};
use futures_util::TryStreamExt;
use tonic::Code;

use super::*;
use crate::{
    case::Asked,
    store::{EvidenceItems, NewTicket},
};

const MIB: usize = 1024 * 1024;

/// A ticket with a collection that waits for the agent.
async fn asked(world: &World, agent: &Agent) -> Uuid {
    let ticket =
        NewTicket { title: "t".into(), opened_by: "ann".into(), devices: vec![agent.id], ..NewTicket::default() };
    let ticket = world.server.cases.open(ticket).await.unwrap();
    let asked = Asked {
        device: agent.id,
        recipe: String::new(),
        tables: Vec::new(),
        probes: Vec::new(),
        around_ms: None,
        before_s: 60,
        after_s: 0,
        expires_s: 600,
        asked_by: "ann".into(),
        planned_ms: None,
        why: String::new(),
    };
    world.server.cases.collect(ticket.number, asked).await.unwrap().unwrap().id
}

fn begin(collection: Uuid, content: &[u8]) -> UploadBegin {
    let sha256 = hash(content).to_vec();
    UploadBegin { collection_id: collection.to_string(), size: content.len() as u64, sha256, parts: Vec::new() }
}

/// An upload under way.
struct Upload {
    up: tokio::sync::mpsc::Sender<UploadChunk>,
    down: Streaming<UploadState>,
    _client: Client,
}

impl Upload {
    async fn open(world: &World, agent: &Agent, begin: UploadBegin) -> Result<(Self, UploadState), Status> {
        let mut client = world.connect(Some(agent)).await.unwrap();
        let (up, messages) = tokio::sync::mpsc::channel(4);
        up.send(UploadChunk { kind: Some(upload_chunk::Kind::Begin(begin)) }).await.unwrap();
        let down = client.upload(ReceiverStream::new(messages)).await?.into_inner();
        let mut upload = Self { up, down, _client: client };
        let state = upload.state().await?;
        Ok((upload, state))
    }

    async fn send(&self, content: &[u8]) {
        for piece in content.chunks(deskside_proto::CHUNK_BYTES) {
            let chunk = UploadChunk { kind: Some(upload_chunk::Kind::Bytes(piece.to_vec())) };
            if self.up.send(chunk).await.is_err() {
                return;
            }
        }
    }

    async fn state(&mut self) -> Result<UploadState, Status> {
        let state = tokio::time::timeout(PATIENCE, self.down.message()).await.expect("the server says something")?;
        state.ok_or_else(|| Status::ok("the upload ended"))
    }
}

fn staged(world: &World) -> Vec<u64> {
    let entries = std::fs::read_dir(world.server.folder.staging()).unwrap();
    entries.map(|entry| entry.unwrap().metadata().unwrap().len()).collect()
}

#[tokio::test]
async fn a_bundle_is_stored_attached_and_told_of_again_to_one_who_missed_it() {
    let world = World::open().await;
    let agent = world.agent().await;
    let collection = asked(&world, &agent).await;
    let content = vec![5; 3 * MIB + 1];
    let (mut upload, state) = Upload::open(&world, &agent, begin(collection, &content)).await.unwrap();
    assert_eq!((state.offset, state.stored), (0, false));
    upload.send(&content).await;
    assert!(upload.state().await.unwrap().stored);
    let items = world.store().evidence(None).await.unwrap();
    assert_eq!((items.len(), items[0].size, items[0].collection), (1, content.len() as u64, Some(collection)));
    let blobs = world.server.folder.blobs(&Config::default()).unwrap();
    let back: Vec<_> = blobs.get(&items[0].location).await.unwrap().try_collect().await.unwrap();
    assert_eq!(back.concat(), content);
    assert!(staged(&world).is_empty());
    let (_upload, state) = Upload::open(&world, &agent, begin(collection, &content)).await.unwrap();
    assert!(state.stored, "the last word may be lost on its way");
    assert_eq!(world.store().evidence(None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_upload_that_broke_off_goes_on_where_it_was_even_after_a_restart() {
    let world = World::open().await;
    let agent = world.agent().await;
    let collection = asked(&world, &agent).await;
    let content: Vec<u8> = (0..4 * MIB).map(|place| (place % 251) as u8).collect();
    let (upload, _state) = Upload::open(&world, &agent, begin(collection, &content)).await.unwrap();
    upload.send(&content[..2 * MIB]).await;
    until("half of it has come", || staged(&world) == [2 * MIB as u64]).await;
    drop(upload);
    let world = world.restart().await;
    let (mut upload, state) = Upload::open(&world, &agent, begin(collection, &content)).await.unwrap();
    assert_eq!(state.offset, 2 * MIB as u64);
    upload.send(&content[2 * MIB..]).await;
    assert!(upload.state().await.unwrap().stored);
    assert_eq!(world.store().evidence(None).await.unwrap()[0].sha256, data_encoding::HEXLOWER.encode(&hash(&content)));
}

#[tokio::test]
async fn a_newer_attempt_takes_over_from_one_that_hangs() {
    let world = World::open().await;
    let agent = world.agent().await;
    let collection = asked(&world, &agent).await;
    let content = vec![9; MIB];
    let (mut hangs, _state) = Upload::open(&world, &agent, begin(collection, &content)).await.unwrap();
    hangs.send(&content[..MIB / 2]).await;
    until("half of it has come", || staged(&world) == [MIB as u64 / 2]).await;
    let (mut newer, state) = Upload::open(&world, &agent, begin(collection, &content)).await.unwrap();
    assert_eq!(hangs.state().await.unwrap_err().code(), Code::Aborted);
    newer.send(&content[usize::try_from(state.offset).unwrap()..]).await;
    assert!(newer.state().await.unwrap().stored);
}

#[tokio::test]
async fn a_bundle_with_another_hash_or_size_is_dropped_and_said_to_be() {
    for (sent, announced) in [(vec![1; MIB], vec![2; MIB]), (vec![1; MIB], vec![1; MIB - 1])] {
        let world = World::open().await;
        let agent = world.agent().await;
        let collection = asked(&world, &agent).await;
        let (mut upload, _state) = Upload::open(&world, &agent, begin(collection, &announced)).await.unwrap();
        upload.send(&sent).await;
        let refused = upload.state().await.unwrap_err();
        assert_eq!(refused.code(), Code::DataLoss, "{refused}");
        assert!(staged(&world).is_empty());
        assert!(world.store().evidence(None).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_bundle_that_stays_short_is_dropped_and_one_that_may_go_on_is_not() {
    let world = World::open().await;
    let agent = world.agent().await;
    let collection = asked(&world, &agent).await;
    let content = vec![1; MIB];
    for (sent, code, left) in [(MIB / 2, Code::Aborted, 1), (0, Code::DataLoss, 0)] {
        let (upload, _state) = Upload::open(&world, &agent, begin(collection, &content)).await.unwrap();
        upload.send(&content[..sent]).await;
        let Upload { up, mut down, .. } = upload;
        drop(up);
        assert_eq!(down.message().await.unwrap_err().code(), code);
        assert_eq!(staged(&world).len(), left);
    }
}

#[tokio::test]
async fn what_nobody_asked_for_or_what_is_too_large_is_refused() {
    let world = World::open().await;
    let (agent, other) = (world.agent().await, world.agent().await);
    let collection = asked(&world, &agent).await;
    let content = vec![1; 10];
    let refused =
        async |agent: &Agent, begin: UploadBegin| Upload::open(&world, agent, begin).await.err().unwrap().code();
    assert_eq!(refused(&agent, begin(Uuid::new_v4(), &content)).await, Code::FailedPrecondition);
    assert_eq!(refused(&other, begin(collection, &content)).await, Code::FailedPrecondition);
    let path = UploadBegin { collection_id: "../../etc/passwd".into(), ..begin(collection, &content) };
    assert_eq!(refused(&agent, path).await, Code::InvalidArgument);
    let unhashed = UploadBegin { sha256: vec![1], ..begin(collection, &content) };
    assert_eq!(refused(&agent, unhashed).await, Code::InvalidArgument);
    let large = UploadBegin { size: 1 << 40, ..begin(collection, &content) };
    assert_eq!(refused(&agent, large).await, Code::DataLoss);
}
