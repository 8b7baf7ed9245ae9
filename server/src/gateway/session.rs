//! One agent's session, from its greeting to its end.

use std::time::Duration;

use deskside_proto::v1::{FromAgent, Hello, Kept, ToAgent, Welcome, from_agent, to_agent};
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tonic::{Status, Streaming};
use tracing::{info, warn};
use uuid::Uuid;

use super::{Call, CutReason, GatewayParts, service::unavailable};
use crate::ingest;

/// A session that says nothing for so long is given up; agents say something every minute.
const SILENCE_MAX: Duration = Duration::from_mins(5);

/// A message that the agent does not take for so long ends the session.
const SEND_TIME: Duration = Duration::from_secs(30);

/// How long the last writes of a session that its agent has ended may take.
const LAST_WRITES_TIME: Duration = Duration::from_secs(10);

type Downward = mpsc::Sender<Result<ToAgent, Status>>;

/// Runs a session, and tells the agent why it ended where that is not the agent's own wish.
pub(super) async fn run(
    device: Uuid,
    parts: GatewayParts,
    call: Call,
    hello: Hello,
    incoming: Streaming<FromAgent>,
    downward: Downward,
) {
    let ended = converse(device, &parts, call, hello, incoming, &downward).await;
    let (code, reason) = match &ended {
        Ok(()) => ("Ok".to_owned(), String::new()),
        Err(status) => (format!("{:?}", status.code()), status.message().to_owned()),
    };
    info!(%device, code, reason, "session ended");
    if let Err(status) = ended {
        // Why: one who has gone does not learn why.
        downward.send_timeout(Err(status), SEND_TIME).await.ok();
    }
}

async fn converse(
    device: Uuid,
    parts: &GatewayParts,
    mut call: Call,
    hello: Hello,
    mut incoming: Streaming<FromAgent>,
    downward: &Downward,
) -> Result<(), Status> {
    let version = hello.agent_version.clone();
    let begun = parts.ingest.hello(device, hello, now_ms()).await.map_err(unavailable)?;
    let mut session = begun.session;
    let welcome = Welcome {
        kept_seq: begun.kept_seq,
        clock_ms: now_ms(),
        signed_policy: Some(parts.policy.clone()),
        ..Welcome::default()
    };
    send(downward, to_agent::Kind::Welcome(welcome)).await?;
    if let Some(want) = begun.want {
        send(downward, to_agent::Kind::WantSchemas(want)).await?;
    }
    info!(%device, version, kept_seq = begun.kept_seq, "session began");
    call.arrived();
    loop {
        let has_room = session.has_room();
        tokio::select! {
            biased;
            reason = cut(&mut call.cut) => return Err(reason),
            kept = session.durable(now_ms) => {
                let kept: Kept = kept.map_err(unavailable)?;
                send(downward, to_agent::Kind::Kept(kept)).await?;
            }
            Some(message) = call.outgoing.recv() => send_message(downward, message).await?,
            heard = tokio::time::timeout(SILENCE_MAX, incoming.message()), if has_room => {
                let heard = heard.map_err(|_elapsed| Status::deadline_exceeded("nothing was heard for five minutes"))?;
                let Some(message) = heard? else { return finish(session, downward).await };
                hear(device, &call, &mut session, message).await?;
            }
        }
    }
}

async fn hear(device: Uuid, call: &Call, session: &mut ingest::Session, message: FromAgent) -> Result<(), Status> {
    match message.kind {
        Some(from_agent::Kind::Batch(batch)) => {
            let taken = session.batch(batch, now_ms()).await.map_err(unavailable)?;
            taken.map_err(|refused| {
                warn!(%device, %refused, "batch refused");
                Status::invalid_argument(refused.to_string())
            })
        }
        Some(from_agent::Kind::Answer(answer)) => {
            call.answer(answer).await;
            Ok(())
        }
        Some(from_agent::Kind::Schemas(catalogue)) => session.schemas(catalogue, now_ms()).await.map_err(unavailable),
        Some(from_agent::Kind::Unchanged(unchanged)) => {
            session.unchanged(unchanged, now_ms()).await.map_err(unavailable)
        }
        Some(from_agent::Kind::Hello(_)) => Err(Status::invalid_argument("a session has one hello")),
        // Why: a newer agent may say what this server does not know; it must not need it.
        None => Ok(()),
    }
}

/// The agent has said its last: what is under way is written and acknowledged.
async fn finish(mut session: ingest::Session, downward: &Downward) -> Result<(), Status> {
    let writes = async {
        while session.is_waiting() {
            let kept = session.durable(now_ms).await.map_err(unavailable)?;
            send(downward, to_agent::Kind::Kept(kept)).await?;
        }
        Ok(())
    };
    tokio::time::timeout(LAST_WRITES_TIME, writes).await.unwrap_or(Ok(()))
}

/// Pends until the session is to end, and says why.
async fn cut(cut: &mut watch::Receiver<Option<CutReason>>) -> Status {
    let reason = cut.wait_for(Option::is_some).await.ok().and_then(|reason| *reason);
    match reason {
        Some(CutReason::Revoked) => Status::unauthenticated("this device was revoked; enrol again"),
        Some(CutReason::Stopping) => Status::unavailable("the server stops; come back in a moment"),
        Some(CutReason::Replaced) | None => Status::aborted("a newer session of this device is open"),
    }
}

async fn send(downward: &Downward, kind: to_agent::Kind) -> Result<(), Status> {
    send_message(downward, ToAgent { kind: Some(kind) }).await
}

async fn send_message(downward: &Downward, message: ToAgent) -> Result<(), Status> {
    let sent = downward.send_timeout(Ok(message), SEND_TIME).await;
    sent.map_err(|_error| Status::cancelled("the agent takes no more messages"))
}

fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}
