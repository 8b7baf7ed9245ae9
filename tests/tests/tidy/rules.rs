//! The rules of the house that can be run, each a function from sources to complaints.

use std::path::Path;

use crate::scan;

/// The corridor of each crate: a room knows those before it and itself.
pub(crate) const CORRIDORS: &[(&str, &[&str])] = &[
    (
        "agent",
        &[
            "host",
            "collect",
            "probe",
            "redact",
            "signature",
            "record",
            "schedule",
            "uplink",
            "pack",
            "ask",
            "config",
            "local",
            "service",
            "app",
        ],
    ),
    (
        "server",
        &[
            "logfile", "config", "store", "blobs", "identity", "ingest", "gateway", "custody", "diagnose", "case",
            "evidence", "question", "casefile", "ticket", "desk", "app",
        ],
    ),
];

/// Rooms before the corridor, which those aside may know as well: they read files and know of no server.
const READERS: &[&str] = &["logfile"];

/// Rooms that stand beside the corridor and know nobody in it.
const ASIDE: &[(&str, &str)] = &[("server", "cli")];

/// What the top of the repository holds, beside names that begin with a dot.
const TOP: &[&str] =
    &["Cargo.toml", "Cargo.lock", "LICENSE", "README.md", "agent", "deploy", "proto", "server", "target", "tests"];

/// Where the operating systems' differences and `unsafe` may live: behind the door, and on the bridge to SQLite's virtual tables.
const DOOR: &[&str] = &["agent/src/host/", "agent/src/service/", "proto/src/sql/vtab.rs"];

/// Collectors and probes, which reach the machine through the door alone.
const LOOKING: &[&str] = &["agent/src/collect/", "agent/src/probe/"];

/// The followers of logs, which hold a place in a file that grows: they are sources of lines and no looks.
const FOLLOWING: &str = "agent/src/collect/logs";

/// What goes past the door: files, programs, sockets, the environment, the clock.
const PAST_THE_DOOR: &[&str] = &[
    "std::fs",
    "TcpStream",
    "UdpSocket",
    "UnixStream",
    "std::env",
    "std::process",
    "std::os",
    "SystemTime",
    "Instant::now",
    "Zoned::now",
    "Timestamp::now",
    "rustix::",
    "tokio::",
];

/// Names that say nothing about what the thing is.
const EMPTY_NAMES: &[&str] = &["common", "data", "handler", "helper", "helpers", "info", "manager", "util", "utils"];

/// Words that mark what is not finished.
const UNFINISHED: &[&str] = &["todo", "fixme", "xxx", "hack", "placeholder", "for now", "unimplemented!"];

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// A file of the repository: its path from the top, with slashes, and its text.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn is_rust(&self) -> bool {
        self.is("rs")
    }

    pub(crate) fn is(&self, kind: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == kind)
    }
}

/// A room that names a later one, or the corridor from aside.
pub(crate) fn corridor(source: &Source) -> Vec<String> {
    let Some((name, rooms)) = CORRIDORS.iter().find(|(name, _rooms)| source.path.starts_with(&format!("{name}/src/")))
    else {
        return Vec::new();
    };
    let path = &source.path[name.len() + "/src/".len()..];
    let own = path.split(['/', '.']).next().unwrap_or_default();
    let aside = ASIDE.contains(&(name, own));
    if !aside && !rooms.contains(&own) && !["lib", "main", "bin"].contains(&own) {
        return vec![format!("{}: the room \"{own}\" is not in the corridor (tests/tests/tidy/rules.rs)", source.path)];
    }
    let place = |room: &str| rooms.iter().position(|other| *other == room);
    let Some(here) = place(own).or(aside.then_some(0)) else { return Vec::new() };
    let named = scan::rooms(&scan::code(&source.text));
    let wrong = named.into_iter().filter(|room| {
        let beyond = place(room).is_some_and(|there| aside || there > here);
        room != own && beyond && !READERS.contains(&room.as_str())
    });
    wrong.map(|room| format!("{}: \"{own}\" may not know \"{room}\"", source.path)).collect()
}

/// Files and functions that have outgrown their noun.
pub(crate) fn lengths(source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX {
        wrong.push(format!("{}: {lines} lines; look for the missing noun", source.path));
    }
    for function in scan::functions(&scan::code(&source.text)) {
        if function.lines > FUNCTION_LINES_MAX {
            wrong.push(format!("{}: {} has {} lines of code", source.path, function.name, function.lines));
        }
    }
    wrong
}

/// A file that does not say what it is for.
pub(crate) fn opening(source: &Source) -> Vec<String> {
    let said = source.text.starts_with("//! ");
    if said { Vec::new() } else { vec![format!("{}: does not begin with \"//! \" and what it is for", source.path)] }
}

/// What belongs behind the door.
pub(crate) fn door(source: &Source) -> Vec<String> {
    if DOOR.iter().any(|folder| source.path.starts_with(folder)) {
        return Vec::new();
    }
    let code = scan::code(&source.text);
    let words = ["unsafe ", "target_os", "target_family", "cfg(unix", "cfg(windows"];
    let found = words.iter().filter(|word| code.contains(**word));
    found.map(|word| format!("{}: \"{}\" belongs behind the door", source.path, word.trim())).collect()
}

/// Collectors and probes that would see another machine than the one they are shown.
pub(crate) fn looks(source: &Source) -> Vec<String> {
    // A file of this name is a `#[cfg(test)] mod tests;`.
    let test = source.path.ends_with("/tests.rs");
    let look = !test && (source.path.ends_with("/look.rs") || !source.path.starts_with(FOLLOWING));
    if !LOOKING.iter().any(|folder| source.path.starts_with(folder)) || !look {
        return Vec::new();
    }
    let code = scan::code(&source.text);
    let code = code.split("#[cfg(test)]").next().unwrap_or_default();
    let found = PAST_THE_DOOR.iter().filter(|word| code.contains(**word));
    found.map(|word| format!("{}: \"{word}\" goes past the door; ask `Host`", source.path)).collect()
}

/// Files and types whose names say nothing.
pub(crate) fn names(source: &Source) -> Vec<String> {
    let mut named: Vec<String> = source.path.split(['/', '.']).map(str::to_owned).collect();
    let code = scan::code(&source.text);
    for keyword in ["struct ", "enum ", "trait ", "mod "] {
        for (at, word) in code.match_indices(keyword) {
            let after = &code[at + word.len()..];
            named.push(after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    let empty = |name: &String| scan::words(name).iter().any(|word| EMPTY_NAMES.contains(&word.as_str()));
    named.into_iter().filter(empty).map(|name| format!("{}: \"{name}\" says nothing", source.path)).collect()
}

/// Words that mark what is not finished.
pub(crate) fn words(source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    for (place, line) in source.text.lines().enumerate() {
        // A loop over moments is no promise to come back.
        let low = line.to_lowercase().replace("for now in ", "");
        let whole = |word: &&&str| {
            low.match_indices(**word).any(|(at, found)| {
                let beside = [low[..at].chars().next_back(), low[at + found.len()..].chars().next()];
                !beside.into_iter().flatten().any(|c| c.is_alphanumeric() || c == '_' || c == '-')
            })
        };
        let found = UNFINISHED.iter().filter(whole);
        wrong.extend(found.map(|word| format!("{}:{}: \"{word}\"", source.path, place + 1)));
    }
    wrong
}

/// Paths of the machine that something was written on.
pub(crate) fn machines(source: &Source) -> Vec<String> {
    let homes = ["work", "farm", "root"].map(|folder| format!("/{folder}/"));
    let lines = source.text.lines().enumerate();
    let found = lines.filter(|(_place, line)| homes.iter().any(|home| line.contains(home.as_str())));
    found.map(|(place, line)| format!("{}:{}: {}", source.path, place + 1, line.trim())).collect()
}

/// What the top of the repository holds beside the fixed list.
pub(crate) fn top(names: &[String]) -> Vec<String> {
    let odd = names.iter().filter(|name| !name.starts_with('.') && !TOP.contains(&name.as_str()));
    odd.map(|name| format!("{name}: the top level holds {TOP:?} and nothing else")).collect()
}

/// Collectors that were written and not put on the list.
pub(crate) fn unlisted(source: &Source, list: &str) -> Vec<String> {
    if !source.path.starts_with("agent/src/collect/") {
        return Vec::new();
    }
    let listed = list.split_once("ALL: &[Collector] =").and_then(|(_before, after)| after.split_once(';'));
    let listed: Vec<&str> =
        listed.map(|(list, _after)| list.split([',', '[', ']', ':', '&', ' ', '\n']).collect()).unwrap_or_default();
    let code = scan::code(&source.text);
    let declared = code.match_indices(": Collector =").filter_map(|(at, _word)| code[..at].rsplit(' ').next());
    let missing = declared.filter(|name| !listed.contains(name));
    missing.map(|name| format!("{}: {name} is not in collect::ALL", source.path)).collect()
}

/// Tables that no collector reads, unless there is a reason.
pub(crate) fn unread(tables: &[&str], read: &[&str], reasons: &[(&str, &str)]) -> Vec<String> {
    let missing =
        tables.iter().filter(|table| !read.contains(table) && !reasons.iter().any(|(name, _why)| name == *table));
    let mut wrong: Vec<String> = missing.map(|table| format!("{table}: no collector reads this table")).collect();
    let stale = reasons.iter().filter(|(name, _why)| read.contains(name) || !tables.contains(name));
    wrong.extend(stale.map(|(name, _why)| format!("{name}: has no need of a reason any more")));
    wrong
}

/// A path from the top, with slashes.
pub(crate) fn from_top(top: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(top).unwrap_or(path);
    inside.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}
