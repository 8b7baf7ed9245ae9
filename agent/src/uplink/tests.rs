//! The uplink through made-up sessions: windows, resumption, refusals, commands.

use super::window::KEPT_MS;
use super::*;
use deskside_proto::v1::Command;
use deskside_proto::v1::command::Kind as Asked;
use deskside_proto::v1::{Cancel, Look, Policy, Reading, SignedPolicy};
use prost::bytes::Bytes;

const DEVICE_SEED: u64 = 42;

fn record(last_seq: u64) -> Standing {
    Standing { epoch: 7, first_seq: 1, last_seq, kept_seq: 0 }
}

fn readings(seqs: std::ops::RangeInclusive<u64>, bytes: usize) -> Vec<Numbered> {
    let reading = Reading { table: "load".into(), rows: vec![Bytes::from(vec![1; bytes])], ..Reading::default() };
    seqs.map(|seq| Numbered { seq, reading: Some(reading.clone()) }).collect()
}

/// In session at time 0, the Welcome having said what is kept.
fn open(last_seq: u64, kept_seq: u64) -> (Uplink, Vec<Act>) {
    let mut uplink = Uplink::new(DEVICE_SEED, record(last_seq), 0);
    assert_eq!(uplink.step(0, Event::Tick), [Act::Connect(1)]);
    assert_eq!(uplink.step(0, Event::Opened(1)), [Act::Greet(record(last_seq))]);
    let acts = uplink.step(0, Event::Heard(1, Down::Welcome(Welcome { kept_seq, ..Welcome::default() })));
    (uplink, acts)
}

fn asked(acts: &[Act]) -> Option<(u64, u64)> {
    acts.iter().find_map(|act| if let Act::Read { read, after, .. } = act { Some((*read, *after)) } else { None })
}

fn batches(acts: &[Act]) -> Vec<Vec<u64>> {
    let seqs = |act: &Act| match act {
        Act::Send(Up::Batch(batch)) => Some(batch.readings.iter().map(|numbered| numbered.seq).collect()),
        _ => None,
    };
    acts.iter().filter_map(seqs).collect()
}

fn kept(seq: u64) -> Event {
    Event::Heard(1, Down::Kept(Kept { epoch: 7, seq }))
}

fn command(id: &str) -> Event {
    let kind = Some(Asked::Look(Look { tables: vec!["load".into()] }));
    Event::Heard(1, Down::Command(Command { id: id.into(), deadline_ms: 1000, kind, ..Command::default() }))
}

#[test]
fn a_session_resumes_after_what_the_server_has_kept() {
    let (mut uplink, acts) = open(9, 4);
    assert!(acts.contains(&Act::Keep { epoch: 7, seq: 4 }));
    let (read, after) = asked(&acts).expect("there is more");
    assert_eq!(after, 4);
    let acts = uplink.step(1, Event::Read { read, epoch: 7, readings: readings(5..=9, 10) });
    assert_eq!(batches(&acts), [vec![5, 6, 7, 8, 9]]);
    assert!(!uplink.idle());
    assert_eq!(uplink.step(2, kept(9)), [Act::Keep { epoch: 7, seq: 9 }]);
    assert!(uplink.idle());
}

#[test]
fn what_is_not_kept_is_bounded_by_the_window() {
    let (mut uplink, mut acts) = open(10_000, 0);
    let (mut sent, mut last) = (0, 0);
    while let Some((read, after)) = asked(&acts) {
        acts = uplink.step(1, Event::Read { read, epoch: 7, readings: readings(after + 1..=after + 2, 6_000) });
        sent += batches(&acts).len();
        last = after + 2;
    }
    assert!(uplink.window.bytes() <= WINDOW_BYTES + BATCH_BYTES, "{} bytes", uplink.window.bytes());
    assert!(sent <= WINDOW_BATCHES && sent > 10);
    assert!(asked(&uplink.step(2, kept(last))).is_some(), "it goes on when there is room");
}

#[test]
fn a_reading_larger_than_a_batch_goes_alone() {
    let (mut uplink, acts) = open(3, 0);
    let (read, _) = asked(&acts).expect("there is more");
    let mut all = readings(1..=3, 10);
    all[1] = readings(2..=2, 100_000).remove(0);
    assert_eq!(batches(&uplink.step(1, Event::Read { read, epoch: 7, readings: all })), [vec![1], vec![2], vec![3]]);
}

#[test]
fn readings_recorded_while_the_record_was_asked_are_not_passed_over() {
    let (mut uplink, acts) = open(5, 0);
    let (read, _) = asked(&acts).expect("there is more");
    uplink.step(1, Event::Recorded(record(6)));
    let acts = uplink.step(2, Event::Read { read, epoch: 7, readings: Vec::new() });
    assert_eq!(asked(&acts).map(|(_, after)| after), Some(5), "6 came after the question");
}

#[test]
fn nothing_is_asked_again_where_nothing_is_streamed() {
    let (mut uplink, acts) = open(5, 0);
    let (read, _) = asked(&acts).expect("there is more");
    assert_eq!(uplink.step(1, Event::Read { read, epoch: 7, readings: Vec::new() }), []);
    assert!(uplink.idle());
}

#[test]
fn words_of_an_old_session_are_not_heard() {
    let (mut uplink, _) = open(5, 0);
    uplink.step(10, Event::Closed(1, Ending::Lost("cut".into())));
    let now = uplink.next_ms();
    assert_eq!(uplink.step(now, Event::Tick), [Act::Connect(2)]);
    assert_eq!(uplink.step(now, kept(5)), []);
    assert_eq!(uplink.step(now, Event::Closed(1, Ending::Lost("late".into()))), []);
    assert_eq!(uplink.phase(), &Phase::Connecting { since_ms: now });
}

#[test]
fn an_acknowledgement_of_another_epoch_counts_for_nothing() {
    let (mut uplink, _) = open(5, 0);
    assert_eq!(uplink.step(1, Event::Heard(1, Down::Kept(Kept { epoch: 8, seq: 5 }))), []);
    assert_eq!(uplink.record.kept_seq, 0);
}

#[test]
fn a_record_begun_anew_begins_a_new_session() {
    let (mut uplink, _) = open(5, 0);
    let acts = uplink.step(1, Event::Recorded(Standing { epoch: 8, first_seq: 1, last_seq: 1, kept_seq: 0 }));
    assert!(matches!(acts.first(), Some(Act::Disconnect(_))));
    let now = uplink.next_ms();
    assert_eq!(uplink.step(now, Event::Tick), [Act::Connect(2)]);
    let acts = uplink.step(now, Event::Opened(2));
    assert!(matches!(acts.first(), Some(Act::Greet(Standing { epoch: 8, .. }))));
}

#[test]
fn what_another_record_answered_is_not_sent() {
    let (mut uplink, acts) = open(5, 0);
    let (read, _) = asked(&acts).expect("there is more");
    let acts = uplink.step(1, Event::Read { read, epoch: 8, readings: readings(6..=7, 10) });
    assert!(batches(&acts).is_empty());
    assert!(matches!(uplink.phase(), Phase::Waiting { .. }), "the next session begins with the new epoch");
}

#[test]
fn a_record_restored_from_a_copy_begins_a_new_epoch() {
    let (uplink, acts) = open(5, 9);
    assert!(acts.contains(&Act::BeginEpoch), "numbers above 5 would be taken for repeats");
    assert!(matches!(uplink.phase(), Phase::Waiting { .. }));
}

#[test]
fn waits_grow_are_spread_and_are_short_again_after_a_good_session() {
    let waits = |seed| {
        let mut uplink = Uplink::new(seed, record(0), 0);
        let mut now = 0;
        let waits: Vec<u64> = (1..=12)
            .map(|session| {
                uplink.step(now, Event::Tick);
                uplink.step(now, Event::Closed(session, Ending::Lost("refused".into())));
                let wait = uplink.next_ms() - now;
                now += wait;
                wait
            })
            .collect();
        (uplink, now, waits)
    };
    let all: Vec<_> = (0..100).map(waits).collect();
    let mean = |place: usize| all.iter().map(|(_, _, waits)| waits[place]).sum::<u64>() / 100;
    assert!(all.iter().all(|(_, _, waits)| waits[0] <= BACK_OFF_MS && waits[11] <= BACK_OFF_MS_MAX));
    assert!(mean(0) > 350 && mean(0) < 650, "{}", mean(0));
    assert!(mean(11) > 110_000 && mean(11) < 190_000, "{}", mean(11));
    for (mut uplink, now, _) in all {
        uplink.step(now, Event::Tick);
        uplink.step(now, Event::Opened(13));
        uplink.step(now, Event::Heard(13, Down::Welcome(Welcome::default())));
        let later = now + STABLE_MS;
        uplink.step(later, Event::Closed(13, Ending::Lost("cut".into())));
        assert!(uplink.next_ms() - later <= BACK_OFF_MS);
    }
}

#[test]
fn a_server_that_does_not_want_us_is_left_alone_for_minutes() {
    let mut uplink = Uplink::new(DEVICE_SEED, record(0), 0);
    uplink.step(0, Event::Tick);
    uplink.step(0, Event::Closed(1, Ending::Refused("revoked".into())));
    assert!((REFUSED_MS..=2 * REFUSED_MS).contains(&uplink.next_ms()));
}

#[test]
fn silence_is_given_up_at_every_stage() {
    let mut uplink = Uplink::new(DEVICE_SEED, record(3), 0);
    uplink.step(0, Event::Tick);
    assert_eq!(uplink.next_ms(), CONNECT_MS);
    assert!(matches!(uplink.step(CONNECT_MS, Event::Tick).first(), Some(Act::Disconnect(_))));

    let mut uplink = Uplink::new(DEVICE_SEED, record(3), 0);
    uplink.step(0, Event::Tick);
    uplink.step(0, Event::Opened(1));
    assert!(matches!(uplink.step(WELCOME_MS, Event::Tick).first(), Some(Act::Disconnect(_))));

    let (mut uplink, acts) = open(3, 0);
    let (read, _) = asked(&acts).expect("there is more");
    uplink.step(0, Event::Read { read, epoch: 7, readings: readings(1..=3, 10) });
    assert!(matches!(uplink.step(KEPT_MS, Event::Tick).first(), Some(Act::Disconnect(_))));
}

#[test]
fn a_session_with_nothing_to_say_still_gives_a_sign_of_life() {
    let (mut uplink, _) = open(0, 0);
    assert_eq!(uplink.next_ms(), BEAT_MS);
    assert_eq!(uplink.step(BEAT_MS, Event::Tick), [Act::Beat]);
    assert_eq!(uplink.next_ms(), 2 * BEAT_MS);
}

#[test]
fn one_command_too_many_is_told_to_come_back() {
    let (mut uplink, _) = open(0, 0);
    for id in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        assert!(matches!(uplink.step(1, command(id)).as_slice(), [Act::Start(_)]));
    }
    let acts = uplink.step(1, command("i"));
    assert!(matches!(acts.as_slice(), [Act::Send(Up::Answer(answer))] if answer.last && answer.error.contains("busy")));
    assert_eq!(uplink.step(1, command("a")), [], "one that is already worked on is not begun twice");
    uplink.step(2, Event::Answer(Answer { id: "a".into(), last: true, ..Answer::default() }));
    assert!(matches!(uplink.step(3, command("j")).as_slice(), [Act::Start(_)]));
}

#[test]
fn a_command_past_its_deadline_is_stopped_and_said_so() {
    let (mut uplink, _) = open(0, 0);
    uplink.step(0, command("a"));
    assert_eq!(uplink.next_ms(), 1000);
    let acts = uplink.step(1000, Event::Tick);
    assert_eq!(acts.first(), Some(&Act::Stop("a".into())));
    assert!(matches!(acts.get(1), Some(Act::Send(Up::Answer(answer))) if answer.last && !answer.error.is_empty()));
    assert_eq!(uplink.step(1001, Event::Answer(Answer { id: "a".into(), ..Answer::default() })), []);
}

#[test]
fn a_cancelled_command_is_stopped_without_a_word() {
    let (mut uplink, _) = open(0, 0);
    uplink.step(0, command("a"));
    assert_eq!(uplink.step(1, Event::Heard(1, Down::Cancel(Cancel { id: "a".into() }))), [Act::Stop("a".into())]);
    assert_eq!(uplink.step(2, Event::Heard(1, Down::Cancel(Cancel { id: "a".into() }))), []);
}

#[test]
fn a_signed_policy_is_handed_on_and_one_that_is_not_signed_ends_the_session() {
    let (mut uplink, _) = open(0, 0);
    let policy = SignedPolicy { policy: vec![1], signature: vec![2] };
    assert_eq!(uplink.step(1, Event::Heard(1, Down::SignedPolicy(policy.clone()))), [Act::Apply(policy)]);
    let acts = uplink.step(2, Event::Heard(1, Down::Policy(Policy::default())));
    assert!(matches!(acts.as_slice(), [Act::Disconnect(_)]), "{acts:?}");
}

#[test]
fn a_new_identity_is_tried_at_once_whatever_was_under_way() {
    let mut uplink = Uplink::new(DEVICE_SEED, record(0), 0);
    uplink.step(0, Event::Tick);
    uplink.step(0, Event::Closed(1, Ending::Refused("expired".into())));
    assert_eq!(uplink.step(1, Event::Hasten), [Act::Connect(2)]);
    uplink.step(1, Event::Opened(2));
    let acts = uplink.step(2, Event::Hasten);
    assert!(matches!(acts.as_slice(), [Act::Disconnect(_), Act::Connect(3)]), "{acts:?}");
    assert_eq!(uplink.step(3, Event::Closed(2, Ending::Refused("expired".into()))), [], "that was the old identity");
    assert_eq!(uplink.phase(), &Phase::Connecting { since_ms: 2 });
}
