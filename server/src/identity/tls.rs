//! TLS as the two listeners speak it: 1.3 only, our own authority, and a server certificate that is made anew before its end.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, UnixTime},
    server::{
        ClientHello, ResolvesServerCert, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
    version::TLS13,
};

use super::{Authority, Peer};

/// How often the server's certificate is made anew; a fraction of its lifetime.
const RENEW_EVERY: Duration = Duration::from_hours(30 * 24);

/// How long after its end a device's certificate still opens a connection. Why: a laptop that lay in a drawer must be able to renew; the gateway
/// lets such a device do nothing else.
const GRACE: Duration = Duration::from_hours(180 * 24);

/// What both listeners share.
pub struct ServerTls {
    authority: Arc<Authority>,
    provider: Arc<CryptoProvider>,
    own: Arc<Own>,
}

impl ServerTls {
    /// With a server certificate of now.
    pub fn new(authority: Arc<Authority>) -> Result<Self> {
        let own = Own(RwLock::new(Arc::new(authority.sign_server(SystemTime::now())?)));
        Ok(Self { authority, provider: Arc::new(ring::default_provider()), own: Arc::new(own) })
    }

    /// For agents: a client certificate of ours is checked where there is one. Whether one is needed depends on the call.
    pub fn agents(&self) -> Result<ServerConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.certificate().clone())?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .allow_unauthenticated()
            .build()
            .context("the verifier of device certificates")?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::new(DeviceVerifier(verifier)));
        finished(builder.with_cert_resolver(Arc::clone(&self.own) as Arc<dyn ResolvesServerCert>))
    }

    /// For technicians: who they are is in each call.
    pub fn desk(&self) -> Result<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth();
        finished(builder.with_cert_resolver(Arc::clone(&self.own) as Arc<dyn ResolvesServerCert>))
    }

    /// For the hooks of help desks, which speak HTTP/1.1: who they are is in the code of each hook.
    pub fn hooks(&self) -> Result<ServerConfig> {
        let mut config = self.desk()?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Makes the server's certificate anew from time to time; never returns.
    pub async fn renew(&self) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            match self.authority.sign_server(SystemTime::now()) {
                Ok(key) => *self.own.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key),
                Err(error) => tracing::error!(%error, "the server's certificate was not renewed"),
            }
        }
    }
}

fn finished(mut config: ServerConfig) -> Result<ServerConfig> {
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.ticketer = ring::Ticketer::new()?;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(config)
}

#[derive(Debug)]
struct Own(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Own {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Checks a device's certificate as usual, but lets one that ended lately through.
#[derive(Debug)]
struct DeviceVerifier(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for DeviceVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let strict = self.0.verify_client_cert(end_entity, intermediates, now);
        let is_expired = matches!(
            strict,
            Err(Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }))
        );
        if !is_expired {
            return strict;
        }
        let Ok(peer) = Peer::read(end_entity) else { return strict };
        let ended = peer.not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if now.as_secs() > (ended + GRACE).as_secs() {
            return strict;
        }
        self.0.verify_client_cert(end_entity, intermediates, UnixTime::since_unix_epoch(ended))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }

    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }
}
