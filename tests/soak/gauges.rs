//! What the process holds: memory, file descriptors, tasks.

use std::alloc::System;
use std::fs;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts what is in use. What the process holds of the machine's memory says less: it follows
/// how the allocator could use what was given back.
#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// A reading. Resident memory and descriptors are known on Linux only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gauges {
    pub(crate) in_use_kib: u64,
    pub(crate) resident_kib: Option<u64>,
    pub(crate) descriptors: Option<usize>,
    /// Alive in the program's runtime.
    pub(crate) tasks: usize,
}

impl Gauges {
    pub(crate) fn read(program: &tokio::runtime::Handle) -> Self {
        ee_memory_tests::give_back();
        Self {
            in_use_kib: in_use_kib(),
            resident_kib: resident_kib(),
            descriptors: fs::read_dir("/proc/self/fd").ok().map(Iterator::count),
            tasks: program.metrics().num_alive_tasks(),
        }
    }
}

impl Gauges {
    /// Without what is there for the soak's own notes, which depends on the weather.
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

/// The value that a tenth of them are below: what is held while nothing happens. During a storm
/// there are a hundred connections more or less.
pub(crate) fn calm(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len() / 10).copied()
}
