//! The town's name server: dnsmasq, behind a relay that can be slow or silent.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Context;

use super::{ROUTER, SERVER, SERVER_V6};
use crate::lab::namespace::Namespace;
use crate::lab::process::until;
use crate::lab::serving::Serving;
use crate::running::Running;

/// The domain that it knows all about.
pub const DOMAIN: &str = "town.example";

/// Where dnsmasq listens, unseen from outside of the router.
const BEHIND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);

/// Where it is asked.
const PORT: u16 = 53;

/// How long the relay waits for dnsmasq.
const RELAY_MAX: Duration = Duration::from_secs(5);

/// Largest datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// What it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// The server's addresses for `server.town.example` and `help.town.example`, the router's for `portal.town.example`, else that there is no such name.
    Right,
    /// That there is no such name, whatever the name.
    NoSuchName,
    /// This address, whatever the name.
    Everywhere(IpAddr),
}

/// How it is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manners {
    /// How long each answer is held back.
    pub delay: Duration,
    /// Takes what is asked and never answers.
    pub silent: bool,
    /// The same over TCP alone.
    pub silent_over_tcp: bool,
}

/// A name server. Dropped, its port is closed.
#[derive(Debug)]
pub struct Resolver {
    log: PathBuf,
    manners: Arc<Mutex<Manners>>,
    dnsmasq: Option<Running>,
    _relays: [Serving; 2],
}

impl Resolver {
    pub(super) fn start(router: &Namespace, log: PathBuf) -> anyhow::Result<Self> {
        let manners = Arc::new(Mutex::new(Manners::default()));
        let at = SocketAddr::new(ROUTER, PORT);
        let (over_udp, over_tcp) = (Arc::clone(&manners), Arc::clone(&manners));
        let udp = Serving::udp(router, at, move |socket, asked, from| {
            if let Some(now) = told(&over_udp).filter(|now| !now.silent) {
                thread::sleep(now.delay);
                drop(relay(asked).and_then(|answer| socket.send_to(&answer, from)));
            }
        })?;
        let tcp = Serving::tcp(router, at, move |stream| {
            if let Some(now) = told(&over_tcp) {
                thread::sleep(if now.silent || now.silent_over_tcp { RELAY_MAX } else { now.delay });
                if !now.silent && !now.silent_over_tcp {
                    drop(relay_stream(stream));
                }
            }
        })?;
        let mut resolver = Self { log, manners, dnsmasq: None, _relays: [udp, tcp] };
        resolver.answer(router, Answers::Right)?;
        Ok(resolver)
    }

    /// Sets how it is asked from now on.
    pub fn behave(&self, manners: Manners) {
        *self.manners.lock().unwrap_or_else(PoisonError::into_inner) = manners;
    }

    pub(super) fn answer(&mut self, router: &Namespace, answers: Answers) -> anyhow::Result<()> {
        if let Some(before) = self.dnsmasq.take() {
            before.stop().context("ending dnsmasq")?;
        }
        let mut command = router.command("dnsmasq");
        command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts", "--no-resolv", "--user=root"]);
        command.args(["--pid-file=", "--listen-address=127.0.0.1", "--bind-interfaces", "--cache-size=0"]);
        command.args(known(answers));
        let mut dnsmasq = Running::start(command, &self.log)?;
        let asked = router.within(|| {
            until("dnsmasq to listen", || {
                dnsmasq.must_live().context("dnsmasq")?;
                Ok(TcpStream::connect(BEHIND).ok())
            })
        })?;
        drop(asked?);
        self.dnsmasq = Some(dnsmasq);
        Ok(())
    }
}

fn told(manners: &Mutex<Manners>) -> Option<Manners> {
    manners.lock().ok().map(|manners| *manners)
}

fn known(answers: Answers) -> Vec<String> {
    let nothing_else = "--local=/#/".to_owned();
    match answers {
        Answers::Right => {
            let of_server = ["server", "help"]
                .map(|name| [SERVER, SERVER_V6].map(|address| format!("--host-record={name}.{DOMAIN},{address}")));
            let portal = format!("--host-record=portal.{DOMAIN},{ROUTER}");
            [of_server.concat(), vec![portal, nothing_else]].concat()
        }
        Answers::NoSuchName => vec![nothing_else],
        Answers::Everywhere(address) => vec![format!("--address=/#/{address}")],
    }
}

fn relay(asked: &[u8]) -> io::Result<Vec<u8>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_read_timeout(Some(RELAY_MAX))?;
    socket.connect(BEHIND)?;
    socket.send(asked)?;
    let mut answer = vec![0; DATAGRAM_BYTES_MAX];
    let length = socket.recv(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}

fn relay_stream(near: TcpStream) -> io::Result<()> {
    let far = TcpStream::connect(BEHIND)?;
    far.set_read_timeout(Some(RELAY_MAX))?;
    let (mut asked, mut behind) = (near.try_clone()?, far.try_clone()?);
    thread::spawn(move || {
        drop(io::copy(&mut asked, &mut behind));
        drop(behind.shutdown(Shutdown::Write));
    });
    let (mut far, mut near) = (far, near);
    io::copy(&mut far, &mut near)?;
    near.shutdown(Shutdown::Both)
}
