//! Services on the system's D-Bus, asked by busctl(1). A service that does not run is not started for it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::host::Host;

/// How long one question may take.
const ASK_MAX: Duration = Duration::from_secs(5);

/// Most bytes of one answer.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// What busctl says where nobody has the name, where nobody has such an object, and where there is no bus.
const ABSENT: [&str; 6] = [
    "does not exist",
    "was not provided by any",
    "not activatable",
    "ServiceUnknown",
    "Failed to connect to bus",
    "Unknown object",
];

/// What it says where the bus or the service refuses.
const DENIED: [&str; 3] = ["Access denied", "AccessDenied", "interactive authentication required"];

/// Properties, by name.
pub(super) type Properties = BTreeMap<String, Value>;

/// Objects of a service with their interfaces.
pub(super) type Objects = BTreeMap<String, BTreeMap<String, Properties>>;

/// All objects of a service; absent where it does not run.
pub(super) fn objects(host: &dyn Host, service: &str, path: &str) -> anyhow::Result<Option<Objects>> {
    let answer = call(host, service, path, &["org.freedesktop.DBus.ObjectManager", "GetManagedObjects"])?;
    let Some(Value::Object(objects)) = answer else { return Ok(None) };
    let interfaces = |of: Value| match of {
        Value::Object(of) => of.into_iter().map(|(name, values)| (name, properties_of(values))).collect(),
        _ => BTreeMap::new(),
    };
    Ok(Some(objects.into_iter().map(|(path, of)| (path, interfaces(of))).collect()))
}

/// The properties of one object's interface; absent where the service does not run.
pub(super) fn properties(
    host: &dyn Host,
    service: &str,
    path: &str,
    interface: &str,
) -> anyhow::Result<Option<Properties>> {
    let answer = call(host, service, path, &["org.freedesktop.DBus.Properties", "GetAll", "s", interface])?;
    Ok(answer.map(properties_of))
}

/// One call; the first value of its answer.
pub(super) fn call(host: &dyn Host, service: &str, path: &str, more: &[&str]) -> anyhow::Result<Option<Value>> {
    let arguments = [&["--system", "--json=short", "--auto-start=no", "call", service, path], more].concat();
    let ran = match host.run_shared("busctl", &arguments, ASK_MAX) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        ran => ran.with_context(|| format!("asking {service}"))?,
    };
    if ran.status != Some(0) {
        let said = String::from_utf8_lossy(&ran.stderr);
        let said = said.trim();
        if ABSENT.iter().any(|part| said.contains(part)) {
            return Ok(None);
        }
        if DENIED.iter().any(|part| said.contains(part)) {
            bail!("{service} is denied by the bus's policy: {said}");
        }
        bail!("{service}: {said}");
    }
    ensure!(ran.stdout.len() <= BYTES_MAX, "{service} said more than {BYTES_MAX} bytes");
    let answer: Value = serde_json::from_slice(&ran.stdout).with_context(|| format!("{service} printed no JSON"))?;
    Ok(answer.pointer("/data/0").cloned())
}

/// busctl wraps each value: `{"type": "s", "data": "yes"}`.
fn properties_of(values: Value) -> Properties {
    let Value::Object(values) = values else { return Properties::new() };
    let bare = |value: Value| match value {
        Value::Object(mut of) => of.remove("data").unwrap_or_default(),
        other => other,
    };
    values.into_iter().map(|(name, value)| (name, bare(value))).collect()
}

/// A text of some properties; empty where there is none.
pub(super) fn text(properties: &Properties, name: &str) -> String {
    properties.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Bytes of an address as D-Bus carries them.
pub(super) fn ip(bytes: &Value) -> Option<std::net::IpAddr> {
    let bytes: Vec<u8> = bytes
        .as_array()?
        .iter()
        .map(|byte| byte.as_u64().and_then(|byte| u8::try_from(byte).ok()))
        .collect::<Option<_>>()?;
    match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(four) => Some(std::net::IpAddr::from(four)),
        Err(_other) => Some(std::net::IpAddr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn properties_lose_their_wrapping_and_addresses_their_bytes() {
        let all = properties_of(json!({"LLMNR": {"type": "s", "data": "yes"}, "odd": 3}));
        assert_eq!((text(&all, "LLMNR").as_str(), text(&all, "odd").as_str()), ("yes", ""));
        assert_eq!(ip(&json!([192, 0, 2, 1])).unwrap().to_string(), "192.0.2.1");
        assert_eq!(ip(&json!([192, 0, 2, 1000])), None);
        assert_eq!(ip(&json!([])), None);
    }
}
