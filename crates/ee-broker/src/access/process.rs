//! The process that has a socket open: proc(5).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ee_token::internal::is_unsafe_for_display;
use tokio::sync::oneshot;

/// How long a response waits for the search, which reads the open files of all processes of the
/// user.
const TIMEOUT: Duration = Duration::from_millis(250);
/// How long it waits if only the status shows the process.
const SHORT_TIMEOUT: Duration = Duration::from_millis(25);
/// The pause after a search for the status, in multiples of the time that it took, and at least.
const PAUSE: u32 = 20;
const MIN_PAUSE: Duration = Duration::from_millis(250);

/// What a process is looked up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The ledger's file, which has every process that the system tells.
    File,
    /// The status, which has them as long as that costs little.
    Status,
}

/// A process of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// The name of its program. Its arguments may contain secrets.
    pub(crate) command: Option<Arc<str>>,
}

impl Process {
    pub(crate) fn new(pid: u32) -> Self {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok();
        let command = name.map(|name| {
            let safe = name
                .trim_end()
                .chars()
                .filter(|c| !is_unsafe_for_display(*c));
            safe.collect::<String>().into()
        });
        Self { pid, command }
    }
}

/// The search for processes. One search serves all connections that wait for one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Processes(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    sockets: HashMap<u64, Vec<oneshot::Sender<Process>>>,
    is_running: bool,
    /// When the next search for the status may start.
    paused_until: Option<Instant>,
}

impl Processes {
    /// Returns the process that has the socket open. Returns `None` if it belongs to another user
    /// or the search takes too long.
    pub(crate) async fn with_socket(&self, inode: u64, purpose: Purpose) -> Option<Process> {
        let (report, found) = oneshot::channel();
        let starts = {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.sockets.entry(inode).or_default().push(report);
            !std::mem::replace(&mut waiting.is_running, true)
        };
        if starts {
            let processes = self.clone();
            tokio::task::spawn_blocking(move || while processes.search_once() {});
        }
        let timeout = match purpose {
            Purpose::File => TIMEOUT,
            Purpose::Status => SHORT_TIMEOUT,
        };
        tokio::time::timeout(timeout, found).await.ok()?.ok()
    }

    /// Whether a search for the status may start now.
    pub(crate) fn may_search_for_status(&self) -> bool {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_paused = waiting.paused_until.is_some_and(|end| Instant::now() < end);
        !waiting.is_running && !is_paused
    }

    /// Searches for all sockets that are waited for. Returns whether there were any.
    fn search_once(&self) -> bool {
        let mut sockets = {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.is_running = !waiting.sockets.is_empty();
            if !waiting.is_running {
                return false;
            }
            std::mem::take(&mut waiting.sockets)
        };
        let started = Instant::now();
        search(&mut sockets);
        let pause = (started.elapsed() * PAUSE).max(MIN_PAUSE);
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.paused_until = Instant::now().checked_add(pause);
        true
    }
}

/// Reports the processes with these sockets, until all are found.
fn search(sockets: &mut HashMap<u64, Vec<oneshot::Sender<Process>>>) {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return;
    };
    for entry in entries.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let Ok(files) = std::fs::read_dir(entry.path().join("fd")) else {
            continue;
        };
        for file in files.flatten() {
            let Ok(target) = std::fs::read_link(file.path()) else {
                continue;
            };
            let Some(inode) = target.to_str().and_then(socket_inode) else {
                continue;
            };
            for waiting in sockets.remove(&inode).into_iter().flatten() {
                // The connection may have been closed.
                let _ = waiting.send(Process::new(pid));
            }
            if sockets.is_empty() {
                return;
            }
        }
    }
}

fn socket_inode(target: &str) -> Option<u64> {
    let inode = target.strip_prefix("socket:[")?.strip_suffix(']')?;
    inode.parse().ok()
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd as _;
    use std::os::linux::fs::MetadataExt as _;

    #[tokio::test]
    async fn many_sockets_are_found_at_once() {
        let sockets: Vec<_> = (0..50)
            .map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let inodes = sockets.iter().map(|socket| {
            let path = format!("/proc/self/fd/{}", socket.as_raw_fd());
            std::fs::metadata(path).unwrap().st_ino()
        });
        let processes = Processes::default();
        let mut tasks = tokio::task::JoinSet::new();
        for inode in inodes {
            let processes = processes.clone();
            tasks.spawn(async move { processes.with_socket(inode, Purpose::File).await });
        }
        let found = tasks.join_all().await;
        assert_eq!(found.len(), 50);
        for process in found {
            assert_eq!(process.unwrap().pid, std::process::id());
        }
        assert!(!processes.may_search_for_status());
        // The search ends after the last socket is reported.
        for _ in 0..100 {
            tokio::time::sleep(MIN_PAUSE).await;
            if processes.may_search_for_status() {
                break;
            }
        }
        assert!(processes.may_search_for_status());
        assert!(!processes.0.lock().unwrap().is_running);
        assert_eq!(processes.with_socket(u64::MAX, Purpose::Status).await, None);
    }

    #[test]
    fn name_of_a_process_is_safe_to_print() {
        let own = Process::new(std::process::id());
        let name = own.command.unwrap();
        assert!(!name.is_empty() && !name.contains(is_unsafe_for_display));
        assert_eq!(Process::new(u32::MAX).command, None);
        assert_eq!(socket_inode("socket:[4711]"), Some(4711));
        for other in ["pipe:[4711]", "/dev/null", "socket:[]", "socket:[x]"] {
            assert_eq!(socket_inode(other), None, "{other}");
        }
    }
}
