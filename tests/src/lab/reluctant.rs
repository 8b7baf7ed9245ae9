//! A proxy before a real help desk that has bad moments: it refuses, is busy, or takes a request and never answers.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Longest head of a request.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Longest wait for more of a request or an answer.
const LINE_TIME: Duration = Duration::from_mins(2);

/// What becomes of one request that writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mood {
    /// 500, and it is not handed on.
    Fails,
    /// 500, after it was handed on and done.
    FailsAfter,
    /// 429 with this many seconds of Retry-After.
    Busy(u32),
    /// It is handed on and done, and never answered.
    Silent,
    /// The line is cut before it is handed on.
    Cut,
    /// It is sent on to another host.
    Elsewhere,
    /// A page in the place of an answer.
    Page,
    /// An answer without end.
    Endless,
}

/// The proxy. Its moods are taken in order, one for each request that writes; then all goes well.
#[derive(Clone, Debug)]
pub struct Reluctant {
    address: SocketAddr,
    moods: Arc<Mutex<VecDeque<Mood>>>,
}

impl Reluctant {
    /// Stands before an address. It listens until the program ends.
    pub fn before(upstream: SocketAddr, moods: &[Mood]) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let moods = Arc::new(Mutex::new(moods.iter().cloned().collect()));
        let proxy = Self { address: listener.local_addr()?, moods };
        let serving = proxy.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let one = serving.clone();
                // Why its end is not told: whoever hangs up has what it wanted.
                thread::spawn(move || one.serve(stream, upstream).ok());
            }
        });
        Ok(proxy)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Further bad moments.
    pub fn will(&self, moods: &[Mood]) {
        self.left().extend(moods.iter().cloned());
    }

    /// Bad moments that are still to come.
    pub fn to_come(&self) -> usize {
        self.left().len()
    }

    fn left(&self) -> MutexGuard<'_, VecDeque<Mood>> {
        self.moods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut client: TcpStream, upstream: SocketAddr) -> anyhow::Result<()> {
        client.set_read_timeout(Some(LINE_TIME))?;
        let request = read(&mut client)?;
        let writes = !request.starts_with(b"GET ");
        let mood = if writes { self.left().pop_front() } else { None };
        let hand_on = || -> anyhow::Result<Vec<u8>> {
            let mut line = TcpStream::connect(upstream)?;
            line.set_read_timeout(Some(LINE_TIME))?;
            line.write_all(&request)?;
            let mut answer = Vec::new();
            line.read_to_end(&mut answer)?;
            Ok(answer)
        };
        let said = |status: &str, more: &str| {
            format!("HTTP/1.1 {status}\r\n{more}Connection: close\r\nContent-Length: 7\r\n\r\nno luck").into_bytes()
        };
        let answer = match mood {
            None => hand_on()?,
            Some(Mood::Fails) => said("500 Internal Server Error", ""),
            Some(Mood::FailsAfter) => {
                hand_on()?;
                said("500 Internal Server Error", "")
            }
            Some(Mood::Busy(seconds)) => said("429 Too Many Requests", &format!("Retry-After: {seconds}\r\n")),
            Some(Mood::Silent) => {
                hand_on()?;
                // Until the other side has waited long enough.
                client.read_to_end(&mut Vec::new())?;
                Vec::new()
            }
            Some(Mood::Cut) => Vec::new(),
            Some(Mood::Elsewhere) => said("302 Found", "Location: http://evil.example/steal\r\n"),
            Some(Mood::Page) => said("200 OK", "Content-Type: text/html\r\n"),
            Some(Mood::Endless) => {
                client.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")?;
                loop {
                    client.write_all(&vec![b'1'; 65_536])?;
                }
            }
        };
        Ok(client.write_all(&answer)?)
    }
}

/// One whole request, made to be the last of its connection.
fn read(client: &mut TcpStream) -> anyhow::Result<Vec<u8>> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 16 * 1024]);
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        anyhow::ensure!(bytes.len() < HEAD_BYTES_MAX, "a head without end");
        let count = client.read(&mut piece)?;
        anyhow::ensure!(count > 0, "the request broke off");
        bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
    };
    let head = String::from_utf8(bytes.get(..end).unwrap_or_default().to_vec())?;
    let length =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    while bytes.len() < end + length.unwrap_or(0) {
        let count = client.read(&mut piece)?;
        anyhow::ensure!(count > 0, "the request broke off");
        bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
    }
    let lines = head.trim_end().split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let mut request = lines.collect::<Vec<_>>().join("\r\n").into_bytes();
    request.extend_from_slice(b"\r\nConnection: close\r\n\r\n");
    request.extend_from_slice(bytes.get(end..).unwrap_or_default());
    Ok(request)
}
