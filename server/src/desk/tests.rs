//! The desk over a real connection, on a real store, with the gateway's switchboard in place of a network of agents.

mod admission;
mod attaching;
mod querying;

use std::sync::Arc;
use std::time::Duration;

use deskside_proto::invite;
use deskside_proto::rows::Row;
use deskside_proto::v1::desk_client::DeskClient;
use deskside_proto::v1::*;
use prost::Message as _;
use ring::digest::{SHA256, digest};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Status};
use uuid::Uuid;

use super::{Desk, Scratch};
use crate::blobs::Blobs;
use crate::case::{Cases, now_ms};
use crate::config;
use crate::custody::Custody;
use crate::gateway::{Call, StoredUpload, Switchboard, Uploads};
use crate::identity::Authority;
use crate::identity::personal::{self, Kept};
use crate::question::Questions;
use crate::store::{
    Arrival, Audit, Collections, Db, Deletion, Devices, EvidenceItems, Greeting, Keeping, NewCredential, NewDevice,
    NewTechnician, NewToken, Readings, Role, SealSeen, Store, Technicians, Tokens,
};
use crate::ticket::HelpDesks;

type Client =
    DeskClient<InterceptedService<Channel, Box<dyn FnMut(Request<()>) -> Result<Request<()>, Status> + Send>>>;

/// A server with one device, "desk-7", and three technicians, each with their role for a name.
struct House {
    folder: tempfile::TempDir,
    store: Arc<Db>,
    switchboard: Switchboard,
    cases: Cases,
    device: Uuid,
    address: String,
    desk: Desk,
}

impl House {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Db::open(&folder.path().join("store.db")).unwrap());
        for role in [Role::Viewer, Role::Technician, Role::Admin] {
            let name = role.to_string();
            let Kept { id, hash } = personal::kept(name.as_bytes()).unwrap();
            let credential = NewCredential { id, hash, expires_ms: i64::MAX };
            store.add_technician(NewTechnician { name, role, credential }, 1).await.unwrap();
        }
        let token = NewToken { id: "t".into(), secret_sha256: [7; 32], uses: 9, expires_ms: i64::MAX };
        store.add_token(token, 1).await.unwrap();
        let device = enrol(&store, "desk-7").await;
        let switchboard = Switchboard::new();
        let shared: Arc<dyn Store> = store.clone();
        let cases = Cases::start(shared.clone(), switchboard.clone()).await.unwrap();
        let blobs = Blobs::folder(&folder.path().join("evidence")).unwrap();
        let scratch = Scratch::open(&folder.path().join("scratch"), 4 * 1024 * 1024).unwrap();
        let questions = Questions::new(
            Arc::clone(&shared),
            blobs.clone(),
            switchboard.clone(),
            config::Questions::default(),
            folder.path().to_owned(),
        );
        tokio::spawn(questions.clone().keep_asking());
        let (rooms, seats) = (cases.clone(), switchboard.clone());
        let help_desks = HelpDesks::new(&[], Arc::clone(&shared), blobs.clone(), rooms, seats).unwrap();
        let authority = Arc::new(Authority::open(folder.path()).unwrap());
        let custody = Custody::new(store.clone(), authority, folder.path());
        let rooms = (help_desks, custody);
        let desk = Desk::new(shared, blobs, switchboard.clone(), cases.clone(), scratch, questions, rooms);
        let (known, desk) = (desk.clone(), desk);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(
            Server::builder().add_service(desk.into_service()).serve_with_incoming(TcpListenerStream::new(listener)),
        );
        Self { folder, store, switchboard, cases, device, address, desk: known }
    }

    async fn client(&self, who: &str) -> Client {
        self.bearer(who.as_bytes().to_vec()).await
    }

    async fn bearer(&self, token: Vec<u8>) -> Client {
        let value = invite::authorization(&token);
        let channel = Channel::from_shared(self.address.clone()).unwrap().connect().await.unwrap();
        DeskClient::with_interceptor(
            channel,
            Box::new(move |mut request| {
                request.metadata_mut().insert("authorization", value.parse().unwrap());
                Ok(request)
            }),
        )
    }

    fn agent(&self) -> Call {
        let call = self.switchboard.connect(self.device);
        call.arrived();
        call
    }

    /// A reading of one row, as the device streamed it.
    async fn streamed<R: Row>(&self, seq: u64, at_ms: i64, row: R) {
        let reading = Reading {
            table: R::TABLE.into(),
            at_ms,
            outcome: Outcome::Ok.into(),
            rows: vec![row.encode_to_vec().into()],
            ..Reading::default()
        };
        self.store
            .append(self.device, 1, vec![Arrival { seq, reading: Some(reading), lost: 0 }], now_ms())
            .await
            .unwrap();
    }

    /// An upload that is in the object store, as the gateway would tell.
    async fn uploaded(&self, collection: &str, bytes: &[u8]) {
        let file = self.folder.path().join("upload");
        std::fs::write(&file, bytes).unwrap();
        Blobs::folder(&self.folder.path().join("evidence")).unwrap().put_file("1/a.zip", &file).await.unwrap();
        let part = PartOutcome { name: "printers".into(), outcome: Outcome::Ok.into(), ..PartOutcome::default() };
        let upload = StoredUpload {
            device: self.device,
            collection: collection.parse().unwrap(),
            size: bytes.len() as u64,
            sha256: data_encoding::HEXLOWER.encode(digest(&SHA256, bytes).as_ref()),
            location: "1/a.zip".into(),
            parts: vec![part],
            seal: SealSeen::Good { statement_sha256: String::new() },
        };
        self.cases.stored(upload).await.unwrap();
    }
}

async fn enrol(store: &Db, name: &str) -> Uuid {
    let new = NewDevice { name: name.into(), agent_version: "0.1.0".into(), ..NewDevice::default() };
    let id = store.enrol([7; 32], new, 1).await.unwrap().unwrap().id;
    store.greet(id, Greeting { name: name.into(), epoch: 1, ..Greeting::default() }, now_ms()).await.unwrap();
    id
}

fn stopped() -> Printer {
    Printer {
        name: "front".into(),
        state: "stopped".into(),
        state_message: "jammed".into(),
        paused_by: "error".into(),
        accepting_jobs: true,
        ..Printer::default()
    }
}

async fn ticket(client: &mut Client) -> u64 {
    let new = NewTicketRequest { title: "cannot print".into(), devices: vec!["desk-7".into()], ..Default::default() };
    client.new_ticket(new).await.unwrap().into_inner().number
}

#[tokio::test]
async fn a_token_that_is_missing_wrong_or_too_weak_is_refused_with_what_to_do() {
    let house = House::open().await;
    let error = house.client("nobody").await.who_am_i(WhoAmIRequest {}).await.unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated);
    assert!(error.message().contains("technician add"), "{error}");
    let mut bare = DeskClient::connect(house.address.clone()).await.unwrap();
    assert_eq!(bare.who_am_i(WhoAmIRequest {}).await.unwrap_err().code(), Code::Unauthenticated);
    let mut viewer = house.client("viewer").await;
    assert_eq!(viewer.who_am_i(WhoAmIRequest {}).await.unwrap().into_inner().role, "viewer");
    let new = NewTicketRequest { title: "mine".into(), ..NewTicketRequest::default() };
    assert_eq!(viewer.new_ticket(new).await.unwrap_err().code(), Code::PermissionDenied);
    let ask = AskRequest { device: "desk-7".into(), tables: vec!["os".into()], ..AskRequest::default() };
    let probe = RunProbeRequest { device: "front".into(), ..RunProbeRequest::default() };
    assert_eq!(viewer.run_probe(probe).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(viewer.ask(ask).await.unwrap_err().code(), Code::PermissionDenied);
    house.store.revoke_technician("viewer").await.unwrap();
    assert_eq!(viewer.who_am_i(WhoAmIRequest {}).await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_device_shows_what_is_wrong_first_and_how_old_all_of_it_is() {
    let house = House::open().await;
    let at_ms = now_ms() - 5_000;
    house.streamed(1, at_ms, Os { hostname: "desk-7".into(), ..Os::default() }).await;
    house.streamed(2, at_ms, stopped()).await;
    let mut client = house.client("viewer").await;
    let known = client.get_device(GetDeviceRequest { device: "DESK-7".into() }).await.unwrap().into_inner();
    assert_eq!(known.findings[0].rule, "print-queue-stopped");
    let tables: Vec<(&str, u64, i64)> =
        known.tables.iter().map(|state| (state.table.as_str(), state.rows, state.at_ms)).collect();
    assert_eq!(tables, [("os", 1, at_ms), ("printers", 1, at_ms)]);
    assert_eq!(known.device.unwrap().findings, 1);
    let all = client.list_devices(ListDevicesRequest {}).await.unwrap().into_inner();
    assert_eq!(all.devices[0].findings, 1);
}

#[tokio::test]
async fn the_log_of_the_last_day_is_weighed_and_what_is_older_is_not() {
    let house = House::open().await;
    let now_ms = now_ms();
    for seq in 1..=100 {
        let at_ms = now_ms - 200_000 + i64::try_from(seq).unwrap() * 1_000;
        let event =
            LogEvent { at_ms, program: "sssd".into(), priority: Some(3), message: "no".into(), ..Default::default() };
        house.streamed(seq, at_ms, event).await;
    }
    let mut client = house.client("viewer").await;
    let mut titles = async |device: &str| {
        let known = client.get_device(GetDeviceRequest { device: device.into() }).await.unwrap().into_inner();
        known.findings.into_iter().map(|finding| finding.title).collect::<Vec<_>>()
    };
    let told = titles("desk-7").await;
    assert!(told.contains(&"sssd logged 100 errors in the last day; the latest: no".to_owned()), "{told:?}");
    let event = LogEvent { at_ms: now_ms + 2 * 86_400_000, ..LogEvent::default() };
    house.streamed(101, event.at_ms, event).await;
    let told = titles("desk-7").await;
    assert!(!told.iter().any(|title| title.contains("sssd")), "{told:?}");
}

#[tokio::test]
async fn a_log_is_shown_as_the_day_that_ends_with_its_latest_event() {
    let house = House::open().await;
    let begun_ms = now_ms() - 3 * 86_400_000;
    for (seq, hours) in [(1, 0), (2, 30), (3, 31), (4, 40)] {
        let at_ms = begun_ms + hours * 3_600_000;
        house.streamed(seq, at_ms, LogEvent { at_ms, message: format!("{hours} h"), ..Default::default() }).await;
    }
    let mut client = house.client("viewer").await;
    let mut shown = async |at_ms| {
        let request = ShowRequest { device: "desk-7".into(), table: "log_events".into(), at_ms };
        let reading = client.show(request).await.unwrap().into_inner().reading.unwrap();
        let messages = reading.rows.iter().map(|row| LogEvent::decode(row.as_ref()).unwrap().message);
        messages.collect::<Vec<_>>()
    };
    assert_eq!(shown(0).await, ["30 h", "31 h", "40 h"]);
    assert_eq!(shown(begun_ms + 31 * 3_600_000).await, ["30 h", "31 h"]);
}

#[tokio::test]
async fn names_that_mean_nothing_or_too_much_say_how_to_go_on() {
    let house = House::open().await;
    let mut client = house.client("technician").await;
    let error = client.get_device(GetDeviceRequest { device: "foo".into() }).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::NotFound, "no device \"foo\"; `deskside devices` lists them"));
    let twin = enrol(&house.store, "desk-7").await;
    let error = client.get_device(GetDeviceRequest { device: "desk-7".into() }).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains(&twin.to_string()), "{error}");
    let by_id = client.get_device(GetDeviceRequest { device: twin.to_string()[..8].into() }).await.unwrap();
    assert_eq!(by_id.into_inner().device.unwrap().id, twin.to_string());
}

#[tokio::test]
async fn what_is_too_long_or_out_of_bounds_is_refused() {
    let house = House::open().await;
    let mut client = house.client("technician").await;
    for title in ["", "two\nlines", &"x".repeat(201)] {
        let new = NewTicketRequest { title: title.into(), ..NewTicketRequest::default() };
        assert_eq!(client.new_ticket(new).await.unwrap_err().code(), Code::InvalidArgument, "{title:?}");
    }
    let number = ticket(&mut client).await;
    let ask = CollectRequest { device: "desk-7".into(), ticket: number, ..CollectRequest::default() };
    let wrong = [
        CollectRequest { before_s: u64::MAX, ..ask.clone() },
        CollectRequest { around_ms: now_ms() + 60_000, ..ask.clone() },
        CollectRequest { around_ms: 1, ..ask.clone() },
        CollectRequest { recipe: "pc-is-slow".into(), tables: vec!["os".into()], ..ask.clone() },
        CollectRequest { tables: vec!["os".into(); 65], ..ask.clone() },
    ];
    for request in wrong {
        assert_eq!(client.collect(request.clone()).await.unwrap_err().code(), Code::InvalidArgument, "{request:?}");
    }
    for request in [
        CollectRequest { recipe: "magic".into(), ..ask.clone() },
        CollectRequest { tables: vec!["passwords".into()], ..ask.clone() },
        CollectRequest { ticket: 99, ..ask },
    ] {
        assert_eq!(client.collect(request.clone()).await.unwrap_err().code(), Code::NotFound, "{request:?}");
    }
    let tail = TailRequest { device: "desk-7".into(), priority_max: 8, ..TailRequest::default() };
    assert_eq!(client.tail(tail).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_table_is_shown_as_it_was_at_a_time() {
    let house = House::open().await;
    house.streamed(1, 1_000, Os { kernel: "6.1".into(), ..Os::default() }).await;
    house.streamed(2, 2_000, Os { kernel: "6.2".into(), ..Os::default() }).await;
    let mut client = house.client("viewer").await;
    let mut kernel = async |at_ms| {
        let request = ShowRequest { device: "desk-7".into(), table: "os".into(), at_ms };
        let reply = client.show(request).await.unwrap().into_inner();
        reply.reading.map(|reading| Os::decode(reading.rows[0].clone()).unwrap().kernel)
    };
    assert_eq!(kernel(0).await.as_deref(), Some("6.2"));
    assert_eq!(kernel(1_500).await.as_deref(), Some("6.1"));
    assert_eq!(kernel(500).await, None);
}

#[tokio::test]
async fn a_question_to_a_device_that_is_off_says_since_when_and_what_is_known() {
    let house = House::open().await;
    house.streamed(1, 1_000, stopped()).await;
    let mut client = house.client("technician").await;
    let ask = AskRequest { device: "desk-7".into(), tables: vec!["printers".into()], ..AskRequest::default() };
    let error = client.ask(ask).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.message().starts_with("desk-7 is off or cannot be reached since "), "{error}");
    assert!(error.message().contains("`deskside show desk-7 TABLE` has what was known then (1 tables)"), "{error}");
}

#[tokio::test]
async fn a_question_is_answered_by_the_device_and_hanging_up_cancels_it() {
    let house = House::open().await;
    let mut call = house.agent();
    let mut client = house.client("technician").await;
    let ask = AskRequest { device: "desk-7".into(), tables: vec!["os".into()], ..AskRequest::default() };
    let mut answers = client.ask(ask).await.unwrap().into_inner();
    let Some(to_agent::Kind::Command(command)) = call.outgoing.recv().await.unwrap().kind else { panic!("no command") };
    let reading = Reading { table: "os".into(), outcome: Outcome::Empty.into(), ..Reading::default() };
    call.answer(Answer { id: command.id.clone(), readings: vec![reading], last: true, ..Answer::default() }).await;
    assert_eq!(answers.message().await.unwrap().unwrap().readings[0].table, "os");
    assert_eq!(answers.message().await.unwrap(), None);
    let tail = TailRequest { device: "desk-7".into(), priority_max: 4, ..TailRequest::default() };
    let live = client.tail(tail).await.unwrap();
    let Some(to_agent::Kind::Command(command)) = call.outgoing.recv().await.unwrap().kind else { panic!("no command") };
    drop(live);
    let cancelled = tokio::time::timeout(Duration::from_secs(10), call.outgoing.recv()).await.unwrap().unwrap();
    assert_eq!(cancelled.kind, Some(to_agent::Kind::Cancel(Cancel { id: command.id })));
}

#[tokio::test]
async fn an_escalated_ticket_gets_its_evidence_and_hands_it_out() {
    let house = House::open().await;
    let _agent = house.agent();
    house.streamed(1, now_ms(), stopped()).await;
    let mut client = house.client("technician").await;
    let number = ticket(&mut client).await;
    let update = UpdateTicketRequest { number, escalate: true, note: Some("urgent".into()), ..Default::default() };
    let changed = client.update_ticket(update).await.unwrap().into_inner();
    assert_eq!((changed.status.as_str(), changed.level), ("escalated", 2));
    let case = client.get_case(GetCaseRequest { number }).await.unwrap().into_inner();
    assert_eq!(case.devices[0].findings[0].rule, "print-queue-stopped");
    let id = case.collections[0].id.clone();
    let mut states = client.watch_collection(WatchCollectionRequest { id: id.clone() }).await.unwrap().into_inner();
    let bytes = vec![5_u8; 200_000];
    house.uploaded(&id, &bytes).await;
    let mut last = None;
    while let Some(state) = states.message().await.unwrap() {
        last = Some(state);
    }
    assert_eq!(last.unwrap().state, "done");
    let case = client.get_case(GetCaseRequest { number }).await.unwrap().into_inner();
    assert_eq!(case.ticket.unwrap().evidence, 1);
    let item = &case.evidence[0];
    let mut chunks = client.get_evidence(GetEvidenceRequest { id: item.id[..8].into() }).await.unwrap().into_inner();
    let head = chunks.message().await.unwrap().unwrap().evidence.unwrap();
    assert_eq!(head.custody.last().unwrap().what, "exported");
    let mut got = Vec::new();
    while let Some(chunk) = chunks.message().await.unwrap() {
        got.extend_from_slice(&chunk.bytes);
    }
    assert_eq!(got, bytes);
    let audit = house.store.audit(100).await.unwrap();
    let deeds: Vec<&str> = audit.iter().map(|line| line.what.as_str()).collect();
    assert_eq!(deeds, ["ticket", "ticket", "asked", "view", "collected", "stored", "verified", "view", "exported"]);
    assert_eq!(house.store.audit_broken_at().await.unwrap(), None);
}

#[tokio::test]
async fn evidence_that_was_deleted_is_still_listed_and_says_why_it_is_not_handed_out() {
    let house = House::open().await;
    let mut client = house.client("technician").await;
    let number = ticket(&mut client).await;
    client.update_ticket(UpdateTicketRequest { number, escalate: true, ..Default::default() }).await.unwrap();
    let case = client.get_case(GetCaseRequest { number }).await.unwrap().into_inner();
    house.uploaded(&case.collections[0].id, b"packets").await;
    let item = house.store.evidence(None).await.unwrap().pop().unwrap();
    let (who, why) = ("retention".into(), "captured packets are kept 7 days".into());
    let deletion = Deletion { item: item.clone(), who, why };
    house.store.begin_deletion(deletion.clone(), 1_768_478_400_000).await.unwrap().unwrap();
    house.store.end_deletion(&deletion, 1_768_478_400_000).await.unwrap();
    let listed = client.list_evidence(ListEvidenceRequest { ticket: number }).await.unwrap().into_inner().evidence;
    assert_eq!((listed[0].deleted_ms, listed[0].sha256.as_str()), (1_768_478_400_000, item.sha256.as_str()));
    assert!(listed[0].custody.last().unwrap().text.contains("captured packets are kept 7 days"));
    let refused = client.get_evidence(GetEvidenceRequest { id: item.id.to_string() }).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("was deleted on 2026-01-15"), "{refused}");
}

#[tokio::test]
async fn a_closed_ticket_takes_notes_and_nothing_else() {
    let house = House::open().await;
    let mut client = house.client("technician").await;
    let number = ticket(&mut client).await;
    let base = UpdateTicketRequest { number, ..UpdateTicketRequest::default() };
    let nothing = client.update_ticket(base.clone()).await.unwrap_err();
    assert_eq!(nothing.code(), Code::InvalidArgument);
    let assigned = UpdateTicketRequest { assign: Some("admin".into()), ..base.clone() };
    assert_eq!(client.update_ticket(assigned).await.unwrap().into_inner().assignee, "admin");
    let stranger = UpdateTicketRequest { assign: Some("eve".into()), ..base.clone() };
    assert_eq!(client.update_ticket(stranger).await.unwrap_err().code(), Code::NotFound);
    client.update_ticket(UpdateTicketRequest { close: true, ..base.clone() }).await.unwrap();
    client.update_ticket(UpdateTicketRequest { note: Some("thanks".into()), ..base.clone() }).await.unwrap();
    let again = client.update_ticket(UpdateTicketRequest { escalate: true, ..base }).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition);
    assert_eq!(client.list_tickets(ListTicketsRequest { all: false }).await.unwrap().into_inner().tickets, []);
    let case = client.get_case(GetCaseRequest { number }).await.unwrap().into_inner();
    let story: Vec<&str> = case.events.iter().map(|event| event.what.as_str()).collect();
    assert_eq!(story, ["opened", "linked", "assigned", "closed", "note"]);
}

#[tokio::test]
async fn a_collection_is_called_off_by_the_beginning_of_its_id() {
    let house = House::open().await;
    let mut client = house.client("technician").await;
    let number = ticket(&mut client).await;
    let ask =
        CollectRequest { device: "desk-7".into(), ticket: number, tables: vec!["os".into()], ..Default::default() };
    let collection = client.collect(ask).await.unwrap().into_inner();
    assert_eq!(collection.tables, ["os"]);
    let id = collection.id[..8].to_owned();
    let ended = client.cancel_collection(CancelCollectionRequest { id }).await.unwrap().into_inner();
    assert_eq!((ended.state.as_str(), ended.parts[0].reason.as_str()), ("cancelled", "cancelled by technician"));
    let kept = house.store.collection(collection.id.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(kept.parts.len(), 1);
}

#[tokio::test]
async fn evidence_is_asked_for_around_a_fault() {
    let house = House::open().await;
    let mut client = house.client("technician").await;
    let (number, around_ms) = (ticket(&mut client).await, now_ms() - 7_200_000);
    let ask = CollectRequest {
        device: "desk-7".into(),
        ticket: number,
        around_ms,
        before_s: 600,
        after_s: 300,
        ..Default::default()
    };
    let collection = client.collect(ask).await.unwrap().into_inner();
    assert_eq!((collection.from_ms, collection.to_ms), (around_ms - 600_000, around_ms + 300_000));
    assert!(collection.expires_ms > now_ms(), "it waits for the device from now on");
}

#[tokio::test]
async fn a_table_that_an_agent_brought_is_listed_and_shown() {
    let house = House::open().await;
    let column =
        ColumnSchema { name: "pages".into(), number: 1, r#type: ColumnType::Uint.into(), ..Default::default() };
    let schema = TableSchema { name: "fax".into(), columns: vec![column], ..TableSchema::default() };
    house.store.add_schemas(vec![schema], 1).await.unwrap();
    let reading = Reading {
        table: "fax".into(),
        at_ms: 5,
        outcome: Outcome::Ok.into(),
        rows: vec![vec![8, 42].into()],
        ..Reading::default()
    };
    house.store.append(house.device, 1, vec![Arrival { seq: 1, reading: Some(reading), lost: 0 }], 5).await.unwrap();
    let mut client = house.client("viewer").await;
    let tables = client.list_tables(ListTablesRequest {}).await.unwrap().into_inner().tables;
    assert!(tables.iter().any(|table| table.name == "fax"));
    let request = ShowRequest { device: "desk-7".into(), table: "fax".into(), at_ms: 0 };
    let reply = client.show(request).await.unwrap().into_inner();
    assert_eq!(reply.schema.unwrap().columns[0].name, "pages");
    assert_eq!(reply.reading.unwrap().rows.len(), 1);
    let known = client.get_device(GetDeviceRequest { device: "desk-7".into() }).await.unwrap().into_inner();
    assert!(known.tables.iter().any(|state| state.table == "fax"));
}
