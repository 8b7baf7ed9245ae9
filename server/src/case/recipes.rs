//! Recipes: which tables, which probes and how much time a symptom needs. Each is a file under `server/rules/recipes`, named as it is asked for.

use std::sync::LazyLock;

use anyhow::Context;
use serde::Deserialize;

/// The recipe of an escalation, and of a collection that names none.
pub const DEFAULT: &str = "default";

/// In the order in which they are listed.
const FILES: [(&str, &str); 11] = [
    (DEFAULT, include_str!("../../rules/recipes/default.toml")),
    ("cannot-print", include_str!("../../rules/recipes/cannot-print.toml")),
    ("no-network", include_str!("../../rules/recipes/no-network.toml")),
    ("wi-fi-is-slow", include_str!("../../rules/recipes/wi-fi-is-slow.toml")),
    ("vpn-does-not-connect", include_str!("../../rules/recipes/vpn-does-not-connect.toml")),
    ("pc-is-slow", include_str!("../../rules/recipes/pc-is-slow.toml")),
    ("application-crashes", include_str!("../../rules/recipes/application-crashes.toml")),
    ("disk-is-full", include_str!("../../rules/recipes/disk-is-full.toml")),
    ("blue-screen-or-sudden-restart", include_str!("../../rules/recipes/blue-screen-or-sudden-restart.toml")),
    ("hardware", include_str!("../../rules/recipes/hardware.toml")),
    ("logs", include_str!("../../rules/recipes/logs.toml")),
];

static ALL: LazyLock<Vec<Recipe>> = LazyLock::new(|| {
    let read = |(name, text): &(&str, &str)| read(name, text);
    FILES.iter().map(read).collect::<anyhow::Result<_>>().expect("the recipes of this release are well formed")
});

/// A named list of tables and probes, and a window, for a symptom.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Its name, which is its file's.
    #[serde(skip)]
    pub name: String,
    /// The symptom it is for.
    pub doc: String,
    /// What people write who have it, in lower case, letters and digits alone, one blank between words.
    #[serde(default)]
    pub words: Vec<String>,
    /// Tables; empty for all.
    pub tables: Vec<String>,
    /// Probes to run: name and arguments, separated by blanks.
    #[serde(default)]
    pub probes: Vec<String>,
    /// How far back, in seconds.
    pub before_s: u64,
    /// How far ahead to wait for more, in seconds.
    #[serde(default)]
    pub after_s: u64,
}

/// All recipes.
pub fn all() -> &'static [Recipe] {
    &ALL
}

/// One recipe, by its name or by the symptom's words ("Wi-Fi is slow"); the default one where there are none.
pub fn named(words: &str) -> Option<&'static Recipe> {
    let name = if words.trim().is_empty() { DEFAULT.to_owned() } else { as_name(words) };
    ALL.iter().find(|recipe| recipe.name == name)
}

/// The recipe whose words a ticket uses most; those of its title and category count twice. The default one where it uses none.
pub fn for_ticket(title: &str, category: &str, text: &str) -> Option<&'static Recipe> {
    let (first, whole) = (plain(&format!("{title} {category}")), plain(&format!("{title} {category} {text}")));
    let uses = |recipe: &&Recipe| {
        let used = |text: &str| recipe.words.iter().filter(|word| text.contains(&format!(" {word} "))).count();
        used(&first) + used(&whole)
    };
    // Why the first of equals: the list has what is narrower before what is wider.
    let most = ALL.iter().rev().max_by_key(uses).filter(|recipe| uses(recipe) > 0);
    most.or_else(|| named(DEFAULT))
}

/// Lower case, with one blank before and after each word.
fn plain(text: &str) -> String {
    let text = text.to_lowercase();
    let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    format!(" {} ", words.join(" "))
}

fn as_name(words: &str) -> String {
    let words = words.to_lowercase();
    let words = words.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

fn read(name: &str, text: &str) -> anyhow::Result<Recipe> {
    let recipe: Recipe = toml::from_str(text).with_context(|| format!("the recipe {name}"))?;
    Ok(Recipe { name: name.to_owned(), ..recipe })
}

#[cfg(test)]
mod tests {
    use deskside_proto::catalog;

    use super::*;

    #[test]
    fn every_recipe_names_tables_and_probes_that_there_are() {
        for recipe in all() {
            for table in &recipe.tables {
                assert!(catalog::table(table).is_some(), "{}: {table}", recipe.name);
            }
            for probe in &recipe.probes {
                let table = probe.split_whitespace().next().and_then(catalog::table);
                assert!(table.is_some_and(|table| table.probe.is_some()), "{}: {probe}", recipe.name);
            }
        }
    }

    #[test]
    fn every_file_of_a_recipe_is_listed() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rules/recipes");
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name()).collect();
        files.sort();
        let mut listed: Vec<_> = all().iter().map(|recipe| format!("{}.toml", recipe.name)).collect();
        listed.sort();
        assert_eq!(files, listed.iter().map(std::ffi::OsString::from).collect::<Vec<_>>());
    }

    #[test]
    fn a_symptom_is_asked_for_in_its_own_words() {
        for (words, name) in [
            ("", DEFAULT),
            ("Wi-Fi is slow", "wi-fi-is-slow"),
            ("cannot print", "cannot-print"),
            ("Blue screen or sudden restart", "blue-screen-or-sudden-restart"),
            ("no-network", "no-network"),
        ] {
            assert_eq!(named(words).map(|recipe| recipe.name.as_str()), Some(name), "{words}");
        }
        assert!(named("coffee").is_none());
    }

    #[test]
    fn a_ticket_s_own_words_choose_the_recipe() {
        for (title, category, text, name) in [
            ("Printer in the hall prints nothing", "", "The network is fine.", "cannot-print"),
            ("Wi-Fi is slow", "", "", "wi-fi-is-slow"),
            ("Help", "VPN", "since this morning, also slow", "vpn-does-not-connect"),
            ("PC restarts", "Hardware", "a blue screen, then it restarts", "blue-screen-or-sudden-restart"),
            ("Excel does not start", "", "", "application-crashes"),
            ("Blueprint missing", "", "the fandom page", DEFAULT),
            ("", "", "", DEFAULT),
        ] {
            assert_eq!(for_ticket(title, category, text).map(|recipe| recipe.name.as_str()), Some(name), "{title}");
        }
        for recipe in all() {
            for word in &recipe.words {
                assert_eq!(format!(" {word} "), plain(word), "{}: never found", recipe.name);
            }
        }
    }

    #[test]
    fn the_default_recipe_asks_for_all_families_a_day_back() {
        let recipe = named("").unwrap();
        assert_eq!((recipe.tables.len(), recipe.before_s), (0, 86_400));
    }
}
