//! Reads a TOML file into the settings that the rooms own, and names the place of what is wrong in it.

use std::path::Path;

use anyhow::{Context, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Most bytes of a configuration file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Reads the settings. A file that is absent means the defaults; one with an unknown key or a wrong type is refused, its line named.
pub fn read<T: DeserializeOwned + Default>(path: &Path) -> anyhow::Result<T> {
    match std::fs::metadata(path) {
        Ok(found) if found.len() > FILE_BYTES_MAX => bail!("{} is larger than {FILE_BYTES_MAX} bytes", path.display()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(T::default()),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    toml::from_str(&text).map_err(|error| anyhow::anyhow!("{}: {}", path.display(), error.to_string().trim_end()))
}

/// Writes settings as they are in force.
pub fn write<T: Serialize>(settings: &T) -> anyhow::Result<String> {
    toml::to_string(settings).context("writing the settings")
}
