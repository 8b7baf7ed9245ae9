//! An agent of a later release, with a table that this release's server has never heard of.

use std::process::ExitCode;
use std::time::Duration;

use deskside_agent::collect::{Cadence, Collector, Os, Registry, Rows};
use deskside_agent::host::Host;
use deskside_proto::rows::Row;
use deskside_proto::v1::{ColumnOptions, ColumnSchema, ColumnType, Family, Kind, TableSchema, Unit};

/// A docking station, as that release describes it.
#[derive(Clone, PartialEq, prost::Message)]
struct Dock {
    #[prost(string, tag = "1")]
    port: String,
    #[prost(double, tag = "2")]
    temperature: f64,
    #[prost(uint64, tag = "3")]
    link: u64,
}

impl Row for Dock {
    const TABLE: &'static str = "docks";
}

const DOCKS: Collector =
    Collector { table: Dock::TABLE, systems: &[Os::Linux], cadence: Cadence::Every(Duration::from_secs(2)), look };

// Any collector may fail.
#[allow(clippy::unnecessary_wraps)]
fn look(_host: &dyn Host) -> anyhow::Result<Rows> {
    Ok(Rows::one(Dock { port: "left".into(), temperature: 41.0, link: 2_500_000_000 }))
}

fn schema() -> TableSchema {
    let column = |name: &str, number: u32, kind: ColumnType, options: ColumnOptions| ColumnSchema {
        name: name.into(),
        number,
        r#type: kind.into(),
        options: Some(options),
        doc: format!("The {name} of the dock."),
        ..ColumnSchema::default()
    };
    let key = ColumnOptions { key: true, ..ColumnOptions::default() };
    let unit = |unit: Unit| ColumnOptions { unit: unit.into(), ..ColumnOptions::default() };
    TableSchema {
        name: Dock::TABLE.into(),
        kind: Kind::State.into(),
        family: Family::Hardware.into(),
        doc: "Docking stations.".into(),
        columns: vec![
            column("port", 1, ColumnType::Text, key),
            column("temperature", 2, ColumnType::Double, unit(Unit::Celsius)),
            column("link", 3, ColumnType::Uint, unit(Unit::BitsPerSecond)),
        ],
        ..TableSchema::default()
    }
}

fn main() -> ExitCode {
    deskside_agent::cli(Registry::standard().with(DOCKS, schema()))
}
