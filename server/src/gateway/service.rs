//! The service `AgentGateway`: who may call what.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Result;
use deskside_proto::{
    MESSAGE_BYTES_MAX,
    v1::{
        EnrollReply, EnrollRequest, FromAgent, RenewReply, RenewRequest, SignedPolicy, ToAgent, UploadChunk,
        UploadState,
        agent_gateway_server::{AgentGateway, AgentGatewayServer},
        from_agent,
    },
};
use jiff::Timestamp;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::{error, info, warn};
use uuid::Uuid;

use super::{LineEnd, Staging, Switchboard, Uploads, receive, session};
use crate::{
    identity::{Authority, Peer, hash},
    ingest::Ingest,
    store::{NewDevice, Store},
};

/// How long a session's first message may take.
const HELLO_TIME: Duration = Duration::from_secs(20);

/// Messages on their way down one session's stream.
const DOWNWARD_MAX: usize = 16;

/// How often revocations are looked for; they may come from another process.
const REVOCATIONS_EVERY: Duration = Duration::from_millis(250);

/// Revoked devices that a slow listener may be behind.
const REVOKED_MAX: usize = 1024;

/// Longest host name that is taken.
const NAME_CHARS_MAX: usize = 255;

/// What the gateway needs.
#[derive(Clone)]
pub struct GatewayParts {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The way in for readings.
    pub ingest: Ingest,
    /// The authority that signs devices' certificates.
    pub authority: Arc<Authority>,
    /// Where uploads wait until they are whole, and where they go.
    pub staging: Staging,
    /// The collections.
    pub uploads: Arc<dyn Uploads>,
    /// The way to devices.
    pub switchboard: Switchboard,
    /// The policy in force.
    pub policy: SignedPolicy,
    /// How long a device's certificate is good.
    pub certificate_lifetime: Duration,
}

/// The service; cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    parts: GatewayParts,
    revoked: broadcast::Sender<Uuid>,
}

impl Gateway {
    /// Of these parts.
    pub fn new(parts: GatewayParts) -> Self {
        Self { parts, revoked: broadcast::Sender::new(REVOKED_MAX) }
    }

    /// As tonic serves it.
    pub fn into_server(self) -> AgentGatewayServer<Self> {
        AgentGatewayServer::new(self)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Cuts devices off as soon as they are revoked, by whatever process; never returns.
    pub async fn watch_revocations(self) -> std::convert::Infallible {
        let mut mark = 0;
        loop {
            match self.parts.store.revocations(mark).await {
                Ok((devices, next)) => {
                    mark = next;
                    for device in devices {
                        self.parts.switchboard.cut(device, super::CutReason::Revoked);
                        // Why: nobody is uploading, mostly.
                        self.revoked.send(device).ok();
                    }
                }
                Err(error) => error!(error = format!("{error:#}"), "revocations could not be read"),
            }
            tokio::time::sleep(REVOCATIONS_EVERY).await;
        }
    }

    /// The device behind a call: shown by certificate, enrolled, not revoked.
    async fn device<T>(&self, request: &Request<T>) -> Result<Peer, Status> {
        let end = request.extensions().get::<LineEnd>();
        let peer = end.and_then(|end| end.peer.clone());
        let peer =
            peer.ok_or_else(|| Status::unauthenticated("this call needs the device's certificate; enrol first"))?;
        let peer = peer.map_err(|error| Status::unauthenticated(error.to_string()))?;
        self.admitted(peer.device).await?;
        Ok(peer)
    }

    async fn admitted(&self, device: Uuid) -> Result<(), Status> {
        let known = self.parts.store.device(device).await.map_err(unavailable)?;
        match known {
            None => Err(Status::unauthenticated("this device is not known here; enrol again")),
            Some(known) if known.revoked => Err(Status::unauthenticated("this device was revoked; enrol again")),
            Some(_) => Ok(()),
        }
    }

    /// As `device`, and the certificate has not ended.
    async fn current_device<T>(&self, request: &Request<T>) -> Result<Uuid, Status> {
        let peer = self.device(request).await?;
        if peer.is_expired(SystemTime::now()) {
            return Err(Status::unauthenticated("the device's certificate has expired; renew it first"));
        }
        Ok(peer.device)
    }

    async fn enrolled(&self, request: EnrollRequest) -> Result<EnrollReply, Status> {
        let now_ms = Timestamp::now().as_millisecond();
        let secret = hash(&request.secret);
        let refusal = self.parts.store.token_refusal(secret, now_ms).await.map_err(unavailable)?;
        if let Some(refusal) = refusal {
            warn!(%refusal, "enrolment refused");
            return Err(Status::permission_denied(refusal.to_string()));
        }
        // Why before the token is used up: a machine that sends a bad request may try again.
        self.sign(&request.csr_der, Uuid::nil())?;
        let device = NewDevice {
            name: plain(&request.hostname),
            machine: plain(&request.machine),
            agent_version: plain(&request.agent_version),
        };
        let enrolled = self.parts.store.enrol(secret, device, now_ms).await.map_err(unavailable)?;
        let enrolment = enrolled.map_err(|refusal| Status::permission_denied(refusal.to_string()))?;
        info!(device = %enrolment.id, again = enrolment.before.is_some(), "device enrolled");
        Ok(EnrollReply {
            device_id: enrolment.id.to_string(),
            certificate_der: self.sign(&request.csr_der, enrolment.id)?,
            ca_der: self.parts.authority.certificate().to_vec(),
        })
    }

    fn sign(&self, csr: &[u8], device: Uuid) -> Result<Vec<u8>, Status> {
        let lifetime = self.parts.certificate_lifetime;
        let signed = self.parts.authority.sign_device(csr, device, SystemTime::now(), lifetime);
        Ok(signed.map_err(|refused| Status::invalid_argument(refused.to_string()))?.to_vec())
    }
}

#[tonic::async_trait]
impl AgentGateway for Gateway {
    type SessionStream = ReceiverStream<Result<ToAgent, Status>>;
    type UploadStream = ReceiverStream<Result<UploadState, Status>>;

    async fn enroll(&self, request: Request<EnrollRequest>) -> Result<Response<EnrollReply>, Status> {
        Ok(Response::new(self.enrolled(request.into_inner()).await?))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewReply>, Status> {
        let peer = self.device(&request).await?;
        let certificate_der = self.sign(&request.into_inner().csr_der, peer.device)?;
        info!(device = %peer.device, "certificate renewed");
        Ok(Response::new(RenewReply { certificate_der }))
    }

    async fn session(&self, request: Request<Streaming<FromAgent>>) -> Result<Response<Self::SessionStream>, Status> {
        let device = self.current_device(&request).await?;
        let mut incoming = request.into_inner();
        let first = tokio::time::timeout(HELLO_TIME, incoming.message()).await;
        let first = first.map_err(|_elapsed| Status::deadline_exceeded("no hello within its time"))??;
        let Some(from_agent::Kind::Hello(hello)) = first.and_then(|message| message.kind) else {
            return Err(Status::invalid_argument("a session begins with hello"));
        };
        if Uuid::try_parse(&hello.device_id) != Ok(device) {
            warn!(%device, "hello claims another device's identity");
            return Err(Status::permission_denied("hello says another device than the certificate"));
        }
        let call = self.parts.switchboard.connect(device);
        // Why again, after the line is open: from here on a revocation cuts it; one just before is seen now.
        self.admitted(device).await?;
        let (downward, stream) = mpsc::channel(DOWNWARD_MAX);
        let parts = self.parts.clone();
        tokio::spawn(async move { session::run(device, parts, call, hello, incoming, downward).await });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn upload(&self, request: Request<Streaming<UploadChunk>>) -> Result<Response<Self::UploadStream>, Status> {
        let device = self.current_device(&request).await?;
        let mut revoked = self.revoked.subscribe();
        self.admitted(device).await?;
        let (states, stream) = mpsc::channel(DOWNWARD_MAX);
        let parts = self.parts.clone();
        tokio::spawn(async move {
            let is_revoked = async move {
                loop {
                    match revoked.recv().await {
                        Ok(other) if other != device => {}
                        Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
                        Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                    }
                }
            };
            let received = tokio::select! {
                () = is_revoked => Err(Status::unauthenticated("this device was revoked; enrol again")),
                received = receive::receive(device, &parts, request.into_inner(), &states) => received,
            };
            if let Err(status) = received {
                warn!(%device, code = %status.code(), reason = status.message(), "upload ended");
                // Why: one who has gone does not learn why.
                states.send(Err(status)).await.ok();
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// What an agent is told of a fault on this side: that it is one, and to come back.
pub(super) fn unavailable(error: anyhow::Error) -> Status {
    error!(error = format!("{error:#}"), "the gateway could not do its work");
    drop(error);
    Status::unavailable("the server cannot do that now; try again later")
}

fn plain(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(NAME_CHARS_MAX).collect()
}
