//! The systems in a table: how each is started and configured, what its tickets are called, and what it can.

use std::fs;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use deskside_server::blobs::Blobs;
use deskside_server::config::Config;
use deskside_server::ticket::{self, Attachments, Fields, File, HelpDesk, Note, marker_line};
use deskside_tests::lab::desks::{
    ACCOUNT, Desk, TOKEN, freshservice, glpi, glpi_v2, itop, jira, osticket, servicenow, ticket, webhook, zammad,
    zendesk, znuny,
};
use ring::digest::{SHA256, digest};
use tempfile::TempDir;
use uuid::Uuid;

/// Largest file that the servers of these tests take.
pub(crate) const SERVER_BYTES_MAX: usize = 300_000;

/// The secret of the hooks.
pub(crate) const HOOK_SECRET: &str = "secret-of-the-hooks";

/// A system as the tests know it.
#[derive(Clone, Copy)]
pub(crate) struct System {
    /// Its kind in the configuration.
    pub(crate) kind: &'static str,
    /// Further lines of the configuration; `DIR` stands for the folder of the secrets.
    settings: &'static str,
    /// What level 2 is called.
    level: &'static str,
    /// Starts its server.
    start: fn() -> Desk,
    /// A ticket's identity from its number.
    pub(crate) id: fn(u64) -> String,
    /// Fields that are set, and what the server keeps of them.
    pub(crate) fields: &'static [(&'static str, &'static str)],
    /// It can be read and searched.
    pub(crate) reads: bool,
    /// It takes private files.
    pub(crate) files: bool,
}

fn started(system: impl deskside_tests::lab::desks::System) -> Desk {
    Desk::start(system, SERVER_BYTES_MAX).unwrap()
}

fn plain(number: u64) -> String {
    number.to_string()
}

const COMMON: System = System {
    kind: "",
    settings: "",
    level: "2nd Level",
    start: || started(zammad::Zammad),
    id: plain,
    fields: &[],
    reads: true,
    files: true,
};

/// All of them.
pub(crate) const ALL: &[System] = &[
    System { kind: "zammad", fields: &[("deskside_case", "7"), ("state", "open")], ..COMMON },
    System {
        kind: "glpi",
        settings: "options = { app_token_file = \"DIR/app\" }",
        level: "22",
        start: || started(glpi::Glpi),
        fields: &[("externalid", "7")],
        ..COMMON
    },
    System {
        kind: "glpi-v2",
        settings: "options = { client_id = \"deskside-client\", client_secret_file = \"DIR/client\", \
                   user_token_file = \"DIR/token\", app_token_file = \"DIR/app\" }",
        start: || started(glpi_v2::GlpiV2),
        fields: &[("external_id", "7")],
        ..COMMON
    },
    System {
        kind: "jira",
        settings: "device_fields = [\"customfield_10050\"]",
        start: || started(jira::Jira),
        id: |number| format!("ITSM-{number}"),
        fields: &[("customfield_10051", "case 7")],
        ..COMMON
    },
    System {
        kind: "servicenow",
        settings: "device_fields = [\"u_computer\"]",
        start: || started(servicenow::ServiceNow),
        id: servicenow::sys_id,
        fields: &[("u_deskside_case", "7")],
        files: false,
        ..COMMON
    },
    System {
        kind: "freshservice",
        level: "22",
        start: || started(freshservice::Freshservice),
        fields: &[("deskside_case", "7"), ("status", "2")],
        ..COMMON
    },
    System {
        kind: "zendesk",
        settings: "options = { private_attachments = \"true\" }",
        level: "22",
        start: || started(zendesk::Zendesk { private_attachments: true }),
        fields: &[("901", "7")],
        ..COMMON
    },
    System { kind: "itop", start: || started(itop::Itop), fields: &[("external_ref", "7")], files: false, ..COMMON },
    System {
        kind: "znuny",
        start: || started(znuny::Znuny),
        fields: &[("DesksideCase", "7"), ("State", "open")],
        ..COMMON
    },
    System {
        kind: "osticket",
        settings: "options = { to = \"desk@example.com\" }",
        start: || started(osticket::OsTicket),
        id: osticket::message_id,
        reads: false,
        files: false,
        ..COMMON
    },
    System {
        kind: "webhook",
        start: || started(webhook::Webhook),
        fields: &[("deskside_case", "7")],
        reads: false,
        files: false,
        ..COMMON
    },
];

/// The system of a kind.
pub(crate) fn of(kind: &str) -> System {
    *ALL.iter().find(|system| system.kind == kind).unwrap()
}

/// A system that runs, one escalated ticket on it, and what speaks to it.
pub(crate) struct Room {
    pub(crate) desk: Desk,
    pub(crate) speaker: Arc<dyn HelpDesk>,
    pub(crate) ticket: u64,
    pub(crate) id: String,
    folder: TempDir,
}

impl System {
    /// Starts it.
    pub(crate) fn room(&self) -> Room {
        self.room_with(self.settings, TOKEN)
    }

    /// The same with other settings, or another token.
    pub(crate) fn room_with(&self, settings: &str, token: &str) -> Room {
        let desk = (self.start)();
        let number = {
            let mut ticket = ticket();
            ticket.group = "2nd Level".into();
            desk.kept().open(ticket)
        };
        let folder = TempDir::new().unwrap();
        let speaker = self.speaker(&desk, &folder, settings, token);
        Room { speaker, ticket: number, id: (self.id)(number), desk, folder }
    }

    fn speaker(&self, desk: &Desk, folder: &TempDir, settings: &str, token: &str) -> Arc<dyn HelpDesk> {
        let token = if self.kind == "webhook" && token == TOKEN { webhook::SECRET } else { token };
        let app = glpi::APP_TOKEN;
        for (name, text) in [("token", token), ("hooks", HOOK_SECRET), ("app", app), ("client", glpi_v2::CLIENT.1)] {
            fs::write(folder.path().join(name), format!("{text}\n")).unwrap();
        }
        let url = if self.kind == "webhook" { format!("{}/deskside", desk.url()) } else { desk.url() };
        let text = format!(
            "[[help_desk]]\nname = \"desk\"\nkind = \"{}\"\nurl = \"{url}\"\nuser = \"{ACCOUNT}\"\ntoken_file = \"DIR/token\"\n\
             hook_secret_file = \"DIR/hooks\"\nescalated = [\"{}\"]\n{settings}\n",
            self.kind, self.level
        );
        let config = Config::parse(&text.replace("DIR", &folder.path().display().to_string())).unwrap();
        ticket::open(&config.help_desks[0]).unwrap()
    }

    /// Further lines of the configuration.
    pub(crate) fn settings(&self) -> &'static str {
        self.settings
    }

    /// The fields that are set.
    pub(crate) fn set(&self) -> Fields {
        self.fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }
}

impl Room {
    /// A bundle in an object store of the room's own.
    pub(crate) async fn bundle(&self, size: usize) -> File {
        let bytes: Vec<u8> = (0..size).map(|at| (at * 31 % 251) as u8).collect();
        let source = self.folder.path().join("bundle");
        fs::write(&source, &bytes).unwrap();
        let store = self.folder.path().join("blobs");
        fs::create_dir_all(&store).unwrap();
        let blobs = Blobs::folder(&store).unwrap();
        blobs.put_file("evidence/1", &source).await.unwrap();
        let sha256 = HEXLOWER.encode(digest(&SHA256, &bytes).as_ref());
        File::bundle("case-7-evidence-1.zip".into(), size as u64, sha256, blobs, "evidence/1".into())
    }

    /// A note with the file, where both go together.
    pub(crate) fn note(&self, words: &str, file: Option<&File>) -> Note {
        let together = matches!(self.speaker.abilities().attachments, Attachments::Private { with_note: true, .. });
        let marker = marker_line(Uuid::new_v4());
        let file = file.filter(|_file| together).cloned();
        Note { text: format!("{words}\n{marker}"), marker, html: None, file }
    }

    /// Says it once, as the outbox does: the marker is looked for before.
    pub(crate) async fn say(&self, note: &Note) -> Result<(), ticket::Trouble> {
        if self.speaker.noted(&self.id, &note.marker).await?.is_none() {
            self.speaker.note(&self.id, note).await?;
        }
        Ok(())
    }

    /// Notes on the ticket.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.desk.kept().tickets[&self.ticket].notes.iter().map(|note| note.text.clone()).collect()
    }

    /// Requests that no page of the documentation names.
    pub(crate) fn refused(&self) -> Vec<String> {
        self.desk.kept().refused.clone()
    }

    /// What the requester would see.
    pub(crate) fn customer_sees(&self) -> Vec<String> {
        self.desk.kept().customer_sees(self.ticket)
    }
}
