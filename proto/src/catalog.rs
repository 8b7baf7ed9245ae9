//! The catalogue: every table of the contract with its columns, as the descriptors and their comments say.

use std::sync::LazyLock;

use prost::Message;

use crate::v1::{Catalogue, ColumnOptions, ColumnSchema, TableSchema};

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    let bytes: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/catalogue.bin"));
    Catalogue::decode(bytes).expect("the build wrote the catalogue")
});

/// All tables of the contract, by family and then by name.
pub fn tables() -> &'static [TableSchema] {
    &CATALOGUE.tables
}

/// One table of the contract by name.
pub fn table(name: &str) -> Option<&'static TableSchema> {
    tables().iter().find(|table| table.name == name)
}

/// A number that changes when a table's description does (FNV-1a of its encoding), so that the other side can tell whether it has it.
pub fn hash(schema: &TableSchema) -> u64 {
    schema
        .encode_to_vec()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The options of a column; all absent where it has none.
pub fn options(column: &ColumnSchema) -> ColumnOptions {
    column.options.unwrap_or_default()
}

/// The place of a column in its table.
pub fn column(schema: &TableSchema, name: &str) -> Option<usize> {
    schema.columns.iter().position(|column| column.name == name)
}
