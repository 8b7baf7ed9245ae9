//! Simulated radios for a virtual machine: Debian's `mac80211_hwsim`, hostapd as two access points, `wpa_supplicant` as the station, and a
//! journal of their words. The script calls `look NAME` in each state, which is written to the second serial port as one JSON object.

use std::fs;
use std::path::Path;

use anyhow::Context;

use super::initramfs::{Initramfs, find};
use super::vm::{Kernel, Vm};

/// The kernel's modules: the radios, and the ciphers of WPA2.
const MODULES: [&str; 5] = ["mac80211_hwsim", "ccm", "ctr", "gcm", "cmac"];

const TOOLS: [&str; 15] = [
    "sh", "mount", "insmod", "poweroff", "cat", "echo", "sleep", "grep", "ip", "unshare", "nsenter", "mkdir", "ln",
    "ls", "tr",
];

/// Programs, each with its package.
const PROGRAMS: [(&str, &str); 5] = [
    ("hostapd", "hostapd"),
    ("wpa_supplicant", "wpasupplicant"),
    ("wpa_cli", "wpasupplicant"),
    ("iw", "iw"),
    ("journalctl", "systemd"),
];

const JOURNALD: &str = "/usr/lib/systemd/systemd-journald";

/// Radio rules of countries (package wireless-regdb), signed for Debian's kernel.
const RULES: [&str; 2] = ["/lib/firmware/regulatory.db", "/lib/firmware/regulatory.db.p7s"];

const SCRIPT: &str = include_str!("radios.sh");

/// A root file system that runs the script, with this agent in it.
pub fn root(kernel: &Kernel, vm: &Vm, agent: &Path) -> anyhow::Result<Initramfs> {
    let mut root = Initramfs::with_busybox(&TOOLS)?;
    root.modules(&kernel.modules.join("kernel"), &MODULES)?;
    for (program, package) in PROGRAMS {
        let place = find(program).with_context(|| format!("install {package}"))?;
        root.program(&format!("/usr/bin/{program}"), &place, vm.folder())?;
    }
    root.program("/usr/bin/systemd-journald", Path::new(JOURNALD), vm.folder())?;
    root.program("/usr/bin/deskside-agent", agent, vm.folder())?;
    for rules in RULES {
        root.file(rules, fs::read(rules).context("install wireless-regdb")?);
    }
    root.file("/etc/passwd", "root:x:0:0::/:/bin/sh\n");
    root.file("/etc/group", "root:x:0:\nsystemd-journal:x:101:\n");
    root.file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    root.file("/init", SCRIPT);
    Ok(root)
}
