//! The line to the server: sockets, TLS and streams, and nothing that decides. What happens on it becomes an [`Event`].

use std::error::Error;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::v1::agent_gateway_client::AgentGatewayClient;
use deskside_proto::v1::{FromAgent, RenewRequest};
use deskside_proto::{MESSAGE_BYTES_MAX, SERVER_NAME};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::identity::{self, Identity};
use super::{Ending, Event, WINDOW_BATCHES, trust};

/// Messages on their way to the socket. Room for a full window and for what is said besides.
pub const OUTGOING_MAX: usize = 2 * WINDOW_BATCHES;

/// From the first packet to a TLS session, for each address.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// HTTP/2 pings on a silent line, so that a line that died without a word is noticed.
const PING_EVERY: Duration = Duration::from_secs(40);

/// A ping without an answer ends the line.
const PING_TIME: Duration = Duration::from_secs(20);

/// A call that is not a stream.
const CALL_TIME: Duration = Duration::from_secs(20);

/// HTTP/2 windows: what the server may send unasked.
const HTTP2_WINDOW_BYTES: u32 = 64 * 1024;

/// The client of the agents' gateway.
pub type Client = AgentGatewayClient<Channel>;

/// Connects to the first address that answers.
pub async fn connect(addresses: &[String], tls: Arc<ClientConfig>) -> Result<Client, tonic::transport::Error> {
    let addresses: Arc<[String]> = addresses.into();
    let connector = tower::service_fn(move |_uri| {
        let (addresses, tls) = (Arc::clone(&addresses), Arc::clone(&tls));
        async move { first(&addresses, &tls).await.map(TokioIo::new) }
    });
    // Why http: TLS is the connector's, and tonic is not to look for its own.
    let channel = Endpoint::from_static("http://deskside-server")
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIME)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(HTTP2_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_WINDOW_BYTES)
        .buffer_size(OUTGOING_MAX)
        .connect_with_connector(connector)
        .await?;
    Ok(AgentGatewayClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX))
}

async fn first(addresses: &[String], tls: &Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    let mut latest = std::io::Error::other("no address of a server is known; enrol again");
    for address in addresses {
        match tokio::time::timeout(CONNECT_TIME, one(address, tls)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => latest = error,
            Err(_elapsed) => {
                latest = std::io::Error::new(ErrorKind::TimedOut, format!("{address} does not answer"));
            }
        }
    }
    Err(latest)
}

async fn one(address: &str, tls: &Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address)
        .await
        .map_err(|error| std::io::Error::new(error.kind(), format!("{address}: {error}")))?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from(SERVER_NAME).map_err(std::io::Error::other)?;
    TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await
}

/// A session in being, or on its way. Dropping it ends it at once.
#[derive(Debug)]
pub struct Session {
    outgoing: mpsc::Sender<FromAgent>,
    task: JoinHandle<()>,
}

impl Session {
    /// Opens a session; what happens in it arrives as events that carry its number.
    pub fn open(number: u64, identity: Arc<Identity>, events: mpsc::Sender<Event>) -> Self {
        let (outgoing, messages) = mpsc::channel(OUTGOING_MAX);
        let task = tokio::spawn(async move {
            let ending = run(number, &identity, messages, &events).await;
            // A receiver that is gone no longer wants to know.
            events.send(Event::Closed(number, ending)).await.ok();
        });
        Self { outgoing, task }
    }

    /// Puts a message on its way; false where there is no room, which the window should not let happen.
    pub fn send(&self, message: FromAgent) -> bool {
        self.outgoing.try_send(message).is_ok()
    }

    /// Messages that can still be put on their way.
    pub fn room(&self) -> usize {
        self.outgoing.capacity()
    }

    /// Lets what is on its way go out, then ends.
    pub async fn close(mut self, within: Duration) {
        let (closed, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.outgoing, closed));
        tokio::time::timeout(within, &mut self.task).await.ok();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    number: u64,
    identity: &Identity,
    messages: mpsc::Receiver<FromAgent>,
    events: &mpsc::Sender<Event>,
) -> Ending {
    let tls = match trust::mutual(identity) {
        Ok(tls) => tls,
        Err(error) => return Ending::Refused(format!("{error:#}")),
    };
    let mut client = match connect(&identity.addresses, tls).await {
        Ok(client) => client,
        Err(error) => return ending(&error),
    };
    // Why before the call: the server may wait for Hello before it answers at all.
    if events.send(Event::Opened(number)).await.is_err() {
        return Ending::Lost("stopped".into());
    }
    let mut incoming = match client.session(ReceiverStream::new(messages)).await {
        Ok(response) => response.into_inner(),
        Err(status) => return ending_of(&status),
    };
    loop {
        match incoming.message().await {
            Ok(Some(message)) => {
                if let Some(kind) = message.kind
                    && events.send(Event::Heard(number, kind)).await.is_err()
                {
                    return Ending::Lost("stopped".into());
                }
            }
            Ok(None) => return Ending::Lost("the server ended the session".into()),
            Err(status) => return ending_of(&status),
        }
    }
}

/// Asks for a new certificate under the same identity, for a new key.
pub async fn renew(identity: &Identity) -> anyhow::Result<Identity> {
    let wanted = tokio::task::spawn_blocking(identity::want).await??;
    let mut client = connect(&identity.addresses, trust::mutual(identity)?).await.context("connecting")?;
    let mut request = tonic::Request::new(RenewRequest { csr_der: wanted.csr });
    request.set_timeout(CALL_TIME);
    let reply = client.renew(request).await.map_err(said).context("renewing the certificate")?.into_inner();
    let renewed = Identity { certificate: reply.certificate_der, key: wanted.key, ..identity.clone() };
    trust::mutual(&renewed).context("the server's answer does not fit our key")?;
    Ok(renewed)
}

/// An error that says what the server said, without the transport's details.
pub fn said(status: Status) -> anyhow::Error {
    if status.message().is_empty() { anyhow::Error::new(status) } else { anyhow::anyhow!("{}", status.message()) }
}

/// What a status means for the next attempt.
pub fn ending_of(status: &Status) -> Ending {
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => Ending::Refused(status.message().into()),
        _ if status.source().is_some() => ending(status),
        _ => {
            Ending::Lost(if status.message().is_empty() { status.code().to_string() } else { status.message().into() })
        }
    }
}

/// What a broken line means for the next attempt, in the words of the innermost cause.
pub fn ending(error: &(dyn Error + 'static)) -> Ending {
    let mut next = Some(error);
    let mut words = String::new();
    while let Some(cause) = next {
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()).or_else(|| cause.downcast_ref());
        if let Some(refusal) = tls.and_then(refusal) {
            return Ending::Refused(refusal.into());
        }
        words = match cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
            Some(ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                return Ending::Lost("the server closed the line".into());
            }
            _ => cause.to_string(),
        };
        next = cause.source();
    }
    Ending::Lost(words)
}

fn refusal(error: &rustls::Error) -> Option<&'static str> {
    let rustls::Error::AlertReceived(alert) = error else { return None };
    match alert {
        AlertDescription::CertificateExpired => Some("the device's certificate has expired; enrol again"),
        AlertDescription::CertificateRevoked => Some("this device was revoked; enrol again"),
        AlertDescription::UnknownCA | AlertDescription::BadCertificate | AlertDescription::DecryptError => {
            Some("the server does not accept the device's certificate; enrol again")
        }
        AlertDescription::AccessDenied | AlertDescription::CertificateUnknown => {
            Some("the server does not let this device in; enrol again")
        }
        _ => None,
    }
}
