//! Who comes in, and who does not.

use deskside_proto::v1::RenewRequest;
use tonic::Code;

use super::*;
use crate::store::{Devices, Tokens};

const DAY: Duration = Duration::from_hours(24);

#[tokio::test]
async fn a_token_that_is_forged_expired_used_up_or_revoked_lets_nobody_in() {
    let world = World::open().await;
    let (expired, good) = (world.token(1, 1).await, world.token(1, i64::MAX).await);
    let refused = async |secret: &[u8]| {
        let status = world.enroll(secret).await.expect_err("nobody comes in");
        assert_eq!(status.code(), Code::PermissionDenied);
        status.message().to_owned()
    };
    assert!(refused(b"guess").await.contains("not known"));
    assert!(refused(b"").await.contains("not known"));
    assert!(refused(expired.bytes()).await.contains("expired"));
    world.enroll(good.bytes()).await.unwrap();
    assert!(refused(good.bytes()).await.contains("used up"));
    let store = world.store();
    store.revoke_token(&store.tokens().await.unwrap()[0].id).await.unwrap();
    assert_eq!(store.devices().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_bad_signing_request_does_not_use_up_the_token() {
    let world = World::open().await;
    let secret = world.token(1, i64::MAX).await;
    let mut client = world.connect(None).await.unwrap();
    let request = EnrollRequest { secret: secret.bytes().to_vec(), csr_der: vec![1, 2, 3], ..EnrollRequest::default() };
    assert_eq!(client.enroll(request).await.unwrap_err().code(), Code::InvalidArgument);
    world.enroll(secret.bytes()).await.unwrap();
}

#[tokio::test]
async fn without_a_certificate_nothing_but_enrolment_is_answered() {
    let world = World::open().await;
    let mut client = world.connect(None).await.unwrap();
    let renewed = client.renew(RenewRequest::default()).await.unwrap_err();
    let session = client.session(tokio_stream::empty()).await.unwrap_err();
    let upload = client.upload(tokio_stream::empty()).await.unwrap_err();
    for status in [renewed, session, upload] {
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let world = World::open().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Authority::open(elsewhere.path()).unwrap();
    let mut agent = world.agent().await;
    agent.certificate = other.sign_device(&request(&agent.key), agent.id, SystemTime::now(), DAY).unwrap();
    assert!(world.session(&agent, agent.hello()).await.is_err());
}

#[tokio::test]
async fn a_device_that_claims_anothers_identity_is_refused() {
    let world = World::open().await;
    let (one, other) = (world.agent().await, world.agent().await);
    let refused = world.session(&one, other.hello()).await.err().unwrap();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(!world.server.switchboard.connected(other.id));
}

#[tokio::test]
async fn a_device_that_the_store_does_not_know_is_refused() {
    let world = World::open().await;
    let mut agent = world.agent().await;
    agent.id = Uuid::new_v4();
    agent.certificate = world.authority().sign_device(&request(&agent.key), agent.id, SystemTime::now(), DAY).unwrap();
    let refused = world.session(&agent, agent.hello()).await.err().unwrap();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_device_whose_certificate_ended_lately_may_renew_it_and_nothing_else() {
    let world = World::open().await;
    let mut agent = world.agent().await;
    let then = SystemTime::now() - DAY * 40;
    agent.certificate = world.authority().sign_device(&request(&agent.key), agent.id, then, DAY * 30).unwrap();
    let refused = world.session(&agent, agent.hello()).await.err().unwrap();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(refused.message().contains("expired"), "{refused}");
    let renewed = world.connect(Some(&agent)).await.unwrap().renew(RenewRequest { csr_der: request(&agent.key) }).await;
    agent.certificate = renewed.unwrap().into_inner().certificate_der.into();
    world.welcomed(&agent).await;
}

#[tokio::test]
async fn a_device_whose_certificate_ended_long_ago_enrols_again() {
    let world = World::open().await;
    let mut agent = world.agent().await;
    let then = SystemTime::now() - DAY * 300;
    agent.certificate = world.authority().sign_device(&request(&agent.key), agent.id, then, DAY * 30).unwrap();
    let renewed = async {
        let mut client = world.connect(Some(&agent)).await.map_err(|error| error.to_string())?;
        client.renew(RenewRequest { csr_der: request(&agent.key) }).await.map_err(|status| status.to_string())
    };
    assert!(renewed.await.is_err());
}

#[tokio::test]
async fn a_revoked_device_is_cut_off_within_a_second_and_cannot_come_back() {
    let world = World::open().await;
    let agent = world.agent().await;
    let (mut session, _kept) = world.welcomed(&agent).await;
    let begun = std::time::Instant::now();
    assert!(world.store().revoke_device(agent.id, 1).await.unwrap());
    let end = session.end().await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(end.code(), Code::Unauthenticated);
    let again = world.session(&agent, agent.hello()).await.err().unwrap();
    assert!(again.message().contains("revoked"), "{again}");
    let mut client = world.connect(Some(&agent)).await.unwrap();
    let renewed = client.renew(RenewRequest { csr_der: request(&agent.key) }).await.unwrap_err();
    assert_eq!(renewed.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_is_refused() {
    let world = World::open().await;
    let error = start(world.folder.path()).await.err().unwrap();
    assert!(error.to_string().contains("another deskside-server"), "{error:#}");
    world.server.stop().await.unwrap();
    start(world.folder.path()).await.unwrap();
}

#[tokio::test]
async fn connections_that_say_nothing_or_nonsense_keep_nobody_out() {
    use tokio::io::AsyncWriteExt;
    let world = World::open().await;
    let mut held = Vec::new();
    for n in 0..200 {
        let mut tcp = TcpStream::connect(world.server.addresses().agents).await.unwrap();
        if n % 2 == 0 {
            tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        }
        held.push(tcp);
    }
    let agent = tokio::time::timeout(Duration::from_secs(5), world.agent()).await.expect("there is room for an agent");
    world.welcomed(&agent).await;
}
