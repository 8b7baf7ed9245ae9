//! Questions over recorded machines: every query that has a name runs, and what osquery's users ask finds what it would find there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use deskside_agent::collect::{Registry, look};
use deskside_agent::host::{Host, Recorded};
use deskside_proto::catalog;
use deskside_proto::sql::{self, Bounds, Brake, Shelf, Source};
use deskside_proto::v1::cell::Value as Kind;
use deskside_proto::v1::{Query, QueryPart, Sight, TableSchema};
use deskside_server::cli;

fn hosts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("hosts");
    let mut hosts: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    hosts.retain(|host| host.join("host.json").is_file());
    hosts.sort();
    hosts
}

/// A recorded machine of which all tables have just been looked at.
fn machine(folder: &Path) -> Arc<dyn Source> {
    let (host, registry) = (Recorded::open(folder).unwrap(), Registry::standard());
    let readings = registry.collectors().iter().map(|collector| look(collector, &host)).collect();
    let tables: Vec<Arc<TableSchema>> = catalog::tables().iter().cloned().map(Arc::new).collect();
    Arc::new(Shelf::of(host.now_ms(), tables, readings))
}

fn named(name: &str) -> Arc<dyn Source> {
    machine(&Path::new(env!("CARGO_MANIFEST_DIR")).join("hosts").join(name))
}

/// Rows as text, cells separated by bars, and how many there are.
fn ask(source: &Arc<dyn Source>, query: Query) -> Result<Vec<String>, sql::SqlError> {
    let query = Query { sight: Some(Sight { personal: true, content: true }), ..query };
    let brake = Arc::new(Brake::new(Instant::now() + Duration::from_mins(5)));
    let mut parts: Vec<QueryPart> = Vec::new();
    sql::answer(source, &query, Bounds::default(), &brake, &mut |part| {
        parts.push(part);
        true
    })?;
    let cell = |cell: &deskside_proto::v1::Cell| match &cell.value {
        None => "-".to_owned(),
        Some(Kind::Integer(number)) => number.to_string(),
        Some(Kind::Real(number)) => number.to_string(),
        Some(Kind::Text(text)) => text.clone(),
        Some(Kind::Blob(bytes)) => format!("{bytes:?}"),
    };
    let rows = parts.iter().flat_map(|part| &part.rows);
    Ok(rows.map(|row| row.cells.iter().map(cell).collect::<Vec<_>>().join("|")).collect())
}

fn osquery(source: &Arc<dyn Source>, sql: &str) -> Vec<String> {
    ask(source, Query { sql: sql.into(), osquery: true, ..Query::default() })
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
}

#[test]
fn every_query_with_a_name_runs_on_every_recorded_machine() {
    let mut told = 0;
    for folder in hosts() {
        let source = machine(&folder);
        for (name, query) in cli::queries(false) {
            let rows = ask(&source, query);
            told += usize::from(rows.as_ref().is_ok_and(|rows| !rows.is_empty()));
            assert!(rows.is_ok(), "{name} of {}: {rows:?}", folder.display());
        }
    }
    assert!(told > 40, "recorded machines have faults; only {told} answers had rows");
}

#[test]
fn queries_with_a_name_find_the_faults_of_recorded_machines() {
    let find = |host: &str, query: &str, word: &str| {
        let (_name, query) = cli::queries(false).find(|(name, _query)| *name == query).unwrap();
        let rows = ask(&named(host), query).unwrap();
        assert!(rows.iter().any(|row| row.contains(word)), "{host}: {rows:?}");
    };
    find("desktop", "queues-stopped", "accounting");
    find("desktop", "link-errors", "half");
    find("desktop", "clock-skew", "systemd-timesyncd");
    find("laptop", "disk-full", "/boot");
    find("laptop", "batteries-worn", "BAT0");
    find("laptop", "certificates-expiring", "localhost.crt");
}

#[test]
fn what_osquerys_users_ask_of_the_system_is_answered() {
    let desktop = named("desktop");
    let one = |sql: &str, expected: &str| assert_eq!(osquery(&desktop, sql), [expected], "{sql}");
    one(
        "SELECT name, version, major, platform, arch FROM os_version",
        "Debian GNU/Linux 11 (bullseye)|11|11|debian|x86_64",
    );
    one(
        "SELECT hostname, cpu_brand, physical_memory, hardware_model FROM system_info",
        "desk-017|Intel(R) Core(TM) i5-10500 CPU @ 3.10GHz|16652599296|OptiPlex 7080",
    );
    one("SELECT total_seconds, hours, minutes FROM uptime", "2851|0|47");
    one("SELECT version FROM kernel_info", "5.10.0-34-amd64");
    one("SELECT vendor, version, date FROM platform_info", "Dell Inc.|1.21.0|09/14/2023");
    one("SELECT user, tty, host FROM logged_in_users WHERE host <> ''", "admin|pts/0|192.0.2.77");
    one("SELECT period, average FROM load_average WHERE period = '1m'", "1m|14.21");
    one("SELECT id, sub_state FROM systemd_units WHERE active_state = 'failed'", "smartmontools.service|failed");
    let largest = "SELECT pid, name, resident_size FROM processes ORDER BY resident_size DESC LIMIT 5";
    assert!(!osquery(&desktop, largest).is_empty());
    assert!(!osquery(&desktop, "SELECT name, version, arch FROM deb_packages WHERE name LIKE '%cups%'").is_empty());
    let space =
        "SELECT path, ROUND((10e-10 * blocks_available * blocks_size), 1) AS gigs_free FROM mounts WHERE path = '/'";
    assert_eq!(osquery(&desktop, space).len(), 1);
}

#[test]
fn what_osquerys_users_ask_of_the_network_is_answered() {
    let desktop = named("desktop");
    let rows =
        osquery(&desktop, "SELECT interface, address, mask FROM interface_addresses WHERE interface NOT LIKE '%lo%'");
    assert!(rows.contains(&"enp3s0|192.0.2.20|255.255.255.0".to_owned()), "{rows:?}");
    let joined = "SELECT d.interface, a.address, d.mac FROM interface_details d JOIN interface_addresses a \
                  ON d.interface = a.interface WHERE a.address = '192.0.2.20'";
    assert_eq!(osquery(&desktop, joined), ["enp3s0|192.0.2.20|3c:7c:3f:01:02:03"]);
    let open = "SELECT port, protocol, address FROM listening_ports WHERE protocol = 6 ORDER BY port";
    assert_eq!(osquery(&desktop, open), ["22|6|0.0.0.0", "631|6|127.0.0.1"]);
    let gateway = "SELECT gateway, interface FROM routes WHERE destination = '0.0.0.0' AND netmask = 0";
    assert_eq!(osquery(&desktop, gateway), ["192.0.2.1|enp3s0"]);
    assert_eq!(osquery(&desktop, "SELECT address, mac FROM arp_cache"), ["192.0.2.1|74:ac:b9:10:20:30"]);
    let servers = "SELECT address FROM dns_resolvers WHERE type = 'nameserver' ORDER BY id";
    assert_eq!(osquery(&desktop, servers), ["192.0.2.53", "192.0.2.54"]);
}

#[test]
fn what_osquerys_users_ask_of_a_laptop_is_answered() {
    let laptop = named("laptop");
    let rows = osquery(&laptop, "SELECT name, version, release, arch FROM rpm_packages WHERE name = 'cups'");
    assert_eq!(rows, ["cups|2.4.11|8.fc41|x86_64"]);
    assert_eq!(osquery(&laptop, "SELECT encrypted, encryption_status FROM disk_encryption"), ["1|encrypted"]);
    let worn = "SELECT model, cycle_count, 100 * max_capacity / designed_capacity FROM battery WHERE cycle_count > 300";
    assert_eq!(osquery(&laptop, worn), ["5B10W51877|412|77"]);
    assert_eq!(
        osquery(&laptop, "SELECT vendor_id, model_id FROM usb_devices WHERE model LIKE '%Camera%'"),
        ["5986|118c"]
    );
    let graphics = "SELECT driver, vendor_id, model_id FROM pci_devices WHERE driver = 'i915'";
    assert_eq!(osquery(&laptop, graphics), ["i915|8086|a7a1"]);
    assert_eq!(osquery(&laptop, "SELECT ssid, rssi, channel FROM wifi_status"), ["desk-office|-30|11"]);
    assert_eq!(
        osquery(&laptop, "SELECT name, block_size, size * block_size FROM block_devices WHERE parent = ''"),
        ["/dev/nvme0n1|512|512110190592"]
    );
    let expired =
        "SELECT common_name FROM certificates WHERE not_valid_after < (SELECT unix_time FROM time) AND ca = 0";
    assert!(osquery(&laptop, expired).contains(&"localhost".to_owned()));
    let modules = osquery(
        &laptop,
        "SELECT device_locator, size, configured_clock_speed FROM memory_devices WHERE size > 0 LIMIT 1",
    );
    assert_eq!(modules, ["Motherboard|4096|4800"]);
}
