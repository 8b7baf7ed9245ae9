//! What can be looked at: one collector a table, one line a collector in [`ALL`].

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use deskside_proto::READING_BYTES_MAX;
use deskside_proto::catalog;
use deskside_proto::rows::Row;
use deskside_proto::v1::{Outcome, Reading, TableSchema};
use prost::bytes::Bytes;

use crate::host::Host;

mod deskside;
mod hardware;
mod journalctl;
#[allow(dead_code, reason = "its collectors follow")]
mod kernel_log;
pub mod logs;
mod mountinfo;
pub(crate) mod network;
mod once;
pub(crate) mod printing;
mod procfs;
mod sysfs;
mod system;
pub mod vitals;

pub use once::{look_once, record_host};
pub(crate) use system::x509;

/// Every collector there is, by family.
pub const ALL: &[Collector] = &[
    hardware::cpu::CPU,
    hardware::disks::DISKS,
    hardware::disk_io::DISK_IO,
    hardware::disk_health::DISK_HEALTH,
    hardware::disk_attributes::DISK_ATTRIBUTES,
    hardware::disk_self_tests::DISK_SELF_TESTS,
    hardware::disk_errors::DISK_ERRORS,
    hardware::batteries::BATTERIES,
    hardware::temperatures::TEMPERATURES,
    hardware::fans::FANS,
    hardware::power::POWER,
    hardware::memory_modules::MEMORY_MODULES,
    hardware::firmware::FIRMWARE,
    hardware::memory_errors::MEMORY_ERRORS,
    hardware::machine_checks::MACHINE_CHECKS,
    hardware::pcie_errors::PCIE_ERRORS,
    hardware::cpu_throttling::CPU_THROTTLING,
    hardware::pci_devices::PCI_DEVICES,
    hardware::usb_devices::USB_DEVICES,
    hardware::gpus::GPUS,
    hardware::monitors::MONITORS,
    hardware::inputs::INPUTS,
    hardware::sound::SOUND,
    hardware::cameras::CAMERAS,
    system::os::OS,
    system::boot::BOOT,
    system::boots::BOOTS,
    system::crashes::CRASHES,
    system::memory::MEMORY,
    system::load::LOAD,
    system::processes::PROCESSES,
    system::filesystems::FILESYSTEMS,
    system::mounts::MOUNTS,
    system::services::SERVICES,
    system::cgroups::CGROUPS,
    system::reboot_required::REBOOT_REQUIRED,
    system::packages::PACKAGES,
    system::software_changes::SOFTWARE_CHANGES,
    system::updates::UPDATES,
    system::users::USERS,
    system::time_sync::TIME_SYNC,
    system::certificates::CERTIFICATES,
    system::security::SECURITY,
    printing::printers::PRINTERS,
    printing::print_jobs::PRINT_JOBS,
    printing::print_drivers::PRINT_DRIVERS,
    printing::print_server::PRINT_SERVER,
    printing::print_errors::PRINT_ERRORS,
    printing::print_devices::PRINT_DEVICES,
    printing::print_supplies::PRINT_SUPPLIES,
    printing::print_trays::PRINT_TRAYS,
    printing::print_alerts::PRINT_ALERTS,
    printing::print_counters::PRINT_COUNTERS,
    network::interfaces::INTERFACES,
    network::interface_io::INTERFACE_IO,
    network::bonds_bridges_vlans::BONDS_BRIDGES_VLANS,
    network::tcp_stats::TCP_STATS,
    network::network_changes::NETWORK_CHANGES,
    network::addresses::ADDRESSES,
    network::dhcp::DHCP,
    network::routes::ROUTES,
    network::route_rules::ROUTE_RULES,
    network::neighbors::NEIGHBORS,
    network::resolvers::RESOLVERS,
    network::wifi::WIFI,
    network::wifi_link::WIFI_LINK,
    network::wifi_scan::WIFI_SCAN,
    network::wifi_events::WIFI_EVENTS,
    network::name_resolution::NAME_RESOLUTION,
    network::proxies::PROXIES,
    network::sockets::SOCKETS,
    network::connections::CONNECTIONS,
    network::firewall::FIREWALL,
    network::vpn::VPN,
    logs::LOG_EVENTS,
    logs::error_signatures::ERROR_SIGNATURES,
    deskside::agent::AGENT,
];

/// An operating system that a collector can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Os {
    /// Linux.
    Linux,
}

/// When a table is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cadence {
    /// At an interval, unless policy says otherwise.
    Every(Duration),
    /// The same, for what waits for other machines: in a lane of its own, so that it holds up no look at this one.
    Far(Duration),
    /// The same, and soon after something changed in one of these folders.
    EveryAndOn(Duration, &'static [&'static str]),
    /// As it is written, by a follower; a look returns the latest.
    Followed,
}

/// Reads one aspect of the machine. Stateless and literal: it reports what the machine says.
#[derive(Clone, Copy, Debug)]
pub struct Collector {
    /// The table that its rows belong to.
    pub table: &'static str,
    /// Where it can look.
    pub systems: &'static [Os],
    /// When it looks.
    pub cadence: Cadence,
    /// How it looks. It may block; the deadline is the scheduler's.
    pub look: fn(&dyn Host) -> anyhow::Result<Rows>,
}

/// What a look found.
#[derive(Debug, Default)]
pub struct Rows {
    sealed: Vec<Bytes>,
    table: &'static str,
    missing: Vec<String>,
    ends_early: bool,
    unsupported: Option<String>,
}

impl Rows {
    /// No rows yet.
    pub fn none() -> Self {
        Self::default()
    }

    /// The only row there is.
    pub fn one<R: Row>(row: R) -> Self {
        std::iter::once(row).collect()
    }

    /// This machine has no such thing, or no means to see it; the reason says which, and what would help.
    pub fn unsupported(reason: impl Into<String>) -> Self {
        Self { unsupported: Some(reason.into()), ..Self::default() }
    }

    /// Adds a row.
    pub fn push<R: Row>(&mut self, row: &R) {
        self.table = R::TABLE;
        self.sealed.push(Bytes::from(row.encode_to_vec()));
    }

    /// Says that a part could not be seen, and why: the reading becomes `partial`.
    pub fn missing(&mut self, what: impl Into<String>) {
        self.missing.push(what.into());
    }

    /// Says that what was looked at reaches less far than it should (a log that was cut): the reading is `partial`, and with no rows as
    /// well, since in the part that was seen there were none.
    pub fn ends_early(&mut self, what: impl Into<String>) {
        self.missing(what);
        self.ends_early = true;
    }

    /// The same as [`Self::missing`], in passing.
    #[must_use]
    pub fn without(mut self, what: impl Into<String>) -> Self {
        self.missing(what);
        self
    }
}

impl<R: Row> FromIterator<R> for Rows {
    fn from_iter<I: IntoIterator<Item = R>>(rows: I) -> Self {
        let mut all = Self::default();
        for row in rows {
            all.push(&row);
        }
        all
    }
}

/// One look.
pub fn look(collector: &Collector, host: &dyn Host) -> Reading {
    reading(collector.table, host, || (collector.look)(host))
}

/// Finds out about a table: whatever happens becomes a reading with an outcome.
pub fn reading(table: &str, host: &dyn Host, find: impl FnOnce() -> anyhow::Result<Rows>) -> Reading {
    let at_ms = host.now_ms();
    let found = find();
    let took_ms = u32::try_from(host.now_ms() - at_ms).unwrap_or_default();
    let (outcome, reason, rows) = match found {
        Ok(found) => settle(table, found),
        Err(error) => (outcome_of(&error), format!("{error:#}"), Vec::new()),
    };
    Reading { table: table.into(), at_ms, took_ms, outcome: outcome.into(), reason, rows }
}

fn settle(table: &str, mut found: Rows) -> (Outcome, String, Vec<Bytes>) {
    debug_assert!(found.sealed.is_empty() || found.table == table, "rows of another table");
    if let Some(reason) = found.unsupported {
        return (Outcome::Unsupported, reason, Vec::new());
    }
    let mut bytes = 0;
    let fits = found.sealed.iter().take_while(|row| {
        bytes += row.len() + 4;
        bytes <= READING_BYTES_MAX
    });
    let fits = fits.count();
    if fits < found.sealed.len() {
        found.missing.push(format!("{} of {} rows, for want of room", found.sealed.len() - fits, found.sealed.len()));
        found.sealed.truncate(fits);
    }
    if !found.missing.is_empty() {
        let nothing = found.sealed.is_empty() && !found.ends_early;
        let outcome = if nothing { Outcome::Failed } else { Outcome::Partial };
        return (outcome, format!("not seen: {}", found.missing.join("; ")), found.sealed);
    }
    let outcome = if found.sealed.is_empty() { Outcome::Empty } else { Outcome::Ok };
    (outcome, String::new(), found.sealed)
}

/// What an error means for the one who asks.
pub fn outcome_of(error: &anyhow::Error) -> Outcome {
    let kind = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    match kind {
        Some(io::ErrorKind::NotFound) => Outcome::Unsupported,
        Some(io::ErrorKind::PermissionDenied) => Outcome::Denied,
        Some(io::ErrorKind::TimedOut) => Outcome::TimedOut,
        _ => Outcome::Failed,
    }
}

/// The collectors of an agent, and the descriptions of their tables. An agent may bring tables that the contract lacks.
#[derive(Clone, Debug)]
pub struct Registry {
    collectors: Vec<Collector>,
    schemas: BTreeMap<String, TableSchema>,
}

impl Registry {
    /// The collectors of this release that this system can run.
    pub fn standard() -> Self {
        let schemas = catalog::tables().iter().map(|table| (table.name.clone(), table.clone())).collect();
        Self { collectors: ALL.to_vec(), schemas }
    }

    /// One more collector, with the description of its table.
    #[must_use]
    pub fn with(mut self, collector: Collector, schema: TableSchema) -> Self {
        self.schemas.insert(schema.name.clone(), schema);
        self.collectors.push(collector);
        self
    }

    /// All collectors.
    pub fn collectors(&self) -> &[Collector] {
        &self.collectors
    }

    /// The collector of a table.
    pub fn collector(&self, table: &str) -> Option<&Collector> {
        self.collectors.iter().find(|collector| collector.table == table)
    }

    /// The description of a table.
    pub fn schema(&self, table: &str) -> Option<&TableSchema> {
        self.schemas.get(table)
    }

    /// All descriptions, by name.
    pub fn schemas(&self) -> impl Iterator<Item = &TableSchema> {
        self.schemas.values()
    }
}
