//! What several collectors read alike under /proc (proc(5)).

use anyhow::Context;

/// Clock ticks a second in what the kernel tells programs: `USER_HZ`, the same on every Linux.
const TICKS_PER_S: u64 = 100;

/// Milliseconds in one tick.
pub(super) const TICK_MS: u64 = 1000 / TICKS_PER_S;

/// The parts of /proc/PID/stat that are used here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// Field 2: the program's name, without its brackets.
    pub(super) name: String,
    /// Field 3.
    pub(super) state: String,
    /// Field 4.
    pub(super) parent_pid: u32,
    /// Fields 14 and 15, in ticks.
    pub(super) cpu_ticks: u64,
    /// Field 20.
    pub(super) threads: u32,
    /// Field 22: when it started, in ticks since boot.
    pub(super) start_ticks: u64,
    /// Field 24, in pages of a size that differs between machines: good for comparison alone.
    pub(super) resident_pages: u64,
}

/// Parses /proc/PID/stat. The name may hold anything, brackets and blanks too: it ends at the last bracket.
pub(super) fn stat(text: &str) -> anyhow::Result<Stat> {
    let (head, rest) = text.rsplit_once(')').context("a process's stat has no name")?;
    let (_pid, name) = head.split_once('(').context("a process's stat has no name")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |field: usize| -> anyhow::Result<u64> {
        let text = fields.get(field - 3).context("a process's stat ends early")?;
        // Some fields (resident set of a dying process) are signed.
        Ok(text.parse::<i64>().map_or_else(|_wide| text.parse(), |number| Ok(number.max(0).cast_unsigned()))?)
    };
    Ok(Stat {
        name: name.to_owned(),
        state: (*fields.first().context("a process's stat ends early")?).to_owned(),
        parent_pid: u32::try_from(number(4)?)?,
        cpu_ticks: number(14)?.saturating_add(number(15)?),
        threads: u32::try_from(number(20)?)?,
        start_ticks: number(22)?,
        resident_pages: number(24)?,
    })
}

/// A line "Key: 123 kB" of /proc/meminfo or /proc/PID/status, in bytes.
pub(super) fn kib_line(text: &str, key: &str) -> Option<u64> {
    let value = field(text, key)?.strip_suffix("kB")?;
    value.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What stands behind "Key:" on its line.
pub(super) fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: &str = "812 (a) b (c) S 1 812 812 34816 900 4194304 1105 2310 0 3 12 7 1 2 20 0 4 0 30120 8654848 1312 \
                         18446744073709551615 1 2 3";

    #[test]
    fn a_name_with_brackets_and_blanks_is_one_name() {
        let stat = stat(SHELL).unwrap();
        assert_eq!((stat.name.as_str(), stat.state.as_str(), stat.parent_pid), ("a) b (c", "S", 1));
        assert_eq!((stat.cpu_ticks, stat.threads, stat.start_ticks, stat.resident_pages), (19, 4, 30120, 1312));
    }

    #[test]
    fn a_stat_cut_anywhere_is_refused_or_whole_but_never_a_panic() {
        for cut in 0..SHELL.len() {
            let _parsed = stat(&SHELL[..cut]).is_ok();
        }
        assert!(stat("812 (bash) S 1 812").is_err());
        assert!(stat("").is_err());
    }

    #[test]
    fn a_line_is_found_by_its_whole_key() {
        let text = "MemTotal:  16 kB\nMemTotalX: 9 kB\nBad: x kB\nNone:\n";
        assert_eq!(kib_line(text, "MemTotal"), Some(16384));
        assert_eq!(kib_line(text, "Mem"), None);
        assert_eq!(kib_line(text, "Bad"), None);
        assert_eq!(field(text, "None"), Some(""));
    }
}
