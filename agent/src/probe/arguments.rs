//! What is said to a probe: values in the order of its arguments, or "name=value".

use std::collections::BTreeMap;

use deskside_proto::v1::ProbeOptions;

/// Longest value, in bytes.
const VALUE_BYTES_MAX: usize = 1024;

/// Values by the name of their argument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    values: BTreeMap<String, String>,
}

impl Arguments {
    /// Reads the words; what is wrong with them is said with what could have been.
    pub fn read(probe: &str, options: &ProbeOptions, words: &[String]) -> Result<Self, String> {
        let mut read = Self::default();
        for word in words {
            if word.len() > VALUE_BYTES_MAX || word.contains(char::is_control) {
                return Err(format!("{probe}: an argument is one line of {VALUE_BYTES_MAX} bytes at most"));
            }
            let (name, value) = read.place(options, word).ok_or_else(|| usage(probe, options, word))?;
            if read.values.insert(name.clone(), value).is_some() {
                return Err(format!("{probe}: {name} is given twice"));
            }
        }
        let missing = options.argument.iter().find(|argument| !argument.optional && read.get(&argument.name).is_none());
        match missing {
            Some(argument) => Err(format!("{probe}: {} is missing: {}", argument.name, argument.doc)),
            None => Ok(read),
        }
    }

    /// A value; absent where it was left out.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Which argument a word is. Why by known names alone: a value may hold a "=" itself.
    fn place(&self, options: &ProbeOptions, word: &str) -> Option<(String, String)> {
        if let Some((name, value)) = word.split_once('=')
            && options.argument.iter().any(|argument| argument.name == name)
        {
            return Some((name.to_owned(), value.to_owned()));
        }
        let free = options.argument.iter().find(|argument| !self.values.contains_key(&argument.name))?;
        Some((free.name.clone(), word.to_owned()))
    }
}

fn usage(probe: &str, options: &ProbeOptions, word: &str) -> String {
    let names = options.argument.iter().map(|argument| {
        let name = argument.name.to_uppercase();
        if argument.optional { format!("[{name}]") } else { name }
    });
    let usage: Vec<String> = std::iter::once(probe.to_owned()).chain(names).collect();
    format!("{word:?} is one argument too many; usage: {}", usage.join(" "))
}

#[cfg(test)]
mod tests {
    use deskside_proto::v1::ArgumentOptions;

    use super::*;

    fn read(words: &[&str]) -> Result<Arguments, String> {
        let argument = |name: &str, optional| ArgumentOptions { name: name.into(), doc: "a host".into(), optional };
        let options =
            ProbeOptions { argument: vec![argument("target", false), argument("count", true)], evidence: false };
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        Arguments::read("ping", &options, &words)
    }

    #[test]
    fn values_stand_in_order_or_by_name() {
        for words in [["a.example", "5"], ["count=5", "a.example"], ["a.example", "count=5"], ["target=a.example", "5"]]
        {
            let read = read(&words).unwrap();
            assert_eq!((read.get("target"), read.get("count")), (Some("a.example"), Some("5")), "{words:?}");
        }
        assert_eq!(read(&["http://a/?b=c"]).unwrap().get("target"), Some("http://a/?b=c"));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_could_have_been() {
        for (words, said) in [
            (vec![], "target is missing: a host"),
            (vec!["a", "5", "6"], "usage: ping TARGET [COUNT]"),
            (vec!["target=a", "target=b"], "target is given twice"),
            (vec!["a\nb"], "one line"),
        ] {
            let error = read(&words).unwrap_err();
            assert!(error.contains(said), "{words:?}: {error}");
        }
    }
}
