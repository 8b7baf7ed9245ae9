//! Keys that are written in groups of the same length with hyphens between: `123456-123456-…`.

use super::text::Span;

/// Groups of letters that are a key: how long each is, how many there are, and of which letters.
struct Form {
    length: usize,
    count: usize,
    letter: fn(u8) -> bool,
}

const FORMS: [Form; 5] = [
    // BitLocker's recovery password.
    Form { length: 6, count: 8, letter: digit },
    // systemd-cryptenroll(1)'s recovery key: a keyboard's sixteen safest letters.
    Form { length: 8, count: 8, letter: |b| b"cbdefghijklnrtuv".contains(&b) },
    // FileVault's recovery key.
    Form { length: 4, count: 6, letter: upper },
    // A product key of Windows and Office.
    Form { length: 5, count: 5, letter: upper },
    // A payment card.
    Form { length: 4, count: 4, letter: digit },
];

fn digit(b: u8) -> bool {
    b.is_ascii_digit()
}

fn upper(b: u8) -> bool {
    b.is_ascii_uppercase() || b.is_ascii_digit()
}

/// The key whose first hyphen stands at a place.
pub(super) fn key(bytes: &[u8], at: usize) -> Option<Span> {
    let before = bytes.get(..at)?.iter().rev().take(9).take_while(|b| b.is_ascii_alphanumeric()).count();
    let begin = at - before;
    if begin.checked_sub(1).and_then(|place| bytes.get(place)) == Some(&b'-') {
        return None;
    }
    let run = bytes.get(begin..)?;
    let run = run.get(..run.iter().take(80).take_while(|b| b.is_ascii_alphanumeric() || **b == b'-').count())?;
    let run = run.strip_suffix(b"-").unwrap_or(run);
    let fits = |form: &&Form| {
        let whole = |group: &[u8]| group.len() == form.length && group.iter().all(|b| (form.letter)(*b));
        form.length == before && run.split(|b| *b == b'-').count() == form.count && run.split(|b| *b == b'-').all(whole)
    };
    let form = FORMS.iter().find(fits)?;
    let card = (form.length, form.count) == (4, 4);
    // Letters alone are words, and digits alone in fours may be anything but for their last one.
    let real = if card { luhn(run) } else { form.length == 8 || run.iter().any(u8::is_ascii_digit) };
    real.then(|| Span::secret(begin..begin + run.len()))
}

/// The check digit of payment cards (ISO/IEC 7812-1).
fn luhn(run: &[u8]) -> bool {
    let digits = run.iter().rev().filter(|b| b.is_ascii_digit()).map(|b| u32::from(b - b'0'));
    let sum: u32 = digits
        .enumerate()
        .map(|(place, digit)| if place % 2 == 1 { digit * 2 / 10 + digit * 2 % 10 } else { digit })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        let at = text.find('-')?;
        key(text.as_bytes(), at).and_then(|span| text.get(span.range))
    }

    #[test]
    fn keys_in_groups_are_known_by_their_form() {
        for key in [
            "123456-234567-345678-456789-567890-678901-789012-890123",
            "ltjbcvtu-hrrgnkbd-jtjbbktu-ttrtdfbu-tbnflgui-idvvktch-rblvjvng-uvgbuhjh",
            "ABCD-EFGH-1JKL-MNOP-QRST-UVWX",
            "VK7JG-NPHTM-C97JM-9MPGT-3V66T",
            "4111-1111-1111-1111",
        ] {
            assert_eq!(found(&format!("key {key}.")), Some(key));
        }
    }

    #[test]
    fn numbers_dates_and_identities_are_none() {
        for text in [
            "2026-11-22",
            "550e8400-e29b-41d4-a716-446655440000",
            "1234-5678-9012-3456",
            "00-1b-21-3c-4d-5e",
            "linux-image-6.1.0-18-amd64",
            "ABCD-EFGH-IJKL-MNOP-QRST-UVWX",
            "a-b",
            "-",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
