//! Pages through a real proxy, by the machine's own settings: one that lets through, that wants a login, that bars, that is gone; and a file that
//! chooses one.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use deskside_tests::lab::proxy::PageProxy;
use deskside_tests::lab::serving::Serving;
use deskside_tests::lab::tls::{Authority, Valid};
use deskside_tests::lab::town::{self, Town};

use super::{NAME, finds, verdict};

const PLAIN: &str = "http://server.town.example/";
const SECURE: &str = "https://server.town.example/";

/// A settings file of the desk, in which logins find the proxy.
const SET: &str = "profile.d/proxy.sh";

/// A town whose server has a page, plain and by TLS, and a place for a proxy.
struct Office {
    town: Town,
    place: SocketAddr,
    _pages: [Serving; 2],
}

impl Office {
    fn new() -> Self {
        let town = Town::new().unwrap();
        let own = Authority::new("Town CA").unwrap();
        town.desk.settings_file("ssl/certs/ca-certificates.crt", &own.pem).unwrap();
        town.router.name_servers(&["127.0.0.1"]).unwrap();
        let at = |port| SocketAddr::new(town::SERVER, port);
        let plain = Serving::tcp(&town.server, at(80), |stream| drop(page(stream))).unwrap();
        let secure = own.serve(&town.server, at(443), NAME, Valid::Long, "hello").unwrap();
        Self { place: SocketAddr::new(town::ROUTER, 3128), _pages: [plain, secure], town }
    }

    fn proxy(&self, settings: &str) -> PageProxy {
        PageProxy::start(&self.town.router, self.place, settings).unwrap()
    }

    /// The environment of logins names the proxy so.
    fn set(&self, proxy: &str) {
        let lines = ["http_proxy", "https_proxy"].map(|name| format!("export {name}={proxy}\n"));
        self.town.desk.settings_file(SET, &lines.concat()).unwrap();
    }

    /// Nobody gets out but by the proxy.
    fn close(&self) {
        let chain = "add chain inet closed forward { type filter hook forward priority 0; }";
        self.town.router.nft(&format!("add table inet closed\n{chain}\nadd rule inet closed forward reject")).unwrap();
    }
}

fn page(mut stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while lines.read_line(&mut line)? > 2 {
        line.clear();
    }
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
}

#[test]
fn a_page_is_fetched_through_the_proxy_that_the_machine_is_set_to_use() {
    let office = Office::new();
    let _proxy = office.proxy("");
    office.set("http://192.0.2.1:3128");
    let through = "works through the proxy 192.0.2.1:3128 that /etc/profile.d/proxy.sh sets (answers 200";
    for page in [PLAIN, SECURE] {
        finds(&office.town, &["http", page], "", through);
    }
    office.close();
    for page in [PLAIN, SECURE] {
        finds(&office.town, &["http", page], "", through);
        finds(&office.town, &["http", page], "", "and not directly: ");
    }
    office
        .town
        .desk
        .settings_file(SET, "export https_proxy=192.0.2.1:3128 no_proxy=localhost,.town.example\n")
        .unwrap();
    finds(&office.town, &["http", SECURE], "unreachable", "does not work: ");
}

#[test]
fn a_proxy_that_wants_a_login_that_bars_and_that_is_gone_are_told_apart() {
    let office = Office::new();
    office.set("http://192.0.2.1:3128");
    let asking = office.proxy("BasicAuth anna correct-horse");
    for page in [PLAIN, SECURE] {
        let said = "is not fetched by the proxy 192.0.2.1:3128 that /etc/profile.d/proxy.sh sets before somebody logs in \
                    (407: Basic (a name and a password))";
        finds(&office.town, &["http", page], "proxy-login", said);
    }
    // Whether a login is right is not tested, since the probe does not send it.
    office.set("http://anna:correct-horse@192.0.2.1:3128");
    let (outcome, problem, sentence) = verdict(&office.town, &["http", SECURE]);
    assert_eq!((outcome.as_str(), problem.as_str()), ("unknown", ""), "{sentence}");
    assert!(sentence.contains("it asks for a login") && !sentence.contains("correct-horse"), "{sentence}");
    drop(asking);

    let barring = office.proxy("ConnectPort 563");
    finds(&office.town, &["http", SECURE], "proxy-refuses", "it lets nobody through to server.town.example:443 (403)");
    drop(barring);
    finds(&office.town, &["http", SECURE], "proxy-dead", "works directly, but not through the proxy 192.0.2.1:3128");
    office.set("socks5://192.0.2.1:1080");
    let (outcome, _problem, sentence) = verdict(&office.town, &["http", SECURE]);
    assert_eq!(outcome, "unknown", "{sentence}");
    assert!(sentence.ends_with("was not tested: it speaks SOCKS, and this test does not."), "{sentence}");
}

#[test]
fn a_file_that_chooses_the_proxy_is_fetched_and_said_not_to_be_run() {
    let office = Office::new();
    let pac = |address: &str| {
        let text = format!("[Proxy Settings]\nProxyType=2\nProxy Config Script={address}\n");
        office.town.desk.settings_file("xdg/kioslaverc", &text).unwrap();
    };
    pac("http://server.town.example:8088/proxy.pac");
    let missing = "the file that chooses the proxy, http://server.town.example:8088/proxy.pac, which /etc/xdg/kioslaverc names, does not: ";
    finds(&office.town, &["http", SECURE], "pac", missing);
    let at = SocketAddr::new(town::SERVER, 8088);
    let script = "function FindProxyForURL(url, host) { return \"PROXY 192.0.2.1:3128; DIRECT\"; }";
    let hands_out = move |mut stream: TcpStream| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", script.len());
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        lines.find(String::is_empty);
        drop(write!(stream, "{head}{script}"));
    };
    let _file = Serving::tcp(&office.town.server, at, hands_out).unwrap();
    let (outcome, _problem, sentence) = verdict(&office.town, &["http", SECURE]);
    let said = "was fetched and not run: whether programs go through one that it names (192.0.2.1:3128) was not seen.";
    assert!(outcome == "unknown" && sentence.ends_with(said), "{outcome}: {sentence}");
}
