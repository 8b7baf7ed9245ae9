//! Where the technician's login is kept: `desk.toml` in the user's configuration folder, readable by its owner alone.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use deskside_proto::show;
use serde::{Deserialize, Serialize};

use super::trouble::Trouble;

/// The file's name.
const FILE: &str = "desk.toml";

/// Largest file that is looked at.
const BYTES_MAX: u64 = 64 * 1024;

/// What `deskside login` keeps.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    /// Where the server listens, most likely first: "host:port".
    pub(super) addresses: Vec<String>,
    /// SHA-256 of the server's CA, lower-case hex.
    pub(super) ca_sha256: String,
    /// The technician's secret, lower-case hex.
    pub(super) secret: String,
    /// Until when the token is good, server's clock; 0 where it renews itself. Not there in a login of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires_ms: Option<i64>,
}

/// How long before its end a token is warned of.
const WARNED_BEFORE_MS: i64 = 7 * 24 * 3_600 * 1_000;

impl Login {
    /// What there is to say of the token's end; nothing while it is far.
    pub(super) fn warning(&self, now_ms: i64) -> Option<String> {
        let expires_ms = self.expires_ms.filter(|at_ms| *at_ms != 0 && *at_ms - now_ms < WARNED_BEFORE_MS)?;
        let end = if expires_ms > now_ms { "expires" } else { "expired" };
        Some(format!(
            "your token {end} {}; `deskside technician renew` makes a new one while it is good",
            show::age(expires_ms, now_ms)
        ))
    }
}

/// The folder: as told, else `$XDG_CONFIG_HOME/deskside`, else `~/.config/deskside`.
pub(super) fn folder(told: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(folder) = told {
        return Ok(folder);
    }
    let base = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base = base.or_else(|| env::home_dir().map(|home| home.join(".config")));
    let base = base.ok_or_else(|| {
        Trouble::new("this user has no home folder", "say where the login is kept: --home DIR, or DESKSIDE_HOME=DIR")
    })?;
    Ok(base.join("deskside"))
}

/// Reads the login.
pub(super) fn read(folder: &Path) -> anyhow::Result<Login> {
    let path = folder.join(FILE);
    let text = match fs::metadata(&path) {
        Ok(file) if file.len() > BYTES_MAX => {
            return Err(Trouble::new(format!("{} is not a login: it is too large", path.display()), LOG_IN).into());
        }
        Ok(_file) => fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Trouble::new("you are not logged in", LOG_IN).into());
        }
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    toml::from_str(&text)
        .map_err(|error| Trouble::new(format!("{} is damaged: {}", path.display(), error.message()), LOG_IN).into())
}

/// What to do where there is no login, or none that works.
pub(super) const LOG_IN: &str =
    "log in with `deskside login TOKEN`; an administrator makes the token with `deskside-server technician add NAME`";

/// Writes the login in one step; a temporary file is its owner's alone from the start, and so is what it becomes.
pub(super) fn write(folder: &Path, login: &Login) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let path = folder.join(FILE);
    let mut file =
        tempfile::NamedTempFile::new_in(folder).with_context(|| format!("writing in {}", folder.display()))?;
    file.write_all(toml::to_string(login)?.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(&path).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login() -> Login {
        Login {
            addresses: vec!["desk.example:8444".into()],
            ca_sha256: "00".repeat(32),
            secret: "ab".repeat(16),
            expires_ms: None,
        }
    }

    #[test]
    fn a_login_is_read_back_and_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = write(&folder.path().join("new"), &login()).unwrap();
        assert_eq!(read(&folder.path().join("new")).unwrap(), login());
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_token_is_warned_of_in_its_last_seven_days() {
        let day_ms = 24 * 3_600 * 1_000;
        let ends = |expires_ms| Login { expires_ms, ..login() }.warning(0);
        assert_eq!((ends(None), ends(Some(0)), ends(Some(8 * day_ms))), (None, None, None));
        assert!(ends(Some(6 * day_ms)).unwrap().contains("expires"));
        assert!(ends(Some(-day_ms)).unwrap().contains("expired"));
    }

    #[test]
    fn without_a_login_one_is_told_to_log_in() {
        let folder = tempfile::tempdir().unwrap();
        let error = read(folder.path()).unwrap_err();
        assert!(error.downcast_ref::<Trouble>().unwrap().advice.contains("deskside login"));
    }

    #[test]
    fn a_file_with_an_unknown_key_is_called_damaged() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "adresses = []\n").unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("damaged"));
    }
}
