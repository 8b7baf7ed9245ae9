//! What the machine itself says is not well, as it stands in the latest readings. Literal: causes are the server's to find.

use deskside_proto::rows::Row;
use deskside_proto::show;
use deskside_proto::v1::{
    Battery, Disk, Filesystem, Interface, Load, Loss, Memory, Package, PrintJob, PrintPath, Printer, Reading, Service,
};

/// A file system is called full from here on, in percent.
const FULL_PERCENT: f64 = 90.0;
/// Free inodes below this share are told, in percent.
const INODES_FREE_PERCENT: u64 = 5;
/// A battery that holds less of what it held when new is told, in percent.
const BATTERY_WORN_PERCENT: f64 = 60.0;
/// Available memory below this share is told, in percent.
const MEMORY_AVAILABLE_PERCENT: u64 = 5;
/// Work that stood still for more than this share of a minute is told, in percent.
const PRESSURE_PERCENT: f64 = 20.0;
/// Restarts of a service from here on are told.
const RESTARTS: u32 = 3;

/// File systems that are read-only or full by their nature.
const SEALED: [&str; 4] = ["squashfs", "iso9660", "erofs", "udf"];

/// One thing that stands out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remark {
    pub(super) title: &'static str,
    pub(super) text: String,
}

fn remark(title: &'static str, text: String) -> Remark {
    Remark { title, text }
}

/// What stands out in a table's latest reading.
pub(super) fn remarks(latest: &Reading, now_ms: i64) -> Vec<Remark> {
    match latest.table.as_str() {
        Printer::TABLE => each(latest, |printer| queue(printer, now_ms)),
        PrintJob::TABLE => each(latest, job),
        Service::TABLE => each(latest, service),
        Filesystem::TABLE => each(latest, filesystem),
        Interface::TABLE => each(latest, interface),
        Disk::TABLE => each(latest, disk),
        Battery::TABLE => each(latest, battery),
        Memory::TABLE => each(latest, memory),
        Load::TABLE => each(latest, load),
        Package::TABLE => each(latest, package),
        PrintPath::TABLE => each(latest, print_path),
        Loss::TABLE => each(latest, |lost| Some(loss(lost))),
        _ => Vec::new(),
    }
}

fn each<R: Row>(latest: &Reading, say: impl Fn(&R) -> Option<Remark>) -> Vec<Remark> {
    let rows = latest.rows.iter().filter_map(|row| R::decode(row.clone()).ok());
    rows.filter_map(|row| say(&row)).collect()
}

fn queue(printer: &Printer, now_ms: i64) -> Option<Remark> {
    let since =
        printer.state_changed_ms.map(|at_ms| format!(", since {}", show::time(at_ms, now_ms))).unwrap_or_default();
    let said = match (printer.state_message.is_empty(), printer.state_reasons.is_empty()) {
        (false, _) => format!(": \"{}\"", printer.state_message),
        (true, false) => format!(": {}", printer.state_reasons.join(", ")),
        (true, true) => String::new(),
    };
    let jobs = match printer.queued_jobs {
        0 => String::new(),
        1 => "; 1 job waits".into(),
        more => format!("; {more} jobs wait"),
    };
    let text = format!("`{}`{said}{since}{jobs}", printer.name);
    // A reason without a suffix is an error too; a report tells of nothing amiss (RFC 8011, 5.4.12).
    let amiss = printer.state_reasons.iter().any(|reason| !reason.ends_with("-report") && reason != "none");
    match printer.state.as_str() {
        "stopped" => Some(remark("Print queue stopped", text)),
        _ if !printer.accepting_jobs => Some(remark("Print queue refuses jobs", text)),
        _ if amiss => Some(remark("Print queue reports", text)),
        "processing" if !printer.state_message.is_empty() && printer.queued_jobs > 0 => {
            Some(remark("Print queue is busy and says", text))
        }
        _ => None,
    }
}

fn job(job: &PrintJob) -> Option<Remark> {
    let stuck = matches!(job.state.as_str(), "aborted" | "processing-stopped");
    let said = if job.message.is_empty() { job.state_reasons.join(", ") } else { format!("\"{}\"", job.message) };
    stuck.then(|| {
        remark("Print job ended badly", format!("job {} on `{}` is {}: {said}", job.id, job.printer, job.state))
    })
}

/// What the test of the way to paper came to, where it is broken.
fn print_path(row: &PrintPath) -> Option<Remark> {
    let broken = row.step == "verdict" && row.outcome == "failed";
    broken.then(|| remark("Print path broken", row.found.clone()))
}

fn service(service: &Service) -> Option<Remark> {
    let status = service.exit_status.map(|status| format!(", exit status {status}")).unwrap_or_default();
    if service.active_state == "failed" {
        return Some(remark("Service failed", format!("`{}`: {}{status}", service.name, service.result)));
    }
    let loops = service.sub_state == "auto-restart" || service.restarts >= RESTARTS;
    loops.then(|| {
        let text = format!("`{}` is {}, restarted {} times{status}", service.name, service.sub_state, service.restarts);
        remark("Service keeps restarting", text)
    })
}

fn filesystem(fs: &Filesystem) -> Option<Remark> {
    if SEALED.contains(&fs.r#type.as_str()) {
        return None;
    }
    if fs.used_percent > FULL_PERCENT {
        let (left, all) = (show::bytes(fs.available_bytes as f64), show::bytes(fs.total_bytes as f64));
        return Some(remark(
            "File system nearly full",
            format!("`{}` {:.0} %, {left} left of {all}", fs.mount_point, fs.used_percent),
        ));
    }
    if let (Some(total), Some(free)) = (fs.inodes_total, fs.inodes_free)
        && total > 0
        && free < total / 100 * INODES_FREE_PERCENT
    {
        return Some(remark(
            "File system nearly out of inodes",
            format!("`{}` {free} left of {total}", fs.mount_point),
        ));
    }
    None
}

fn interface(interface: &Interface) -> Option<Remark> {
    let real = matches!(interface.kind.as_str(), "ethernet" | "wifi" | "bond");
    let dead = real && interface.admin_up && interface.carrier == Some(false);
    dead.then(|| {
        remark("No carrier", format!("`{}` ({}) is switched on but sees no link", interface.name, interface.kind))
    })
}

fn disk(disk: &Disk) -> Option<Remark> {
    let well = ["", "live", "running"].contains(&disk.state.as_str());
    (!well).then(|| remark("Disk not well", format!("`{}` ({}) is {}", disk.name, disk.model, disk.state)))
}

fn battery(battery: &Battery) -> Option<Remark> {
    let health = battery.health_percent.filter(|health| *health < BATTERY_WORN_PERCENT)?;
    Some(remark("Battery worn", format!("`{}` holds {health:.0} % of what it held when new", battery.name)))
}

fn memory(memory: &Memory) -> Option<Remark> {
    let short = memory.available_bytes < memory.total_bytes / 100 * MEMORY_AVAILABLE_PERCENT;
    short.then(|| {
        let (left, all) = (show::bytes(memory.available_bytes as f64), show::bytes(memory.total_bytes as f64));
        remark("Memory nearly used up", format!("{left} available of {all}"))
    })
}

fn load(load: &Load) -> Option<Remark> {
    let stalls = [("the processor", load.cpu_some_60), ("memory", load.memory_some_60), ("disks", load.io_some_60)];
    let high = stalls.iter().filter_map(|(what, percent)| percent.filter(|p| *p > PRESSURE_PERCENT).map(|p| (what, p)));
    let said: Vec<String> =
        high.map(|(what, percent)| format!("{percent:.0} % of the last minute for {what}")).collect();
    (!said.is_empty()).then(|| remark("Work waited", said.join(", ")))
}

fn package(package: &Package) -> Option<Remark> {
    let halfway = package.status.starts_with("half") || package.status == "unpacked";
    halfway.then(|| remark("Package half installed", format!("`{}` is {}", package.name, package.status)))
}

fn loss(loss: &Loss) -> Remark {
    let of = if loss.table.is_empty() { String::new() } else { format!(" of {}", loss.table) };
    remark("Readings lost", format!("{}{of}: {}", loss.readings, loss.reason))
}
