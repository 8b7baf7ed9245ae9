//! How a process ended, in words: signals by signal(7), and the statuses that systemd itself gives by systemd.exec(5).

/// The name of a signal on the architectures that Linux workstations have.
pub(super) fn signal(number: u32) -> Option<&'static str> {
    const NAMES: [&str; 31] = [
        "SIGHUP",
        "SIGINT",
        "SIGQUIT",
        "SIGILL",
        "SIGTRAP",
        "SIGABRT",
        "SIGBUS",
        "SIGFPE",
        "SIGKILL",
        "SIGUSR1",
        "SIGSEGV",
        "SIGUSR2",
        "SIGPIPE",
        "SIGALRM",
        "SIGTERM",
        "SIGSTKFLT",
        "SIGCHLD",
        "SIGCONT",
        "SIGSTOP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGURG",
        "SIGXCPU",
        "SIGXFSZ",
        "SIGVTALRM",
        "SIGPROF",
        "SIGWINCH",
        "SIGIO",
        "SIGPWR",
        "SIGSYS",
    ];
    NAMES.get(usize::try_from(number).ok()?.checked_sub(1)?).copied()
}

/// What a status means that systemd gives when it could not start a program.
pub(super) fn status(number: u32) -> Option<&'static str> {
    let meaning = match number {
        200 => "CHDIR: its working folder could not be entered",
        202 => "FDS: its open files could not be arranged",
        203 => "EXEC: the program could not be started",
        204 => "MEMORY: not enough memory",
        205 => "LIMITS: its limits could not be set",
        206 => "OOM_ADJUST: its place when memory is short could not be set",
        208 => "STDIN: its standard input could not be opened",
        209 => "STDOUT: its standard output could not be opened",
        210 => "CHROOT: its root folder could not be changed",
        214 => "SETSCHEDULER: its scheduling could not be set",
        216 => "GROUP: its group is not known or could not be taken",
        217 => "USER: its user is not known or could not be taken",
        218 => "CAPABILITIES: its capabilities could not be set",
        219 => "CGROUP: its cgroup could not be made",
        222 => "STDERR: its standard error could not be opened",
        224 => "PAM: its session could not be opened",
        225 => "NETWORK: its network namespace could not be made",
        226 => "NAMESPACE: its view of the file system could not be made",
        227 => "NO_NEW_PRIVILEGES: privileges could not be given up",
        228 => "SECCOMP: its system call filter could not be set",
        229 => "SELINUX_CONTEXT: its SELinux context could not be set",
        231 => "APPARMOR_PROFILE: its AppArmor profile could not be set",
        233 => "RUNTIME_DIRECTORY: its folder under /run could not be made",
        235 => "CHOWN: a file could not be given to it",
        238 => "STATE_DIRECTORY: its folder under /var/lib could not be made",
        239 => "CACHE_DIRECTORY: its folder under /var/cache could not be made",
        240 => "LOGS_DIRECTORY: its folder under /var/log could not be made",
        241 => "CONFIGURATION_DIRECTORY: its folder under /etc could not be made",
        243 => "CREDENTIALS: its credentials could not be arranged",
        _ => return None,
    };
    Some(meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_their_names_and_other_numbers_none() {
        assert_eq!(
            [0, 1, 6, 11, 31, 32].map(signal),
            [None, Some("SIGHUP"), Some("SIGABRT"), Some("SIGSEGV"), Some("SIGSYS"), None]
        );
        assert!(status(203).is_some_and(|meaning| meaning.starts_with("EXEC")) && status(1).is_none());
    }
}
