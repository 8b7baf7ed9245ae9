//! A ticket as a hook tells it, of help desks that cannot be asked: which place of the JSON holds what is in the configuration.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::answer::{self, escalated, word};
use super::{Foreign, Person, Refused, markup};
use crate::config::HelpDeskConfig;

/// What may be told, as the options call it, and where it stands unless they say otherwise (JSON Pointer, RFC 6901).
const PLACES: &[(&str, &str)] = &[
    ("id", "/id"),
    ("number", "/number"),
    ("title", "/title"),
    ("text", "/text"),
    ("requester", "/requester"),
    ("mail", "/mail"),
    ("login", "/login"),
    ("place", "/place"),
    ("category", "/category"),
    ("asset", "/asset"),
    ("link", "/url"),
    ("delivery", "/delivery"),
];

/// The options of a kind whose tickets are told.
pub(super) const OPTIONS: &[&str] =
    &["id", "number", "title", "text", "requester", "mail", "login", "place", "category", "asset", "link", "delivery"];

/// Where everything stands.
pub(super) struct Told {
    places: BTreeMap<&'static str, String>,
    escalated: Vec<String>,
    device_fields: Vec<String>,
}

impl Told {
    /// As the configuration says it.
    pub(super) fn open(config: &HelpDeskConfig) -> Result<Self> {
        let mut places = BTreeMap::new();
        for (name, usual) in PLACES {
            let place = config.options.get(*name).map_or(*usual, String::as_str);
            ensure!(place.starts_with('/'), "options.{name} is a JSON pointer like {usual:?}, and not {place:?}");
            places.insert(*name, place.to_owned());
        }
        Ok(Self { places, escalated: config.escalated.clone(), device_fields: config.device_fields.clone() })
    }

    fn word(&self, body: &Value, name: &str) -> String {
        self.places.get(name).and_then(|place| word(body, place)).unwrap_or_default()
    }

    /// The delivery's identity, where it is told.
    pub(super) fn delivery(&self, body: &Value) -> Option<String> {
        Some(self.word(body, "delivery")).filter(|delivery| !delivery.is_empty())
    }

    /// The ticket in a body. Where the configuration names no places that are escalated, each ticket that is told is.
    pub(super) fn ticket(&self, body: &Value) -> Result<Foreign, Refused> {
        let id = self.word(body, "id");
        if id.is_empty() {
            let place = self.places.get("id").cloned().unwrap_or_default();
            return Err(Refused::Unread(format!(
                "the hook's body has nothing at {place}, where the ticket's id is to be"
            )));
        }
        let place = self.word(body, "place");
        let fields = self.device_fields.iter();
        let fields = fields.filter_map(|name| Some((name.clone(), word(body, &format!("/{name}"))?)));
        let told = Foreign {
            number: self.word(body, "number"),
            title: self.word(body, "title"),
            text: markup::plain(&self.word(body, "text")),
            requester: Person {
                name: self.word(body, "requester"),
                mail: self.word(body, "mail"),
                login: self.word(body, "login"),
            },
            escalated: self.escalated.is_empty() || escalated(&self.escalated, &[&place]),
            place,
            category: self.word(body, "category"),
            assets: Some(self.word(body, "asset")).filter(|asset| !asset.is_empty()).into_iter().collect(),
            fields: fields.collect(),
            url: self.word(body, "link"),
            changed_ms: word(body, "/changed").map_or(0, |changed| answer::time_ms(&changed)),
            id,
            ..Foreign::default()
        };
        Ok(told.bounded())
    }
}
