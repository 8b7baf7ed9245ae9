//! A technician who asks in SQL over the desk's own protocol, piece by piece.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use deskside_proto::v1::cell::Value;
use deskside_proto::v1::desk_client::DeskClient;
use deskside_proto::v1::query_request::Scope;
use deskside_proto::v1::{
    Fleet, ListQuestionsRequest, Query, QueryEnd, QueryNote, QueryPart, QueryRequest, Question, ResultRow,
};
use deskside_proto::{SERVER_NAME, invite};
use deskside_server::identity::Authority;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

use super::process::Server;

/// Largest message of an answer.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A connection to a server's listener; with a device's certificate and key, or without.
pub async fn channel(
    address: SocketAddr,
    authority: &Authority,
    device: Option<(CertificateDer<'static>, Vec<u8>)>,
) -> anyhow::Result<Channel> {
    let tls = tokio_rustls::TlsConnector::from(Arc::new(tls(authority, device)?));
    let connector = tower::service_fn(move |_uri| {
        let tls = tls.clone();
        async move {
            let tcp = TcpStream::connect(address).await?;
            let name = ServerName::try_from(SERVER_NAME).map_err(std::io::Error::other)?;
            std::io::Result::Ok(TokioIo::new(tls.connect(name, tcp).await?))
        }
    });
    Ok(Endpoint::from_static("http://deskside-server").connect_with_connector(connector).await?)
}

fn tls(authority: &Authority, device: Option<(CertificateDer<'static>, Vec<u8>)>) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone())?;
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots);
    let mut config = match device {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::try_from(key).map_err(|error| anyhow::anyhow!(error))?;
            builder.with_client_auth_cert(vec![certificate], key)?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// What an answer came to.
#[derive(Debug, Default)]
pub struct Answered {
    /// Headings.
    pub columns: Vec<String>,
    /// Rows, their cells separated by "|".
    pub rows: Vec<String>,
    /// What it does not hold.
    pub notes: Vec<QueryNote>,
    /// How it ended.
    pub end: QueryEnd,
    /// Under which identity it is kept.
    pub kept: String,
}

impl Answered {
    /// Whether a note says this.
    pub fn notes(&self, words: &str) -> bool {
        self.notes.iter().any(|note| note.words.contains(words))
    }
}

/// The technician.
#[derive(Clone)]
pub struct Asker {
    desk: DeskClient<Channel>,
    secret: Vec<u8>,
}

impl Asker {
    /// One with a token of this role.
    pub async fn new(server: &Server, name: &str, role: &str) -> anyhow::Result<Self> {
        let token = server.says(&["technician", "add", name, "--role", role])?;
        let secret = invite::read(token.trim()).context("reading the token")?.secret;
        let authority = Authority::open(&server.data().join("identity"))?;
        Self::with_secret(server.desk(), &authority, secret).await
    }

    /// The same by the token's secret.
    pub async fn with_secret(address: SocketAddr, authority: &Authority, secret: Vec<u8>) -> anyhow::Result<Self> {
        let desk =
            DeskClient::new(channel(address, authority, None).await?).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Self { desk, secret })
    }

    fn request<T>(&self, message: T) -> Result<Request<T>, Status> {
        let mut request = Request::new(message);
        let value = invite::authorization(&self.secret).parse().map_err(|_odd| Status::internal("a token"))?;
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }

    /// Puts a question; its answer as it comes.
    pub async fn put(&mut self, request: QueryRequest) -> Result<Streaming<QueryPart>, Status> {
        let request = self.request(request)?;
        Ok(self.desk.query(request).await?.into_inner())
    }

    /// Puts a question and waits for the whole answer.
    pub async fn ask(&mut self, request: QueryRequest) -> Result<Answered, Status> {
        let mut parts = self.put(request).await?;
        let mut answered = Answered::default();
        while let Some(part) = parts.message().await? {
            answered.columns.extend(part.columns.into_iter().map(|column| column.name));
            answered.rows.extend(part.rows.iter().map(line));
            answered.notes.extend(part.notes);
            answered.end = part.end.unwrap_or(answered.end);
            answered.kept.push_str(&part.question);
        }
        Ok(answered)
    }

    /// Kept questions, those that have ended too.
    pub async fn questions(&mut self) -> Result<Vec<Question>, Status> {
        let request = self.request(ListQuestionsRequest { all: true, ticket: 0 })?;
        Ok(self.desk.list_questions(request).await?.into_inner().questions)
    }
}

/// A question to one device.
pub fn to_device(device: &str, sql: &str) -> QueryRequest {
    let query = Query { sql: sql.into(), ..Query::default() };
    QueryRequest { query: Some(query), scope: Some(Scope::Device(device.into())), ..QueryRequest::default() }
}

/// A question to all devices.
pub fn to_fleet(live: bool, sql: &str) -> QueryRequest {
    let scope = Scope::Fleet(Fleet { r#where: String::new(), live });
    QueryRequest { scope: Some(scope), ..to_device("", sql) }
}

fn line(row: &ResultRow) -> String {
    let cells = row.cells.iter().map(|cell| match &cell.value {
        None => "NULL".to_owned(),
        Some(Value::Integer(number)) => number.to_string(),
        Some(Value::Real(number)) => number.to_string(),
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Blob(bytes)) => format!("{bytes:?}"),
    });
    cells.collect::<Vec<_>>().join("|")
}
