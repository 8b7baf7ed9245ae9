//! The listening side of a help desk of the tests: takes whole requests, fails where it is told to, and lets the system answer.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::Context;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value as Json, json};
use tokio::sync::oneshot;

use super::asked::{Asked, Part};
use super::kept::Kept;

/// Largest request that is read at all.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body; nothing where it is null.
    pub body: Json,
}

impl Answer {
    /// An answer with a body of JSON.
    pub fn new(status: u16, body: Json) -> Self {
        Self { status, body }
    }
}

/// What a system answers: what was asked for, or its own way to say no.
pub(super) type Said = Result<Answer, Answer>;

/// One system as its documentation says it answers.
pub trait System: Send + Sync + 'static {
    /// Answers a request.
    fn answer(&self, kept: &mut Kept, asked: &Asked) -> Said;

    /// Whether a request changes a ticket, or brings a file.
    fn writes(&self, asked: &Asked) -> bool {
        asked.method != "GET"
    }

    /// A failure of its own that has nothing to do with the request.
    fn failure(&self, status: u16) -> Json {
        json!({ "error": format!("failing with {status} as the test wants it") })
    }
}

/// How the next request that changes something goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing is done, and this status is the answer.
    Status(u16),
    /// Nothing is done: too many requests, come again after these seconds.
    TooMany(u32),
    /// It is done, and the line is cut before the answer.
    CutAfter,
    /// Sent to another address.
    Redirect(String),
    /// Nothing is done, and the answer is a page for people.
    Page,
}

/// A help desk that runs until it is dropped.
pub struct Desk {
    address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
    faults: Arc<Mutex<VecDeque<Fault>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    system: Box<dyn System>,
    kept: Arc<Mutex<Kept>>,
    faults: Arc<Mutex<VecDeque<Fault>>>,
}

fn locked<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    /// Listens on a port of the loopback interface.
    pub fn start(system: impl System, file_bytes_max: usize) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").context("listening")?;
        listener.set_nonblocking(true).context("listening")?;
        let address = listener.local_addr().context("listening")?;
        let kept = Arc::new(Mutex::new(Kept::new(file_bytes_max)));
        let faults = Arc::default();
        let shared = Shared { system: Box::new(system), kept: Arc::clone(&kept), faults: Arc::clone(&faults) };
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::spawn(move || {
            runtime.block_on(async move {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                tokio::select! {
                    () = accept(listener, Arc::new(shared)) => {}
                    _ended = stopped => {}
                }
            });
        });
        Ok(Self { address, kept, faults, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it is, for the settings.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it holds.
    pub fn kept(&self) -> MutexGuard<'_, Kept> {
        locked(&self.kept)
    }

    /// The next request that changes something goes wrong so.
    pub fn fail(&self, fault: Fault) {
        locked(&self.faults).push_back(fault);
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // A thread that has ended already hears nothing.
            stop.send(()).ok();
        }
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

async fn accept(listener: tokio::net::TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _peer)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let answer = service_fn(|request| answered(&shared, request));
            // A line that is cut is what some tests want.
            drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await);
        });
    }
}

async fn answered(shared: &Shared, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
    let asked = taken(request).await?;
    let line = format!("{} /{}", asked.method, asked.path.join("/"));
    let fault = if shared.system.writes(&asked) { locked(&shared.faults).pop_front() } else { None };
    let failing = |status| Answer::new(status, shared.system.failure(status));
    let mut response = Response::builder();
    let answer = match fault {
        Some(Fault::Status(status)) => failing(status),
        Some(Fault::TooMany(after_s)) => {
            response = response.header(header::RETRY_AFTER, after_s);
            failing(429)
        }
        Some(Fault::Redirect(to)) => {
            response = response.header(header::LOCATION, to);
            failing(302)
        }
        Some(Fault::Page) => {
            let page = Full::from("<html><body>Maintenance</body></html>");
            return Ok(response.header(header::CONTENT_TYPE, "text/html").body(page)?);
        }
        Some(Fault::CutAfter) => {
            handed(shared, &asked, &line);
            anyhow::bail!("cut as the test wants it");
        }
        None => handed(shared, &asked, &line),
    };
    let body = if answer.body.is_null() { String::new() } else { answer.body.to_string() };
    let response = response.status(StatusCode::from_u16(answer.status)?);
    Ok(response.header(header::CONTENT_TYPE, "application/json; charset=utf-8").body(Full::from(body))?)
}

fn handed(shared: &Shared, asked: &Asked, line: &str) -> Answer {
    let mut kept = locked(&shared.kept);
    kept.lines.push(line.to_owned());
    match shared.system.answer(&mut kept, asked) {
        Ok(answer) => answer,
        Err(refusal) => {
            kept.refused.push(format!("{line}: {} {}", refusal.status, refusal.body));
            refusal
        }
    }
}

async fn taken(request: Request<Incoming>) -> anyhow::Result<Asked> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
    let url = url::Url::parse(&format!("http://desk{}", head.uri)).context("the request's path")?;
    let decoded = |part: &str| {
        url::form_urlencoded::parse(format!("p={}", part.replace('+', "%2B")).as_bytes())
            .next()
            .map(|(_name, value)| value.into_owned())
            .unwrap_or_default()
    };
    let path = url.path().split('/').filter(|part| !part.is_empty()).map(decoded).collect();
    let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let parts = if let Ok(boundary) = multer::parse_boundary(kind) {
        form(&body, boundary).await?
    } else if kind.starts_with("application/x-www-form-urlencoded") {
        let fields = url::form_urlencoded::parse(&body).into_owned();
        let part = |(name, value): (String, String)| Part { name, file: None, kind: None, bytes: value.into() };
        fields.map(part).collect()
    } else {
        Vec::new()
    };
    Ok(Asked { method: head.method.to_string(), path, query, headers: head.headers, body, parts })
}

async fn form(body: &Bytes, boundary: String) -> anyhow::Result<Vec<Part>> {
    let whole = futures_util::stream::iter([Ok::<_, std::io::Error>(body.clone())]);
    let mut form = multer::Multipart::new(whole, boundary);
    let mut parts = Vec::new();
    while let Some(field) = form.next_field().await? {
        let name = field.name().unwrap_or_default().to_owned();
        let file = field.file_name().map(str::to_owned);
        let kind = field.content_type().map(ToString::to_string);
        parts.push(Part { name, file, kind, bytes: field.bytes().await? });
    }
    Ok(parts)
}
