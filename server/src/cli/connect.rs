//! The way to the server: TLS to the CA whose fingerprint the login carries, and the technician's secret on every call.

use std::time::Duration;

use anyhow::Context;
use data_encoding::HEXLOWER;
use deskside_proto::v1::desk_client::DeskClient;
use deskside_proto::{SERVER_NAME, first_contact, invite};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status};
use tower::service_fn;

use super::config::Login;
use super::screen::{self, Line};
use super::trouble::Trouble;

/// How long one address may take to answer.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How often a silent connection is asked whether it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Largest answer that is taken: a list of ten thousand devices fits.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The server's desk.
pub(super) type Desk = DeskClient<InterceptedService<Channel, Technician>>;

/// Puts the technician's secret on every call.
#[derive(Clone)]
pub(super) struct Technician {
    authorization: MetadataValue<Ascii>,
}

impl Interceptor for Technician {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.authorization.clone());
        Ok(request)
    }
}

/// Connects to the first address that answers with a certificate of the right CA. A token that ends soon is warned of.
pub(super) async fn open(login: &Login) -> anyhow::Result<Desk> {
    if let Some(warning) = login.warning(jiff::Timestamp::now().as_millisecond()) {
        screen::note(Line::default().warn("! ").plain(warning))?;
    }
    let secret = HEXLOWER.decode(login.secret.as_bytes()).context("the login's secret is not hexadecimal")?;
    let ca_sha256 =
        HEXLOWER.decode(login.ca_sha256.as_bytes()).context("the login's fingerprint is not hexadecimal")?;
    let mut authorization: MetadataValue<Ascii> = invite::authorization(&secret).parse()?;
    authorization.set_sensitive(true);
    let tls = TlsConnector::from(first_contact::tls(&ca_sha256)?);
    let addresses = login.addresses.clone();
    let endpoint = Endpoint::from_shared(format!("http://{SERVER_NAME}"))?
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_while_idle(true);
    let connector = service_fn(move |_uri: Uri| dial(addresses.clone(), tls.clone()));
    let channel = endpoint.connect_with_connector(connector).await.map_err(|error| unreachable(login, &error))?;
    let desk = DeskClient::with_interceptor(channel, Technician { authorization });
    Ok(desk.max_decoding_message_size(ANSWER_BYTES_MAX))
}

type Socket = TokioIo<tokio_rustls::client::TlsStream<TcpStream>>;

async fn dial(addresses: Vec<String>, tls: TlsConnector) -> anyhow::Result<Socket> {
    let mut failures = Vec::new();
    for address in addresses {
        match tokio::time::timeout(CONNECT_MAX, shake_hands(&address, &tls)).await {
            Ok(Ok(line)) => return Ok(line),
            Ok(Err(error)) => failures.push(format!("{address}: {error:#}")),
            Err(_elapsed) => failures.push(format!("{address}: no answer in {} s", CONNECT_MAX.as_secs())),
        }
    }
    Err(anyhow::anyhow!(failures.join("; ")))
}

async fn shake_hands(address: &str, tls: &TlsConnector) -> anyhow::Result<Socket> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(SERVER_NAME)?;
    Ok(TokioIo::new(tls.connect(name, stream).await?))
}

/// The innermost cause says what happened; the layers above only that something did.
fn unreachable(login: &Login, error: &(dyn std::error::Error + 'static)) -> Trouble {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let addresses = login.addresses.join(", ");
    let said = cause.to_string();
    if said.contains(first_contact::OTHER_CA) || said.contains(FORGED) {
        let advice = "do not go on; ask an administrator whether the server was set up anew, and for a new token";
        return Trouble::new(format!("what answers at {addresses} is not the server of this login"), advice);
    }
    let advice = "see that the server runs and that its desk port can be reached from here";
    Trouble::new(format!("the server cannot be reached: {cause}"), advice)
}

/// How rustls words a certificate that fails the check.
const FORGED: &str = "invalid peer certificate";
