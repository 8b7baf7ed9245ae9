//! The page that a captive network shows instead of every other: it sends whoever asks to its own sign-in page.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use super::ROUTER;
use super::resolver::DOMAIN;
use crate::lab::namespace::Namespace;
use crate::lab::serving::Serving;

/// Where it listens.
pub const PORT: u16 = 8080;

pub(super) fn start(router: &Namespace) -> anyhow::Result<Serving> {
    Serving::tcp(router, SocketAddr::new(ROUTER, PORT), |stream| drop(answer(stream)))
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut asked = String::new();
    let mut lines = BufReader::new(stream.try_clone()?);
    lines.read_line(&mut asked)?;
    let mut header = String::new();
    while lines.read_line(&mut header)? > 2 {
        header.clear();
    }
    let own = asked.split(' ').nth(1).is_some_and(|path| path.starts_with("/login"));
    let body = if own { "<html>Please sign in</html>" } else { "" };
    let head = if own {
        "200 OK\r\nContent-Type: text/html".to_owned()
    } else {
        format!("302 Found\r\nLocation: http://portal.{DOMAIN}:{PORT}/login")
    };
    write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}
