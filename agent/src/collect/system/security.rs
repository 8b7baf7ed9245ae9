//! What protects the machine: security modules, firewall, disk encryption, weaknesses of the processor.

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::Security;

use super::encryption;
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const SECURITY: Collector =
    Collector { table: Security::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_hours(1)), look };

const SECURITYFS: &str = "/sys/kernel/security";
const WEAKNESSES: &str = "/sys/devices/system/cpu/vulnerabilities";

/// Services that fill the kernel's packet filter.
const FIREWALLS: [(&str, &str); 4] = [
    ("ufw.service", "ufw"),
    ("firewalld.service", "firewalld"),
    ("nftables.service", "nftables"),
    ("iptables.service", "iptables"),
];

/// Services against malware, by the names of their units.
const PROTECTIONS: [(&str, &str); 12] = [
    ("auditd.service", "auditd"),
    ("clamav-daemon.service", "ClamAV"),
    ("clamd@scan.service", "ClamAV"),
    ("falcon-sensor.service", "CrowdStrike Falcon"),
    ("mdatp.service", "Microsoft Defender"),
    ("sentinelone.service", "SentinelOne"),
    ("sophos-spl.service", "Sophos"),
    ("eea.service", "ESET Endpoint"),
    ("ds_agent.service", "Trend Micro"),
    ("bdsec.service", "Bitdefender"),
    ("elastic-agent.service", "Elastic"),
    ("wazuh-agent.service", "Wazuh"),
];

/// Bits of /proc/sys/kernel/tainted (Documentation/admin-guide/tainted-kernels.rst).
const TAINTS: [&str; 20] = [
    "proprietary module",
    "module loaded by force",
    "kernel out of its specification",
    "module unloaded by force",
    "machine check",
    "bad memory page",
    "asked for by a program",
    "oops or BUG",
    "ACPI table overridden",
    "kernel warning",
    "staging driver",
    "workaround for a firmware fault",
    "module from outside the kernel's tree",
    "unsigned module",
    "soft lockup",
    "live patch",
    "of the distribution's own meaning",
    "randomized structures",
    "test of the kernel run",
    "fwctl debug write",
];

#[expect(clippy::unnecessary_wraps, reason = "it has the form of all looks, and tells of each part that fails")]
fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let mut missing = Vec::new();
    let mut row = Security::default();
    modules(host, &mut row, &mut missing);
    if let Err(error) = services(host, &mut row) {
        missing.push(format!("services that protect: {error:#}"));
    }
    match rules(host) {
        Ok(rules) => row.firewall_rules = rules,
        Err(error) => missing.push(format!("rules of the firewall: {error:#}")),
    }
    // Tables of the older iptables, which nftables does not show.
    let legacy = host.line("/proc/net/ip_tables_names").is_some();
    row.firewall_on = firewall_on(&row, legacy);
    match encryption::of(host) {
        Ok((root, swap)) => (row.root_encrypted, row.swap_encrypted) = (root, swap),
        Err(error) => missing.push(format!("disk encryption: {error:#}")),
    }
    match host.line("/proc/sys/kernel/tainted").and_then(|mask| mask.parse().ok()) {
        Some(mask) => row.kernel_taints = taints(mask),
        None => missing.push("kernel taint flags: /proc/sys/kernel/tainted does not read".into()),
    }
    weaknesses(host, &mut row);
    let mut rows = Rows::one(row);
    for part in missing {
        rows.missing(part);
    }
    Ok(rows)
}

/// The kernel's security modules, and how strict each is.
fn modules(host: &dyn Host, row: &mut Security, missing: &mut Vec<String>) {
    match host.text(&format!("{SECURITYFS}/lsm")) {
        Ok(list) => row.lsms = list.trim().split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            missing.push(format!("security modules: securityfs is not mounted at {SECURITYFS}"));
        }
        Err(error) => missing.push(format!("security modules: {error}")),
    }
    // "[none] integrity confidentiality"; kernels before 5.4 do not have it.
    match host.text(&format!("{SECURITYFS}/lockdown")) {
        Ok(modes) => {
            let chosen = modes.split_once('[').and_then(|(_before, rest)| rest.split_once(']'));
            row.lockdown = chosen.map_or("", |(mode, _after)| mode).into();
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => missing.push(format!("kernel lockdown: {error}")),
    }
    let config = host.text("/etc/selinux/config").unwrap_or_default();
    let configured = config.lines().find_map(|line| line.trim().strip_prefix("SELINUX="));
    row.selinux_configured = configured.unwrap_or_default().trim().to_lowercase();
    row.selinux = match host.line("/sys/fs/selinux/enforce").as_deref() {
        Some("1") => "enforcing".into(),
        Some("0") => "permissive".into(),
        _ if !row.selinux_configured.is_empty() => "disabled".into(),
        _ => String::new(),
    };
    if host.line("/sys/module/apparmor/parameters/enabled").as_deref() == Some("Y") {
        match host.text(&format!("{SECURITYFS}/apparmor/profiles")) {
            Ok(profiles) => {
                let count =
                    |mode: &str| u32::try_from(profiles.lines().filter(|line| line.ends_with(mode)).count()).ok();
                (row.apparmor_enforced, row.apparmor_complaining) = (count("(enforce)"), count("(complain)"));
            }
            Err(error) => {
                missing.push(format!("AppArmor's profiles: {error}; the group root would allow it"));
            }
        }
    }
}

/// Who runs a firewall, and which services against malware run.
fn services(host: &dyn Host, row: &mut Security) -> anyhow::Result<()> {
    let mut known = Vec::new();
    if host.list("/run/systemd/system").is_ok() {
        let units = FIREWALLS.iter().chain(&PROTECTIONS);
        let names: Vec<&str> = units.clone().map(|(unit, _name)| *unit).collect();
        // Its status is that of the units; what counts is a line each.
        let ran = host.run("systemctl", &[&["is-active"], names.as_slice()].concat()).context("running systemctl")?;
        let told = String::from_utf8_lossy(&ran.stdout);
        let states: Vec<&str> = told.lines().collect();
        anyhow::ensure!(states.len() == names.len(), "systemctl tells of {} units, not {}", states.len(), names.len());
        known = units.zip(states).filter(|(_unit, state)| *state == "active").map(|((_unit, name), _)| *name).collect();
    }
    // ufw's service is active with the firewall switched off, too.
    let ufw =
        host.text("/etc/ufw/ufw.conf").ok().is_some_and(|text| text.lines().any(|line| line.trim() == "ENABLED=yes"));
    let is_firewall = |name: &str| FIREWALLS.iter().any(|(_unit, known)| *known == name);
    row.firewalls =
        known.iter().filter(|name| is_firewall(name) && (**name != "ufw" || ufw)).map(|&name| name.into()).collect();
    let mut protections: Vec<String> =
        known.iter().filter(|name| !is_firewall(name)).map(|&name| name.into()).collect();
    protections.dedup();
    row.protections = protections;
    Ok(())
}

/// Without a look into the kernel only a service that runs says anything.
fn firewall_on(row: &Security, legacy: bool) -> Option<bool> {
    match row.firewall_rules {
        _ if !row.firewalls.is_empty() => Some(true),
        Some(rules) if rules > 0 => Some(true),
        Some(_none) if !legacy => Some(false),
        _ => None,
    }
}

/// Rules of nftables; nothing where they may not be seen or the program is not there.
fn rules(host: &dyn Host) -> anyhow::Result<Option<u32>> {
    let ran = match host.run("nft", &["--json", "--terse", "list", "ruleset"]) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        ran => ran.context("running nft")?,
    };
    let complaint = String::from_utf8_lossy(&ran.stderr);
    if complaint.contains("not permitted") || complaint.contains("must be root") {
        anyhow::bail!("the rules of nftables are denied; the capability CAP_NET_ADMIN would allow it");
    }
    anyhow::ensure!(ran.status == Some(0), "nft ended with status {:?}: {}", ran.status, complaint.trim());
    count(&ran.stdout).map(Some)
}

/// libnftables-json(5): one list of objects, each named by its kind.
fn count(listing: &[u8]) -> anyhow::Result<u32> {
    let listing: serde_json::Value = serde_json::from_slice(listing).context("reading what nft lists")?;
    let objects = listing.get("nftables").and_then(serde_json::Value::as_array).context("nft lists no objects")?;
    let rules = objects.iter().filter(|object| object.get("rule").is_some());
    u32::try_from(rules.count()).context("counting rules")
}

fn taints(mask: u64) -> Vec<String> {
    let bits = (0..u64::BITS).filter(|bit| mask >> bit & 1 == 1);
    bits.map(|bit| TAINTS.get(bit as usize).map_or_else(|| format!("bit {bit}"), |&word| word.to_owned())).collect()
}

fn weaknesses(host: &dyn Host, row: &mut Security) {
    for name in host.list(WEAKNESSES).unwrap_or_default() {
        let Some(state) = host.line(&format!("{WEAKNESSES}/{name}")) else { continue };
        let told = format!("{name}: {state}");
        if state.starts_with("Vulnerable") || state.contains("; Vulnerable") {
            row.cpu_vulnerable.push(told);
        } else if !state.starts_with("Not affected") {
            row.cpu_mitigated.push(told);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taint_flags_are_told_in_words() {
        assert_eq!(taints(0), Vec::<String>::new());
        assert_eq!(taints(4097), ["proprietary module", "module from outside the kernel's tree"]);
        assert_eq!(taints(1 << 40), ["bit 40"]);
    }

    #[test]
    fn rules_are_counted_and_tables_without_any_are_no_firewall() {
        let empty =
            br#"{"nftables": [{"metainfo": {"version": "1.0.6"}}, {"table": {"family": "inet", "name": "filter"}}]}"#;
        assert_eq!(count(empty).unwrap(), 0);
        let one = br#"{"nftables": [{"rule": {"family": "inet", "table": "filter", "chain": "input", "expr": [{"drop": null}]}}]}"#;
        assert_eq!(count(one).unwrap(), 1);
        for cut in 0..one.len() {
            assert!(count(&one[..cut]).is_err());
        }
    }

    #[test]
    fn a_firewall_that_cannot_be_seen_is_neither_on_nor_off() {
        let row = |firewall_rules, firewalls: &[&str]| Security {
            firewall_rules,
            firewalls: firewalls.iter().map(|&name| name.into()).collect(),
            ..Security::default()
        };
        assert_eq!(firewall_on(&row(None, &[]), false), None);
        assert_eq!(firewall_on(&row(None, &["firewalld"]), false), Some(true));
        assert_eq!(firewall_on(&row(Some(0), &[]), false), Some(false));
        assert_eq!(firewall_on(&row(Some(0), &[]), true), None);
        assert_eq!(firewall_on(&row(Some(3), &[]), false), Some(true));
    }
}
