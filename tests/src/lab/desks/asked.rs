//! What a help desk of the tests is asked, taken apart, and the strict look at it: nothing is missing, nothing is there that no page
//! of the system's documentation names.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use hyper::HeaderMap;
use hyper::body::Bytes;
use serde_json::{Map, Value as Json};

/// A request, whole.
#[derive(Debug)]
pub struct Asked {
    /// Its method, upper case.
    pub method: String,
    /// Its path, decoded, in its parts.
    pub path: Vec<String>,
    /// What stands after the question mark, decoded.
    pub query: BTreeMap<String, String>,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body as it came.
    pub body: Bytes,
    /// The parts of a multipart form, or the fields of an URL-encoded one.
    pub parts: Vec<Part>,
}

/// One part of a form.
#[derive(Debug)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// The file's name, of a part that is a file.
    pub file: Option<String>,
    /// Its own content type.
    pub kind: Option<String>,
    /// What is in it.
    pub bytes: Bytes,
}

impl Part {
    /// What is in it, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl Asked {
    /// Method and path, to be matched.
    pub fn route(&self) -> (&str, Vec<&str>) {
        (&self.method, self.path.iter().map(String::as_str).collect())
    }

    /// A header's text; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body's type without its parameters.
    pub fn kind(&self) -> &str {
        self.header("content-type").split(';').next().unwrap_or_default().trim()
    }

    /// A value of the query.
    pub fn asks(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// The body as JSON, which must be called so.
    pub fn json(&self) -> Result<Json, String> {
        if self.kind() != "application/json" {
            return Err(format!("the body must be application/json, not {:?}", self.kind()));
        }
        serde_json::from_slice(&self.body).map_err(|error| format!("the body is no JSON: {error}"))
    }

    /// User and password of HTTP Basic.
    pub fn basic(&self) -> Option<(String, String)> {
        let coded = self.header("authorization").strip_prefix("Basic ")?;
        let plain = String::from_utf8(BASE64.decode(coded.as_bytes()).ok()?).ok()?;
        plain.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
    }

    /// A form's part by its name, which may be there once.
    pub fn part(&self, name: &str) -> Result<&Part, String> {
        let mut found = self.parts.iter().filter(|part| part.name == name);
        let part = found.next().ok_or_else(|| format!("the form has no part {name:?}"))?;
        if found.next().is_some() { Err(format!("the form has {name:?} twice")) } else { Ok(part) }
    }
}

/// An object that has all of the first keys, and beside them none but the second.
pub(super) fn object<'a>(
    json: &'a Json,
    required: &[&str],
    optional: &[&str],
) -> Result<&'a Map<String, Json>, String> {
    let map = json.as_object().ok_or_else(|| format!("not an object: {json}"))?;
    if let Some(missing) = required.iter().find(|key| !map.contains_key(**key)) {
        return Err(format!("{missing:?} is missing"));
    }
    let known = |key: &String| required.contains(&key.as_str()) || optional.contains(&key.as_str());
    match map.keys().find(|key| !known(key)) {
        Some(unknown) => Err(format!("{unknown:?} is not known")),
        None => Ok(map),
    }
}

/// A key's text.
pub(super) fn text(map: &Map<String, Json>, key: &str) -> Result<String, String> {
    map.get(key).and_then(Json::as_str).map(str::to_owned).ok_or_else(|| format!("{key:?} is no text"))
}

/// A key's number.
pub(super) fn number(map: &Map<String, Json>, key: &str) -> Result<u64, String> {
    map.get(key).and_then(Json::as_u64).ok_or_else(|| format!("{key:?} is no number"))
}

/// A key's bytes, which stand in base64.
pub(super) fn bytes(map: &Map<String, Json>, key: &str) -> Result<Vec<u8>, String> {
    BASE64.decode(text(map, key)?.as_bytes()).map_err(|error| format!("{key:?} is no base64: {error}"))
}
