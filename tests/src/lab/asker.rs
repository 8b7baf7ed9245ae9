//! A technician's program that holds one connection to the server and asks questions in SQL, without the command line between.

use std::time::Duration;

use anyhow::{Context, bail};
use deskside_proto::v1::desk_client::DeskClient;
use deskside_proto::v1::query_request::Scope;
use deskside_proto::v1::{Query, QueryPart, QueryRequest};
use deskside_proto::{SERVER_NAME, first_contact, invite};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status, Streaming};

/// Longest wait for the next part of an answer.
const PATIENCE: Duration = Duration::from_mins(2);

/// The technician.
#[derive(Clone, Debug)]
pub struct Asker {
    desk: DeskClient<Channel>,
    authorization: MetadataValue<Ascii>,
}

/// A whole answer.
#[derive(Clone, Debug, Default)]
pub struct Answered {
    /// Its parts, in order.
    pub parts: Vec<QueryPart>,
}

impl Answered {
    /// Rows in it.
    pub fn rows(&self) -> usize {
        self.parts.iter().map(|part| part.rows.len()).sum()
    }
}

impl Asker {
    /// Connects with the token that was made for a technician.
    pub async fn connect(token: &str) -> anyhow::Result<Self> {
        let invite = invite::read(token)?;
        let tls = TlsConnector::from(first_contact::tls(&invite.ca_sha256)?);
        let address = invite.addresses.first().context("a token without an address")?.clone();
        let connector = tower::service_fn(move |_uri: Uri| dial(address.clone(), tls.clone()));
        let channel = Endpoint::from_shared(format!("http://{SERVER_NAME}"))?.connect_with_connector(connector).await?;
        let authorization = invite::authorization(&invite.secret).parse()?;
        Ok(Self { desk: DeskClient::new(channel), authorization })
    }

    /// Asks a device; the answer comes piece by piece.
    pub async fn begin(&mut self, device: &str, sql: &str) -> Result<Streaming<QueryPart>, Status> {
        let query = Query { sql: sql.to_owned(), ..Query::default() };
        let scope = Some(Scope::Device(device.to_owned()));
        let mut request = Request::new(QueryRequest { query: Some(query), scope, ..QueryRequest::default() });
        request.metadata_mut().insert("authorization", self.authorization.clone());
        Ok(self.desk.query(request).await?.into_inner())
    }

    /// Asks a device and waits for the whole answer; an error has its words.
    pub async fn ask(&mut self, device: &str, sql: &str) -> anyhow::Result<Answered> {
        let mut answered = Answered::default();
        let mut parts = self.begin(device, sql).await.map_err(|status| anyhow::anyhow!(status.message().to_owned()))?;
        loop {
            match tokio::time::timeout(PATIENCE, parts.message()).await {
                Ok(Ok(Some(part))) => answered.parts.push(part),
                Ok(Ok(None)) => return Ok(answered),
                Ok(Err(status)) => bail!("{}", status.message()),
                Err(_elapsed) => bail!("no answer within {} s", PATIENCE.as_secs()),
            }
        }
    }
}

type Line = TokioIo<tokio_rustls::client::TlsStream<TcpStream>>;

async fn dial(address: String, tls: TlsConnector) -> anyhow::Result<Line> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(SERVER_NAME)?;
    Ok(TokioIo::new(tls.connect(name, stream).await?))
}
