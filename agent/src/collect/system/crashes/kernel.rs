//! What the kernel says when a program or itself crashes.

use deskside_proto::v1::Crash;

use crate::collect::kernel_log::Line;
use crate::collect::system::boots;

/// For [`crate::collect::kernel_log::lines`].
pub(super) const PATTERN: &str = "segfault at|traps: |general protection|ut of memory: Killed|Oops: |BUG: |kernel BUG at|\
                                  Unable to handle kernel|Kernel panic|LOCKUP|RIP: 0010|Comm: ";

/// Lines of one fault follow one another within this time.
const ONE_FAULT_MS: i64 = 5_000;

/// One a crash, in the order of the lines.
pub(super) fn crashes(lines: &[Line]) -> Vec<Crash> {
    let mut crashes: Vec<Crash> = Vec::new();
    // The fault of the kernel that is being told, by its place.
    let mut open: Option<usize> = None;
    for line in lines {
        let known = open.and_then(|place| crashes.get_mut(place)).filter(|crash| {
            crash.boot_id == line.boot_id
                && crash.first_ms.is_some_and(|at| line.at_ms.saturating_sub(at) <= ONE_FAULT_MS)
        });
        if known.is_some_and(|crash| goes_on(crash, &line.text)) {
            continue;
        }
        let own = fault(&line.text);
        let is_own = own.is_some();
        let Some(crash) = own.or_else(|| killed(&line.text)).or_else(|| trapped(&line.text)) else { continue };
        crashes.push(Crash {
            first_ms: Some(line.at_ms),
            last_ms: Some(line.at_ms),
            boot_id: line.boot_id.clone(),
            message: line.text.clone(),
            source: "kernel".into(),
            ..crash
        });
        if is_own {
            open = crashes.len().checked_sub(1);
        }
    }
    crashes
}

/// The first fault in the end of a log.
pub(super) fn of_dump(text: &str) -> Option<Crash> {
    let line = |line: &str| Line { at_ms: 0, boot_id: String::new(), text: boots::without_stamp(line).to_owned() };
    let lines: Vec<Line> = text.lines().map(line).collect();
    let own = crashes(&lines).into_iter().find(|crash| matches!(crash.kind.as_str(), "oops" | "panic" | "lockup"))?;
    let mut own = Crash { first_ms: None, last_ms: None, ..own };
    // Where the dump has no room for the fault's first lines, it begins in their midst.
    let place = lines.iter().find_map(|line| Some(line.text.split_once("RIP: 0010:")?.1));
    if let (true, Some(place)) = (own.kind == "panic", place) {
        (own.frame, own.module) = function(place);
    }
    Some(own)
}

/// Whether the line belongs to the fault, which it then completes.
fn goes_on(crash: &mut Crash, text: &str) -> bool {
    if let Some(panic) = text.find("Kernel panic") {
        crash.kind = "panic".into();
        if crash.frame.is_empty() {
            text.get(panic..).unwrap_or_default().clone_into(&mut crash.frame);
        }
        return true;
    }
    if let Some((_before, place)) = text.split_once("RIP: 0010:") {
        if crash.frame.is_empty() {
            (crash.frame, crash.module) = function(place);
        }
        return true;
    }
    if let Some((before, name)) = text.split_once("Comm: ") {
        if crash.program.is_empty() {
            let end = [" Tainted", " Not tainted", " Kdump"].iter().filter_map(|word| name.find(word)).min();
            name.get(..end.unwrap_or(name.len())).unwrap_or(name).trim().clone_into(&mut crash.program);
            crash.pid = before.split_once("PID: ").and_then(|(_cpu, pid)| pid.split_whitespace().next()?.parse().ok());
        }
        return true;
    }
    // "BUG: …" is followed by "Oops: …".
    text.contains("Oops: ")
}

/// "func+0x1d/0x40 [module]": where it happened, without the function's length; and the module, where it is one.
fn function(place: &str) -> (String, String) {
    let (function, rest) = place.split_once('/').unwrap_or((place, ""));
    let module =
        rest.split_once('[').and_then(|(_length, module)| module.split_once(']')).map(|(module, _rest)| module);
    (function.trim().to_owned(), module.unwrap_or_default().to_owned())
}

/// The kernel's own fault.
fn fault(text: &str) -> Option<Crash> {
    let kind = |kind: &str| Some(Crash { kind: kind.into(), ..Crash::default() });
    if let Some((_before, locked)) = text.split_once("soft lockup") {
        // "… - CPU#3 stuck for 22s! [kworker/3:1:812]"
        let stuck = locked.split_once('[').and_then(|(_cpu, task)| task.strip_suffix(']')?.rsplit_once(':'));
        let (program, pid) = stuck.unwrap_or_default();
        return Some(Crash {
            kind: "lockup".into(),
            program: program.to_owned(),
            pid: pid.parse().ok(),
            ..Crash::default()
        });
    }
    if text.contains("LOCKUP") {
        return kind("lockup");
    }
    if let Some((_before, why)) = text.split_once("Kernel panic - not syncing: ") {
        return Some(Crash { kind: "panic".into(), frame: why.to_owned(), ..Crash::default() });
    }
    // Not "DEBUG: ".
    let bug = text.starts_with("BUG: ") || text.contains(" BUG: ") || text.starts_with("kernel BUG at");
    let other = ["Oops: ", "Unable to handle kernel"].iter().any(|words| text.contains(words));
    let protection = text.starts_with("general protection fault");
    if bug || other || protection { kind("oops") } else { None }
}

/// "Out of memory: Killed process 812 (java) total-vm:9000kB, …", or of a memory cgroup.
fn killed(text: &str) -> Option<Crash> {
    let (before, rest) = text.split_once("ut of memory: Killed process ")?;
    let (pid, rest) = rest.split_once(" (")?;
    let end = rest.find(") total-vm").or_else(|| rest.find(')'))?;
    let frame = if before.contains("cgroup") { "memory cgroup" } else { "" };
    Some(Crash {
        kind: "oom".into(),
        program: rest.get(..end)?.to_owned(),
        signal: "SIGKILL".into(),
        frame: frame.into(),
        pid: pid.parse().ok(),
        ..Crash::default()
    })
}

/// "viewer[812]: segfault at 0 ip 00007f… sp … error 4 in libfoo.so.1[7f…+1000]", or "traps: viewer[812] general protection fault ip:7f… …".
fn trapped(text: &str) -> Option<Crash> {
    const TRAPS: [(&str, &str); 5] = [
        ("general protection", "SIGSEGV"),
        ("trap invalid opcode", "SIGILL"),
        ("trap divide error", "SIGFPE"),
        ("trap int3", "SIGTRAP"),
        ("trap stack segment", "SIGBUS"),
    ];
    let (who, how, signal) = if let Some(place) = text.find("]: segfault at ") {
        (text.get(..place)?, text.get(place..)?, "SIGSEGV")
    } else {
        let (who, how) = text.strip_prefix("traps: ")?.split_once("] ")?;
        let (_words, signal) = TRAPS.iter().find(|(words, _signal)| how.starts_with(words))?;
        (who, how, *signal)
    };
    let (program, pid) = who.rsplit_once('[')?;
    let (module, frame) = place(how).unwrap_or_default();
    Some(Crash {
        kind: "program".into(),
        program: program.to_owned(),
        signal: signal.into(),
        frame,
        module,
        pid: pid.parse().ok(),
        ..Crash::default()
    })
}

/// Module and offset in it, from "… ip 00007f12 … in libfoo.so.1[7f00+1000]"; newer kernels say the offset themselves: "[12,7f00+1000]".
fn place(how: &str) -> Option<(String, String)> {
    let (before, module) = how.rsplit_once(" in ")?;
    let (name, mapped) = module.split_once('[')?;
    let mapped = mapped.split(']').next()?;
    let hex = |number: &str| u64::from_str_radix(number, 16).ok();
    let offset = if let Some((offset, _mapped)) = mapped.split_once(',') {
        hex(offset)?
    } else {
        let ip = before.split_once(" ip ").or_else(|| before.split_once(" ip:"))?.1.split_whitespace().next()?;
        hex(ip)?.checked_sub(hex(mapped.split('+').next()?)?)?
    };
    Some((name.to_owned(), format!("{name}+{offset:#x}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Vec<Line> {
        let line =
            |(at_ms, text): (i64, &&str)| Line { at_ms: 1_000 + at_ms, boot_id: "b".into(), text: (*text).into() };
        (0_i64..).zip(texts).map(line).collect()
    }

    const OOPS: [&str; 5] = [
        "BUG: kernel NULL pointer dereference, address: 0000000000000008",
        "Oops: 0002 [#1] PREEMPT SMP NOPTI",
        "CPU: 1 PID: 812 Comm: kworker/u8:3 Tainted: G           OE      6.1.0-18-amd64 #1  Debian 6.1.76-1",
        "RIP: 0010:amdgpu_dm_commit+0x1d/0x40 [amdgpu]",
        "RIP: 0010:other+0x1/0x2",
    ];

    #[test]
    fn the_lines_of_an_oops_are_one_crash() {
        let crashes = crashes(&lines(&OOPS));
        assert_eq!(crashes.len(), 1);
        let crash = &crashes[0];
        assert_eq!((crash.kind.as_str(), crash.program.as_str(), crash.pid), ("oops", "kworker/u8:3", Some(812)));
        assert_eq!((crash.frame.as_str(), crash.module.as_str()), ("amdgpu_dm_commit+0x1d", "amdgpu"));
    }

    #[test]
    fn an_oops_that_the_kernel_did_not_survive_is_a_panic() {
        let texts = [&OOPS[..], &["Kernel panic - not syncing: Fatal exception"]].concat();
        let found = crashes(&lines(&texts));
        assert_eq!(found.iter().map(|crash| crash.kind.as_str()).collect::<Vec<_>>(), ["panic"]);
        let alone = of_dump("<0>[   9.1] Kernel panic - not syncing: VFS: Unable to mount root fs\n").unwrap();
        assert_eq!((alone.kind.as_str(), alone.frame.as_str()), ("panic", "VFS: Unable to mount root fs"));
        let cut = of_dump("RIP: 0010:bad+0x1d/0x60 [mod]\nKernel panic - not syncing: Fatal exception\n").unwrap();
        assert_eq!((cut.frame.as_str(), cut.module.as_str()), ("bad+0x1d", "mod"));
    }

    #[test]
    fn programs_that_fault_are_told_with_the_place_in_their_library() {
        let found = crashes(&lines(&[
            "viewer[812]: segfault at 0 ip 00007f1200001a2b sp 00007ffd error 4 in libfoo.so.1[7f1200000000+8000] likely on CPU 3",
            "my [app][9]: segfault at 8 ip 00000000 sp 0 error 4",
            "new[7]: segfault at 0 ip 00007f1200001a2b sp 0 error 6 in libc.so.6[28dd5,7f1200000000+195000]",
            "traps: calc[77] general protection fault ip:55d000001100 sp:7ffd error:0 in calc[55d000001000+2000]",
            "traps: jit[5] trap invalid opcode ip:55d0 sp:7ffd error:0",
        ]));
        let seen: Vec<_> =
            found.iter().map(|c| (c.program.as_str(), c.pid.unwrap(), c.signal.as_str(), c.frame.as_str())).collect();
        assert_eq!(
            seen,
            [
                ("viewer", 812, "SIGSEGV", "libfoo.so.1+0x1a2b"),
                ("my [app]", 9, "SIGSEGV", ""),
                ("new", 7, "SIGSEGV", "libc.so.6+0x28dd5"),
                ("calc", 77, "SIGSEGV", "calc+0x100"),
                ("jit", 5, "SIGILL", ""),
            ]
        );
    }

    #[test]
    fn kills_for_want_of_memory_and_lockups_are_told() {
        let found = crashes(&lines(&[
            "Out of memory: Killed process 812 (Web Content) total-vm:9000kB, anon-rss:1kB, UID:1000",
            "Memory cgroup out of memory: Killed process 9 (java) total-vm:1kB",
            "watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [kworker/3:1:812]",
        ]));
        let seen: Vec<_> = found.iter().map(|c| (c.kind.as_str(), c.program.as_str(), c.frame.as_str())).collect();
        assert_eq!(seen, [("oom", "Web Content", ""), ("oom", "java", "memory cgroup"), ("lockup", "kworker/3:1", "")]);
    }

    #[test]
    fn what_only_looks_like_it_is_none() {
        let calm = [
            "i915 DEBUG: nothing",
            "CPU: 2 PID: 9 Comm: X Not tainted 6.1.0",
            "RIP: 0010:warned+0x1/0x2",
            "traps: PANIC: double fault is not known",
            "audit: segfault at",
        ];
        assert_eq!(crashes(&lines(&calm)), []);
    }

    #[test]
    fn lines_cut_anywhere_are_no_panic_of_our_own() {
        for text in OOPS.iter().chain(&[
            "viewer[812]: segfault at 0 ip 7f12 sp 0 error 4 in l[7f00+8]",
            "Out of memory: Killed process 8 (a) t",
        ]) {
            for cut in 0..text.len() {
                crashes(&lines(&["BUG: x", &text[..cut]]));
                crashes(&lines(&[&text[..cut]]));
            }
        }
    }
}
