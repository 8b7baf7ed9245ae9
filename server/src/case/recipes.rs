//! Recipes: which tables, which probes and how much time a symptom needs, read from `server/rules/recipes.toml`.

use std::sync::LazyLock;

use anyhow::Context;
use serde::Deserialize;

/// The recipe of an escalation, and of a collection that names none.
pub const DEFAULT: &str = "default";

static ALL: LazyLock<Vec<Recipe>> = LazyLock::new(|| {
    read(include_str!("../../rules/recipes.toml")).expect("the recipes of this release are well formed")
});

/// A named list of tables and probes, and a window, for a symptom.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Its name.
    pub name: String,
    /// The symptom it is for.
    pub doc: String,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    recipe: Vec<Recipe>,
}

/// All recipes, in the order of the file.
pub fn all() -> &'static [Recipe] {
    &ALL
}

/// One recipe; the default one where the name is empty.
pub fn named(name: &str) -> Option<&'static Recipe> {
    let name = if name.is_empty() { DEFAULT } else { name };
    ALL.iter().find(|recipe| recipe.name == name)
}

fn read(text: &str) -> anyhow::Result<Vec<Recipe>> {
    let file: File = toml::from_str(text).context("rules/recipes.toml")?;
    Ok(file.recipe)
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
    fn the_default_recipe_asks_for_all_families_a_day_back() {
        let recipe = named("").unwrap();
        assert_eq!((recipe.tables.len(), recipe.before_s), (0, 86_400));
    }
}
