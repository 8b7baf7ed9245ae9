//! Programs that are given secrets as arguments without saying so: `mysql -pSECRET`, `curl -u user:SECRET`.

use super::pairs::until_blank;
use super::text::{Rule, Span, Trigger};

/// Programs in one text whose arguments are looked through. Why: a text of nothing but names of programs must not cost its length squared.
pub(super) const MAX: usize = 8;

/// Bytes after a program's name that are looked through.
const ARGUMENTS_BYTES_MAX: usize = 4096;

/// Programs and the flags that a secret follows, at once or after a space.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("mysql", &["-p"]),
    ("mysqldump", &["-p"]),
    ("mysqladmin", &["-p"]),
    ("mariadb", &["-p"]),
    ("mariadb-dump", &["-p"]),
    ("mongo", &["-p"]),
    ("mongosh", &["-p"]),
    ("sshpass", &["-p"]),
    ("docker", &["-p"]),
    ("podman", &["-p"]),
    ("7z", &["-p"]),
    ("7za", &["-p"]),
    ("unzip", &["-P"]),
    ("zip", &["-P"]),
    ("ipmitool", &["-P"]),
    ("redis-cli", &["-a"]),
    ("ldapsearch", &["-w"]),
    ("ldapmodify", &["-w"]),
    ("ldapadd", &["-w"]),
    ("curl", &["-u", "--user", "-U", "--proxy-user"]),
    ("smbclient", &["-U", "--user"]),
    ("rpcclient", &["-U"]),
    ("xfreerdp", &["/p:"]),
    ("rdesktop", &["-p"]),
    ("sqlcmd", &["-P"]),
    ("snmpget", &["-c", "-A", "-X"]),
    ("snmpwalk", &["-c", "-A", "-X"]),
    ("nmcli", &["password", "psk", "wep-key"]),
    ("iwconfig", &["key"]),
    ("openssl", &["-passin", "-passout", "-pass", "-k", "-K"]),
    ("useradd", &["-p"]),
    ("usermod", &["-p"]),
    ("svn", &["--password"]),
    ("cmdkey", &["/pass:"]),
    ("schtasks", &["/rp"]),
    ("psexec", &["-p"]),
    ("plink", &["-pw"]),
    ("pscp", &["-pw"]),
    ("az", &["-p"]),
    ("ipmiutil", &["-P"]),
    ("kinit", &["--password"]),
    ("realm", &["--one-time-password"]),
];

pub(super) fn triggers() -> impl Iterator<Item = Trigger> {
    let kind = "argument of a program";
    PROGRAMS.iter().map(move |(text, flags)| Trigger { text, any_case: false, kind, rule: Rule::Program(flags) })
}

/// Whether a program's name stands as a word of its own.
pub(super) fn stands(bytes: &[u8], at: usize, after: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| bytes.get(before));
    let word = |b: &u8| b.is_ascii_alphanumeric() || b"_-.".contains(b);
    !before.is_some_and(word) && bytes.get(after).is_some_and(u8::is_ascii_whitespace)
}

/// The secrets among a program's arguments.
pub(super) fn arguments(bytes: &[u8], after: usize, flags: &[&str]) -> Vec<Span> {
    let mut spans = Vec::new();
    let end = bytes.len().min(after + ARGUMENTS_BYTES_MAX);
    let mut at = after;
    while at < end {
        let blank = bytes.get(at).is_some_and(u8::is_ascii_whitespace);
        at += 1;
        let Some(rest) = bytes.get(at..).filter(|_rest| blank) else { continue };
        let Some(flag) = flags.iter().filter(|flag| rest.starts_with(flag.as_bytes())).max_by_key(|flag| flag.len())
        else {
            continue;
        };
        if let Some(range) = argument(bytes, at + flag.len(), flag) {
            at = range.end;
            spans.push(Span::secret(range));
        }
    }
    spans
}

/// What follows a flag: for `user:password` and `user%password` the password alone.
fn argument(bytes: &[u8], after: usize, flag: &str) -> Option<std::ops::Range<usize>> {
    let attached = bytes.get(after).is_some_and(|b| !b.is_ascii_whitespace());
    // A word or a long flag goes on as another word: `passwords`, `--user-agent`.
    let long = flag.starts_with("--") || flag.starts_with(|c: char| c.is_ascii_alphabetic()) || flag.len() > 3;
    if attached && long && bytes.get(after) != Some(&b'=') {
        return None;
    }
    let skipped =
        if attached { usize::from(long) } else { bytes.get(after..)?.iter().take_while(|b| **b == b' ').count() };
    let mut range = until_blank(bytes, after + skipped)?;
    let value = bytes.get(range.clone())?;
    if value.first() == Some(&b'-') && !attached {
        return None;
    }
    if matches!(flag, "-u" | "--user" | "-U" | "--proxy-user") {
        range.start += value.iter().position(|b| b":%".contains(b))? + 1;
    }
    (!range.is_empty()).then_some(range)
}
