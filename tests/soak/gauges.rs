//! What the process holds: memory, file descriptors, tasks.

use std::fs;

/// A reading. Memory and descriptors are known on Linux only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gauges {
    pub(crate) memory_kib: Option<u64>,
    pub(crate) descriptors: Option<usize>,
    /// Alive in the program's runtime.
    pub(crate) tasks: usize,
}

impl Gauges {
    pub(crate) fn read(program: &tokio::runtime::Handle) -> Self {
        Self {
            memory_kib: memory_kib(),
            descriptors: fs::read_dir("/proc/self/fd").ok().map(Iterator::count),
            tasks: program.metrics().num_alive_tasks(),
        }
    }
}

/// `VmRSS` of proc_pid_status(5).
fn memory_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The middle of some values, which a single outlier does not move.
pub(crate) fn median(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}
