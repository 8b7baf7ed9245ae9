//! Errors of memory with ECC, as the kernel counts them (EDAC, Documentation/admin-guide/ras.rst).

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context;
use deskside_proto::rows::Row;
use deskside_proto::v1::MemoryError;

use crate::collect::{Cadence, Collector, Os, Rows};
use crate::host::Host;

pub(in crate::collect) const MEMORY_ERRORS: Collector = Collector {
    table: MemoryError::TABLE,
    systems: &[Os::Linux],
    cadence: Cadence::Every(Duration::from_hours(1)),
    look,
};

const CONTROLLERS: &str = "/sys/devices/system/edac/mc";
const NONE: &str = "no EDAC driver: memory without ECC, or no driver for its controller";

/// Controllers, and modules of one, that are shown.
const CONTROLLERS_MAX: usize = 64;
const MODULES_MAX: usize = 128;

const MIB: u64 = 1024 * 1024;
const DAY_MS: i64 = 24 * 3600 * 1000;

/// Looks that found more errors, of one module, that are remembered.
const REMEMBERED_MAX: usize = 24;

fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let names = match host.list(CONTROLLERS) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Rows::unsupported(NONE)),
        names => names.with_context(|| format!("listing {CONTROLLERS}"))?,
    };
    let is_controller = |name: &&String| name.strip_prefix("mc").is_some_and(|rest| rest.parse::<u32>().is_ok());
    let controllers: Vec<&String> = names.iter().filter(is_controller).take(CONTROLLERS_MAX).collect();
    if controllers.is_empty() {
        return Ok(Rows::unsupported(NONE));
    }
    let (mut rows, mut modules) = (Rows::none(), Vec::new());
    for name in controllers {
        match controller(host, name) {
            Ok(found) => modules.extend(found),
            Err(error) => rows.missing(format!("controller {name}: {error:#}")),
        }
    }
    let now_ms = host.now_ms();
    let before = host.recall("memory_errors", String::new()).map(|before| before.text).unwrap_or_default();
    let mut note = String::new();
    for module in &mut modules {
        let seen = Seen::after(&before, module, now_ms);
        module.looks_with_more = u32::try_from(seen.grown_ms.len()).unwrap_or(u32::MAX);
        seen.write(module, &mut note);
        rows.push(module);
    }
    // Why again: what is noted depends on what the look before noted.
    host.recall("memory_errors", note);
    Ok(rows)
}

fn controller(host: &dyn Host, name: &str) -> anyhow::Result<Vec<MemoryError>> {
    let folder = format!("{CONTROLLERS}/{name}");
    let names = host.list(&folder).context("listing it")?;
    let driver = host.line(&format!("{folder}/mc_name")).unwrap_or_default();
    let seconds = host.line(&format!("{folder}/seconds_since_reset")).and_then(|text| text.parse::<i64>().ok());
    let since_ms = seconds.and_then(|seconds| host.now_ms().checked_sub(seconds.checked_mul(1000)?));
    let start = MemoryError { controller: name.to_owned(), driver, since_ms, ..MemoryError::default() };
    let count = |path: &str| -> anyhow::Result<u64> {
        let text = host.text(&format!("{folder}/{path}")).with_context(|| format!("reading {path}"))?;
        text.trim().parse().with_context(|| format!("{path} is not a number"))
    };
    let mut found = Vec::new();
    for module in names.iter().filter(|name| is_module(name)).take(MODULES_MAX) {
        let text = |name: &str| host.line(&format!("{folder}/{module}/{name}")).unwrap_or_default();
        let label = text("dimm_label");
        found.push(MemoryError {
            module: module.clone(),
            label,
            location: text("dimm_location"),
            size_bytes: text("size").parse::<u64>().ok().and_then(|size| size.checked_mul(MIB)),
            r#type: text("dimm_mem_type"),
            mode: text("dimm_edac_mode"),
            corrected: count(&format!("{module}/dimm_ce_count"))?,
            uncorrected: count(&format!("{module}/dimm_ue_count"))?,
            ..start.clone()
        });
    }
    if found.is_empty() {
        // A driver that tells no modules apart still counts.
        found.push(MemoryError { corrected: count("ce_count")?, uncorrected: count("ue_count")?, ..start });
        return Ok(found);
    }
    let nowhere = [count("ce_noinfo_count").unwrap_or_default(), count("ue_noinfo_count").unwrap_or_default()];
    if nowhere != [0, 0] {
        let [corrected, uncorrected] = nowhere;
        found.push(MemoryError { corrected, uncorrected, ..start });
    }
    Ok(found)
}

/// "dimm0" or "rank0"; "csrow0" is the older form of the same, beside them.
fn is_module(name: &str) -> bool {
    let number = name.strip_prefix("dimm").or_else(|| name.strip_prefix("rank"));
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}

/// What is remembered of one module from look to look: a line "mc0/dimm3 12 1700000000000,1700003600000".
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    corrected: u64,
    /// When a look found more than the one before, in the last day.
    grown_ms: Vec<i64>,
}

impl Seen {
    fn after(before: &str, module: &MemoryError, now_ms: i64) -> Self {
        let key = format!("{}/{}", module.controller, module.module);
        let line = before.lines().find_map(|line| line.strip_prefix(&key)?.strip_prefix(' '));
        let Some((corrected, grown)) = line.and_then(|line| line.split_once(' ')) else {
            return Self { corrected: module.corrected, grown_ms: Vec::new() };
        };
        let mut grown_ms: Vec<i64> = grown.split(',').filter_map(|at_ms| at_ms.parse().ok()).collect();
        if corrected.parse::<u64>().is_ok_and(|before| module.corrected > before) {
            grown_ms.push(now_ms);
        }
        grown_ms.retain(|at_ms| (0..DAY_MS).contains(&now_ms.saturating_sub(*at_ms)));
        let many = grown_ms.len().saturating_sub(REMEMBERED_MAX);
        grown_ms.drain(..many);
        Self { corrected: module.corrected, grown_ms }
    }

    fn write(&self, module: &MemoryError, note: &mut String) {
        let grown: Vec<String> = self.grown_ms.iter().map(i64::to_string).collect();
        let line = [&format!("{}/{}", module.controller, module.module), &self.corrected.to_string(), &grown.join(",")];
        note.push_str(&line.map(String::as_str).join(" "));
        note.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn module(corrected: u64) -> MemoryError {
        MemoryError { controller: "mc0".into(), module: "dimm3".into(), corrected, ..MemoryError::default() }
    }

    #[test]
    fn looks_that_found_more_are_counted_for_a_day() {
        let mut note = String::new();
        for (hour, corrected) in [(0, 5), (1, 5), (2, 6), (3, 9), (4, 9)] {
            let now_ms = NOW + hour * 3_600_000;
            let seen = Seen::after(&note, &module(corrected), now_ms);
            note.clear();
            seen.write(&module(corrected), &mut note);
        }
        assert_eq!(note, format!("mc0/dimm3 9 {},{}\n", NOW + 7_200_000, NOW + 10_800_000));
        assert_eq!(Seen::after(&note, &module(9), NOW + 2 * DAY_MS).grown_ms, Vec::<i64>::new());
    }

    #[test]
    fn the_first_look_and_garbage_are_no_growth() {
        for note in [
            "",
            "mc0/dimm3",
            "mc0/dimm3 x y,z",
            "mc0/dimm33 1 ",
            "mc0/dimm3 9 9223372036854775807,-9223372036854775808",
        ] {
            assert_eq!(Seen::after(note, &module(9), NOW).grown_ms, Vec::<i64>::new(), "{note}");
        }
    }

    #[test]
    fn rows_of_the_older_form_are_not_counted_twice() {
        let names = ["dimm0", "rank12", "csrow0", "dimm", "power", "max_location"];
        let modules: Vec<&str> = names.into_iter().filter(|name| is_module(name)).collect();
        assert_eq!(modules, ["dimm0", "rank12"]);
    }
}
