//! A printer that speaks just enough IPP to say how it is, on a port of its own; or that takes the question and never answers.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;

/// Most bytes of a question that are read.
const QUESTION_BYTES_MAX: usize = 16 * 1024;

/// What it answers.
#[derive(Clone, Debug)]
pub enum Says {
    /// `printer-state` (3 idle, 5 stopped) and its reasons.
    State(i32, Vec<String>),
    /// Nothing, while it holds the connection.
    Nothing,
}

/// A listener. Its thread ends with the test's process.
#[derive(Clone, Debug)]
pub struct IppListener {
    /// The port on the loopback interface.
    pub port: u16,
    questions: Arc<AtomicUsize>,
    held: Arc<Mutex<Vec<TcpStream>>>,
}

impl IppListener {
    /// Listens and answers.
    pub fn start(says: Says) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("listening")?;
        let port = listener.local_addr().context("listening")?.port();
        let own = Self { port, questions: Arc::default(), held: Arc::default() };
        let shared = own.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // One that only tries the port asks nothing.
                drop(shared.answer(stream, &says));
            }
        });
        Ok(own)
    }

    /// The queue's URI.
    pub fn uri(&self) -> String {
        format!("ipp://127.0.0.1:{}/ipp/print", self.port)
    }

    /// How often it was asked something.
    pub fn questions(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }

    fn answer(&self, mut stream: TcpStream, says: &Says) -> std::io::Result<()> {
        let (mut question, mut piece) = (Vec::new(), [0; 1024]);
        // The end-of-attributes tag closes the only part of the question.
        while !question.ends_with(&[3]) && question.len() < QUESTION_BYTES_MAX {
            let read = stream.read(&mut piece)?;
            if read == 0 {
                return Ok(());
            }
            question.extend_from_slice(piece.get(..read).unwrap_or_default());
        }
        self.questions.fetch_add(1, Ordering::SeqCst);
        match says {
            Says::State(state, reasons) => {
                let body = described(*state, reasons);
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/ipp\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all(&[head.as_bytes(), &body].concat())
            }
            Says::Nothing => {
                self.held.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
                Ok(())
            }
        }
    }
}

/// An answer to Get-Printer-Attributes (RFC 8010, 3.1).
fn described(state: i32, reasons: &[String]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 0, 0, 1, 4];
    let mut add = |tag: u8, name: &str, value: &[u8]| {
        let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap_or_default().to_be_bytes();
        bytes.push(tag);
        bytes.extend(length(name.as_bytes()));
        bytes.extend(name.as_bytes());
        bytes.extend(length(value));
        bytes.extend(value);
    };
    add(0x41, "printer-make-and-model", b"Acme Laser");
    add(0x23, "printer-state", &state.to_be_bytes());
    add(0x22, "printer-is-accepting-jobs", &[1]);
    for (place, reason) in reasons.iter().enumerate() {
        add(0x44, if place == 0 { "printer-state-reasons" } else { "" }, reason.as_bytes());
    }
    bytes.push(3);
    bytes
}
