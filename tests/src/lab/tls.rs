//! Services that speak TLS with certificates of our own making: right, ended, for another name, signed by somebody else.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use anyhow::Context;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};

use super::namespace::Namespace;
use super::serving::Serving;

/// Somebody who signs certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub pem: String,
    /// The same, DER.
    pub der: Vec<u8>,
}

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Valid {
    /// Until long after the test.
    Long,
    /// Until some day before it.
    Ended,
}

impl Authority {
    /// A new one.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = params.self_signed(&key)?;
        let (pem, der) = (own.pem(), own.der().to_vec());
        Ok(Self { issuer: Issuer::new(params, key), pem, der })
    }

    /// Serves TLS at an address, with a certificate for a name; every request is answered with `body` by HTTP.
    pub fn serve(
        &self,
        town: &Namespace,
        at: SocketAddr,
        name: &str,
        valid: Valid,
        body: &str,
    ) -> anyhow::Result<Serving> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        (params.not_before, params.not_after) = match valid {
            Valid::Long => (date_time_ymd(2020, 1, 1), date_time_ymd(2199, 1, 1)),
            Valid::Ended => (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 3, 4)),
        };
        let own = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], key)
            .context("the certificate of a server")?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let (config, body) = (Arc::new(config), body.to_owned());
        // A caller that hangs up in the middle is no trouble.
        Serving::tcp(town, at, move |stream| drop(answer(&config, stream, &body)))
    }
}

fn answer(config: &Arc<ServerConfig>, mut stream: TcpStream, body: &str) -> anyhow::Result<()> {
    let mut session = ServerConnection::new(Arc::clone(config))?;
    let mut line = rustls::Stream::new(&mut session, &mut stream);
    let mut asked = [0; 2048];
    if line.read(&mut asked)? > 0 {
        write!(line, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())?;
    }
    session.send_close_notify();
    session.complete_io(&mut stream)?;
    Ok(())
}
