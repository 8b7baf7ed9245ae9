//! `deskside-server custody check`: whether the custody log is whole, entry by entry, and ends where its signed head says.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Subcommand;
use deskside_server::{
    app::Folder,
    custody::{Custody, Look},
    identity::Authority,
    store::Db,
};
use serde_json::json;

use super::{Place, screen};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Walks the whole log: exit status 0 where it is whole, 1 where entries were edited, moved, taken out or cut off.
    Check,
}

pub(crate) async fn custody(place: &Place, command: Command) -> Result<ExitCode> {
    let Command::Check = command;
    let look = look(&Folder::open(place.data.clone())?).await?;
    let whole = look.wrong.is_empty();
    if place.json {
        screen::json(
            &json!({ "whole": whole, "entries": look.entries, "vouched": look.vouched, "wrong": look.wrong }),
        )?;
    } else {
        look.wrong.iter().for_each(|wrong| screen::remark(&format!("BAD  {wrong}")));
        if whole {
            screen::say(&words(&look));
        } else {
            screen::remark(
                "the log was altered, or the store was restored from an older copy; compare it with a backup",
            );
        }
    }
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The whole log, looked at.
pub(crate) async fn look(folder: &Folder) -> Result<Look> {
    let log = Arc::new(Db::open(&folder.store())?);
    let authority = Arc::new(Authority::open(&folder.identity()?)?);
    Custody::new(log, authority, folder.path()).look().await
}

/// What is said of one that is whole.
pub(crate) fn words(look: &Look) -> String {
    let vouched = match look.vouched {
        Some(number) => format!("a signed head vouches for the first {number}"),
        None => "no signed head was written yet; a server that runs writes one every minute".into(),
    };
    format!("{} entries, each follows from the one before; {vouched}", look.entries)
}
