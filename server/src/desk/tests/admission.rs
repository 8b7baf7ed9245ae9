//! Who is let in: each call with each role, tokens that end, and what is open when they do.

use deskside_proto::v1::desk_server::SERVICE_NAME;
use tonic::body::Body;
use tonic::codegen::{Service as _, http};

use super::*;
use crate::desk::access::{ACCESS, Takes};

/// How a call without a message is answered.
async fn code(house: &House, call: &str, who: Option<&str>) -> Code {
    let mut request = http::Request::post(format!("http://desk/{SERVICE_NAME}/{call}"));
    if let Some(who) = who {
        request = request.header("authorization", invite::authorization(who.as_bytes()));
    }
    let request = request.header("content-type", "application/grpc").body(Body::empty()).unwrap();
    let answered = house.desk.clone().into_service().call(request).await.unwrap();
    Status::from_header_map(answered.headers()).map_or(Code::Ok, |status| status.code())
}

#[tokio::test]
async fn each_call_is_refused_to_each_role_below_the_one_that_it_takes() {
    let house = House::open().await;
    for (call, takes) in ACCESS {
        let Takes::Role(least) = takes else { continue };
        assert_eq!(code(&house, call, None).await, Code::Unauthenticated, "{call}");
        for role in [Role::Viewer, Role::Technician, Role::Admin] {
            let refused = code(&house, call, Some(&role.to_string())).await == Code::PermissionDenied;
            assert_eq!(refused, role < *least, "{call} by {role}");
        }
    }
    assert_eq!(code(&house, "Unheard", Some("admin")).await, Code::Unimplemented);
    let refused = house.client("viewer").await.list_technicians(ListTechniciansRequest {}).await.unwrap_err();
    assert_eq!(refused.message(), "this takes the role admin, and viewer is viewer; ask an administrator");
}

#[tokio::test]
async fn level_1_escalates_and_notes_and_nothing_more_of_a_ticket() {
    let house = House::open().await;
    let new = NewTicketRequest { title: "it is slow".into(), ..NewTicketRequest::default() };
    let number = house.client("technician").await.new_ticket(new).await.unwrap().into_inner().number;
    let mut viewer = house.client("viewer").await;
    let change = |request: UpdateTicketRequest| UpdateTicketRequest { number, ..request };
    let escalate = UpdateTicketRequest { escalate: true, note: Some("restarted it".into()), ..Default::default() };
    assert_eq!(viewer.update_ticket(change(escalate)).await.unwrap().into_inner().level, 2);
    for request in [
        UpdateTicketRequest { close: true, ..Default::default() },
        UpdateTicketRequest { assign: Some("technician".into()), ..Default::default() },
        UpdateTicketRequest { link: Some("desk-7".into()), ..Default::default() },
    ] {
        let refused = viewer.update_ticket(change(request)).await.unwrap_err();
        assert!(refused.message().starts_with("this takes the role technician"), "{refused}");
    }
}

#[tokio::test]
async fn a_token_that_is_over_says_so_and_one_that_was_renewed_is_void() {
    let house = House::open().await;
    let add = AddTechnicianRequest { name: "ben".into(), role: "viewer".into(), days: 1 };
    let mut admin = house.client("admin").await;
    let first = admin.add_technician(add).await.unwrap().into_inner();
    let mut ben = house.bearer(first.token.clone()).await;
    let me = ben.who_am_i(WhoAmIRequest {}).await.unwrap().into_inner();
    assert_eq!((me.name.as_str(), me.expires_ms), ("ben", first.expires_ms));
    let second = ben.renew_own_token(RenewOwnTokenRequest { days: 0 }).await.unwrap().into_inner();
    assert_eq!(ben.who_am_i(WhoAmIRequest {}).await.unwrap_err().code(), Code::Unauthenticated);
    assert!(second.expires_ms > first.expires_ms);
    let mut ben = house.bearer(second.token.clone()).await;
    ben.who_am_i(WhoAmIRequest {}).await.unwrap();
    let known = house.store.credential(&personal::id(&second.token)).await.unwrap().unwrap();
    assert!(known.used_ms > 0);
    house.store.renew_session(&known.id, Role::Viewer, Vec::new(), now_ms() - 1).await.unwrap();
    let over = ben.who_am_i(WhoAmIRequest {}).await.unwrap_err();
    assert!(over.message().starts_with("this token has expired; "), "{over}");
    let listed = admin.list_technicians(ListTechniciansRequest {}).await.unwrap().into_inner().technicians;
    assert_eq!(
        listed.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(),
        ["admin", "ben", "technician", "viewer"]
    );
    let own = RevokeTechnicianRequest { name: "admin".into() };
    assert!(admin.revoke_technician(own).await.unwrap_err().message().contains("yourself"));
}

#[tokio::test]
async fn a_token_of_before_is_kept_by_argon2_from_its_next_use_on() {
    let house = House::open().await;
    let token = vec![7_u8; 20];
    let plain = format!("sha256:{}", data_encoding::HEXLOWER.encode(digest(&SHA256, &token).as_ref()));
    let credential = NewCredential { id: personal::id(&token), hash: plain, expires_ms: i64::MAX };
    let old = NewTechnician { name: "old".into(), role: Role::Viewer, credential };
    house.store.add_technician(old, 1).await.unwrap();
    let mut client = house.bearer(token.clone()).await;
    for _time in 0..2 {
        client.who_am_i(WhoAmIRequest {}).await.unwrap();
        let kept = house.store.credential(&personal::id(&token)).await.unwrap().unwrap().hash;
        assert!(kept.starts_with("$argon2id$"), "{kept}");
    }
}

#[tokio::test]
async fn what_a_technician_has_open_ends_once_they_are_revoked() {
    let house = House::open().await;
    let _agent = house.agent();
    let mut technician = house.client("technician").await;
    let request = TailRequest { device: "desk-7".into(), ..TailRequest::default() };
    let mut lines = technician.tail(request).await.unwrap().into_inner();
    house.store.revoke_technician("technician").await.unwrap();
    let ended = loop {
        match lines.message().await {
            Ok(Some(_answer)) => {}
            ended => break ended,
        }
    };
    let ended = ended.unwrap_err();
    assert_eq!(ended.code(), Code::Unauthenticated);
    assert!(ended.message().contains("was revoked"), "{ended}");
}
