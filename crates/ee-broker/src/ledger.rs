//! The ledger: which process got or was denied which token, and when. Never a token.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use ee_token::Scopes;
use ee_token::internal::display_path;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::access::{Denial, Process};
use crate::{Error, ErrorKind};

/// How many entries the status shows.
const RECENT: usize = 20;
/// How many entries may wait for the disk. Then, responses wait.
const QUEUE: usize = 1024;
/// How many denials are recorded one by one in a second. Another user must not fill the disk.
const MAX_DENIALS_PER_SECOND: u32 = 10;

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    Token {
        requested: Option<Scopes>,
        granted: Option<Scopes>,
        expires_at: DateTime<Utc>,
    },
    IdToken {
        audience: String,
    },
    /// The request was allowed, and there was no token for this reason.
    Failed(String),
    Denied(Denial),
}

/// An event, and who caused it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) event: Event,
    pub(crate) uid: Option<u32>,
    pub(crate) process: Option<Process>,
}

/// An entry as it was recorded.
#[derive(Debug)]
struct Recorded {
    time: DateTime<Utc>,
    entry: Entry,
    /// The number of denials before it that were not recorded.
    suppressed: u64,
}

/// Counts of events since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) tokens: AtomicU64,
    pub(crate) id_tokens: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) denied: AtomicU64,
    /// Entries that could not be written.
    pub(crate) lost: std::sync::Arc<AtomicU64>,
}

/// Records events in memory, and in a file if there is one.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) counts: Counts,
    file: Option<mpsc::Sender<Line>>,
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    /// Converted to JSON only when they are read, because most never are.
    entries: VecDeque<Recorded>,
    denials: u32,
    suppressed: u64,
    second: Option<Instant>,
}

#[derive(Debug)]
enum Line {
    Entry(String),
    Flush(oneshot::Sender<()>),
}

impl Ledger {
    pub(crate) fn new(path: Option<&Path>) -> Result<Self, Error> {
        let counts = Counts::default();
        let file = path.map(open).transpose()?;
        let file = file.map(|file| {
            let (sender, lines) = mpsc::channel(QUEUE);
            let lost = counts.lost.clone();
            // A thread, because the disk may be slow. It ends with the ledger.
            let writer = std::thread::Builder::new().name("ledger".into());
            writer
                .spawn(move || write_lines(file, lines, &lost))
                .map(|_| sender)
                .map_err(|error| failed("cannot start a thread for the ledger", &error))
        });
        Ok(Self {
            counts,
            file: file.transpose()?,
            recent: Mutex::default(),
        })
    }

    /// Whether entries are written to a file, so that they must name the process.
    pub(crate) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    pub(crate) async fn record(&self, entry: Entry) {
        let count = match &entry.event {
            Event::Token { .. } => &self.counts.tokens,
            Event::IdToken { .. } => &self.counts.id_tokens,
            Event::Failed(_) => &self.counts.failed,
            Event::Denied(_) => &self.counts.denied,
        };
        count.fetch_add(1, Ordering::Relaxed);
        let Some(line) = self.remember(entry) else {
            return;
        };
        if let Some(file) = &self.file
            && file.send(Line::Entry(line)).await.is_err()
        {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Adds an entry to those in memory. Returns the line for the file, or `None` if there is no file
    /// or the entry is a denial after too many in this second.
    fn remember(&self, entry: Entry) -> Option<String> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut suppressed = 0;
        if matches!(entry.event, Event::Denied(_)) {
            let now = Instant::now();
            let is_same_second = recent
                .second
                .is_some_and(|second| now.duration_since(second) < Duration::from_secs(1));
            if !is_same_second {
                recent.second = Some(now);
                recent.denials = 0;
            }
            recent.denials += 1;
            if recent.denials > MAX_DENIALS_PER_SECOND {
                recent.suppressed += 1;
                return None;
            }
            suppressed = std::mem::take(&mut recent.suppressed);
        }
        let recorded = Recorded {
            time: Utc::now(),
            entry,
            suppressed,
        };
        let line = self.file.is_some().then(|| recorded.to_json().to_string());
        if recent.entries.len() == RECENT {
            recent.entries.pop_front();
        }
        recent.entries.push_back(recorded);
        line
    }

    /// Returns the last entries, the oldest first.
    pub(crate) fn recent(&self) -> Vec<Value> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.entries.iter().map(Recorded::to_json).collect()
    }

    /// Waits until all entries so far are written.
    pub(crate) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if let Some(file) = &self.file
            && file.send(Line::Flush(done)).await.is_ok()
        {
            let _ = tokio::time::timeout(Duration::from_secs(2), written).await;
        }
    }
}

impl Recorded {
    fn to_json(&self) -> Value {
        let entry = &self.entry;
        let time = |time: DateTime<Utc>| time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        let mut value = json!({ "time": time(self.time) });
        let scopes = |scopes: &Scopes| scopes.iter().map(str::to_owned).collect::<Vec<_>>();
        match &entry.event {
            Event::Token {
                requested,
                granted,
                expires_at,
            } => {
                value["event"] = json!("token");
                if let Some(requested) = requested {
                    value["scopes_requested"] = json!(scopes(requested));
                }
                if let Some(granted) = granted {
                    value["scopes_granted"] = json!(scopes(granted));
                }
                value["expires_at"] = json!(time(*expires_at));
            }
            Event::IdToken { audience } => {
                value["event"] = json!("id_token");
                value["audience"] = json!(audience);
            }
            Event::Failed(reason) => {
                value["event"] = json!("failed");
                value["reason"] = json!(reason);
            }
            Event::Denied(denial) => {
                value["event"] = json!("denied");
                value["reason"] = json!(denial.as_str());
            }
        }
        if let Some(uid) = entry.uid {
            value["uid"] = json!(uid);
        }
        if let Some(process) = &entry.process {
            value["pid"] = json!(process.pid);
            if let Some(command) = &process.command {
                value["command"] = json!(**command);
            }
        }
        if self.suppressed > 0 {
            value["more_denials_before"] = json!(self.suppressed);
        }
        value
    }
}

/// Writes lines until the ledger is dropped. Each is written at once, so that readers see whole
/// lines.
fn write_lines(mut file: File, mut lines: mpsc::Receiver<Line>, lost: &AtomicU64) {
    let mut has_warned = false;
    while let Some(line) = lines.blocking_recv() {
        match line {
            Line::Entry(mut text) => {
                text.push('\n');
                if let Err(error) = file.write_all(text.as_bytes()) {
                    lost.fetch_add(1, Ordering::Relaxed);
                    if !std::mem::replace(&mut has_warned, true) {
                        tracing::warn!(%error, "cannot write to the ledger");
                    }
                }
            }
            Line::Flush(done) => drop(done.send(())),
        }
    }
}

fn failed(what: &str, error: &io::Error) -> Error {
    Error::new(ErrorKind::Ledger, format!("{what}: {error}"))
}

/// Opens the file, which only its owner may read and which is not a link.
fn open(path: &Path) -> Result<File, Error> {
    let shown = display_path(path);
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        options.custom_flags(flags.bits().cast_signed());
    }
    let file = options.open(path);
    let file = file.map_err(|error| failed(&format!("cannot open the ledger {shown}"), &error))?;
    let metadata = file.metadata();
    let metadata = metadata.map_err(|e| failed(&format!("cannot read the mode of {shown}"), &e))?;
    if !metadata.is_file() {
        let message = format!("the ledger {shown} is not a regular file");
        return Err(Error::new(ErrorKind::Ledger, message));
    }
    #[cfg(unix)]
    check_access(&metadata, &shown.to_string())?;
    Ok(file)
}

#[cfg(unix)]
fn check_access(metadata: &std::fs::Metadata, shown: &str) -> Result<(), Error> {
    use ee_token::Remedy;
    use std::os::unix::fs::MetadataExt as _;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        let message = format!("the ledger {shown} belongs to another user");
        return Err(Error::new(ErrorKind::Ledger, message)
            .with_remedy(Remedy::new("Use a file that does not exist yet.")));
    }
    if metadata.mode() & 0o077 != 0 {
        let message = format!("other users can read or write the ledger {shown}");
        return Err(
            Error::new(ErrorKind::Ledger, message).with_remedy(Remedy::new(
                "Make it private with chmod 600, or use a new file.",
            )),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
