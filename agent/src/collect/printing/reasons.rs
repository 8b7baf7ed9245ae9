//! What the keywords of `printer-state-reasons` mean (RFC 8011 5.4.12, PWG 5100.9, CUPS), and how bad they are by the standard.
//!
//! Why here and not in the rules: the words and the severity are the standard's, and the machine's owner reads them too.

/// CUPS keeps this many characters of a reason: `marker-waste-almost-full-warnin`.
const KEPT: usize = 31;

/// How bad a reason is, by its suffix. The standard's order: a report is the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    Report,
    Warning,
    Error,
}

impl Severity {
    const ALL: [(&str, Self); 3] = [("-report", Self::Report), ("-warning", Self::Warning), ("-error", Self::Error)];

    /// The suffix's word.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A keyword without its suffix, and the severity; absent where CUPS cut the suffix off.
pub(super) fn split(reason: &str) -> (&str, Option<Severity>) {
    for (suffix, severity) in Severity::ALL {
        if let Some(keyword) = reason.strip_suffix(suffix) {
            return (keyword, Some(severity));
        }
    }
    if reason.len() < KEPT {
        return (reason, Some(Severity::Error));
    }
    let tail = reason.rfind('-').and_then(|place| reason.split_at_checked(place));
    let cut = |(keyword, tail)| {
        let mut known = Severity::ALL.iter().filter(|(suffix, _)| suffix.starts_with(tail) && tail != "-");
        known.next().map(|(_, severity)| (keyword, Some(*severity)))
    };
    tail.and_then(cut).unwrap_or((reason, None))
}

/// The worst severity of those reasons that name a trouble.
pub(super) fn worst(reasons: &[String]) -> Option<Severity> {
    let troubles = reasons.iter().map(|reason| split(reason)).filter(|(keyword, _)| words(keyword).is_some());
    troubles.filter_map(|(_, severity)| severity).max()
}

/// Plain words and severity of each reason that names a trouble: "out of paper (error)".
pub(super) fn troubles(reasons: &[String]) -> Vec<String> {
    let told = |reason: &String| {
        let (keyword, severity) = split(reason);
        let words = words(keyword)?;
        Some(format!("{words} ({})", severity.map_or("severity cut off", Severity::name)))
    };
    reasons.iter().filter_map(told).collect()
}

/// Whether the print system itself says so, at any time. All others are heard from the device, and only while a job is printed.
pub(super) fn of_the_queue(reason: &str) -> bool {
    const OWN: [&str; 7] = [
        "paused",
        "moving-to-paused",
        "hold-new-jobs",
        "spool-area-full",
        "cups-missing-filter",
        "cups-insecure-filter",
        "deleting",
    ];
    OWN.contains(&split(reason).0)
}

/// What a keyword means; absent where it names no trouble.
fn words(keyword: &str) -> Option<String> {
    if NO_TROUBLE.contains(&keyword) {
        return None;
    }
    let exact = WORDS.iter().find(|(known, _)| *known == keyword);
    let cut = || WORDS.iter().find(|(known, _)| keyword.len() + 1 >= KEPT && known.starts_with(keyword));
    if let Some((_, words)) = exact.or_else(cut) {
        return Some((*words).to_owned());
    }
    Some(of_a_part(keyword).unwrap_or_else(|| keyword.replace('-', " ")))
}

/// PWG 5100.9 builds its keywords for finishers and other parts from the part's name and what befell it: `stapler-empty`.
fn of_a_part(keyword: &str) -> Option<String> {
    let part = PARTS.iter().find_map(|part| Some((part, keyword.strip_prefix(part)?.strip_prefix('-')?)));
    part.map(|(part, event)| format!("{}: {}", part.replace('-', " "), event.replace('-', " ")))
}

/// States of work rather than troubles.
const NO_TROUBLE: &[&str] = &[
    "configuration-change",
    "connecting-to-device",
    "cups-waiting-for-job-completed",
    "hibernate",
    "hold-new-jobs",
    "identify-printer-requested",
    "moving-to-paused",
    "none",
    "paused",
    "power-up",
    "printer-ready-to-print",
    "resuming",
    "sleep-mode",
    "standby",
    "stopping",
    "suspend",
    "testing",
    "wfds-warming-up",
];

/// The parts of PWG 5100.9, table 4 and following.
const PARTS: &[&str] = &[
    "bander",
    "binder",
    "die-cutter",
    "folder",
    "imprinter",
    "inserter",
    "make-envelope",
    "perforater",
    "puncher",
    "separation-cutter",
    "sheet-rotator",
    "slitter",
    "stacker",
    "stapler",
    "stitcher",
    "subunit",
    "trimmer",
    "wrapper",
    "cleaner",
    "input",
    "interpreter",
    "marker",
    "media-path",
    "output",
    "platform",
];

/// Keywords that printers use every day, in words.
const WORDS: &[(&str, &str)] = &[
    ("cover-open", "cover open"),
    ("cups-insecure-filter", "a filter program has unsafe permissions"),
    ("cups-missing-filter", "a filter program is missing"),
    ("cups-pki-changed", "the printer's certificate has changed"),
    ("cups-pki-expired", "the printer's certificate has expired"),
    ("cups-pki-invalid", "the printer's certificate is not valid"),
    ("cups-pki-unknown", "the printer's certificate is not known"),
    ("deactivated", "switched off by an operator"),
    ("developer-empty", "out of developer"),
    ("developer-low", "low on developer"),
    ("door-open", "door open"),
    ("fuser-over-temp", "fuser too hot"),
    ("fuser-under-temp", "fuser too cold"),
    ("input-cannot-feed-size-selected", "no tray feeds the paper size asked for"),
    ("input-manual-input-request", "waits for paper to be fed by hand"),
    ("input-media-size-change", "paper size of a tray was changed"),
    ("input-media-tray-empty", "a tray is empty"),
    ("input-media-tray-feed-error", "a tray does not feed"),
    ("input-media-tray-jam", "paper jam in a tray"),
    ("input-media-tray-missing", "a tray is missing"),
    ("input-pick-roller-life-over", "pick roller worn out"),
    ("input-pick-roller-life-warn", "pick roller nearly worn out"),
    ("input-tray-missing", "a tray is missing"),
    ("interlock-open", "an interlock is open"),
    ("interpreter-resource-unavailable", "a font or form is missing in the printer"),
    ("marker-fuser-missing", "fuser missing"),
    ("marker-ink-almost-empty", "low on ink"),
    ("marker-ink-empty", "out of ink"),
    ("marker-ink-missing", "ink missing"),
    ("marker-opc-missing", "drum missing"),
    ("marker-supply-almost-empty", "low on toner or ink"),
    ("marker-supply-empty", "out of toner or ink"),
    ("marker-supply-low", "low on toner or ink"),
    ("marker-supply-missing", "cartridge missing"),
    ("marker-toner-cartridge-missing", "toner cartridge missing"),
    ("marker-toner-missing", "toner missing"),
    ("marker-waste-almost-full", "waste box almost full"),
    ("marker-waste-full", "waste box full"),
    ("marker-waste-ink-receptacle-almost-full", "waste ink box almost full"),
    ("marker-waste-ink-receptacle-full", "waste ink box full"),
    ("marker-waste-ink-receptacle-missing", "waste ink box missing"),
    ("marker-waste-missing", "waste box missing"),
    ("marker-waste-toner-receptacle-almost-full", "waste toner box almost full"),
    ("marker-waste-toner-receptacle-full", "waste toner box full"),
    ("marker-waste-toner-receptacle-missing", "waste toner box missing"),
    ("media-empty", "out of paper"),
    ("media-jam", "paper jam"),
    ("media-low", "low on paper"),
    ("media-needed", "waits for paper"),
    ("media-path-cannot-duplex-media-selected", "cannot print this paper on both sides"),
    ("media-path-jam", "paper jam"),
    ("memory-exhausted", "printer out of memory"),
    ("offline", "offline"),
    ("opc-life-over", "drum worn out"),
    ("opc-near-eol", "drum nearly worn out"),
    ("other", "a trouble without a name"),
    ("output-area-almost-full", "output tray almost full"),
    ("output-area-full", "output tray full"),
    ("output-tray-missing", "output tray missing"),
    ("power-down", "switched off"),
    ("printer-manual-reset", "was reset by hand"),
    ("shutdown", "switched off or shutting down"),
    ("spool-area-full", "no room for jobs"),
    ("stopped-partly", "stopped in part"),
    ("timed-out", "does not answer"),
    ("toner-empty", "out of toner"),
    ("toner-low", "low on toner"),
    ("unknown", "state not known"),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(reasons: &[&str]) -> (Vec<String>, Option<Severity>) {
        let reasons: Vec<String> = reasons.iter().map(|reason| (*reason).to_owned()).collect();
        (troubles(&reasons), worst(&reasons))
    }

    #[test]
    fn the_suffix_says_how_bad_it_is_and_none_is_an_error() {
        assert_eq!(split("media-empty"), ("media-empty", Some(Severity::Error)));
        assert_eq!(split("media-empty-error"), ("media-empty", Some(Severity::Error)));
        assert_eq!(split("media-low-warning"), ("media-low", Some(Severity::Warning)));
        assert_eq!(split("offline-report"), ("offline", Some(Severity::Report)));
    }

    #[test]
    fn what_cups_cut_off_is_still_understood() {
        let (keyword, severity) = split("marker-waste-almost-full-warnin");
        assert_eq!((keyword, severity), ("marker-waste-almost-full", Some(Severity::Warning)));
        let (words, worst) = told(&["marker-waste-almost-full-warnin", "marker-waste-toner-receptacle-a"]);
        assert_eq!(words, ["waste box almost full (warning)", "waste toner box almost full (severity cut off)"]);
        assert_eq!(worst, Some(Severity::Warning));
    }

    #[test]
    fn states_of_work_are_no_troubles() {
        let (words, worst) = told(&["paused", "connecting-to-device", "cups-waiting-for-job-completed", "none"]);
        assert!(words.is_empty() && worst.is_none(), "{words:?}");
    }

    #[test]
    fn every_keyword_is_told_in_words() {
        let (words, worst) =
            told(&["media-jam", "stapler-life-almost-over-warning", "com.example-lamp-report", "door-open-error"]);
        let plain = [
            "paper jam (error)",
            "stapler: life almost over (warning)",
            "com.example lamp (report)",
            "door open (error)",
        ];
        assert_eq!(words, plain);
        assert_eq!(worst, Some(Severity::Error));
    }

    #[test]
    fn the_queue_knows_its_own_reasons_at_any_time() {
        assert!(of_the_queue("paused") && of_the_queue("cups-missing-filter-warning"));
        assert!(!of_the_queue("media-jam-error") && !of_the_queue("offline-report"));
    }

    proptest! {
        #[test]
        fn no_reason_breaks_it(reason in "\\PC{0,60}") {
            drop(told(&[&reason]));
        }
    }
}
