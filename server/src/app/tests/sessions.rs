//! What a session takes, refuses and passes on.

use deskside_proto::{
    rows::Row,
    v1::{Answer, Batch, Boot, Command, Follow, Look, Numbered, Outcome, Reading, command},
};
use prost::Message;
use tonic::Code;

use super::*;
use crate::store::Readings;

fn batch(numbers: &[u64]) -> from_agent::Kind {
    let reading = |at: u64| Reading {
        table: Boot::TABLE.into(),
        at_ms: at as i64,
        outcome: Outcome::Ok.into(),
        rows: vec![Boot::default().encode_to_vec().into()],
        ..Reading::default()
    };
    let readings = numbers.iter().map(|seq| Numbered { seq: *seq, reading: Some(reading(*seq)) }).collect();
    from_agent::Kind::Batch(Batch { epoch: 3, readings })
}

async fn kept_up_to(session: &mut Session, seq: u64) {
    loop {
        if let to_agent::Kind::Kept(kept) = session.next().await.unwrap()
            && kept.seq >= seq
        {
            assert_eq!(kept.seq, seq);
            return;
        }
    }
}

fn look(deadline_ms: u32) -> Command {
    Command { deadline_ms, kind: Some(command::Kind::Look(Look::default())), ..Command::default() }
}

#[tokio::test]
async fn a_server_that_starts_again_goes_on_from_what_it_acknowledged() {
    let world = World::open().await;
    let agent = world.agent().await;
    let (mut session, kept) = world.welcomed(&agent).await;
    assert_eq!(kept, 0);
    session.say(batch(&[1, 2, 5])).await;
    session.say(batch(&[6])).await;
    kept_up_to(&mut session, 6).await;
    let world = world.restart().await;
    assert_eq!(session.end().await.code(), Code::Unavailable);
    let (mut session, kept) = world.welcomed(&agent).await;
    assert_eq!(kept, 6);
    session.say(batch(&[5, 6, 7])).await;
    kept_up_to(&mut session, 7).await;
    let held = world.store().history(agent.id, Boot::TABLE, 0, 100, 100).await.unwrap();
    assert_eq!(held.iter().map(|reading| reading.at_ms).collect::<Vec<_>>(), [1, 2, 5, 6, 7]);
}

#[tokio::test]
async fn an_agent_that_says_its_last_has_it_acknowledged() {
    let world = World::open().await;
    let agent = world.agent().await;
    let (session, _kept) = world.welcomed(&agent).await;
    session.say(batch(&[1])).await;
    let Session { up, mut down } = session;
    drop(up);
    let message = down.message().await.unwrap().unwrap();
    assert!(matches!(message.kind, Some(to_agent::Kind::Kept(kept)) if kept.seq == 1));
    assert_eq!(down.message().await.unwrap(), None);
    until("the line is free", || !world.server.switchboard.connected(agent.id)).await;
}

#[tokio::test]
async fn a_batch_with_wrong_numbers_ends_the_session_with_a_reason_and_harms_nothing() {
    let world = World::open().await;
    let agent = world.agent().await;
    for wrong in [vec![0], vec![3, 2], vec![4, 4]] {
        let (mut session, kept) = world.welcomed(&agent).await;
        session.say(batch(&wrong)).await;
        let end = session.end().await;
        assert_eq!((end.code(), kept), (Code::InvalidArgument, 0), "{end}");
    }
    let (mut session, _kept) = world.welcomed(&agent).await;
    session.say(batch(&[1])).await;
    kept_up_to(&mut session, 1).await;
}

#[tokio::test]
async fn a_frame_of_a_hundred_megabytes_ends_its_session_and_no_other() {
    let world = World::open().await;
    let (one, other) = (world.agent().await, world.agent().await);
    let (mut well, _kept) = world.welcomed(&other).await;
    let (mut session, _kept) = world.welcomed(&one).await;
    let mut huge = Reading { table: Boot::TABLE.into(), outcome: Outcome::Ok.into(), ..Reading::default() };
    huge.rows = vec![vec![0; 100 * 1024 * 1024].into()];
    let readings = vec![Numbered { seq: 1, reading: Some(huge) }];
    session.say(from_agent::Kind::Batch(Batch { epoch: 3, readings })).await;
    let end = session.end().await;
    assert_ne!(end.code(), Code::Ok, "{end}");
    well.say(batch(&[1])).await;
    kept_up_to(&mut well, 1).await;
}

#[tokio::test]
async fn a_session_that_does_not_begin_with_hello_is_refused() {
    let world = World::open().await;
    let agent = world.agent().await;
    let mut client = world.connect(Some(&agent)).await.unwrap();
    let first = FromAgent { kind: Some(batch(&[1])) };
    let refused = client.session(tokio_stream::iter([first])).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let (mut session, _kept) = world.welcomed(&agent).await;
    session.say(from_agent::Kind::Hello(agent.hello())).await;
    assert_eq!(session.end().await.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_newer_session_takes_the_place_of_the_older() {
    let world = World::open().await;
    let agent = world.agent().await;
    let (mut older, _kept) = world.welcomed(&agent).await;
    let (mut newer, _kept) = world.welcomed(&agent).await;
    assert_eq!(older.end().await.code(), Code::Aborted);
    assert!(world.server.switchboard.connected(agent.id));
    newer.say(batch(&[1])).await;
    kept_up_to(&mut newer, 1).await;
}

#[tokio::test]
async fn a_command_reaches_its_device_and_its_answers_come_back() {
    let world = World::open().await;
    let agent = world.agent().await;
    let switchboard = &world.server.switchboard;
    assert!(switchboard.command(agent.id, look(1000)).is_err());
    let mut arrivals = switchboard.arrivals();
    let (mut session, _kept) = world.welcomed(&agent).await;
    assert_eq!(arrivals.recv().await.unwrap(), agent.id);
    let mut answers = switchboard.command(agent.id, look(1000)).unwrap();
    let to_agent::Kind::Command(command) = session.next().await.unwrap() else { panic!("no command") };
    for last in [false, true] {
        session.say(from_agent::Kind::Answer(Answer { id: command.id.clone(), last, ..Answer::default() })).await;
    }
    assert!(!answers.recv().await.unwrap().last);
    assert!(answers.recv().await.unwrap().last);
    assert_eq!(answers.recv().await, None);
    let unasked = Answer { id: "nobody asked".into(), last: true, ..Answer::default() };
    session.say(from_agent::Kind::Answer(unasked)).await;
    session.say(batch(&[1])).await;
    kept_up_to(&mut session, 1).await;
}

#[tokio::test]
async fn one_who_hangs_up_cancels_the_command() {
    let world = World::open().await;
    let agent = world.agent().await;
    let (mut session, _kept) = world.welcomed(&agent).await;
    let follow = Command { kind: Some(command::Kind::Follow(Follow::default())), ..Command::default() };
    drop(world.server.switchboard.command(agent.id, follow).unwrap());
    let to_agent::Kind::Command(command) = session.next().await.unwrap() else { panic!("no command") };
    let to_agent::Kind::Cancel(cancel) = session.next().await.unwrap() else { panic!("no cancel") };
    assert_eq!(cancel.id, command.id);
}

#[tokio::test]
async fn a_command_ends_with_an_error_when_its_device_goes_or_says_nothing() {
    let world = World::open().await;
    let agent = world.agent().await;
    let (mut session, _kept) = world.welcomed(&agent).await;
    let mut late = world.server.switchboard.command(agent.id, look(1)).unwrap();
    let answer = late.recv().await.unwrap();
    assert!(answer.last && answer.error.contains("in time"), "{answer:?}");
    let mut lost = world.server.switchboard.command(agent.id, look(60_000)).unwrap();
    assert!(matches!(session.next().await.unwrap(), to_agent::Kind::Command(_)));
    drop(session);
    let answer = lost.recv().await.unwrap();
    assert!(answer.last && answer.error.contains("connection"), "{answer:?}");
    assert_eq!(lost.recv().await, None);
}
