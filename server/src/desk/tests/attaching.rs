//! Files from elsewhere on their way to a ticket: what is right, what is wrong, and what is left of it.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::*;

fn begin(ticket: u64, size: usize) -> AttachBegin {
    AttachBegin {
        ticket,
        name: "spooler.evtx".into(),
        size: size as u64,
        note: "from the user".into(),
        ..Default::default()
    }
}

fn sha256(bytes: &[u8]) -> attach_chunk::Kind {
    attach_chunk::Kind::Sha256(digest(&SHA256, bytes).as_ref().to_vec())
}

/// Begin, the bytes in pieces, and their hash.
fn whole(begin: AttachBegin, bytes: &[u8]) -> Vec<attach_chunk::Kind> {
    let pieces = bytes.chunks(deskside_proto::CHUNK_BYTES).map(|piece| attach_chunk::Kind::Bytes(piece.to_vec()));
    [attach_chunk::Kind::Begin(begin)].into_iter().chain(pieces).chain([sha256(bytes)]).collect()
}

async fn attach(client: &mut Client, kinds: Vec<attach_chunk::Kind>) -> Result<AttachReply, Status> {
    let chunks = kinds.into_iter().map(|kind| AttachChunk { kind: Some(kind) });
    client.attach(tokio_stream::iter(chunks.collect::<Vec<_>>())).await.map(tonic::Response::into_inner)
}

impl House {
    /// What lies below a folder of the server.
    fn files(&self, folder: &str) -> usize {
        fn count(folder: std::path::PathBuf) -> usize {
            let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
            entries.map(|path| if path.is_dir() { count(path) } else { 1 }).sum()
        }
        count(self.folder.path().join(folder))
    }

    async fn items(&self) -> usize {
        use crate::store::EvidenceItems;
        self.store.evidence(None).await.unwrap().len()
    }
}

#[tokio::test]
async fn a_file_becomes_evidence_with_custody_and_a_line_of_the_ticket_and_comes_back_bit_for_bit() {
    let house = House::open().await;
    let mut client = house.client("technician").await;
    let number = ticket(&mut client).await;
    let bytes: Vec<u8> = (0..3 * 1024 * 1024_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let said = AttachBegin { device: "desk-7".into(), ..begin(number, bytes.len()) };
    let item = attach(&mut client, whole(said, &bytes)).await.unwrap().evidence.unwrap();
    assert_eq!((item.name.as_str(), item.size, item.collection_id.as_str()), ("spooler.evtx", bytes.len() as u64, ""));
    assert_eq!(item.device.unwrap().name, "desk-7");
    let custody: Vec<(&str, &str)> =
        item.custody.iter().map(|entry| (entry.who.as_str(), entry.what.as_str())).collect();
    assert_eq!(custody, [("technician", "attached"), ("server", "stored")]);
    assert!(item.custody[0].text.contains(&item.sha256) && item.custody[0].text.ends_with(": from the user"));
    let case = client.get_case(GetCaseRequest { number }).await.unwrap().into_inner();
    let told = &case.events.last().unwrap();
    assert!(told.what == "evidence" && told.text.starts_with("evidence attached by technician: spooler.evtx"));
    let mut chunks = client.get_evidence(GetEvidenceRequest { id: item.id[..8].into() }).await.unwrap().into_inner();
    let mut got = Vec::new();
    while let Some(chunk) = chunks.message().await.unwrap() {
        got.extend_from_slice(&chunk.bytes);
    }
    assert!(got == bytes, "not what was sent");
    let audit = house.store.audit(100).await.unwrap();
    assert!(
        audit.iter().any(|line| line.what == "attach" && line.ticket == number && line.text.contains(&item.sha256))
    );

    let again = attach(&mut client, whole(begin(number, bytes.len()), &bytes)).await.unwrap();
    assert!(again.already && again.evidence.unwrap().id == item.id);
    assert_eq!((house.items().await, house.files("evidence"), house.files("scratch")), (1, 1, 0));
}

#[tokio::test]
async fn what_is_refused_is_refused_before_its_bytes_and_says_what_to_do() {
    let house = House::open().await;
    let mut client = house.client("technician").await;
    let number = ticket(&mut client).await;
    let named = |name: &str| AttachBegin { name: name.into(), ..begin(number, 3) };
    for (begin, code, word) in [
        (begin(number, 4 * 1024 * 1024 + 1), Code::ResourceExhausted, "attachment_bytes_max"),
        (begin(number, 0), Code::InvalidArgument, "empty"),
        (begin(99, 3), Code::NotFound, "no ticket 99"),
        (AttachBegin { device: "foo".into(), ..begin(number, 3) }, Code::NotFound, "deskside devices"),
        (AttachBegin { note: "x".repeat(2_001), ..begin(number, 3) }, Code::InvalidArgument, "shorten"),
        (named("../a"), Code::InvalidArgument, "--name"),
        (named(".."), Code::InvalidArgument, "--name"),
        (named("a\u{1b}[31m"), Code::InvalidArgument, "--name"),
        (named("a\u{202e}gpj.exe"), Code::InvalidArgument, "--name"),
        (named(""), Code::InvalidArgument, "--name"),
    ] {
        // The stream stays open: nobody waits for the rest of it.
        let (pieces, stream) = mpsc::channel(1);
        pieces.send(AttachChunk { kind: Some(attach_chunk::Kind::Begin(begin)) }).await.unwrap();
        let refused = client.attach(ReceiverStream::new(stream)).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
        assert!(refused.message().contains(word), "{refused}");
    }
    let close = UpdateTicketRequest { number, close: true, ..UpdateTicketRequest::default() };
    client.update_ticket(close).await.unwrap();
    let closed = attach(&mut client, whole(begin(number, 3), b"abc")).await.unwrap_err();
    assert_eq!(closed.code(), Code::FailedPrecondition);
    let viewer = attach(&mut house.client("viewer").await, whole(begin(number, 3), b"abc")).await.unwrap_err();
    assert_eq!(viewer.code(), Code::PermissionDenied);
    assert_eq!((house.items().await, house.files("evidence"), house.files("scratch")), (0, 0, 0));
}

#[tokio::test]
async fn a_file_that_is_not_what_was_announced_is_dropped() {
    let house = House::open().await;
    let mut client = house.client("technician").await;
    let number = ticket(&mut client).await;
    let bytes = |text: &str| attach_chunk::Kind::Bytes(text.into());
    let first = || attach_chunk::Kind::Begin(begin(number, 3));
    for (kinds, code) in [
        (vec![], Code::InvalidArgument),
        (vec![bytes("abc")], Code::InvalidArgument),
        (vec![first(), first()], Code::InvalidArgument),
        (vec![first(), bytes("abcd"), sha256(b"abcd")], Code::DataLoss),
        (vec![first(), bytes("ab"), sha256(b"ab")], Code::DataLoss),
        (vec![first(), bytes("abc"), sha256(b"abd")], Code::DataLoss),
        (vec![first(), bytes("abc"), attach_chunk::Kind::Sha256(vec![7])], Code::DataLoss),
        (vec![first(), bytes("abc")], Code::Aborted),
    ] {
        let refused = attach(&mut client, kinds.clone()).await.unwrap_err();
        assert_eq!(refused.code(), code, "{kinds:?}: {refused}");
    }
    assert_eq!((house.items().await, house.files("evidence"), house.files("scratch")), (0, 0, 0));
    assert!(attach(&mut client, whole(begin(number, 3), b"abc")).await.is_ok(), "and the next one is taken");
}

#[tokio::test]
async fn one_who_hangs_up_on_the_way_leaves_nothing_behind() {
    let house = House::open().await;
    let mut client = house.client("technician").await;
    let number = ticket(&mut client).await;
    let (pieces, stream) = mpsc::channel(1);
    let mut leaving = house.client("technician").await;
    let call = tokio::spawn(async move { leaving.attach(ReceiverStream::new(stream)).await });
    for kind in [attach_chunk::Kind::Begin(begin(number, 2_000_000)), attach_chunk::Kind::Bytes(vec![7; 100_000])] {
        pieces.send(AttachChunk { kind: Some(kind) }).await.unwrap();
    }
    // Room for one more piece means that the one before is on its way.
    pieces.send(AttachChunk { kind: Some(attach_chunk::Kind::Bytes(vec![7; 100_000])) }).await.unwrap();
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!((house.items().await, house.files("evidence"), house.files("scratch")), (0, 0, 0));
    assert!(attach(&mut client, whole(begin(number, 3), b"abc")).await.is_ok());
}
