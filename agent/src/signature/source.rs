//! Who says it: the program, or the unit that the system's manager speaks of, without what differs between machines.

use super::line::Line;

/// The program that speaks of units.
const MANAGER: &str = "systemd";

/// Endings of units' names.
const UNITS: &[&str] = &[
    ".service",
    ".socket",
    ".mount",
    ".automount",
    ".timer",
    ".target",
    ".slice",
    ".scope",
    ".device",
    ".swap",
    ".path",
];

/// A hexadecimal piece of a name that is at least this long is an identity.
const HEX_MIN: usize = 8;

/// The source of a line. Why the program before the unit: a log file knows no units, and the same message in the journal and in
/// a file is the same error.
pub(super) fn of(line: &Line<'_>) -> String {
    if !line.provider.is_empty() {
        return line.provider.to_owned();
    }
    let program = program(line.program);
    if program == MANAGER {
        let spoken_of = if line.unit.is_empty() { unit_before_colon(line.message) } else { Some(line.unit) };
        return spoken_of.map_or(program, |name| format!("{MANAGER}/{}", unit(name)));
    }
    if !program.is_empty() {
        return program;
    }
    if line.unit.is_empty() {
        let file = line.source.rsplit('/').next().unwrap_or_default();
        return without_numbers(file, '.');
    }
    unit(line.unit)
}

/// "cups.service: Failed with result …" speaks of cups.service.
fn unit_before_colon(message: &str) -> Option<&str> {
    let (name, _rest) = message.split_once(": ")?;
    (!name.contains(' ') && UNITS.iter().any(|ending| name.ends_with(ending))).then_some(name)
}

/// "/usr/bin/python3.11" is python.
fn program(name: &str) -> String {
    let name = if name.starts_with('/') { name.rsplit('/').next().unwrap_or_default() } else { name };
    let name = name.trim_matches(['(', ')', '[', ']', ':']);
    let name = name.split(['[', '@', ' ']).next().unwrap_or_default();
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '_' | '-'));
    if bare.is_empty() { name.to_owned() } else { bare.to_owned() }
}

/// "getty@tty1.service" is getty@.service, and "session-12.scope" session.scope.
fn unit(name: &str) -> String {
    let ending = UNITS.iter().copied().find(|ending| name.ends_with(ending)).unwrap_or_default();
    let stem = name.strip_suffix(ending).unwrap_or(name);
    match stem.split_once('@') {
        Some((template, _instance)) => format!("{template}@{ending}"),
        None => format!("{}{ending}", without_numbers(stem, '-')),
    }
}

/// Pieces without digits; a piece that is nothing else goes.
fn without_numbers(name: &str, between: char) -> String {
    let piece = |piece: &str| {
        let hex = piece.len() >= HEX_MIN && piece.bytes().all(|b| b.is_ascii_hexdigit());
        let bare: String = piece.chars().filter(|c| !c.is_ascii_digit()).collect();
        let bare = bare.trim_matches(|c: char| "._-:".contains(c)).to_owned();
        (!hex && !bare.is_empty()).then_some(bare)
    };
    name.split(between).filter_map(piece).collect::<Vec<_>>().join(&between.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(program: &str, unit: &str, message: &str) -> String {
        of(&Line { program, unit, message, source: "/var/log/app-3.log.1", ..Line::default() })
    }

    #[test]
    fn a_program_is_named_without_its_path_and_version() {
        assert_eq!(named("/usr/bin/python3.11", "", ""), "python");
        assert_eq!(named("sshd", "ssh@3-10.0.0.1.service", ""), "sshd");
        assert_eq!(named("(udev-worker)", "", ""), "udev-worker");
        assert_eq!(named("389", "", ""), "389");
    }

    #[test]
    fn what_the_manager_says_of_a_unit_is_the_units() {
        assert_eq!(named("systemd", "cups.service", "x"), "systemd/cups.service");
        assert_eq!(
            named("systemd", "", "getty@tty1.service: Failed with result 'exit-code'."),
            "systemd/getty@.service"
        );
        assert_eq!(named("systemd", "session-12.scope", ""), "systemd/session.scope");
        assert_eq!(named("systemd", "", "Failed to start x: y"), "systemd");
    }

    #[test]
    fn without_a_program_the_unit_or_the_file_speaks() {
        assert_eq!(named("", "php8.1-fpm.service", ""), "php-fpm.service");
        assert_eq!(named("", "docker-0123456789abcdef.scope", ""), "docker.scope");
        assert_eq!(named("", "", "boom"), "app.log");
    }
}
