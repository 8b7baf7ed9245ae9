//! Collectors of the printing family: queues, and what stands in them.

mod cups;
pub(super) mod print_jobs;
pub(super) mod printers;
