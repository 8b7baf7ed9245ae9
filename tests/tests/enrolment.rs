//! Identities over time, on real processes: certificates that ended are renewed, and a machine that is enrolled anew goes on at once.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use deskside_agent::uplink::identity::{Identity, want};
use deskside_server::identity::Authority;
use deskside_tests::lab::process::{Agent, Server, until};

const DAY: Duration = Duration::from_hours(24);

fn connected(agent: &Agent) -> anyhow::Result<String> {
    let device = until("the agent to be connected", || {
        let status = agent.status()?;
        Ok(status.connected_since_ms.and(status.device_id))
    });
    device.with_context(|| agent.logged())
}

/// The identity that a device would have if it had been switched off for long: its certificate began and ended in the past.
fn ended(agent: &Agent, server: &Server) -> anyhow::Result<Identity> {
    let identity = Identity::load(agent.state())?.context("enrolled")?;
    let wanted = want()?;
    let then = SystemTime::now() - 40 * DAY;
    let authority = Authority::open(&server.data().join("identity"))?;
    let certificate = authority.sign_device(&wanted.csr, identity.device_id.parse()?, then, 30 * DAY)?;
    Ok(Identity { certificate: certificate.to_vec(), key: wanted.key, ..identity })
}

#[test]
fn a_certificate_that_ended_while_the_machine_was_off_is_renewed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (server, mut agent) = (Server::start(folder.path())?, Agent::new(folder.path(), "")?);
    let device = agent.enrol(&server)?;
    assert_eq!(connected(&agent)?, device);
    agent.stop()?;
    let old = ended(&agent, &server)?;
    old.save(agent.state())?;
    agent.run()?;
    assert_eq!(connected(&agent)?, device, "it is the same device");
    let new = Identity::load(agent.state())?.context("enrolled")?;
    assert!(new.validity()?.to_ms > old.validity()?.to_ms);
    assert_ne!(new.key, old.key, "with a new certificate comes a new key");
    Ok(())
}

#[test]
fn a_revoked_machine_that_is_enrolled_anew_connects_at_once_as_another_device() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (server, mut agent) = (Server::start(folder.path())?, Agent::new(folder.path(), "")?);
    let device = agent.enrol(&server)?;
    assert_eq!(connected(&agent)?, device);
    server.says(&["device", "revoke", &device])?;
    until("the agent to know that it was revoked", || {
        let why = agent.status()?.why;
        Ok(why.filter(|why| why.contains("revoked")))
    })?;
    agent.says(&["enroll", &server.token(&[])?])?;
    assert_ne!(connected(&agent)?, device);
    Ok(())
}

#[test]
fn two_agents_do_not_share_a_state_folder() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut agent = Agent::new(folder.path(), "")?;
    agent.run()?;
    let second = agent.command().arg("run").output()?;
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("another agent runs on"), "{second:?}");
    agent.must_live()
}
