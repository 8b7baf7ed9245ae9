//! The network as probes reach it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::Live;
use crate::host::{Echo, Hear, Knock, Mac, Packets, Stream, Tap, Wire};

mod arp;
mod echo;
mod error_queue;
mod knock;
mod packet_socket;
mod packets;
mod ring;

/// Largest datagram that is heard.
const DATAGRAM_BYTES_MAX: usize = 65_535;

impl Wire for Live {
    fn connect(&self, to: SocketAddr, wait: Duration) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect_timeout(&to, wait)?;
        stream.set_nodelay(true)?;
        let connection = Connection(stream);
        connection.wait(wait)?;
        Ok(Box::new(connection))
    }

    fn exchange(&self, to: SocketAddr, datagram: &[u8], wait: Duration) -> io::Result<(Vec<u8>, Duration)> {
        let own: SocketAddr =
            if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
        let socket = UdpSocket::bind(own)?;
        // Why connected: nothing from elsewhere is heard, and a port that nobody listens at is told by ICMP.
        socket.connect(to)?;
        socket.set_read_timeout(Some(wait))?;
        let begun = Instant::now();
        socket.send(datagram)?;
        let mut heard = vec![0; DATAGRAM_BYTES_MAX];
        let length = socket.recv(&mut heard).map_err(late)?;
        heard.truncate(length);
        Ok((heard, begun.elapsed()))
    }

    fn echo(&self, to: IpAddr, interface: &str) -> io::Result<Box<dyn Echo>> {
        Ok(Box::new(echo::EchoSocket::open(to, interface)?))
    }

    fn knock(&self, to: SocketAddr, wait: Duration) -> io::Result<(Knock, Duration)> {
        knock::knock(to, wait)
    }

    fn arp(&self, interface: &str, address: Ipv4Addr, wait: Duration, hear: Hear) -> io::Result<Vec<Mac>> {
        arp::ask(interface, address, wait, hear)
    }

    fn packets(&self, tap: &Tap) -> io::Result<Box<dyn Packets>> {
        Ok(Box::new(packets::open(tap)?))
    }
}

/// A TCP connection.
#[derive(Debug)]
struct Connection(TcpStream);

impl Read for Connection {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes).map_err(late)
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(late)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Stream for Connection {
    fn wait(&self, time: Duration) -> io::Result<()> {
        // Why at least a millisecond: no time at all would mean for ever.
        let time = Some(time.max(Duration::from_millis(1)));
        self.0.set_read_timeout(time)?;
        self.0.set_write_timeout(time)
    }

    fn ends(&self) -> io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.0.local_addr()?, self.0.peer_addr()?))
    }
}

/// A socket's own deadline is told as if nothing were ready.
fn late(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::WouldBlock { ErrorKind::TimedOut.into() } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_answered_or_refused_or_not_at_all() {
        let far = UdpSocket::bind("127.0.0.1:0").unwrap();
        let place = far.local_addr().unwrap();
        let wait = Duration::from_millis(50);
        let error = Live::default().exchange(place, b"who", wait).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let answering = std::thread::spawn(move || {
            let mut bytes = [0; 8];
            for _asked in 0..2 {
                let (length, from) = far.recv_from(&mut bytes).unwrap();
                far.send_to(bytes.get(..length).unwrap(), from).ok();
            }
        });
        let (heard, _took) = Live::default().exchange(place, b"me", Duration::from_secs(5)).unwrap();
        assert_eq!(heard, b"me");
        answering.join().unwrap();
        let error = Live::default().exchange(place, b"who", Duration::from_secs(5)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
}
