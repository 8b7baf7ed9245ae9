//! Every view reads, for one device and for many, and a question of osquery's sees what it would see there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{VIEWS, names};
use crate::catalog;
use crate::rows::Row;
use crate::sql::{Bounds, Brake, Owner, Shelf, SqlError, answer};
use crate::v1::cell::Value as Kind;
use crate::v1::{Address, Outcome, Package, Process, Query, QueryPart, Reading, Route, TableSchema};

const NOW: i64 = 1_800_000_000_000;

fn reading<R: Row>(rows: &[R]) -> Reading {
    let rows = rows.iter().map(|row| row.encode_to_vec().into()).collect();
    Reading { table: R::TABLE.into(), at_ms: NOW, outcome: Outcome::Ok.into(), rows, ..Reading::default() }
}

fn machine() -> Vec<Reading> {
    let package = |name: &str, version: &str, manager: &str| Package {
        name: name.into(),
        version: version.into(),
        manager: manager.into(),
        ..Package::default()
    };
    vec![
        reading(&[Address {
            interface: "eth0".into(),
            address: "10.1.2.3".into(),
            prefix_length: 20,
            family: "inet".into(),
            source: "dhcp".into(),
            ..Address::default()
        }]),
        reading(&[Route {
            destination: "default".into(),
            gateway: "10.1.0.1".into(),
            interface: "eth0".into(),
            family: "inet".into(),
            r#type: "unicast".into(),
            ..Route::default()
        }]),
        reading(&[Process {
            pid: 7,
            name: "cupsd".into(),
            resident_bytes: 4_096,
            started_ms: NOW - 5_000,
            ..Process::default()
        }]),
        reading(&[
            package("cups", "2.4.2-3+deb12u8", "dpkg"),
            package("bash", "5.2.32-1.fc41", "rpm"),
            package("bind", "32:9.18.33-1.fc41", "rpm"),
        ]),
    ]
}

fn tables() -> Vec<Arc<TableSchema>> {
    catalog::tables().iter().cloned().map(Arc::new).collect()
}

fn ask_of(shelf: Shelf, sql: &str, osquery: bool) -> Result<(Vec<String>, QueryPart), SqlError> {
    let brake = Arc::new(Brake::new(Instant::now() + Duration::from_mins(1)));
    let query = Query { sql: sql.into(), osquery, ..Query::default() };
    let (source, mut parts): (Arc<dyn crate::sql::Source>, Vec<QueryPart>) = (Arc::new(shelf), Vec::new());
    answer(&source, &query, Bounds::default(), &brake, &mut |part| {
        parts.push(part);
        true
    })?;
    let cell = |cell: &crate::v1::Cell| match &cell.value {
        None => "NULL".to_owned(),
        Some(Kind::Integer(number)) => number.to_string(),
        Some(Kind::Real(number)) => number.to_string(),
        Some(Kind::Text(text)) => text.clone(),
        Some(Kind::Blob(bytes)) => format!("{bytes:?}"),
    };
    let rows = parts.iter().flat_map(|part| &part.rows);
    let lines = rows.map(|row| row.cells.iter().map(cell).collect::<Vec<_>>().join("|")).collect();
    Ok((lines, parts.pop().unwrap_or_default()))
}

fn ask(sql: &str) -> Vec<String> {
    ask_of(Shelf::of(NOW, tables(), machine()), sql, true).unwrap().0
}

fn fleet() -> Shelf {
    let load = |schema: &TableSchema| {
        let owner =
            |name: &str| Some(Arc::new(Owner { id: format!("{name}-id"), name: name.into(), ..Owner::default() }));
        let mine = machine().into_iter().filter(|reading| reading.table == schema.name);
        Ok(mine.flat_map(|reading| [(owner("anna"), reading.clone()), (owner("ben"), reading)]).collect())
    };
    Shelf::new(NOW, tables(), true, Box::new(load))
}

#[test]
fn every_view_reads_for_one_device_and_for_many() {
    assert!(names().count() >= 35);
    for view in VIEWS.into_iter().flatten() {
        for osquery in [false, true] {
            let sql = format!("SELECT * FROM {}", view.name);
            let one = ask_of(Shelf::of(NOW, tables(), machine()), &sql, osquery);
            assert!(one.is_ok(), "{}: {one:?}", view.name);
            let many = ask_of(fleet(), &sql, osquery);
            assert!(many.is_ok(), "{} of many: {many:?}", view.name);
        }
    }
}

#[test]
fn columns_have_osquerys_names_units_and_codes() {
    assert_eq!(
        ask("SELECT interface, address, mask, type FROM interface_addresses"),
        ["eth0|10.1.2.3|255.255.240.0|dhcp"]
    );
    assert_eq!(ask("SELECT destination, netmask, gateway, type FROM routes"), ["0.0.0.0|0|10.1.0.1|gateway"]);
    assert_eq!(ask("SELECT pid, name, resident_size, start_time FROM processes"), ["7|cupsd|4096|1799999995"]);
    assert_eq!(
        ask("SELECT name, version, revision, status FROM deb_packages"),
        ["cups|2.4.2-3+deb12u8|3+deb12u8|install ok installed"]
    );
    assert_eq!(
        ask("SELECT name, version, release, epoch FROM rpm_packages ORDER BY name"),
        ["bash|5.2.32|1.fc41|NULL", "bind|9.18.33|1.fc41|32"]
    );
    assert_eq!(ask("SELECT unix_time, iso_8601 FROM time"), ["1800000000|2027-01-15T08:00:00Z"]);
}

#[test]
fn our_own_meaning_wins_unless_osquerys_is_asked_for() {
    let sql = "SELECT destination FROM routes";
    assert_eq!(ask_of(Shelf::of(NOW, tables(), machine()), sql, false).unwrap().0, ["default"]);
    assert_eq!(ask(sql), ["0.0.0.0"]);
    assert_eq!(ask("SELECT destination FROM deskside_routes"), ["default"]);
    assert_eq!(ask("SELECT count(*) FROM deskside_routes_history, routes"), ["1"]);
}

#[test]
fn a_column_that_is_not_known_is_never_taken_for_a_clean_machine() {
    let (rows, end) =
        ask_of(Shelf::of(NOW, tables(), machine()), "SELECT pid FROM processes WHERE on_disk = 0", true).unwrap();
    assert!(rows.is_empty());
    let notes: Vec<_> = end.notes.iter().map(|note| (note.table.as_str(), note.words.as_str())).collect();
    assert_eq!(notes, [("processes", "on_disk is not known here and reads NULL")]);
    let (_rows, end) = ask_of(Shelf::of(NOW, tables(), machine()), "SELECT pid FROM processes", true).unwrap();
    assert!(end.notes.is_empty());
}

#[test]
fn of_many_devices_each_row_says_whose_it_is() {
    let (rows, _end) = ask_of(fleet(), "SELECT device, name FROM deb_packages ORDER BY device", false).unwrap();
    assert_eq!(rows, ["anna|cups", "ben|cups"]);
}
