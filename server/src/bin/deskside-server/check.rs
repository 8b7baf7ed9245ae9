//! `deskside-server check`: the effective configuration, and whether what lies in the data folder is sound.

use std::process::ExitCode;

use anyhow::Result;
use data_encoding::HEXLOWER;
use deskside_server::{
    app::Folder,
    config::Config,
    identity::Authority,
    store::{Db, Devices},
    ticket,
};
use serde::Serialize;
use serde_json::json;

use super::{Place, custody, screen};

/// One thing that was looked at.
#[derive(Serialize)]
struct Look {
    what: &'static str,
    sound: bool,
    words: String,
}

pub(crate) async fn check(place: &Place, config: &Config) -> Result<ExitCode> {
    let looks = looks(place, config).await;
    let sound = looks.iter().all(|look| look.sound);
    if place.json {
        screen::json(&json!({ "config": config, "sound": sound, "looks": looks }))?;
    } else {
        screen::say(toml::to_string(config)?.trim_end());
        screen::remark("");
        for look in &looks {
            screen::remark(&format!("{} {}: {}", if look.sound { "ok  " } else { "BAD " }, look.what, look.words));
        }
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn looks(place: &Place, config: &Config) -> Vec<Look> {
    if !place.data.exists() {
        let words = format!("{} is not there yet; the first run makes it", place.data.display());
        return vec![Look { what: "data folder", sound: true, words }];
    }
    let folder = match Folder::open(place.data.clone()) {
        Ok(folder) => folder,
        Err(error) => return vec![look("data folder", Err(error))],
    };
    let running = match (folder.lock(), folder.addresses()) {
        (Err(_taken), Some(told)) => format!("a server runs on it: agents {} desk {}", told.agents, told.desk),
        (Err(_taken), None) => "a server runs on it".into(),
        (Ok(_free), _) => "no server runs on it".into(),
    };
    let mut looks = vec![
        look("data folder", Ok(format!("{}; {running}", place.data.display()))),
        look("authority", authority(&folder)),
        look("store", store(&folder).await),
        look("custody log", audit(&folder).await),
        look("evidence", evidence(&folder, config).await),
    ];
    for desk in &config.help_desks {
        let said = ticket::check(desk).await.map(|words| format!("{}, {words}", desk.name));
        looks.push(look("help desk", said.map_err(|error| error.context(desk.name.clone()))));
    }
    looks
}

fn look(what: &'static str, seen: Result<String>) -> Look {
    match seen {
        Ok(words) => Look { what, sound: true, words },
        Err(error) => Look { what, sound: false, words: format!("{error:#}") },
    }
}

fn authority(folder: &Folder) -> Result<String> {
    Ok(format!("CA sha256 {}", HEXLOWER.encode(&Authority::open(&folder.identity()?)?.sha256())))
}

async fn store(folder: &Folder) -> Result<String> {
    let db = Db::open(&folder.store())?;
    if let Some(damage) = db.check().await? {
        anyhow::bail!("{} is damaged: {damage}; stop the server and restore a backup", folder.store().display());
    }
    Ok(format!("{} devices, {} bytes", db.devices().await?.len(), std::fs::metadata(folder.store())?.len()))
}

async fn audit(folder: &Folder) -> Result<String> {
    let look = custody::look(folder).await?;
    if let Some(wrong) = look.wrong.first() {
        anyhow::bail!("{wrong}; compare it with a backup");
    }
    Ok(custody::words(&look))
}

async fn evidence(folder: &Folder, config: &Config) -> Result<String> {
    folder.blobs(config)?.check().await?;
    Ok("can be written and read".into())
}
