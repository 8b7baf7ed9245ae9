//! From an escalated ticket to an internal note with its file and fields, on each system, without a word that its requester would see.

use deskside_server::ticket::Attachments;

use crate::systems::{ALL, of};

/// An hour before the tickets of these tests changed.
const SINCE_MS: i64 = 1_795_336_200_000;

#[tokio::test]
async fn an_escalated_ticket_is_found_and_read() {
    for system in ALL.iter().filter(|system| system.reads) {
        let room = system.room();
        let kind = system.kind;
        let found = room.speaker.escalated(SINCE_MS).await.unwrap();
        assert_eq!(found.iter().map(|ticket| ticket.id.as_str()).collect::<Vec<_>>(), [room.id.as_str()], "{kind}");
        assert!(found[0].escalated, "{kind}");
        let ticket = room.speaker.read(&room.id).await.unwrap();
        assert_eq!(ticket.title, "Printer on floor 3 prints nothing", "{kind}");
        assert!(
            ticket.text.contains("The machine is ws-042.") && !ticket.text.contains('<'),
            "{kind}: {}",
            ticket.text
        );
        assert_eq!(
            (ticket.requester.name.as_str(), ticket.requester.mail.as_str()),
            ("Erika Muster", "erika@example.com"),
            "{kind}"
        );
        let named = ticket.assets.iter().chain(ticket.fields.values()).any(|asset| asset == "ws-042");
        assert!(named || kind == "glpi-v2", "{kind}: {:?} {:?}", ticket.assets, ticket.fields);
        assert!(
            ticket.escalated && ticket.changed_ms > SINCE_MS && ticket.url.starts_with(&room.desk.url()),
            "{kind}: {ticket:?}"
        );
        let by_words = room.speaker.find("Printer on floor 3 prints nothing").await.unwrap();
        assert_eq!(by_words.first().map(|ticket| ticket.id.as_str()), Some(room.id.as_str()), "{kind}");
        assert_eq!(room.refused(), Vec::<String>::new(), "{kind}");
    }
}

#[tokio::test]
async fn a_ticket_that_is_not_with_level_2_is_not_escalated() {
    for system in ALL.iter().filter(|system| system.reads) {
        let room = system.room();
        room.desk.kept().tickets.values_mut().for_each(|ticket| ticket.group = "1st Level".into());
        assert!(!room.speaker.read(&room.id).await.unwrap().escalated, "{}", system.kind);
        assert_eq!(room.speaker.escalated(SINCE_MS).await.unwrap(), [], "{}", system.kind);
    }
}

#[tokio::test]
async fn a_note_with_its_file_and_fields_comes_once_and_the_requester_sees_none_of_it() {
    for system in ALL {
        let room = system.room();
        let kind = system.kind;
        let file = room.bundle(200_000).await;
        let note = room.note("The queue is stopped: the printer is out of paper.", Some(&file));
        room.say(&note).await.unwrap();
        room.say(&note).await.unwrap();
        if let Attachments::Private { with_note: false, .. } = room.speaker.abilities().attachments {
            let posted = room.speaker.noted(&room.id, &note.marker).await.unwrap().unwrap();
            assert_eq!(posted.files, Vec::<String>::new(), "{kind}");
            room.speaker.attach(&room.id, &file, &posted).await.unwrap();
        }
        if system.reads && system.files {
            let posted = room.speaker.noted(&room.id, &note.marker).await.unwrap().unwrap();
            let told =
                kind == "zendesk" || kind == "freshservice" || kind == "znuny" || posted.files == [file.name.clone()];
            assert!(told, "{kind}: {posted:?}");
        }
        if !system.fields.is_empty() {
            room.speaker.set(&room.id, &system.set()).await.unwrap();
        }
        let notes = room.notes();
        assert_eq!(notes.len(), 1, "{kind}: {notes:?}");
        assert!(notes[0].contains(&note.marker) && notes[0].contains("out of paper"), "{kind}: {notes:?}");
        let kept = room.desk.kept().tickets[&room.ticket].clone();
        let files: Vec<(String, String)> = kept.files.iter().map(|kept| (kept.name.clone(), kept.sha256())).collect();
        let whole = if system.files { vec![(file.name.clone(), file.sha256.clone())] } else { Vec::new() };
        assert_eq!(files, whole, "{kind}");
        for (name, value) in system.fields {
            let set = &kept.fields[*name];
            let number = set.as_i64().map(|number| number.to_string());
            assert!(set == value || number.as_deref() == Some(*value), "{kind}: {name} is {set}");
        }
        assert_eq!(room.customer_sees(), Vec::<String>::new(), "{kind}");
        assert_eq!(room.refused(), Vec::<String>::new(), "{kind}");
    }
}

#[tokio::test]
async fn files_are_offered_to_no_system_that_shows_them_to_others() {
    for (kind, settings) in [("servicenow", ""), ("zendesk", ""), ("itop", "")] {
        let room = of(kind).room_with(settings, deskside_tests::lab::desks::TOKEN);
        assert!(matches!(room.speaker.abilities().attachments, Attachments::Public { .. }), "{kind}");
    }
    for kind in ["osticket", "webhook"] {
        assert_eq!(of(kind).room().speaker.abilities().attachments, Attachments::None, "{kind}");
    }
    let room = of("servicenow").room_with("options = { private_files = \"true\" }", deskside_tests::lab::desks::TOKEN);
    let file = room.bundle(1_000).await;
    assert!(matches!(room.speaker.abilities().attachments, Attachments::Private { with_note: false, .. }));
    room.speaker.attach(&room.id, &file, &deskside_server::ticket::Posted::default()).await.unwrap();
    assert_eq!(room.desk.kept().tickets[&room.ticket].files[0].sha256(), file.sha256);
}

#[tokio::test]
async fn words_of_strangers_are_shown_and_do_nothing() {
    let words =
        "<script>alert('x')</script> [code]<b>y</b>[/code] {noformat} [z|http://evil.example] {noformat:title=a} &lt;";
    for system in ALL {
        let room = system.room();
        room.say(&room.note(words, None)).await.unwrap();
        let note = room.notes().remove(0);
        match system.kind {
            "glpi" | "glpi-v2" | "freshservice" | "zendesk" => {
                assert!(!note.contains("<script") && !note.contains("<b>") && note.contains("&amp;lt;"), "{note}");
            }
            "jira" => assert_eq!(note.matches("{noformat").count(), 2, "{note}"),
            "servicenow" => assert!(!note.contains("[code]") && !note.contains("[/code]"), "{note}"),
            // Plain text, said to be so in the request.
            _ => assert!(note.contains("<script>"), "{}: {note}", system.kind),
        }
    }
}

#[tokio::test]
async fn what_cannot_be_asked_says_so_in_words() {
    for kind in ["osticket", "webhook"] {
        let room = of(kind).room();
        let refusals = [
            room.speaker.read(&room.id).await.err(),
            room.speaker.find("printer").await.err(),
            room.speaker.escalated(SINCE_MS).await.err(),
        ];
        for refusal in refusals {
            assert!(refusal.unwrap().why().starts_with("unsupported: "), "{kind}");
        }
        assert_eq!(room.desk.kept().lines, Vec::<String>::new(), "{kind}");
    }
}
