//! One request of HTTP/1.1 and its answer, bounded (RFC 9112).

use std::io::{self, ErrorKind, Read, Write};

use anyhow::Context;

use crate::host::Host;
use crate::probe::step::since_ms;

/// Most bytes of an answer that are read, its head included.
pub(super) const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Most lines of an answer's head.
const HEADERS_MAX: usize = 64;

/// What a request is sent over: a connection, or a TLS session on one.
pub(super) trait Line: Read + Write {}

impl<T: Read + Write> Line for T {}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::probe) struct Answer {
    pub(in crate::probe) status: u16,
    pub(in crate::probe) location: String,
    /// What was read of the body, as it came.
    pub(in crate::probe) body: Vec<u8>,
    pub(in crate::probe) first_byte_ms: u32,
    headers: Vec<(String, String)>,
}

impl Answer {
    /// A line of the head.
    fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    /// All lines of the head with this name.
    pub(super) fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.headers.iter().filter(move |(known, _value)| known.eq_ignore_ascii_case(name));
        named.map(|(_name, value)| value.as_str())
    }

    /// The body's text, chunks put together (RFC 9112, 7.1).
    pub(in crate::probe) fn text(&self) -> String {
        let chunked = self.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
        let body = if chunked { whole(&self.body) } else { self.body.clone() };
        String::from_utf8_lossy(&body).into_owned()
    }
}

/// Asks, and reads until the answer ends, the other side closes or enough was read. Why `Connection: close`: nothing else is asked.
pub(super) fn ask(
    host: &dyn Host,
    line: &mut dyn Line,
    target: &str,
    authority: &str,
    accept: &str,
    until_ms: i64,
) -> anyhow::Result<Answer> {
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: deskside-agent\r\nAccept: {accept}\r\nCache-Control: no-cache\r\nConnection: close\r\n\r\n"
    );
    line.write_all(request.as_bytes()).context("sending the request")?;
    line.flush().context("sending the request")?;
    read(host, line, until_ms)
}

/// Asks a proxy for a way through it (RFC 9110, 9.3.6); the proxy's status.
pub(super) fn connect(host: &dyn Host, line: &mut dyn Line, authority: &str, until_ms: i64) -> anyhow::Result<Answer> {
    let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: deskside-agent\r\n\r\n");
    line.write_all(request.as_bytes()).context("asking the proxy")?;
    line.flush().context("asking the proxy")?;
    // Why byte by byte: what follows the head is TLS, and must be left for it.
    let mut bytes = Vec::new();
    let begun_ms = host.now_ms();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        anyhow::ensure!(bytes.len() < ANSWER_BYTES_MAX && host.now_ms() < until_ms, "the proxy's answer does not end");
        line.read_exact(&mut byte).context("reading the proxy's answer")?;
        bytes.extend(byte);
    }
    let (mut answer, _length) = head(&bytes)?.context("the proxy's answer has no end")?;
    answer.first_byte_ms = since_ms(host, begun_ms);
    Ok(answer)
}

fn read(host: &dyn Host, line: &mut dyn Line, until_ms: i64) -> anyhow::Result<Answer> {
    let begun_ms = host.now_ms();
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    let mut first_byte_ms = None;
    while bytes.len() < ANSWER_BYTES_MAX && host.now_ms() < until_ms {
        let length = match line.read(&mut piece) {
            Ok(length) => length,
            // Why no error: many close TLS without its farewell, and what came stands.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => 0,
            Err(error) if bytes.is_empty() => return Err(error).context("reading the answer"),
            Err(_late) => 0,
        };
        first_byte_ms.get_or_insert_with(|| since_ms(host, begun_ms));
        if length == 0 {
            break;
        }
        bytes.extend(piece.iter().take(length));
        if ended(&bytes) {
            break;
        }
    }
    if bytes.is_empty() {
        return Err(io::Error::from(ErrorKind::UnexpectedEof)).context("the connection was closed without an answer");
    }
    let (mut answer, length) = head(&bytes)?.context("the answer has no end of its head")?;
    answer.body = bytes.split_off(length);
    answer.first_byte_ms = first_byte_ms.unwrap_or_default();
    Ok(answer)
}

/// Whether the answer is whole by its own word.
fn ended(bytes: &[u8]) -> bool {
    let Ok(Some((answer, length))) = head(bytes) else { return false };
    if matches!(answer.status, 204 | 304) {
        return true;
    }
    let body = answer.header("content-length").and_then(|length| length.trim().parse::<usize>().ok());
    body.is_some_and(|body| bytes.len().saturating_sub(length) >= body)
}

/// The head of an answer and its length; absent where it has not ended.
fn head(bytes: &[u8]) -> anyhow::Result<Option<(Answer, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes).context("what answers there is not HTTP")? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let headers: Vec<(String, String)> =
        response.headers.iter().map(|header| (header.name.to_owned(), text(header.value))).collect();
    let mut answer = Answer { status: response.code.unwrap_or_default(), headers, ..Answer::default() };
    answer.location = answer.header("location").unwrap_or_default().to_owned();
    Ok(Some((answer, length)))
}

/// Chunks put together, as far as they came.
fn whole(mut body: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    while let Ok(httparse::Status::Complete((at, size))) = httparse::parse_chunk_size(body) {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let Some(rest) = body.get(at..) else { break };
        if size == 0 {
            break;
        }
        all.extend(rest.iter().take(size));
        let Some(next) = rest.get(size.saturating_add(2)..) else { break };
        body = next;
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n4\r\n you\r\n0\r\n\r\n";

    #[test]
    fn an_answer_is_read_with_its_chunks_put_together() {
        let (mut answer, length) = head(ANSWER).unwrap().unwrap();
        answer.body = ANSWER[length..].to_vec();
        assert_eq!(
            (answer.status, answer.location.as_str(), answer.text().as_str()),
            (302, "http://portal.example/", "hello you")
        );
        assert!(ended(b"HTTP/1.1 204 No Content\r\n\r\n") && !ended(ANSWER));
        assert!(head(b"SSH-2.0-OpenSSH_9.2\r\n").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(cut in 0..ANSWER.len(), noise in proptest::collection::vec(any::<u8>(), 0..60)) {
            let bytes = [&ANSWER[..cut], &noise].concat();
            if let Ok(Some((answer, length))) = head(&bytes) {
                whole(&bytes[length..]);
                prop_assert!(answer.status < 1_000);
            }
            whole(&noise);
        }
    }
}
