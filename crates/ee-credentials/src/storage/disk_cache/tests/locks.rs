//! The locks of the entries.

use tokio::sync::Barrier;

use super::*;
use crate::storage::disk_cache::source::{Lookup, MAX_WAIT, pauses};

fn cache() -> (tempfile::TempDir, DiskTokenCache) {
    let home = tempfile::tempdir().unwrap();
    let cache = DiskTokenCache::at(home.path());
    (home, cache)
}

/// Returns the entry of the login with this number.
fn slot_of(cache: &DiskTokenCache, n: usize) -> CacheFile {
    let text = format!(
        r#"{{"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "1//{n}"}}"#
    );
    slot(cache, &text, &CredentialOptions::default())
}

fn token() -> AccessToken {
    AccessToken::new("ya29.canary")
        .unwrap()
        .with_expiry(chrono::Utc::now() + chrono::TimeDelta::hours(1))
}

/// The source returns tokens only when one has been requested for each identity.
#[tokio::test]
async fn identities_do_not_wait_for_each_other() {
    const IDENTITIES: usize = 64;
    let (_home, cache) = cache();
    let slots: Vec<_> = (0..IDENTITIES).map(|n| slot_of(&cache, n)).collect();
    let mut locks: Vec<_> = slots.iter().map(|slot| slot.lock.clone()).collect();
    locks.sort();
    locks.dedup();
    assert_eq!(locks.len(), IDENTITIES);

    let barrier = Arc::new(Barrier::new(IDENTITIES));
    let mut fetches = tokio::task::JoinSet::new();
    for slot in slots {
        let barrier = barrier.clone();
        let source = ee_token::source_fn(move || {
            let barrier = barrier.clone();
            async move {
                barrier.wait().await;
                Ok(token())
            }
        });
        fetches.spawn(async move {
            CachedOnDisk::new(Arc::new(source), slot)
                .fetch_token()
                .await
                .unwrap()
        });
    }
    assert_eq!(fetches.join_all().await.len(), IDENTITIES);
    assert_eq!(cache.files(EXTENSION).unwrap().len(), IDENTITIES);
    assert_eq!(cache.files(LOCK_EXTENSION).unwrap(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn held_lock_delays_only_its_own_entry() {
    let (_home, cache) = cache();
    let [jane, john] = [0, 1].map(|n| slot_of(&cache, n));
    // A lock belongs to an open file, so that this simulates another process.
    let held = Lock::acquire(&jane.lock).unwrap().unwrap();
    assert!(matches!(jane.look_up(None, true), Lookup::Locked));
    assert!(matches!(jane.look_up(None, false), Lookup::Missing(None)));
    let Lookup::Missing(Some(lock)) = john.look_up(None, true) else {
        panic!("the lock is held");
    };
    lock.release();

    let source = ee_token::source_fn(|| async { Ok(token()) });
    let limit = Duration::from_secs(10);
    let kept = CachedOnDisk::new(Arc::new(source), jane);
    tokio::time::timeout(limit, kept.fetch_token())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        cache.files(EXTENSION).unwrap().len(),
        1,
        "the token is cached"
    );
    held.release();
}

#[tokio::test]
async fn token_that_arrives_during_the_wait_is_used() {
    let (_home, cache) = cache();
    let [here, there] = [0, 0].map(|n| slot_of(&cache, n));
    let Lookup::Missing(Some(lock)) = there.look_up(None, true) else {
        panic!("the lock is held");
    };
    let source = ee_token::source_fn(|| async {
        Err(ee_token::Error::new(Token::Network, "requested twice"))
    });
    let kept = CachedOnDisk::new(Arc::new(source), here);
    let (token, ()) = tokio::join!(kept.fetch_token(), async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        there.write(&token());
        lock.release();
    });
    assert_eq!(token.unwrap().secret(), "ya29.canary");
}

#[test]
fn lock_has_one_holder_while_its_file_is_replaced() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("entry.lock");
    let holders = AtomicUsize::new(0);
    let count = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut left = 200;
                while left > 0 {
                    if let Some(lock) = Lock::acquire(&path).unwrap() {
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        holders.fetch_sub(1, Ordering::SeqCst);
                        lock.release();
                        count.fetch_add(1, Ordering::Relaxed);
                        left -= 1;
                    }
                }
            });
        }
    });
    assert_eq!(count.into_inner(), 800);
    assert!(!path.exists());
}

#[tokio::test]
async fn dropped_fetch_releases_its_lock() {
    let (_home, cache) = cache();
    let [slot_of_task, other] = [0, 0].map(|n| slot_of(&cache, n));
    let (sender, requested) = tokio::sync::oneshot::channel();
    let sender = Mutex::new(Some(sender));
    let source = ee_token::source_fn(move || {
        sender.lock().unwrap().take().unwrap().send(()).unwrap();
        std::future::pending()
    });
    let kept = CachedOnDisk::new(Arc::new(source), slot_of_task);
    let task = tokio::spawn(async move { kept.fetch_token().await });
    requested.await.unwrap();
    assert!(matches!(other.look_up(None, true), Lookup::Locked));
    task.abort();
    while matches!(other.look_up(None, true), Lookup::Locked) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn locks_that_no_process_holds_are_removed() {
    let (home, cache) = cache();
    let [old, young, held_path] =
        ["old", "young", "held"].map(|name| home.path().join(name).with_extension(LOCK_EXTENSION));
    create_old(&old);
    File::create(&young).unwrap();
    File::create(&held_path).unwrap();
    let held = Lock::acquire(&held_path).unwrap().unwrap();
    create_old(&held_path);
    cache.sweep();
    assert!(!old.exists() && young.exists() && held_path.exists());
    assert_eq!(
        cache.clear().unwrap(),
        0,
        "a lock does not count as a token"
    );
    assert!(!young.exists() && held_path.exists());
    held.release();
    assert!(!held_path.exists());
}

#[test]
fn wait_for_a_lock_is_bounded_with_few_lookups() {
    assert_eq!(pauses().sum::<Duration>(), MAX_WAIT);
    assert!(pauses().count() < 30);
    let first: Vec<_> = pauses().take(7).map(|pause| pause.as_millis()).collect();
    assert_eq!(first, [5, 10, 20, 40, 80, 100, 100]);
}

#[cfg(unix)]
#[tokio::test]
async fn locks_and_entries_are_never_opened_through_links() {
    let machine = Machine::new().await;
    let token = machine.token().await;
    let slot = machine.slot();
    let existing = machine.home.path().join("existing");
    let dangling = machine.home.path().join("dangling");

    // A valid entry behind a link is ignored.
    fs::rename(&slot.path, &existing).unwrap();
    std::os::unix::fs::symlink(&existing, &slot.path).unwrap();
    assert!(!machine.token().await.secret_eq(&token));
    assert!(!fs::symlink_metadata(&slot.path).unwrap().is_symlink());

    for target in [&existing, &dangling] {
        let _ = fs::remove_file(&slot.lock);
        fs::remove_file(&slot.path).unwrap();
        std::os::unix::fs::symlink(target, &slot.lock).unwrap();
        let contents = fs::read(target).ok();
        let error = Lock::acquire(&slot.lock).unwrap_err();
        assert!(error.to_string().contains("symbolic link"), "{error}");
        machine.token().await;
        assert_eq!(fs::read(target).ok(), contents);
        fs::write(&slot.path, "").unwrap();
    }
}
