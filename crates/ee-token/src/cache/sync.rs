//! What the cache shares between tasks and threads, named in one place: the tests run the same
//! cache a second time with the types of a model checker in the place of these.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64};
pub(crate) use std::sync::{Mutex, MutexGuard};

pub(crate) use arc_swap::ArcSwapOption;
pub(crate) use tokio::runtime::Handle;
pub(crate) use tokio::sync::watch;
pub(crate) use tokio::time::timeout;
