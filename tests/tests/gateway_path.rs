//! The way from a machine to its help desk, broken in every way that a town can be broken: the first step that fails, in one sentence.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use deskside_agent::uplink::identity::{Identity, want};
use deskside_tests::lab::process::program;
use deskside_tests::lab::serving::Serving;
use deskside_tests::lab::tls::{Authority, Valid};
use deskside_tests::lab::town::resolver::{Answers, Manners};
use deskside_tests::lab::town::{self, Bars, Town};
use deskside_tests::lab::wire::Faults;
use serde_json::Value as Json;
use tempfile::TempDir;

/// The help desk; a port without TLS.
const HELP: &str = "help.town.example:8000";

/// Where the Deskside server listens.
const SERVER_PORT: u16 = 8443;

/// Its certificates' name.
const SERVER_NAME: &str = "deskside-server";

/// What a run said.
struct Tested {
    rows: Vec<Json>,
    fine: bool,
}

impl Tested {
    fn verdict(&self) -> &Json {
        self.rows.last().unwrap()
    }

    fn sentence(&self) -> &str {
        self.verdict()["found"].as_str().unwrap()
    }

    /// The problem, the step that breaks the way, and the sentence.
    fn broken(&self) -> (&str, &str, &str) {
        let text = |column: &str| self.verdict()[column].as_str().unwrap();
        (text("problem"), text("broken_at"), text("found"))
    }
}

/// A machine in a town, with a help desk that listens.
struct Desk {
    town: Town,
    state: TempDir,
    _help: TcpListener,
}

impl Desk {
    fn new() -> Self {
        Self::of(Town::new().unwrap())
    }

    fn of(town: Town) -> Self {
        let help = town.server.within(|| TcpListener::bind(("::", 8000))).unwrap().unwrap();
        // No portal of the place where the test runs, no time service, no proxy.
        town.desk.settings_file("systemd/timesyncd.conf", "[Time]\n").unwrap();
        Self { town, state: tempfile::tempdir().unwrap(), _help: help }
    }

    /// The other default route would be a way out.
    fn without_six(&self) {
        self.town.desk.ip("route del default via 2001:db8:1::1 dev eth0").unwrap();
    }

    fn test(&self, words: &[&str]) -> Tested {
        let mut command = self.town.desk.command(program("deskside-agent").unwrap());
        command.arg("--state").arg(self.state.path()).args(["--config", "/nonexistent", "probe", "gateway_path"]);
        let ran = command.args(words).arg("--json").output().unwrap();
        let readings: Json = serde_json::from_slice(&ran.stdout)
            .unwrap_or_else(|_none| panic!("{}", String::from_utf8_lossy(&ran.stderr)));
        Tested { rows: readings[0]["rows"].as_array().cloned().unwrap_or_default(), fine: ran.status.success() }
    }

    fn help(&self) -> Tested {
        self.test(&[HELP])
    }

    /// The way is broken in this way, at this step, and the sentence holds these words.
    fn breaks(&self, problem: &str, step: &str, words: &str) {
        let tested = self.help();
        let (found, at, sentence) = tested.broken();
        assert_eq!((found, at), (problem, step), "{sentence}\n{:#?}", tested.rows);
        assert!(sentence.contains(words) && sentence.ends_with('.'), "{sentence:?} lacks {words:?}");
        assert!(!tested.fine);
    }

    /// Nothing is wrong.
    fn works(&self) {
        let tested = self.help();
        assert_eq!(
            tested.sentence(),
            "The way works, from the link to the place that was asked for.",
            "{:#?}",
            tested.rows
        );
        assert_eq!((tested.broken().0, tested.broken().1, tested.fine), ("", "", true));
    }
}

#[test]
fn a_healthy_way_gives_no_fault_and_each_fault_of_the_own_link_is_named() {
    let mut desk = Desk::new();
    desk.works();
    desk.without_six();
    desk.town.plugged(false).unwrap();
    desk.breaks("no-carrier", "link", "eth0 has no carrier");
    desk.town.plugged(true).unwrap();
    desk.town.desk.ip("addr flush dev eth0\naddr add 169.254.7.7/16 dev eth0 scope link").unwrap();
    desk.breaks("link-local", "address", "No DHCP server gave this machine an address: it has 169.254.7.7 only");
    desk.town.desk.ip("addr flush dev eth0\naddr add 192.0.2.10/24 dev eth0").unwrap();
    desk.breaks("no-gateway", "gateway", "has no gateway");
    desk.town.desk.ip("route add default via 192.0.2.1").unwrap();
    desk.works();
    desk.town.duplicate().unwrap();
    desk.breaks(
        "duplicate",
        "duplicate",
        "Another machine of this network has the same address as this one, 192.0.2.10",
    );
}

#[test]
fn a_link_that_goes_and_comes_back_during_the_test_is_named_before_what_it_broke() {
    let desk = Desk::new();
    // The test waits for its answer, and so does what is behind it.
    desk.town.resolver.behave(Manners { silent: true, ..Manners::default() });
    let mut command = desk.town.desk.command(program("deskside-agent").unwrap());
    command.arg("--state").arg(desk.state.path()).args(["--config", "/nonexistent", "probe", "gateway_path", HELP]);
    let mut asked = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(asked.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(told.any(|line| line.starts_with("gateway 192.0.2.1: ok")), "the gateway was not tested");
    desk.town.plugged(false).unwrap();
    desk.town.plugged(true).unwrap();
    let rest: Vec<String> = told.collect();
    let ended = asked.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success(), "{rest:#?}");
    let sentence = "The link of eth0 went down once and came back while the way was tested: its cable, its socket or the other end fails.";
    assert!(rest.iter().any(|line| line.starts_with("resolver 192.0.2.1: failed")), "{rest:#?}");
    assert!(complaint.contains(sentence), "{complaint} {rest:#?}");
}

#[test]
fn a_wrong_gateway_is_told_from_one_that_forwards_nothing() {
    let mut desk = Desk::new();
    desk.without_six();
    desk.town.gateway(town::NOBODY).unwrap();
    desk.breaks("gateway-silent", "gateway", "Nobody on this network has the address of the gateway, 192.0.2.77");
    desk.town.neighbor().unwrap();
    desk.town.gateway(town::NEIGHBOR).unwrap();
    desk.breaks(
        "gateway-forwards-nothing",
        "help desk",
        "The gateway 192.0.2.66 is there, but nothing comes back from behind it",
    );
}

#[test]
fn a_resolver_that_is_dead_slow_or_of_another_network_is_named() {
    let mut desk = Desk::new();
    desk.town.resolver.behave(Manners { delay: Duration::from_millis(800), ..Manners::default() });
    desk.breaks("resolver-slow", "resolver", "The name server 192.0.2.1 answers slowly, after ");
    desk.town.resolver.behave(Manners { silent: true, ..Manners::default() });
    desk.breaks("resolver-dead", "resolver", "The name server 192.0.2.1 does not answer: no answer in time");
    desk.town.resolver.behave(Manners::default());
    desk.town.answers(Answers::NoSuchName).unwrap();
    desk.breaks("resolver-missing", "resolver", "says that there is no help.town.example");
    desk.town.answers(Answers::Right).unwrap();
    desk.works();
}

#[test]
fn loss_delay_and_a_dead_line_are_placed_behind_the_gateway() {
    let desk = Desk::new();
    desk.town.wire.set(Faults { loss: 0.25, ..Faults::default() });
    let lossy = desk.help();
    assert_eq!(lossy.broken().0, "loss", "{:#?}", lossy.rows);
    assert!(lossy.sentence().ends_with("lost beyond the gateway, which itself answers well."), "{}", lossy.sentence());
    desk.town.wire.set(Faults { delay: Duration::from_millis(200), ..Faults::default() });
    desk.breaks("delay", "quality", "ms there and back, beyond the gateway");
    desk.town.wire.set(Faults { silent: true, ..Faults::default() });
    let tested = desk.help();
    assert!(["gateway-forwards-nothing", "unreachable"].contains(&tested.broken().0), "{:#?}", tested.rows);
    desk.town.wire.set(Faults::default());
    desk.works();
}

#[test]
fn what_firewalls_and_portals_do_to_the_help_desk_is_told_apart() {
    let desk = Desk::new();
    desk.town.bar(8000, Bars::Drops).unwrap();
    desk.breaks("dropped", "help desk", "answers, but connections to help.town.example:8000 are dropped by a firewall");
    desk.town.mend().unwrap();
    desk.town.bar(8000, Bars::Resets).unwrap();
    desk.breaks("reset", "help desk", "is refused (reset)");
    desk.town.mend().unwrap();
    desk.town.bar(8000, Bars::Prohibits).unwrap();
    desk.breaks("prohibited", "help desk", "forbids the connection to the place that was asked for");
    desk.town.mend().unwrap();
    // The portal knows IPv4 alone.
    desk.without_six();
    desk.town.captive().unwrap();
    desk.breaks(
        "captive",
        "help desk",
        "A portal of this network holds the machine until somebody signs in at http://portal.town.example:8080/login",
    );
    desk.town.mend().unwrap();
    desk.town.narrow(1_300, false).unwrap();
    desk.breaks("mtu", "large packets", "Large packets (1500 bytes)");
    desk.town.mend().unwrap();
    desk.town.narrow(1_300, true).unwrap();
    desk.works();
}

/// Makes the machine a device of a server whose CA is this one.
fn enrolled(desk: &Desk, ca: &Authority) {
    let wanted = want().unwrap();
    let identity = Identity {
        device_id: "0195f5c0-0000-7000-8000-000000000000".into(),
        addresses: vec![format!("{}:{SERVER_PORT}", town::SERVER)],
        certificate: ca.der.clone(),
        ca: ca.der.clone(),
        key: wanted.key,
    };
    identity.save(desk.state.path()).unwrap();
}

#[test]
fn the_servers_certificate_is_right_ended_or_somebody_elses() {
    let desk = Desk::new();
    let (own, other) = (Authority::new("Deskside CA").unwrap(), Authority::new("Inspecting proxy").unwrap());
    enrolled(&desk, &own);
    let at = SocketAddr::new(town::SERVER, SERVER_PORT);
    let test = |ca: &Authority, valid: Valid| {
        let _serving = ca.serve(&desk.town.server, at, SERVER_NAME, valid, "").unwrap();
        desk.help()
    };
    let well = test(&own, Valid::Long);
    assert_eq!(
        well.sentence(),
        "The way works, from the link to the Deskside server and the place that was asked for.",
        "{:#?}",
        well.rows
    );
    let ended = test(&own, Valid::Ended);
    assert_eq!((ended.broken().0, ended.broken().1), ("expired", "certificate"), "{}", ended.sentence());
    assert!(ended.sentence().contains("its certificate ended on 2021-03-04"), "{}", ended.sentence());
    let intercepted = test(&other, Valid::Long);
    assert_eq!(
        (intercepted.broken().0, intercepted.broken().1),
        ("intercepted", "certificate"),
        "{}",
        intercepted.sentence()
    );
    assert!(
        intercepted.sentence().contains("is signed by CN=Inspecting proxy and not by the server's own CA"),
        "{}",
        intercepted.sentence()
    );
}

/// Answers as a time server whose clock is so far ahead.
pub fn lying_clock(town: &Town, ahead_s: u64) -> Serving {
    Serving::udp(&town.server, SocketAddr::new(town::SERVER, 123), move |socket: &UdpSocket, asked, from| {
        let Some(cookie) = asked.get(40..48) else { return };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let seconds = (now.as_secs() + 2_208_988_800 + ahead_s) as u32;
        let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
        let time = [seconds.to_be_bytes(), (fraction as u32).to_be_bytes()].concat();
        let mut answer = vec![0x24, 2, 6, 0xe8, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1];
        answer.extend([0; 8]);
        answer.extend(cookie);
        answer.extend(&time);
        answer.extend(&time);
        drop(socket.send_to(&answer, from));
    })
    .unwrap()
}

#[test]
fn a_clock_that_is_far_off_is_told() {
    let desk = Desk::new();
    desk.town.desk.settings_file("systemd/timesyncd.conf", "[Time]\nNTP=203.0.113.2\n").unwrap();
    let right = lying_clock(&desk.town, 0);
    desk.works();
    drop(right);
    let _liar = lying_clock(&desk.town, 400);
    desk.breaks("clock", "clock", "This machine's clock is 6 min ");
}

#[test]
fn without_any_privilege_it_says_what_it_did_not_see() {
    let desk = Desk::new();
    desk.town.unprivileged_echo(false).unwrap();
    let mut command = desk.town.desk.command_as_nobody(program("deskside-agent").unwrap());
    let state = desk.state.path().join("nobody");
    command.arg("--state").arg(&state).args(["--config", "/nonexistent", "probe", "gateway_path", HELP, "--json"]);
    let ran = command.output().unwrap();
    let readings: Json =
        serde_json::from_slice(&ran.stdout).unwrap_or_else(|_none| panic!("{}", String::from_utf8_lossy(&ran.stderr)));
    let rows = readings[0]["rows"].as_array().cloned().unwrap_or_default();
    let found = |step: &str| {
        let row = rows.iter().find(|row| row["step"] == step).unwrap_or_else(|| panic!("{step}: {rows:#?}"));
        (row["outcome"].as_str().unwrap_or_default().to_owned(), row["found"].as_str().unwrap_or_default().to_owned())
    };
    assert!(found("duplicate").1.contains("CAP_NET_RAW"), "{rows:#?}");
    assert!(found("quality").1.contains("ping_group_range"), "{rows:#?}");
    assert_eq!(found("verdict").0, "ok", "{rows:#?}");
}
