//! Which of two versions of a Debian package is older: deb-version(7), "Sorting algorithm".

use std::cmp::Ordering;

/// Whether the first version is older than the second.
pub(super) fn older(a: &str, b: &str) -> bool {
    compare(a, b) == Ordering::Less
}

fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (Version::of(a), Version::of(b));
    // Leading zeros count for nothing, and an epoch or a revision that is left out is zero.
    parts(a.epoch, b.epoch).then_with(|| parts(a.upstream, b.upstream)).then_with(|| parts(a.revision, b.revision))
}

struct Version<'a> {
    epoch: &'a str,
    upstream: &'a str,
    revision: &'a str,
}

impl<'a> Version<'a> {
    fn of(text: &'a str) -> Self {
        let (epoch, rest) = text.split_once(':').unwrap_or(("", text));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        Self { epoch, upstream, revision }
    }
}

/// What is not digits is compared by letters, digits by their number, in turn.
fn parts<'a>(mut a: &'a str, mut b: &'a str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (words, rests) = split(a, b, |c| !c.is_ascii_digit());
        let (numbers, rests) = split(rests.0, rests.1, |c| c.is_ascii_digit());
        let order = letters(words.0, words.1).then_with(|| digits(numbers.0, numbers.1));
        if order.is_ne() {
            return order;
        }
        (a, b) = rests;
    }
    Ordering::Equal
}

type Pair<'a> = (&'a str, &'a str);

fn split<'a>(a: &'a str, b: &'a str, belongs: impl Fn(char) -> bool) -> (Pair<'a>, Pair<'a>) {
    let at = |text: &str| text.find(|c| !belongs(c)).unwrap_or(text.len());
    let ((a_head, a_rest), (b_head, b_rest)) = (a.split_at(at(a)), b.split_at(at(b)));
    ((a_head, b_head), (a_rest, b_rest))
}

/// `~` comes before the end, the end before letters, letters before all else.
fn letters(a: &str, b: &str) -> Ordering {
    let weights = |text: &str| {
        let weigh = |c: char| match c {
            '~' => 0_u32,
            c if c.is_ascii_alphabetic() => 256 + u32::from(c),
            c => 65_536 + u32::from(c),
        };
        text.chars().map(weigh).chain([1]).collect::<Vec<_>>()
    };
    weights(a).cmp(&weights(b))
}

fn digits(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_are_ordered_as_the_manual_says() {
        let rising = [
            "1.0~beta1~svn1245",
            "1.0~beta1",
            "1.0",
            "1.0-1",
            "1.0-1+deb12u1",
            "1.0-2",
            "1.0a",
            "1.0+x",
            "1.2",
            "1.10",
            "1:0.1",
        ];
        for pair in rising.windows(2) {
            assert!(older(pair[0], pair[1]) && !older(pair[1], pair[0]), "{pair:?}");
        }
        assert_eq!(compare("1.00", "1.0"), Ordering::Equal);
        assert_eq!(compare("0:1.0-0", "1.0"), Ordering::Equal);
    }

    proptest! {
        #[test]
        fn any_two_texts_have_one_order(a in "\\PC{0,12}", b in "[0-9a-z.:~+-]{0,12}") {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
        }
    }
}
