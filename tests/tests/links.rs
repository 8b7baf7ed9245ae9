//! The network changes under a running agent: what the kernel tells is told on, in order, once, and soon. In namespaces.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Instant;

use deskside_proto::rows::Row;
use deskside_proto::v1::NetworkChange;
use deskside_tests::lab::netns::Wired;
use deskside_tests::lab::process::{Agent, Server, until};
use prost::Message;

/// From the change to its reading. The promise is two seconds on a machine that does nothing else; a busy one is still far from the five minutes
/// between two looks.
const SOON_MS: i64 = 60_000;

/// A server and an agent in the workstation's namespace, on a wire to the far one.
struct Desk {
    wired: Wired,
    server: Server,
    agent: Agent,
    device: String,
    _folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> anyhow::Result<Self> {
        let wired = Wired::new()?;
        let (desk, far) = (&wired.desk, &wired.far);
        wired.ip(&format!("link add eth0 netns {desk} type veth peer name far0 netns {far}"))?;
        for words in
            ["link set lo up", "link set eth0 addrgenmode none", "link set eth0 up", "addr add 192.0.2.10/24 dev eth0"]
        {
            wired.at_desk(words)?;
        }
        wired.at_far("link set far0 up")?;
        wired.wait_for("-j link show dev eth0", "\"UP\"")?;
        wired.at_desk("route add default via 192.0.2.1 dev eth0")?;
        let folder = tempfile::tempdir()?;
        let server = Server::start_at(folder.path(), Some(desk), [127, 0, 0, 1].into())?;
        let mut agent = Agent::new(folder.path(), "")?.inside(desk);
        let device = agent.enrol(&server)?;
        let desk = Self { wired, server, agent, device, _folder: folder };
        desk.begun(1)?;
        Ok(desk)
    }

    /// Waits until the agent has begun to listen so many times.
    fn begun(&self, times: usize) -> anyhow::Result<()> {
        until("the agent to listen", || {
            let readings = self.server.stored(&self.device, NetworkChange::TABLE)?;
            Ok((readings.iter().filter(|reading| reading.rows.is_empty()).count() >= times).then_some(()))
        })
    }

    fn changes(&self) -> anyhow::Result<Vec<NetworkChange>> {
        let readings = self.server.stored(&self.device, NetworkChange::TABLE)?;
        let rows = readings.iter().flat_map(|reading| reading.rows.iter().map(|row| (reading.at_ms, row)));
        let read = |(at_ms, row): (i64, &prost::bytes::Bytes)| {
            let change = NetworkChange::decode(row.as_ref())?;
            assert!(
                change.change == "folded" || at_ms - change.at_ms < SOON_MS,
                "{} ms late: {change:?}",
                at_ms - change.at_ms
            );
            anyhow::Ok(change)
        };
        rows.map(read).collect()
    }

    /// Waits until a change of this kind about this interface is told.
    fn wait_for(&self, change: &str, interface: &str) -> anyhow::Result<Vec<NetworkChange>> {
        let what = format!("{change} of {interface:?}");
        let found = until(&what, || {
            let all = self.changes()?;
            let last = all.last().is_some_and(|last| last.change == change && last.interface == interface);
            Ok(last.then_some(all))
        });
        found.map_err(|error| error.context(format!("{:#?}", self.changes())))
    }
}

/// The far end of the wire goes down and comes up so many times, as fast as ip(8) can.
fn flap(wired: &Wired, times: u64) -> anyhow::Result<()> {
    let mut ip = Command::new("ip");
    let mut ip = ip.args(["-n", &wired.far, "-batch", "-"]).stdin(Stdio::piped()).spawn()?;
    let once = "link set far0 down\nlink set far0 up\n";
    ip.stdin.take().unwrap().write_all(once.repeat(usize::try_from(times)?).as_bytes())?;
    assert!(ip.wait()?.success());
    Ok(())
}

fn words(changes: &[NetworkChange], interface: &str) -> Vec<String> {
    let of = changes.iter().filter(|change| change.interface == interface && !change.address.contains(':'));
    of.map(|change| change.change.clone()).collect()
}

#[test]
fn what_happens_to_the_network_is_told_in_order_and_a_restart_doubles_nothing() -> anyhow::Result<()> {
    let mut desk = Desk::new()?;
    assert_eq!(desk.changes()?, [], "what was there before is no change");
    let pulled = Instant::now();
    desk.wired.at_far("link set far0 down")?;
    desk.wait_for("link down", "eth0")?;
    desk.wired.at_far("link set far0 up")?;
    let back = desk.wait_for("link up", "eth0")?;
    let away_ms = i64::try_from(pulled.elapsed().as_millis())?;
    let up = back.iter().rfind(|change| change.change == "link up").unwrap();
    assert!(up.down_ms.is_some_and(|down_ms| (1..=away_ms).contains(&down_ms)), "{up:?}");
    desk.wired.at_desk("route replace default via 192.0.2.2 dev eth0")?;
    let routed = desk.wait_for("default route changed", "eth0")?;
    let route = routed.last().unwrap();
    assert_eq!((route.before.as_str(), route.after.as_str()), ("192.0.2.1 on eth0", "192.0.2.2 on eth0"));

    desk.wired.at_desk("link add br0 type bridge")?;
    desk.wait_for("new", "br0")?;
    desk.wired.at_desk("link set dev br0 name lan0")?;
    let renamed = desk.wait_for("renamed", "lan0")?;
    assert_eq!(renamed.last().unwrap().before, "br0");
    desk.wired.at_desk("link del lan0")?;
    desk.wait_for("gone", "lan0")?;

    // The route goes with the address, and the kernel says nothing of it.
    desk.wired.at_desk("addr del 192.0.2.10/24 dev eth0")?;
    let all = desk.wait_for("default route removed", "eth0")?;
    let expected = ["link down", "link up", "default route changed", "address removed", "default route removed"];
    assert_eq!(words(&all, "eth0"), expected);

    desk.agent.stop()?;
    desk.agent.run()?;
    desk.begun(2)?;
    desk.agent.kill()?;
    desk.agent.run()?;
    desk.begun(3)?;
    desk.wired.at_desk("addr add 192.0.2.99/24 dev eth0")?;
    let after = desk.wait_for("address added", "eth0")?;
    assert_eq!(words(&after, "eth0"), [&expected[..], &["address added"]].concat());
    let shown = desk.agent.says(&["collect", "interfaces", "routes", "--json"])?;
    assert!(shown.contains("eth0"), "{shown}");
    Ok(())
}

#[test]
fn a_storm_of_flaps_is_told_in_few_rows_that_account_for_all_of_it() -> anyhow::Result<()> {
    const FLAPS: u64 = 500;
    let desk = Desk::new()?;
    flap(&desk.wired, FLAPS)?;
    let all = until("all flaps to be accounted for", || {
        let all = desk.changes()?;
        let links = all.iter().filter(|change| ["link up", "link down", "folded"].contains(&change.change.as_str()));
        let told: u64 = links.map(|change| change.times).sum();
        Ok((told >= FLAPS * 2).then_some(all))
    })?;
    assert!(all.len() <= 40, "{} rows", all.len());
    let downs: u64 = all.iter().map(|change| change.link_downs).sum();
    assert!((FLAPS..FLAPS + 20).contains(&downs), "{downs}");
    let last = all.last().unwrap();
    assert!(last.message.contains("link up") || last.change == "link up", "{last:?}");
    Ok(())
}
