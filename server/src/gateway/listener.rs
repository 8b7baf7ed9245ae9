//! Takes connections in: TCP, then TLS under a deadline, never more at once than there is room for. Both listeners of the server use it.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use tracing::{debug, warn};

use crate::identity::{Peer, PeerError};

/// From the first packet to the end of the TLS handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// Handshakes at a time. Why so many: one that says nothing holds its place until its time is up, and those must not keep a fleet out.
const HANDSHAKES_MAX: usize = 1024;

/// Connections that are ready and not yet taken.
const READY_MAX: usize = 64;

/// Rest after the system has refused a connection (no file handles left), instead of asking it again at once.
const REFUSED_REST: Duration = Duration::from_millis(100);

/// Connections as they become ready.
pub type Incoming = ReceiverStream<io::Result<Line>>;

/// One connection.
pub struct Line {
    stream: TlsStream<TcpStream>,
    end: LineEnd,
    _place: OwnedSemaphorePermit,
}

/// Who is at the other end of a connection; in each request's extensions.
#[derive(Clone, Debug)]
pub struct LineEnd {
    /// Where the connection is from.
    pub address: SocketAddr,
    /// The device, where a certificate was shown.
    pub peer: Option<Result<Peer, PeerError>>,
}

/// Takes connections in until the stream is dropped; at most `connections_max` at once, more wait in the system's queue.
pub fn incoming(listener: TcpListener, tls: ServerConfig, connections_max: usize) -> Incoming {
    let (ready, lines) = mpsc::channel(READY_MAX);
    tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(tls)), connections_max, ready));
    ReceiverStream::new(lines)
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    connections_max: usize,
    ready: mpsc::Sender<io::Result<Line>>,
) {
    let places = Arc::new(Semaphore::new(connections_max));
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let (Ok(place), Ok(turn)) =
            (Arc::clone(&places).acquire_owned().await, Arc::clone(&handshakes).acquire_owned().await)
        else {
            return;
        };
        let accepted = tokio::select! {
            () = ready.closed() => return,
            accepted = listener.accept() => accepted,
        };
        let (tcp, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "a connection was refused by the system");
                tokio::time::sleep(REFUSED_REST).await;
                continue;
            }
        };
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        tokio::spawn(async move {
            let line = tokio::time::timeout(HANDSHAKE_TIME, handshake(acceptor, tcp, address, place)).await;
            drop(turn);
            match line {
                // Why: a receiver that is gone has stopped taking connections in.
                Ok(Ok(line)) => drop(ready.send(Ok(line)).await),
                Ok(Err(error)) => debug!(%address, %error, "handshake failed"),
                Err(_elapsed) => debug!(%address, "handshake took too long"),
            }
        });
    }
}

async fn handshake(
    acceptor: TlsAcceptor,
    tcp: TcpStream,
    address: SocketAddr,
    place: OwnedSemaphorePermit,
) -> io::Result<Line> {
    tcp.set_nodelay(true)?;
    let stream = acceptor.accept(tcp).await?;
    let certificates = stream.get_ref().1.peer_certificates();
    let peer = certificates.and_then(<[_]>::first).map(|certificate| Peer::read(certificate));
    Ok(Line { stream, end: LineEnd { address, peer }, _place: place })
}

impl Connected for Line {
    type ConnectInfo = LineEnd;

    fn connect_info(&self) -> LineEnd {
        self.end.clone()
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
