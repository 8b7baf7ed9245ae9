//! Each system on a bad day: what was done once stays once, and what was not done says so.

use std::time::Duration;

use deskside_server::ticket::{Attachments, Posted, Trouble};
use deskside_tests::lab::desks::{Desk, Fault, zammad};

use crate::systems::{ALL, SERVER_BYTES_MAX};

#[tokio::test]
async fn a_failing_server_leaves_a_doubt_and_then_exactly_one_note() {
    for system in ALL {
        let room = system.room();
        let note = room.note("Found.", None);
        room.desk.fail(Fault::Status(500));
        let trouble = room.say(&note).await.unwrap_err();
        assert!(matches!(trouble, Trouble::Unknown { .. }), "{}: {trouble:?}", system.kind);
        assert_eq!(room.notes().len(), 0, "{}", system.kind);
        room.say(&note).await.unwrap();
        room.say(&note).await.unwrap();
        assert_eq!(room.notes().len(), 1, "{}", system.kind);
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_after_the_work_was_done_does_not_make_a_second_note() {
    for system in ALL {
        let room = system.room();
        let note = room.note("Found.", None);
        room.desk.fail(Fault::CutAfter);
        let trouble = room.say(&note).await.unwrap_err();
        assert!(matches!(trouble, Trouble::Unknown { .. }), "{}: {trouble:?}", system.kind);
        assert_eq!(room.notes().len(), 1, "{}", system.kind);
        room.say(&note).await.unwrap();
        assert_eq!(room.notes().len(), 1, "{}", system.kind);
        assert_eq!(room.customer_sees(), Vec::<String>::new(), "{}", system.kind);
    }
}

#[tokio::test]
async fn one_that_has_too_much_to_do_is_left_alone_for_as_long_as_it_asks() {
    for system in ALL {
        let room = system.room();
        let note = room.note("Found.", None);
        room.desk.fail(Fault::TooMany(7));
        match room.say(&note).await.unwrap_err() {
            Trouble::Later { after, .. } => assert_eq!(after, Some(Duration::from_secs(7)), "{}", system.kind),
            other => panic!("{}: {other:?}", system.kind),
        }
        room.say(&note).await.unwrap();
        assert_eq!(room.notes().len(), 1, "{}", system.kind);
    }
}

#[tokio::test]
async fn a_note_is_not_carried_to_where_somebody_else_would_have_it() {
    for system in ALL {
        let room = system.room();
        let other = Desk::start(zammad::Zammad, SERVER_BYTES_MAX).unwrap();
        room.desk.fail(Fault::Redirect(format!("{}/elsewhere", other.url())));
        let trouble = room.say(&room.note("Found.", None)).await.unwrap_err();
        assert!(trouble.why().contains("sends us on to 127.0.0.1"), "{}: {trouble:?}", system.kind);
        assert_eq!(other.kept().lines, Vec::<String>::new(), "{}", system.kind);
        assert_eq!(room.notes().len(), 0, "{}", system.kind);
    }
}

#[tokio::test]
async fn a_page_for_people_is_not_taken_for_an_answer() {
    for system in ALL {
        let room = system.room();
        let note = room.note("Found.", None);
        room.desk.fail(Fault::Page);
        let trouble = room.say(&note).await.unwrap_err();
        assert!(matches!(trouble, Trouble::Unknown { .. }), "{}: {trouble:?}", system.kind);
        room.say(&note).await.unwrap();
        assert_eq!(room.notes().len(), 1, "{}", system.kind);
    }
}

#[tokio::test]
async fn a_wrong_token_is_told_and_does_nothing() {
    for system in ALL {
        let room = system.room_with(system.settings(), "not-the-token");
        let trouble = room.say(&room.note("Found.", None)).await.unwrap_err();
        assert!(matches!(trouble, Trouble::Never { .. }), "{}: {trouble:?}", system.kind);
        assert!(!trouble.why().contains("not-the-token"), "{}: {trouble:?}", system.kind);
        assert_eq!(room.notes().len(), 0, "{}", system.kind);
    }
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused_and_nothing_is_half_there() {
    for system in ALL.iter().filter(|system| system.files) {
        let room = system.room();
        let file = room.bundle(SERVER_BYTES_MAX + 1).await;
        let note = room.note("Found.", Some(&file));
        let said = room.say(&note).await;
        let together = matches!(room.speaker.abilities().attachments, Attachments::Private { with_note: true, .. });
        let trouble = if together {
            said.unwrap_err()
        } else {
            said.unwrap();
            let posted: Posted = room.speaker.noted(&room.id, &note.marker).await.unwrap().unwrap();
            room.speaker.attach(&room.id, &file, &posted).await.unwrap_err()
        };
        assert!(matches!(trouble, Trouble::Never { .. }), "{}: {trouble:?}", system.kind);
        assert_eq!(room.desk.kept().tickets[&room.ticket].files.len(), 0, "{}", system.kind);
        assert_eq!(room.customer_sees(), Vec::<String>::new(), "{}", system.kind);
    }
}

#[tokio::test]
async fn a_ticket_that_is_not_there_is_told_and_so_is_one_whose_name_leads_elsewhere() {
    for system in ALL.iter().filter(|system| system.reads) {
        let room = system.room();
        for id in ["4242", "../../users/me", "1 OR 1=1"] {
            let trouble = room.speaker.read(id).await.unwrap_err();
            assert!(matches!(trouble, Trouble::Never { .. }), "{} {id}: {trouble:?}", system.kind);
        }
    }
}
