//! The machine's own print server: one IPP request over HTTP/1.1 (RFC 8010), through its socket or over TCP.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::host::READ_BYTES_MAX;

/// How long the print server may take for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Where CUPS listens on its machine.
const SOCKET: &str = "/run/cups/cups.sock";
const LOOPBACK: &str = "127.0.0.1:631";
const PORT: u16 = 631;

/// Asks the print server at `place`, else where `CUPS_SERVER` says, else where it usually is.
pub(super) fn ask(place: Option<&str>, request: &[u8]) -> io::Result<Vec<u8>> {
    let place = place.map(str::to_owned).or_else(|| std::env::var("CUPS_SERVER").ok().filter(|name| !name.is_empty()));
    let request = Bytes::copy_from_slice(request);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(async { tokio::time::timeout(ANSWER_MAX, reach(place.as_deref(), request)).await });
    answer.unwrap_or_else(|_late| {
        let seconds = ANSWER_MAX.as_secs();
        Err(io::Error::new(ErrorKind::TimedOut, format!("the print server did not answer within {seconds} s")))
    })
}

/// Who is asked, in what words it is told of, and how much it may answer.
pub(super) struct Asked<'a> {
    /// "the print server"
    pub(super) of: &'static str,
    /// What the request's `Host` says.
    pub(super) host: &'a str,
    /// The request's path.
    pub(super) path: &'a str,
    /// Most bytes of the answer.
    pub(super) bytes_max: usize,
}

const SERVER: Asked<'static> =
    Asked { of: "the print server", host: "localhost", path: "/", bytes_max: READ_BYTES_MAX };

async fn reach(place: Option<&str>, request: Bytes) -> io::Result<Vec<u8>> {
    match place {
        Some(path) if path.starts_with('/') => exchange(unix(path).await?, request, &SERVER).await,
        Some(name) => exchange(tcp(&with_port(name)).await?, request, &SERVER).await,
        None if Path::new(SOCKET).exists() => exchange(unix(SOCKET).await?, request, &SERVER).await,
        None => match TcpStream::connect(LOOPBACK).await {
            Ok(stream) => exchange(stream, request, &SERVER).await,
            Err(_nobody) => Err(io::Error::new(
                ErrorKind::NotFound,
                format!("no print server runs here: there is no {SOCKET}, and nothing listens on {LOOPBACK}"),
            )),
        },
    }
}

async fn unix(path: &str) -> io::Result<UnixStream> {
    UnixStream::connect(path).await.map_err(|error| named(&error, path))
}

async fn tcp(address: &str) -> io::Result<TcpStream> {
    TcpStream::connect(address).await.map_err(|error| named(&error, address))
}

fn named(error: &io::Error, place: &str) -> io::Error {
    io::Error::new(error.kind(), format!("the print server at {place} cannot be reached: {error}"))
}

/// cups-config(5)'s `ServerName`: "host", "host:port", with an optional "/version=1.1" behind.
fn with_port(name: &str) -> String {
    let name = name.split('/').next().unwrap_or(name);
    let has_port = match name.rsplit_once(']') {
        Some((_address, rest)) => rest.starts_with(':'),
        None => name.matches(':').count() == 1,
    };
    if has_port { name.to_owned() } else { format!("{name}:{PORT}") }
}

/// Sends the request and returns the body of the answer.
pub(super) async fn exchange<S>(stream: S, request: Bytes, asked: &Asked<'_>) -> io::Result<Vec<u8>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let answer = async move {
        let request = hyper::Request::post(asked.path)
            .header(HOST, asked.host)
            .header(CONTENT_TYPE, "application/ipp")
            .body(Full::new(request))
            .map_err(io::Error::other)?;
        let response = sender.send_request(request).await.map_err(|error| broken(asked, &error))?;
        refused(asked, response.status())?;
        let body = Limited::new(response.into_body(), asked.bytes_max).collect().await;
        let body = body.map_err(|error| io::Error::new(ErrorKind::InvalidData, error.to_string()))?;
        Ok(body.to_bytes().to_vec())
    };
    // Why together: the connection moves the bytes, and ends when the answer is there and its sender is gone.
    let (answer, _ended) = tokio::join!(answer, connection);
    answer
}

fn broken(asked: &Asked<'_>, error: &hyper::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the answer of {} is not HTTP: {error}", asked.of))
}

fn refused(asked: &Asked<'_>, status: StatusCode) -> io::Result<()> {
    let kind = match status {
        StatusCode::OK => return Ok(()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::UPGRADE_REQUIRED => ErrorKind::PermissionDenied,
        _ => ErrorKind::Other,
    };
    Err(io::Error::new(kind, format!("{} answered HTTP {status}", asked.of)))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A print server that reads one request whose body is `ask` and sends these bytes.
    fn server(answer: &'static [u8]) -> (String, thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let thread = thread::spawn(move || {
            let (mut stream, _peer) = listener.accept().unwrap();
            let (mut request, mut piece) = (Vec::new(), [0; 512]);
            while !request.ends_with(b"ask") {
                let read = stream.read(&mut piece).unwrap();
                request.extend_from_slice(&piece[..read]);
            }
            let text = String::from_utf8(request).unwrap();
            assert!(
                text.starts_with("POST / HTTP/1.1\r\n") && text.contains("content-type: application/ipp"),
                "{text}"
            );
            stream.write_all(answer).unwrap();
        });
        (address, thread)
    }

    #[test]
    fn a_chunked_answer_is_put_together() {
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n";
        let (address, thread) = server(chunked);
        assert_eq!(ask(Some(&address), b"ask").unwrap(), b"abcdefg");
        thread.join().unwrap();
    }

    #[test]
    fn a_print_server_that_forbids_is_denied() {
        let (address, thread) = server(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(ask(Some(&address), b"ask").unwrap_err().kind(), ErrorKind::PermissionDenied);
        thread.join().unwrap();
    }

    #[test]
    fn an_answer_that_is_not_http_is_an_error() {
        let (address, thread) = server(b"garbage garbage garbage\r\n\r\n");
        assert_eq!(ask(Some(&address), b"ask").unwrap_err().kind(), ErrorKind::InvalidData);
        thread.join().unwrap();
    }

    #[test]
    fn an_answer_beyond_the_bound_is_refused() {
        let endless = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n";
        let (address, thread) = server(endless);
        assert_eq!(ask(Some(&address), b"ask").unwrap_err().kind(), ErrorKind::InvalidData);
        thread.join().unwrap();
    }

    #[test]
    fn nobody_there_is_said_with_the_place() {
        let error = ask(Some("/no/such/socket"), b"ask").unwrap_err();
        assert!(error.to_string().contains("/no/such/socket"), "{error}");
    }

    #[test]
    fn a_server_name_gets_the_port_of_ipp() {
        assert_eq!(with_port("print"), "print:631");
        assert_eq!(with_port("print:8631"), "print:8631");
        assert_eq!(with_port("print/version=1.1"), "print:631");
        assert_eq!(with_port("[::1]"), "[::1]:631");
        assert_eq!(with_port("[::1]:8631"), "[::1]:8631");
    }
}
