//! What a PPD file says of a driver (PPD 4.3; CUPS's cupsFilter and cupsFilter2).

/// Most filters that are taken from one file.
const FILTERS_MAX: usize = 40;

/// Longest value that is taken, in characters.
const VALUE_CHARS_MAX: usize = 200;

/// One way from a document's format to the printer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    /// The format that it takes.
    pub(super) from: String,
    /// The program; `-` is none.
    pub(super) program: String,
}

/// What is told of a driver.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ppd {
    pub(super) nickname: String,
    pub(super) manufacturer: String,
    pub(super) model: String,
    pub(super) file_version: String,
    pub(super) file_name: String,
    pub(super) language: String,
    pub(super) page_size: String,
    pub(super) color: Option<bool>,
    pub(super) filters: Vec<Filter>,
    pub(super) size_bytes: u64,
}

/// Reads the keywords that stand alone on a line; all else is of no interest here.
pub(super) fn parse(file: &[u8]) -> Ppd {
    let text = String::from_utf8_lossy(file);
    let mut ppd = Ppd { size_bytes: file.len() as u64, ..Ppd::default() };
    let mut old = Vec::new();
    for line in text.lines() {
        let Some((keyword, value)) = line.strip_prefix('*').and_then(|rest| rest.split_once(':')) else { continue };
        let value: String = value.trim().trim_matches('"').trim().chars().take(VALUE_CHARS_MAX).collect();
        match keyword {
            "NickName" => ppd.nickname = value,
            "Manufacturer" => ppd.manufacturer = value,
            "ModelName" => ppd.model = value,
            "FileVersion" => ppd.file_version = value,
            "PCFileName" => ppd.file_name = value,
            "LanguageVersion" => ppd.language = value,
            "DefaultPageSize" => ppd.page_size = value,
            "ColorDevice" => ppd.color = flag(&value),
            "cupsFilter2" => keep(&mut ppd.filters, filter2(&value)),
            "cupsFilter" => keep(&mut old, filter(&value)),
            _ => {}
        }
    }
    // CUPS takes no notice of the old ones where there are new ones.
    if ppd.filters.is_empty() {
        ppd.filters = old;
    }
    ppd
}

fn flag(value: &str) -> Option<bool> {
    match value {
        "True" => Some(true),
        "False" => Some(false),
        _ => None,
    }
}

fn keep(filters: &mut Vec<Filter>, filter: Option<Filter>) {
    if filters.len() < FILTERS_MAX {
        filters.extend(filter);
    }
}

/// "source/type cost program", where the program's path may hold blanks.
fn filter(value: &str) -> Option<Filter> {
    let mut words = value.splitn(3, char::is_whitespace);
    let (from, _cost, program) = (words.next()?, words.next()?, words.next()?);
    Some(Filter { from: from.into(), program: program.trim().into() })
}

/// "source/type destination/type cost maxsize(bytes) program"; the size may be left out.
fn filter2(value: &str) -> Option<Filter> {
    let mut words = value.splitn(4, char::is_whitespace);
    let (from, _to, _cost, program) = (words.next()?, words.next()?, words.next()?, words.next()?.trim());
    let program = match program.strip_prefix("maxsize(").and_then(|rest| rest.split_once(')')) {
        Some((_bytes, program)) => program.trim(),
        None => program,
    };
    Some(Filter { from: from.into(), program: program.into() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHORT: &str = "*PPD-Adobe: \"4.3\"\n*FileVersion: \"1.0\"\n*NickName: \"Acme 9 - IPP Everywhere\"\r\n*ColorDevice: True\n\
        *cupsFilter: \"application/vnd.cups-raster 0 rastertoold\"\n\
        *cupsFilter2: \"image/urf image/urf 0 -\"\n\
        *cupsFilter2: \"application/vnd.cups-raster application/acme 10 maxsize(1024) /opt/acme/bin/raster to acme\"\n\
        *OpenUI *PageSize/Media Size: PickOne\n*DefaultPageSize: A4\n*PageSize A4/A4: \"<<>>setpagedevice\"\n";

    #[test]
    fn a_drivers_name_and_filters_are_read() {
        let ppd = parse(SHORT.as_bytes());
        assert_eq!((ppd.nickname.as_str(), ppd.color), ("Acme 9 - IPP Everywhere", Some(true)));
        assert_eq!((ppd.page_size.as_str(), ppd.file_version.as_str()), ("A4", "1.0"));
        let programs: Vec<&str> = ppd.filters.iter().map(|filter| filter.program.as_str()).collect();
        assert_eq!(programs, ["-", "/opt/acme/bin/raster to acme"]);
        assert_eq!(ppd.filters[1].from, "application/vnd.cups-raster");
    }

    #[test]
    fn an_old_driver_has_old_filters() {
        let ppd = parse(b"*cupsFilter: \"application/vnd.cups-postscript 0 pstoacme\"\n*ColorDevice: False\n");
        assert_eq!(ppd.filters[0].program, "pstoacme");
        assert_eq!(ppd.color, Some(false));
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0..600_usize) {
            parse(&bytes);
            parse(&SHORT.as_bytes()[..cut.min(SHORT.len())]);
        }
    }
}
