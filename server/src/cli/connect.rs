//! The way to the server: TLS to the CA whose fingerprint the login carries, and the technician's secret on every call.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use data_encoding::HEXLOWER;
use deskside_proto::v1::desk_client::DeskClient;
use deskside_proto::{SERVER_NAME, invite};
use hyper_util::rt::TokioIo;
use ring::digest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status};
use tower::service_fn;

use super::config::Login;
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

/// Connects to the first address that answers with a certificate of the right CA.
pub(super) async fn open(login: &Login) -> anyhow::Result<Desk> {
    let secret = HEXLOWER.decode(login.secret.as_bytes()).context("the login's secret is not hexadecimal")?;
    let ca_sha256 =
        HEXLOWER.decode(login.ca_sha256.as_bytes()).context("the login's fingerprint is not hexadecimal")?;
    let mut authorization: MetadataValue<Ascii> = invite::authorization(&secret).parse()?;
    authorization.set_sensitive(true);
    let tls = TlsConnector::from(Arc::new(tls(ca_sha256)?));
    let addresses = login.addresses.clone();
    let endpoint = Endpoint::from_shared(format!("http://{SERVER_NAME}"))?
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_while_idle(true);
    let connector = service_fn(move |_uri: Uri| dial(addresses.clone(), tls.clone()));
    let channel = endpoint.connect_with_connector(connector).await.map_err(|error| unreachable(login, &error))?;
    let desk = DeskClient::with_interceptor(channel, Technician { authorization });
    Ok(desk.max_decoding_message_size(ANSWER_BYTES_MAX))
}

type Line = TokioIo<tokio_rustls::client::TlsStream<TcpStream>>;

async fn dial(addresses: Vec<String>, tls: TlsConnector) -> anyhow::Result<Line> {
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

async fn shake_hands(address: &str, tls: &TlsConnector) -> anyhow::Result<Line> {
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
    if cause.to_string().contains(FORGED) {
        let advice = "do not go on; ask an administrator whether the server was set up anew, and for a new token";
        return Trouble::new(format!("what answers at {addresses} is not the server of this login"), advice);
    }
    let advice = "see that the server runs and that its desk port can be reached from here";
    Trouble::new(format!("the server cannot be reached: {cause}"), advice)
}

/// How rustls words a certificate that fails the check below.
const FORGED: &str = "invalid peer certificate";

fn tls(ca_sha256: Vec<u8>) -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(PinnedCa { ca_sha256, provider: Arc::clone(&provider) });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Trusts one CA: the one whose fingerprint is known. The server sends the CA along, and its own certificate must come from it.
#[derive(Debug)]
struct PinnedCa {
    ca_sha256: Vec<u8>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedCa {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let fingerprint = |der: &CertificateDer<'_>| digest::digest(&digest::SHA256, der).as_ref() == self.ca_sha256;
        let ca = intermediates.iter().find(|der| fingerprint(der));
        let ca = ca.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
