//! The agent's own process, as sysinfo sees it on every system.

use std::io;

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

use super::Own;

/// Refreshes the one process and nothing else. Why: a refresh of everything costs megabytes and most of a second.
pub(super) fn own() -> io::Result<Own> {
    let pid = sysinfo::get_current_pid().map_err(io::Error::other)?;
    let mut system = System::new().map_err(io::Error::other)?;
    let kind = ProcessRefreshKind::nothing().with_memory().with_cpu().with_disk_usage().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, kind);
    let process = system.process(pid).ok_or_else(|| io::Error::other("this system does not show the agent itself"))?;
    Ok(Own {
        resident_bytes: process.memory(),
        cpu_ms: process.accumulated_cpu_time(),
        written_bytes: Some(process.disk_usage().total_written_bytes),
        uptime_s: process.run_time(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_sees_what_it_uses_itself() {
        let before = own().unwrap();
        let held = vec![1_u8; 64 * 1024 * 1024];
        assert!(own().unwrap().resident_bytes > before.resident_bytes + held.len() as u64 / 2);
    }
}
