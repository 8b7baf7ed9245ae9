//! Logging in by the identity provider: roles by group, sessions that go on while the provider agrees, and providers that lie.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;

use data_encoding::HEXLOWER;
use deskside_server::identity::personal;
use deskside_server::store::{Db, Technicians};
use deskside_tests::lab::oidc::{Lie, Provider};
use deskside_tests::lab::process::{Server, Technician};

const ROLES: &str = "l1 = \"viewer\", l2 = \"technician\", it = \"admin\"";

/// A server of this provider, and a person who has never been there.
fn house(folder: &Path, provider: &Provider) -> (Server, Technician, String) {
    let server = Server::start_with(folder, &provider.settings(ROLES)).unwrap();
    let address = server.desk().to_string();
    let invite = server
        .says(&[
            "technician",
            "invite",
            "--address",
            &address,
            "--config",
            &format!("{}/server.toml", folder.display()),
        ])
        .unwrap();
    (server, Technician::at(&folder.join("home")), invite.trim().to_owned())
}

/// Logs in, agreeing once the code is shown: what the command printed, and whether it went well.
fn logs_in(person: &Technician, provider: &Provider, invite: &str) -> (bool, String) {
    let mut command = person.command().unwrap();
    command.args(["login", "--oidc", invite]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut login = command.spawn().unwrap();
    let mut lines = BufReader::new(login.stderr.take().unwrap());
    let mut shown = String::new();
    while !shown.contains("WDJB-MJHT") && lines.read_line(&mut shown).unwrap() > 0 {}
    provider.approve();
    lines.read_to_string(&mut shown).unwrap();
    let ended = login.wait_with_output().unwrap();
    (ended.status.success(), shown + &String::from_utf8_lossy(&ended.stdout))
}

/// The session's time is over.
fn ends(server: &Server, person: &Technician) {
    let login = fs::read_to_string(person.home().join("desk.toml")).unwrap();
    let secret = login.lines().find_map(|line| line.strip_prefix("secret = ")).unwrap().trim_matches('"');
    let token = HEXLOWER.decode(secret.as_bytes()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Db::open(&server.data().join("store.db")).unwrap();
        let known = store.credential(&personal::id(&token)).await.unwrap().unwrap();
        assert!(!known.renewal.windows(8).any(|piece| piece == b"refresh-"), "it lies in the store sealed");
        store.renew_session(&known.id, known.role, known.renewal, 1).await.unwrap();
    });
}

#[test]
fn a_person_logs_in_with_the_role_of_their_group_and_goes_on_while_the_provider_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start("anna", &["canteen", "l2"]).unwrap();
    let (server, anna, invite) = house(folder.path(), &provider);
    let (well, shown) = logs_in(&anna, &provider, &invite);
    assert!(well && shown.contains("/go") && shown.contains("logged in as anna (technician)"), "{shown}");
    anna.says(&["devices"]).unwrap();
    let listed = server.says(&["technician", "list"]).unwrap();
    assert!(listed.contains("anna") && listed.contains("no token"), "{listed}");
    ends(&server, &anna);
    provider.rotate().unwrap();
    provider.groups(&["l1"]);
    anna.says(&["devices"]).unwrap();
    let refused = anna.says(&["ticket", "new", "mine"]).unwrap_err().to_string();
    assert!(refused.contains("anna is viewer"), "{refused}");
    ends(&server, &anna);
    provider.dismiss();
    let over = anna.says(&["devices"]).unwrap_err().to_string();
    assert!(over.contains("your session is over") && over.contains("login --oidc"), "{over}");
    let audit = server.says(&["audit"]).unwrap();
    assert!(audit.contains("as technician") && audit.contains("the session ended"), "{audit}");
    assert_eq!(provider.complaints(), Vec::<String>::new());
}

#[test]
fn a_provider_that_lies_lets_nobody_in_and_the_reason_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start("anna", &["l2"]).unwrap();
    let (server, anna, invite) = house(folder.path(), &provider);
    for (lie, why) in [
        (Lie::Issuer, "invalid issuer"),
        (Lie::Audience, "audience"),
        (Lie::Expired, "expired"),
        (Lie::Unsigned, "not to be trusted"),
        (Lie::OtherKey, "not to be trusted"),
        (Lie::Nonce, "nonce that was not asked for"),
        (Lie::CodeOver, "expired_token"),
        (Lie::Refuses, "access_denied"),
        (Lie::Endless, "more than 1048576 bytes"),
        (Lie::Metadata, "does not describe itself"),
    ] {
        provider.lie(lie);
        let (well, shown) = logs_in(&anna, &provider, &invite);
        assert!(!well && shown.to_lowercase().contains(why), "{lie:?}: {shown}");
    }
    provider.lie(Lie::None);
    provider.groups(&["canteen"]);
    let (well, shown) = logs_in(&anna, &provider, &invite);
    assert!(!well && shown.contains("in no group that has a role here"), "{shown}");
    assert!(server.says(&["technician", "list"]).unwrap().contains("no technicians"));
}

#[test]
fn a_name_that_is_taken_is_not_taken_over_and_one_who_was_revoked_stays_out() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start("anna", &["it"]).unwrap();
    let (server, anna, invite) = house(folder.path(), &provider);
    server.invite("anna").unwrap();
    let (well, shown) = logs_in(&anna, &provider, &invite);
    assert!(!well && shown.contains("somebody else's"), "{shown}");
    let ben = Provider::start("ben", &["it"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (server, home, invite) = house(folder.path(), &ben);
    assert!(logs_in(&home, &ben, &invite).0);
    server.says(&["technician", "revoke", "ben"]).unwrap();
    assert!(home.says(&["devices"]).unwrap_err().to_string().contains("revoked"));
    let (well, shown) = logs_in(&home, &ben, &invite);
    assert!(!well && shown.contains("was revoked here"), "{shown}");
}

#[test]
fn a_provider_that_asks_for_patience_gets_it() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start("anna", &["l1"]).unwrap();
    let (_server, anna, invite) = house(folder.path(), &provider);
    provider.lie(Lie::SlowDown);
    let (well, shown) = logs_in(&anna, &provider, &invite);
    assert!(well && shown.contains("logged in as anna (viewer)"), "{shown}");
}
