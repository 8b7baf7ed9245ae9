//! One TLS handshake, to its end whatever the certificates are worth: what they are and what speaks against them is the answer.

use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::host::Stream;

/// Most certificates of a chain that are kept.
const CHAIN_MAX: usize = 8;

/// Reads and writes of one handshake.
const TURNS_MAX: usize = 64;

/// What a handshake showed.
#[derive(Debug)]
pub(in crate::probe) struct Shaken {
    pub(in crate::probe) protocol: String,
    pub(in crate::probe) cipher: String,
    /// Certificates as they came, DER.
    pub(in crate::probe) chain: Vec<Vec<u8>>,
    /// What speaks against them; absent where nothing does.
    pub(in crate::probe) distrust: Option<Error>,
    /// The session, for what is said in it.
    pub(in crate::probe) session: ClientConnection,
}

/// Shakes hands as a client that trusts these roots and expects this name, at this time.
pub(in crate::probe) fn shake(
    stream: &mut dyn Stream,
    name: &str,
    roots: RootCertStore,
    alpn: &[&[u8]],
) -> anyhow::Result<Shaken> {
    let provider = Arc::new(default_provider());
    let witness = Arc::new(Witness::of(roots, Arc::clone(&provider))?);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS12, &TLS13])
        .context("choosing TLS 1.2 and 1.3")?
        .dangerous()
        .with_custom_certificate_verifier(Arc::<Witness>::clone(&witness))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).context("no name that a certificate could be for")?;
    let mut session = ClientConnection::new(Arc::new(config), name).context("beginning TLS")?;
    let mut turns = 0;
    while session.is_handshaking() {
        turns += 1;
        anyhow::ensure!(turns <= TURNS_MAX, "the handshake does not end");
        let mut stream = &mut *stream;
        session.complete_io(&mut stream).map_err(plain)?;
    }
    let seen = std::mem::take(&mut *witness.seen.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Shaken {
        protocol: session.protocol_version().map(protocol).unwrap_or_default(),
        cipher: session.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite())).unwrap_or_default(),
        chain: seen.chain,
        distrust: seen.distrust,
        session,
    })
}

/// What TLS says as an error is no silence.
fn plain(error: io::Error) -> io::Error {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).map(ToString::to_string);
    tls.map_or(error, |told| io::Error::new(ErrorKind::InvalidData, told))
}

fn protocol(version: rustls::ProtocolVersion) -> String {
    match version {
        rustls::ProtocolVersion::TLSv1_2 => "TLS 1.2".into(),
        rustls::ProtocolVersion::TLSv1_3 => "TLS 1.3".into(),
        other => format!("{other:?}"),
    }
}

#[derive(Debug, Default)]
struct Seen {
    chain: Vec<Vec<u8>>,
    distrust: Option<Error>,
}

/// Checks the chain, writes down what came of it, and lets the handshake go on: nothing but a test is said in this session.
#[derive(Debug)]
struct Witness {
    /// Absent where the machine trusts nobody at all.
    verifier: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Seen>,
}

impl Witness {
    fn of(roots: RootCertStore, provider: Arc<CryptoProvider>) -> anyhow::Result<Self> {
        let verifier = if roots.is_empty() {
            None
        } else {
            let building = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
            Some(building.build().context("reading the roots")?)
        };
        Ok(Self { verifier, provider, seen: Mutex::default() })
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let checked = match &self.verifier {
            Some(verifier) => {
                verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now).map(drop)
            }
            None => Err(Error::General("this machine trusts no root at all".into())),
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.chain = std::iter::once(end_entity).chain(intermediates).take(CHAIN_MAX).map(|der| der.to_vec()).collect();
        seen.distrust = checked.err();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
