//! What codes mean, without asking anybody: the tables are part of the program.

use deskside_proto::codes::{self, Meaning};
use serde_json::json;

use super::screen::{Line, Screen};
use super::trouble::Said;

/// What codes mean: numbers, names, or a piece of a message with its words ("exit status 203").
///
/// A bare number may be many things, and all are told. Exit status: 1 where one of them is not known.
#[derive(Debug, clap::Args)]
pub(super) struct Decode {
    /// Codes, or messages with codes in them; one argument each.
    #[arg(required = true, value_name = "CODE", allow_hyphen_values = true)]
    codes: Vec<String>,
}

impl Decode {
    pub(super) fn run(self, screen: Screen) -> anyhow::Result<()> {
        let meanings: Vec<(String, Vec<Meaning>)> =
            self.codes.into_iter().map(|code| (code.clone(), codes::decode(&code))).collect();
        if screen.json {
            let shapes: Vec<_> =
                meanings.iter().map(|(code, meanings)| json!({ "code": code, "meanings": shape(meanings) })).collect();
            screen.value(&json!(shapes))?;
        } else {
            for (code, meanings) in &meanings {
                tell(screen, code, meanings)?;
            }
        }
        if meanings.iter().any(|(_code, meanings)| meanings.is_empty()) { Err(Said.into()) } else { Ok(()) }
    }
}

fn tell(screen: Screen, code: &str, meanings: &[Meaning]) -> anyhow::Result<()> {
    let line = Line::default().bold(code);
    if meanings.is_empty() {
        return Ok(screen.line(line.warn("  not known; words beside it may help: \"exit status 203\""))?);
    }
    screen.line(line)?;
    for meaning in meanings {
        let number = if meaning.number.is_empty() { String::new() } else { format!(" {}", meaning.number) };
        let line = Line::default().plain("  ").bold(&meaning.name).dim(format!("  {}{number}", meaning.kind));
        screen.line(line)?;
        screen.beside("", 4, &format!("{} [{}]", meaning.sentence, meaning.source))?;
    }
    Ok(())
}

fn shape(meanings: &[Meaning]) -> serde_json::Value {
    let one = |meaning: &Meaning| {
        let Meaning { kind, number, name, sentence, source } = meaning;
        json!({ "kind": kind, "number": number, "name": name, "sentence": sentence, "source": source })
    };
    meanings.iter().map(one).collect()
}
