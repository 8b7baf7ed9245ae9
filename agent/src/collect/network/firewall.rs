//! The packet filter: nftables, which firewalld, ufw and today's iptables fill, and the older tables beside it.

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::Firewall;

use super::{chains, iptables};
use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::{Host, Ran};

pub(in crate::collect) const FIREWALL: Collector =
    Collector { table: Firewall::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_hours(1)), look };

/// How long a listing may take; some filters have tens of thousands of rules.
const LIST_MAX: Duration = Duration::from_secs(8);

/// Most rows.
const ROWS_MAX: usize = 500;

/// Where the kernel lists the older tables, the family, and what prints them. Their programs have either name.
const OLDER: [(&str, &str, [&str; 2]); 2] = [
    ("/proc/net/ip_tables_names", "ip", ["iptables-legacy-save", "iptables-save"]),
    ("/proc/net/ip6_tables_names", "ip6", ["ip6tables-legacy-save", "ip6tables-save"]),
];

/// What programs say without the privilege.
const DENIED: [&str; 3] = ["not permitted", "must be root", "Permission denied"];

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let (mut all, mut missing) = (Vec::new(), Vec::new());
    let older = older(host, &mut all, &mut missing);
    match nftables(host) {
        Ok(Some(rows)) => all.extend(rows),
        Ok(None) if older => {}
        Ok(None) => return Ok(Rows::unsupported("the rules of nftables cannot be listed; install package nftables")),
        Err(error) if all.is_empty() => return Err(error),
        Err(error) => missing.push(format!("{error:#}")),
    }
    if all.len() > ROWS_MAX {
        missing.push(format!("{} chains after the first {ROWS_MAX}", all.len() - ROWS_MAX));
        all.truncate(ROWS_MAX);
    }
    let mut rows: Rows = all.into_iter().collect();
    for part in missing {
        // A machine without any rule, of which a part was not seen, has not failed.
        rows.ends_early(part);
    }
    Ok(rows)
}

/// Absent where the program is not installed.
fn nftables(host: &dyn Host) -> anyhow::Result<Option<Vec<Firewall>>> {
    let ran = match host.run_shared("nft", &["--json", "--terse", "list", "ruleset"], LIST_MAX) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        ran => checked(&ran.context("running nft")?, "nft")?,
    };
    Ok(Some(chains::rows(&chains::nftables(&ran)?, "nftables")))
}

/// Whether there are older tables.
fn older(host: &dyn Host, all: &mut Vec<Firewall>, missing: &mut Vec<String>) -> bool {
    let mut found = false;
    for (names, family, programs) in OLDER {
        match host.text(names) {
            Ok(text) if !text.trim().is_empty() => {}
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                missing.push(format!(
                    "whether there are older tables of iptables ({names}); CAP_DAC_READ_SEARCH would allow it"
                ));
                continue;
            }
            _none => continue,
        }
        found = true;
        let ran = programs.iter().find_map(|program| match host.run_shared(program, &["--counters"], LIST_MAX) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            ran => Some(ran.with_context(|| format!("running {program}")).and_then(|ran| checked(&ran, program))),
        });
        match ran {
            Some(Ok(text)) => {
                let mut rows = chains::rows(&iptables::saved(&String::from_utf8_lossy(&text), family), "iptables");
                // A chain that accepts all is there because the table is.
                rows.retain(|row| row.rules > 0 || row.policy != "accept");
                all.extend(rows);
            }
            Some(Err(error)) => missing.push(format!("{error:#}")),
            None => missing.push(format!(
                "the older tables of {family}: {} is not installed; package iptables has it",
                programs[0]
            )),
        }
    }
    found
}

fn checked(ran: &Ran, program: &str) -> anyhow::Result<Vec<u8>> {
    let complaint = String::from_utf8_lossy(&ran.stderr);
    if DENIED.iter().any(|words| complaint.contains(words)) {
        let denied = std::io::Error::new(
            ErrorKind::PermissionDenied,
            format!("{program} is denied; the capability CAP_NET_ADMIN would allow it"),
        );
        return Err(denied.into());
    }
    anyhow::ensure!(ran.status == Some(0), "{program} ended with status {:?}: {}", ran.status, complaint.trim());
    Ok(ran.stdout.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_capability_and_stays_a_refusal() {
        let ran =
            Ran { status: Some(1), stdout: Vec::new(), stderr: b"Operation not permitted (you must be root)".to_vec() };
        let error = checked(&ran, "nft").unwrap_err();
        assert_eq!(crate::collect::outcome_of(&error), deskside_proto::v1::Outcome::Denied);
        assert!(format!("{error:#}").contains("CAP_NET_ADMIN"));
        let broken = Ran { status: Some(1), ..Ran::default() };
        assert_eq!(
            crate::collect::outcome_of(&checked(&broken, "nft").unwrap_err()),
            deskside_proto::v1::Outcome::Failed
        );
    }
}
