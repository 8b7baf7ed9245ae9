//! A whole server on real sockets, with agents made by hand that say what no agent should.

mod sessions;
mod uploads;
mod welcome;

use std::time::SystemTime;

use deskside_proto::{
    SERVER_NAME,
    v1::{
        EnrollReply, EnrollRequest, FromAgent, Hello, ToAgent, agent_gateway_client::AgentGatewayClient, from_agent,
        to_agent,
    },
};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
};
use tokio::net::TcpStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Status, Streaming,
    transport::{Channel, Endpoint},
};
use uuid::Uuid;

use super::*;
use crate::{
    identity::{Secret, hash},
    store::NewToken,
};

type Client = AgentGatewayClient<Channel>;

/// Far above what any step here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server on a folder of its own.
struct World {
    folder: tempfile::TempDir,
    server: Server,
}

/// An agent made by hand.
#[derive(Clone)]
struct Agent {
    id: Uuid,
    certificate: CertificateDer<'static>,
    key: Arc<KeyPair>,
}

impl World {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = start(folder.path()).await.unwrap();
        Self { folder, server }
    }

    async fn restart(self) -> Self {
        self.server.stop().await.unwrap();
        let server = start(self.folder.path()).await.unwrap();
        Self { folder: self.folder, server }
    }

    /// Another handle to the store, as another process has it.
    fn store(&self) -> Db {
        Db::open(&self.server.folder.store()).unwrap()
    }

    fn authority(&self) -> Authority {
        Authority::open(&self.server.folder.identity().unwrap()).unwrap()
    }

    async fn token(&self, uses: u32, expires_ms: i64) -> Secret {
        use crate::store::Tokens;
        let secret = Secret::draw().unwrap();
        let token = NewToken { id: Uuid::new_v4().to_string(), secret_sha256: hash(secret.bytes()), uses, expires_ms };
        self.store().add_token(token, 0).await.unwrap();
        secret
    }

    async fn enroll(&self, secret: &[u8]) -> Result<(EnrollReply, Arc<KeyPair>), Status> {
        let key = Arc::new(KeyPair::generate().unwrap());
        let request = EnrollRequest {
            secret: secret.to_vec(),
            csr_der: request(&key),
            hostname: "desk-1".into(),
            machine: "m".into(),
            agent_version: "0".into(),
        };
        let mut client = self.connect(None).await.unwrap();
        Ok((client.enroll(request).await?.into_inner(), key))
    }

    async fn agent(&self) -> Agent {
        let secret = self.token(1, i64::MAX).await;
        let (reply, key) = self.enroll(secret.bytes()).await.unwrap();
        assert_eq!(reply.ca_der, self.authority().certificate().as_ref());
        Agent { id: reply.device_id.parse().unwrap(), certificate: reply.certificate_der.into(), key }
    }

    /// A connection, with an agent's certificate or without one.
    async fn connect(&self, agent: Option<&Agent>) -> Result<Client, tonic::transport::Error> {
        let tls = Arc::new(client_tls(self.authority().certificate(), agent));
        let address = self.server.addresses().agents;
        let connector = tower::service_fn(move |_uri| {
            let tls = tokio_rustls::TlsConnector::from(Arc::clone(&tls));
            async move {
                let tcp = TcpStream::connect(address).await?;
                let stream = tls.connect(ServerName::try_from(SERVER_NAME).unwrap(), tcp).await?;
                std::io::Result::Ok(TokioIo::new(stream))
            }
        });
        let channel = Endpoint::from_static("http://deskside-server").connect_with_connector(connector).await?;
        Ok(AgentGatewayClient::new(channel).max_encoding_message_size(usize::MAX))
    }

    /// A session that begins with this greeting.
    async fn session(&self, agent: &Agent, hello: Hello) -> Result<Session, Status> {
        let mut client = self.connect(Some(agent)).await.map_err(|error| Status::unavailable(error.to_string()))?;
        let (up, messages) = tokio::sync::mpsc::channel(64);
        up.send(FromAgent { kind: Some(from_agent::Kind::Hello(hello)) }).await.unwrap();
        let down = client.session(ReceiverStream::new(messages)).await?.into_inner();
        Ok(Session { up, down })
    }

    /// A session that has been welcomed.
    async fn welcomed(&self, agent: &Agent) -> (Session, u64) {
        let mut session = self.session(agent, agent.hello()).await.unwrap();
        let to_agent::Kind::Welcome(welcome) = session.next().await.unwrap() else { panic!("no welcome") };
        (session, welcome.kept_seq)
    }
}

/// A session, at the agent's end.
struct Session {
    up: tokio::sync::mpsc::Sender<FromAgent>,
    down: Streaming<ToAgent>,
}

impl Session {
    async fn say(&self, kind: from_agent::Kind) {
        self.up.send(FromAgent { kind: Some(kind) }).await.unwrap();
    }

    async fn next(&mut self) -> Result<to_agent::Kind, Status> {
        let message = tokio::time::timeout(PATIENCE, self.down.message()).await.expect("the server says something")?;
        message.and_then(|message| message.kind).ok_or_else(|| Status::ok("the session ended"))
    }

    /// How the session ends.
    async fn end(&mut self) -> Status {
        loop {
            if let Err(status) = self.next().await {
                return status;
            }
        }
    }
}

impl Agent {
    fn hello(&self) -> Hello {
        let clock_ms = Timestamp::now().as_millisecond();
        Hello { device_id: self.id.to_string(), epoch: 3, last_seq: 1000, clock_ms, ..Hello::default() }
    }
}

async fn start(data: &std::path::Path) -> Result<Server> {
    let mut config = Config::default();
    config.agents.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.desk.listen = config.agents.listen;
    config.evidence.bundle_bytes_max = 20 * 1024 * 1024;
    Server::start(Options { data: data.to_owned(), config }).await
}

fn request(key: &KeyPair) -> Vec<u8> {
    CertificateParams::default().serialize_request(key).unwrap().der().to_vec()
}

fn client_tls(ca: &CertificateDer<'static>, agent: Option<&Agent>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match agent {
        None => builder.with_no_client_auth(),
        Some(agent) => {
            let key = PrivateKeyDer::try_from(agent.key.serialize_der()).unwrap();
            builder.with_client_auth_cert(vec![agent.certificate.clone()], key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Waits for a condition of the server, looked at often.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waited = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap_or_else(|_elapsed| panic!("never: {what}"));
}
