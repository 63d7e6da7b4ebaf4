//! The system's allocator, and a look at what is freed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, RwLock};

/// Larger blocks are none of a credential's.
const LARGEST: usize = 1 << 21;
/// Larger blocks are not kept.
const LARGEST_KEPT: usize = 1 << 16;
/// More than this many tell nothing new.
const MOST: usize = 40;

struct Inspector;

#[global_allocator]
static ALLOCATOR: Inspector = Inspector;

static ARMED: AtomicBool = AtomicBool::new(false);
static NEEDLES: RwLock<Needles> = RwLock::new(Needles {
    all: Vec::new(),
    starts: [false; 1 << 16],
});
static FOUND: Mutex<Vec<(usize, usize, Backtrace)>> = Mutex::new(Vec::new());
/// What was freed since [`keep`], for secrets that are not known before.
static KEPT: Mutex<Option<Vec<Kept>>> = Mutex::new(None);

/// What a block was, and who freed it.
type Kept = (Vec<u8>, Backtrace);

/// One life at a time: tests run on threads.
static LIFE: Mutex<()> = Mutex::new(());

/// The name of the threads on which the library uses files.
const FILE_THREADS: &str = "ee-files";

thread_local! {
    /// Whether this thread's memory is inspected; that of servers and of tests is not. `None` until
    /// the thread first frees memory.
    static INSPECTED: Cell<Option<bool>> = const { Cell::new(None) };
}

fn is_inspected() -> bool {
    INSPECTED.get().unwrap_or_else(|| {
        // Asking for the name may free memory, too.
        INSPECTED.set(Some(false));
        let of_library = std::thread::current().name() == Some(FILE_THREADS);
        INSPECTED.set(Some(of_library));
        of_library
    })
}

// SAFETY: everything is the system allocator's; the default `realloc` allocates, copies and
// frees, so that a block that grows is looked at too.
unsafe impl GlobalAlloc for Inspector {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Zeroed: what is looked at later must have been written by somebody.
        // SAFETY: the caller keeps `alloc`'s contract, which is this function's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if ARMED.load(Ordering::Relaxed) && is_inspected() && layout.size() <= LARGEST {
            // SAFETY: the block is the caller's until the next line, all of it was initialized
            // by `alloc`, and nobody writes to what is being freed.
            look(unsafe { std::slice::from_raw_parts(pointer, layout.size()) });
        }
        // SAFETY: the caller keeps the contract; `alloc` took the block from the system.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What is looked for.
struct Needles {
    all: Vec<(String, Vec<u8>)>,
    /// Whether one begins with these two bytes.
    starts: [bool; 1 << 16],
}

fn start_of(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

impl Needles {
    /// The first that is in a block.
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

fn look(block: &[u8]) {
    // What is allocated in here is not looked at.
    INSPECTED.set(Some(false));
    let needles = NEEDLES.read().unwrap();
    if let Some(number) = needles.find(block) {
        let mut found = FOUND.lock().unwrap();
        if found.len() < MOST {
            found.push((number, block.len(), Backtrace::force_capture()));
        }
    }
    drop(needles);
    if let Some(kept) = &mut *KEPT.lock().unwrap()
        && block.len() <= LARGEST_KEPT
    {
        kept.push((block.to_vec(), Backtrace::force_capture()));
    }
    INSPECTED.set(Some(true));
}

/// Keeps what is freed from now on, until [`hits_of`] ends: what is learned later is looked for
/// in it.
pub fn keep() {
    *KEPT.lock().unwrap() = Some(Vec::new());
}

/// A freed block with a secret in it.
pub struct Hit {
    pub secret: String,
    pub size: usize,
    /// Who freed it, from the inside out.
    pub functions: String,
}

/// What to look for from now on, in memory that is not looked at.
pub fn learn(name: &str, needle: &[u8]) {
    assert!(needle.len() >= 12);
    // A look at what is freed in here would wait for the lock that is held in here.
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
    if let Some(kept) = &mut *KEPT.lock().unwrap() {
        let (with, without) = std::mem::take(kept)
            .into_iter()
            .partition(|(block, _)| block.windows(needle.len()).any(|part| part == needle));
        *kept = without;
        let with: Vec<Kept> = with;
        let hits = with.into_iter();
        let hits = hits.map(|(block, backtrace)| (number, block.len(), backtrace));
        FOUND.lock().unwrap().extend(hits);
    }
}

/// Does something whose memory is not looked at.
pub fn exempt<T>(work: impl FnOnce() -> T) -> T {
    let before = INSPECTED.replace(Some(false));
    let done = work();
    INSPECTED.set(before);
    done
}

/// Does something, and tells what it freed with a secret in it.
pub fn hits_of(work: impl FnOnce()) -> Vec<Hit> {
    let _one = LIFE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    FOUND.lock().unwrap().clear();
    ARMED.store(true, Ordering::SeqCst);
    INSPECTED.set(Some(true));
    work();
    INSPECTED.set(Some(false));
    ARMED.store(false, Ordering::SeqCst);
    *KEPT.lock().unwrap() = None;
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

/// The names of functions that are not the allocator's or the runtime's.
fn functions(backtrace: &str) -> String {
    let boring = [
        "std::",
        "core::",
        "alloc::",
        "memory::allocator",
        "look",
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
