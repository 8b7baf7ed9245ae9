//! One HTTP client for all help desks, with bounds: time, size of answers, no redirects, secrets from files and never in a log.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use jiff::Timestamp;
use prost::bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, redirect};
use rustls::crypto::ring;
use serde_json::Value;
use url::{Host, Url};

use super::{File, Trouble};
use crate::config::HelpDeskConfig;

/// Time to connect.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Time for a request that carries a file, beyond the time for any.
const UPLOAD_TIME: Duration = Duration::from_mins(15);

/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Longest secret.
const SECRET_BYTES_MAX: u64 = 16 * 1024;

/// Characters of a refusal that are told.
const TOLD_CHARS_MAX: usize = 300;

/// Longest rest that a help desk may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// Whether a request changes anything there: only then does a lost answer leave a doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It may be asked again.
    Reading,
    /// It must not be done twice.
    Writing,
}

/// An answer of 2xx, read whole.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Status code.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

/// The client of one help desk; cheap to clone.
#[derive(Clone)]
pub struct Http {
    client: Client,
    base: Url,
    time: Duration,
}

impl Http {
    /// For the help desk of a configuration; `headers` go with every request.
    pub fn new(config: &HelpDeskConfig, headers: HeaderMap) -> Result<Self> {
        let mut base = Url::parse(&config.url).with_context(|| format!("the url {:?}", config.url))?;
        ensure!(matches!(base.scheme(), "http" | "https"), "the url {:?} must begin with https://", config.url);
        ensure!(base.host().is_some(), "the url {:?} names no host", config.url);
        ensure!(base.username().is_empty() && base.password().is_none(), "the url must hold no secret: use token_file");
        ensure!(
            base.scheme() == "https" || config.plain_http || is_loopback(&base),
            "the url {:?} is not encrypted, and the token would be seen by all on the way: use https, or say plain_http = true",
            config.url
        );
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        // Why: reqwest takes the process's provider; that one is there already is as good.
        ring::default_provider().install_default().ok();
        let time = Duration::from_secs(config.timeout_s.into());
        let builder = Client::builder()
            .user_agent(concat!("deskside-server/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .connect_timeout(CONNECT_TIME)
            .read_timeout(time)
            .pool_max_idle_per_host(4);
        let builder = match &config.ca_file {
            Some(path) => {
                let pem = std::fs::read(path).with_context(|| format!("the ca_file {}", path.display()))?;
                let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                    .with_context(|| format!("the ca_file {}", path.display()))?;
                ensure!(!certificates.is_empty(), "the ca_file {} holds no certificate", path.display());
                builder.tls_certs_only(certificates)
            }
            // Why: a machine without system certificates can still speak to its own loopback.
            None if base.scheme() == "http" => builder.tls_certs_only([]),
            None => builder,
        };
        let client = builder.build().context("the HTTP client")?;
        Ok(Self { client, base, time })
    }

    /// A URL below the configured one. Each segment is escaped, so that an identity from elsewhere cannot lead elsewhere.
    pub fn at(&self, segments: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty()
                .extend(segments.iter().filter(|part| !part.is_empty() && **part != "." && **part != ".."));
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// A request, to be sent by [`Http::send`].
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.request(method, url).timeout(self.time)
    }

    /// A request that carries a file, to be sent by [`Http::send`].
    pub fn upload(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.request(method, url).timeout(self.time + UPLOAD_TIME)
    }

    /// A file as the body of a request, streamed.
    pub async fn body(file: &File) -> Result<reqwest::Body, Trouble> {
        let pieces = file.open().await.map_err(|error| Trouble::later(format!("{}: {error:#}", file.name)))?;
        let pieces = pieces.map(|piece| piece.map_err(|error| std::io::Error::other(format!("{error:#}"))));
        Ok(reqwest::Body::wrap_stream(pieces))
    }

    /// Reads something as JSON.
    pub async fn get(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<Value, Trouble> {
        self.json(Doing::Reading, self.request(Method::GET, self.at(segments, query))).await
    }

    /// Sends JSON, and reads JSON if there is any.
    pub async fn put(&self, method: Method, url: Url, body: &Value) -> Result<Value, Trouble> {
        let request = self.request(method, url).header("content-type", "application/json").body(body.to_string());
        self.json(Doing::Writing, request).await
    }

    /// Sends a request and reads its answer as JSON; an empty one is null.
    pub async fn json(&self, doing: Doing, request: RequestBuilder) -> Result<Value, Trouble> {
        let answered = self.send(doing, request.header("accept", "application/json")).await?;
        if answered.body.is_empty() {
            return Ok(Value::Null);
        }
        let kind = answered.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let media = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if media != "application/json" && !media.ends_with("+json") {
            return Err(doubt(
                doing,
                format!("it answered {media:?} and not JSON; is the url right, and is there a login page before it?"),
            ));
        }
        serde_json::from_slice(&answered.body)
            .map_err(|error| doubt(doing, format!("its answer is no JSON that can be read: {error}")))
    }

    /// Sends a request. What is not 2xx is trouble of one of three kinds.
    pub async fn send(&self, doing: Doing, request: RequestBuilder) -> Result<Answered, Trouble> {
        let response = request.send().await.map_err(|error| broken(doing, error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        if status.is_redirection() {
            return Err(Trouble::later(redirected(&headers)));
        }
        let body = read(response).await;
        if !status.is_success() {
            return Err(refused(doing, status, &headers, &body.unwrap_or_default()));
        }
        Ok(Answered { status, headers, body: body.map_err(|why| doubt(doing, why))? })
    }
}

/// The secret in a file; its words never leave this process but in a header.
pub fn secret(path: Option<&Path>, key: &str) -> Result<String> {
    let path = path.with_context(|| format!("{key} is missing: the file that holds the secret"))?;
    let named = || format!("{key} {}", path.display());
    let size = std::fs::metadata(path).with_context(named)?.len();
    ensure!(size <= SECRET_BYTES_MAX, "{} is larger than {SECRET_BYTES_MAX} bytes", named());
    let text = std::fs::read_to_string(path).with_context(named)?;
    let text = text.trim();
    ensure!(!text.is_empty(), "{} is empty", named());
    Ok(text.to_owned())
}

/// A header's value that no log shows.
pub fn sensitive(value: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(value).context("the secret holds characters that no header may hold")?;
    value.set_sensitive(true);
    Ok(value)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Reads a body up to the bound.
async fn read(mut response: Response) -> Result<Bytes, String> {
    let mut body = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(Some(piece)) if body.len() + piece.len() > ANSWER_BYTES_MAX => {
                return Err(format!("its answer is longer than {ANSWER_BYTES_MAX} bytes"));
            }
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) => return Ok(body.freeze()),
            Err(error) => return Err(format!("its answer broke off: {}", words(error))),
        }
    }
}

/// Trouble that leaves a doubt where something was to be written.
fn doubt(doing: Doing, why: String) -> Trouble {
    match doing {
        Doing::Reading => Trouble::later(why),
        Doing::Writing => Trouble::unknown(why),
    }
}

fn broken(doing: Doing, error: reqwest::Error) -> Trouble {
    if error.is_connect() {
        return Trouble::later(format!("it cannot be reached: {}", words(error)));
    }
    if error.is_builder() {
        return Trouble::never(format!("the request cannot be made: {}", words(error)));
    }
    let late = error.is_timeout();
    let words = words(error);
    doubt(doing, if late { format!("it did not answer in time: {words}") } else { format!("the line broke: {words}") })
}

/// An error with its causes, without the URL, which may hold what somebody searched for.
fn words(error: reqwest::Error) -> String {
    format!("{:#}", anyhow::Error::from(error.without_url()))
}

fn redirected(headers: &HeaderMap) -> String {
    let to = headers.get("location").and_then(|to| to.to_str().ok()).unwrap_or_default();
    let host = Url::parse(to).ok().and_then(|url| url.host_str().map(str::to_owned));
    let host = host.map_or_else(|| "another page".to_owned(), |host| told(host.as_bytes()));
    format!("it sends us on to {host}, and nothing is sent there; write the right url in the configuration")
}

fn refused(doing: Doing, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Trouble {
    let why = match told(body) {
        words if words.is_empty() => format!("it answered {status}"),
        words => format!("it answered {status}: {words}"),
    };
    match status {
        StatusCode::TOO_MANY_REQUESTS => Trouble::Later { after: retry_after(headers), why },
        StatusCode::SERVICE_UNAVAILABLE if headers.contains_key("retry-after") => {
            // Why not sure: a proxy may say so after it has handed the request on.
            if doing == Doing::Reading {
                Trouble::Later { after: retry_after(headers), why }
            } else {
                Trouble::unknown(why)
            }
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::LOCKED | StatusCode::TOO_EARLY => doubt(doing, why),
        StatusCode::UNAUTHORIZED => {
            Trouble::never(format!("{why}; is its token good? It is read from token_file at start"))
        }
        status if status.is_client_error() => Trouble::never(why),
        _ => doubt(doing, why),
    }
}

/// What it says of itself, so that it can stand in a line: bounded, without tags and control characters.
fn told(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body.get(..body.len().min(TOLD_CHARS_MAX * 8)).unwrap_or_default());
    let (mut plain, mut tag) = (String::new(), false);
    for letter in text.chars() {
        match letter {
            '<' => tag = true,
            '>' if tag => {
                tag = false;
                plain.push(' ');
            }
            letter if !tag => plain.push(if letter.is_control() { ' ' } else { letter }),
            _ => {}
        }
    }
    plain.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(TOLD_CHARS_MAX).collect()
}

/// The rest it asks for: seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    let asked = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_not_a_number) => {
            let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            let rest_ms = at.as_millisecond() - Timestamp::now().as_millisecond();
            Duration::from_millis(u64::try_from(rest_ms).unwrap_or_default())
        }
    };
    Some(asked.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(url: &str) -> Result<Http> {
        let config = HelpDeskConfig { url: url.into(), ..HelpDeskConfig::default() };
        Http::new(&config, HeaderMap::new())
    }

    #[test]
    fn an_identity_from_elsewhere_leads_nowhere_else() {
        let http = http("http://127.0.0.1:1/rt").unwrap();
        let url = http.at(&["REST", "2.0", "ticket", "../../x?y=1#z"], &[("q", "a&b=c")]);
        assert_eq!(url.as_str(), "http://127.0.0.1:1/rt/REST/2.0/ticket/..%2F..%2Fx%3Fy=1%23z?q=a%26b%3Dc");
        assert_eq!(http.at(&["a", "..", "b"], &[]).as_str(), "http://127.0.0.1:1/rt/a/b");
    }

    #[test]
    fn a_token_is_not_sent_in_clear_unless_that_is_said() {
        for (url, word) in [
            ("http://rt.example/", "plain_http"),
            ("ftp://rt.example/", "https://"),
            ("https://me:secret@rt.example/", "token_file"),
            ("nonsense", "url"),
        ] {
            let error = format!("{:#}", http(url).err().unwrap());
            assert!(error.contains(word) && !error.contains("secret@"), "{url}: {error}");
        }
        let said = HelpDeskConfig { url: "http://rt.example".into(), plain_http: true, ..HelpDeskConfig::default() };
        Http::new(&said, HeaderMap::new()).unwrap();
    }

    #[test]
    fn a_rest_is_asked_for_in_seconds_or_by_a_date_and_is_bounded() {
        let after = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", value.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("99999999"), Some(RETRY_AFTER_MAX));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(after("soon"), None);
    }

    #[test]
    fn a_refusal_is_told_in_one_line_without_tags() {
        let words = told(b"<html><script>alert(1)</script>\n<h1>No\x1b[31m</h1>  queue</html>");
        assert_eq!(words, "alert(1) No [31m queue");
        assert!(told(&vec![b'x'; 1 << 20]).len() <= TOLD_CHARS_MAX);
    }

    #[test]
    fn what_may_have_been_done_is_in_doubt_and_what_was_refused_is_not() {
        let none = HeaderMap::new();
        let kind = |doing, status: u16| refused(doing, StatusCode::from_u16(status).unwrap(), &none, b"");
        assert!(matches!(kind(Doing::Writing, 500), Trouble::Unknown { .. }));
        assert!(matches!(kind(Doing::Reading, 500), Trouble::Later { .. }));
        assert!(matches!(kind(Doing::Writing, 429), Trouble::Later { .. }));
        assert!(matches!(kind(Doing::Writing, 404), Trouble::Never { .. }));
    }
}
