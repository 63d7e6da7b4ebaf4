//! The resources of the process: memory, file descriptors, tasks.

use std::alloc::System;
use std::fs;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts the memory in use. Resident memory also depends on how well the allocator reuses freed
/// memory.
#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// A measurement. Resident memory and descriptors are measured on Linux only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResourceUsage {
    pub(crate) in_use_kib: u64,
    pub(crate) resident_kib: Option<u64>,
    pub(crate) descriptors: Option<usize>,
    /// Live tasks of the program's runtime.
    pub(crate) tasks: usize,
}

impl ResourceUsage {
    pub(crate) fn read(program: &tokio::runtime::Handle) -> Self {
        ee_memory_tests::release_freed_memory();
        Self {
            in_use_kib: in_use_kib(),
            resident_kib: resident_kib(),
            descriptors: fs::read_dir("/proc/self/fd").ok().map(Iterator::count),
            tasks: program.metrics().num_alive_tasks(),
        }
    }
}

impl ResourceUsage {
    /// Subtracts the memory of the event log, which depends on the faults.
    pub(crate) fn without(self, bytes: usize) -> Self {
        let kib = bytes as u64 / 1024;
        Self {
            in_use_kib: self.in_use_kib.saturating_sub(kib),
            resident_kib: self.resident_kib.map(|held| held.saturating_sub(kib)),
            ..self
        }
    }
}

fn in_use_kib() -> u64 {
    let heap = HEAP.stats();
    let bytes = heap.bytes_allocated.saturating_sub(heap.bytes_deallocated);
    bytes as u64 / 1024
}

/// `VmRSS` of proc_pid_status(5).
fn resident_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Returns the first decile: the usage in quiet periods. During faults it varies by a hundred
/// connections.
pub(crate) fn quiet(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len() / 10).copied()
}
