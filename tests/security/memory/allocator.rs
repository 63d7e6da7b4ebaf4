//! An allocator that inspects freed memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, RwLock};

/// Larger blocks contain no credential.
const MAX_BLOCK: usize = 1 << 21;
/// Larger blocks are not retained.
const MAX_RETAINED: usize = 1 << 16;
/// The maximal number of recorded blocks.
const MAX_FOUND: usize = 40;

struct Inspector;

#[global_allocator]
static ALLOCATOR: Inspector = Inspector;

static ARMED: AtomicBool = AtomicBool::new(false);
static NEEDLES: RwLock<Needles> = RwLock::new(Needles {
    all: Vec::new(),
    starts: [false; 1 << 16],
});
static FOUND: Mutex<Vec<(usize, usize, Backtrace)>> = Mutex::new(Vec::new());
/// Blocks freed since [`keep`], for secrets that are not known yet.
static RETAINED: Mutex<Option<Vec<Retained>>> = Mutex::new(None);

/// The content of a freed block, and the backtrace.
type Retained = (Vec<u8>, Backtrace);

/// Only one test at a time inspects memory.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The name of the library's threads for files.
const FILE_THREADS: &str = "ee-files";

thread_local! {
    /// Whether this thread's memory is inspected, which is not the case for servers and tests.
    /// `None` until the thread first frees memory.
    static INSPECTED: Cell<Option<bool>> = const { Cell::new(None) };
}

fn is_inspected() -> bool {
    INSPECTED.get().unwrap_or_else(|| {
        // Getting the name may free memory, too.
        INSPECTED.set(Some(false));
        let of_library = std::thread::current().name() == Some(FILE_THREADS);
        INSPECTED.set(Some(of_library));
        of_library
    })
}

// SAFETY: all memory is the system allocator's. The default `realloc` allocates, copies and frees,
// so a block that grows is inspected, too.
unsafe impl GlobalAlloc for Inspector {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Zeroed, because inspected memory must be initialized.
        // SAFETY: the caller fulfills the contract of `alloc`, which is that of this function.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if ARMED.load(Ordering::Relaxed) && is_inspected() && layout.size() <= MAX_BLOCK {
            // SAFETY: the block belongs to the caller until the next line, `alloc` initialized all
            // of it, and nothing writes to a block that is being freed.
            inspect(unsafe { std::slice::from_raw_parts(pointer, layout.size()) });
        }
        // SAFETY: the caller fulfills the contract; `alloc` got the block from the system.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The secrets to find.
struct Needles {
    all: Vec<(String, Vec<u8>)>,
    /// Whether a secret begins with these two bytes.
    starts: [bool; 1 << 16],
}

fn start_of(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

impl Needles {
    /// Returns the first secret in a block.
    fn find(&self, block: &[u8]) -> Option<usize> {
        let begins = |at: &usize| self.starts[start_of(&block[*at..])];
        (0..block.len().saturating_sub(1))
            .filter(begins)
            .find_map(|at| {
                let mut all = self.all.iter();
                all.position(|(_, needle)| block[at..].starts_with(needle))
            })
    }
}

fn inspect(block: &[u8]) {
    // Allocations of this function are not inspected.
    INSPECTED.set(Some(false));
    let needles = NEEDLES.read().unwrap();
    if let Some(number) = needles.find(block) {
        let mut found = FOUND.lock().unwrap();
        if found.len() < MAX_FOUND {
            found.push((number, block.len(), Backtrace::force_capture()));
        }
    }
    drop(needles);
    if let Some(kept) = &mut *RETAINED.lock().unwrap()
        && block.len() <= MAX_RETAINED
    {
        kept.push((block.to_vec(), Backtrace::force_capture()));
    }
    INSPECTED.set(Some(true));
}

/// Retains freed blocks from now until [`freed_secrets`] ends, and searches them for secrets that
/// are added later.
pub fn keep() {
    *RETAINED.lock().unwrap() = Some(Vec::new());
}

/// A freed block with a secret.
pub struct Hit {
    pub secret: String,
    pub size: usize,
    /// The functions that freed it, innermost first.
    pub functions: String,
}

/// Adds a secret to find from now on.
pub fn learn(name: &str, needle: &[u8]) {
    assert!(needle.len() >= 12);
    // Inspecting this function's memory would wait for the lock that it holds.
    exempt(|| add(name, needle));
}

fn add(name: &str, needle: &[u8]) {
    let mut needles = NEEDLES.write().unwrap();
    if needles.all.iter().any(|(_, known)| known == needle) {
        return;
    }
    needles.starts[start_of(needle)] = true;
    needles.all.push((name.to_owned(), needle.to_vec()));
    let number = needles.all.len() - 1;
    if let Some(kept) = &mut *RETAINED.lock().unwrap() {
        let (with, without) = std::mem::take(kept)
            .into_iter()
            .partition(|(block, _)| block.windows(needle.len()).any(|part| part == needle));
        *kept = without;
        let with: Vec<Retained> = with;
        let hits = with.into_iter();
        let hits = hits.map(|(block, backtrace)| (number, block.len(), backtrace));
        FOUND.lock().unwrap().extend(hits);
    }
}

/// Runs `work` without inspecting its memory.
pub fn exempt<T>(work: impl FnOnce() -> T) -> T {
    let before = INSPECTED.replace(Some(false));
    let done = work();
    INSPECTED.set(before);
    done
}

/// Runs `work`, and returns the freed blocks with a secret.
pub fn freed_secrets(work: impl FnOnce()) -> Vec<Hit> {
    let _one = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    FOUND.lock().unwrap().clear();
    ARMED.store(true, Ordering::SeqCst);
    INSPECTED.set(Some(true));
    work();
    INSPECTED.set(Some(false));
    ARMED.store(false, Ordering::SeqCst);
    *RETAINED.lock().unwrap() = None;
    let found = std::mem::take(&mut *FOUND.lock().unwrap());
    let needles = &NEEDLES.read().unwrap().all;
    let mut hits: Vec<Hit> = Vec::new();
    for (number, size, backtrace) in found {
        let functions = functions(&backtrace.to_string());
        let secret = needles[number].0.clone();
        if !hits
            .iter()
            .any(|hit| hit.functions == functions && hit.secret == secret)
        {
            hits.push(Hit {
                secret,
                size,
                functions,
            });
        }
    }
    hits
}

/// Returns the functions of a backtrace, without those of the allocator and the runtime.
fn functions(backtrace: &str) -> String {
    let boring = [
        "std::",
        "core::",
        "alloc::",
        "memory::allocator",
        "inspect",
        "__rust",
        "tokio::",
        "test::",
    ];
    let lines = backtrace.lines().map(str::trim);
    let names = lines.filter_map(|line| {
        line.split_once(": ")
            .filter(|(number, _)| number.parse::<usize>().is_ok())
    });
    let mut all: Vec<&str> = Vec::new();
    for (_, name) in names {
        let bare = name.trim_start_matches('<');
        if !boring.iter().any(|start| bare.starts_with(start)) && all.len() < 12 {
            all.push(name);
        }
    }
    all.join("\n    ")
}
