mod locks;

use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};

use ee_emulator::{Emulator, User};
use ee_token::{Endpoints, ErrorKind as Token, HttpClient, Scopes, TokenSource as _};

use super::*;
use crate::input::blocking::tests::count_ticks;
use crate::options::options;
use crate::storage::private_file::killed;
use crate::{CredentialOptions, Credentials};

struct Machine {
    emulator: Emulator,
    jane: User,
    home: tempfile::TempDir,
}

impl Machine {
    async fn new() -> Self {
        let emulator = Emulator::start().await.unwrap();
        Self {
            jane: emulator.create_user("jane@example.com"),
            home: tempfile::tempdir().unwrap(),
            emulator,
        }
    }

    fn token_cache(&self) -> DiskTokenCache {
        DiskTokenCache::at(self.home.path().join("cache/tokens"))
    }

    fn options(&self) -> CredentialOptions {
        options(&self.emulator).disk_cache(self.token_cache())
    }

    /// Returns the credentials as a new process loads them.
    fn credentials(&self) -> Credentials {
        Credentials::from_json(&self.jane.authorized_user_json(), &self.options()).unwrap()
    }

    async fn token(&self) -> AccessToken {
        self.credentials().token().await.unwrap()
    }

    fn slot(&self) -> CacheFile {
        slot(
            &self.token_cache(),
            &self.jane.authorized_user_json(),
            &self.options(),
        )
    }

    /// Returns the entries of the cache.
    fn entries(&self) -> Vec<PathBuf> {
        self.token_cache().files(EXTENSION).unwrap()
    }

    fn requests(&self) -> usize {
        self.emulator.requests().len()
    }

    fn cache_file(&self) -> PathBuf {
        let files = self.entries();
        assert_eq!(files.len(), 1);
        files[0].clone()
    }
}

/// Creates a file that is too old to keep.
fn create_old(path: &Path) {
    let file = File::create(path).unwrap();
    file.set_modified(SystemTime::now() - MAX_AGE - Duration::from_secs(60))
        .unwrap();
}

fn slot(cache: &DiskTokenCache, text: &str, options: &CredentialOptions) -> CacheFile {
    let credential =
        crate::kinds::load(text, &crate::input::location::Location::InMemory, options).unwrap();
    let (subject, endpoints) = (options.subject.as_deref(), options.http.endpoints());
    CacheFile::new(cache.clone(), &credential, text, subject, endpoints)
}

#[tokio::test]
async fn second_start_requests_no_token() {
    let machine = Machine::new().await;
    let first = machine.token().await;
    let second = machine.token().await;
    assert!(first.secret_eq(&second));
    assert_eq!(second.scopes(), first.scopes());
    assert_eq!(machine.requests(), 1);
}

#[tokio::test]
async fn all_tokens_but_self_signed_ones_are_cached() {
    let machine = Machine::new().await;
    let account = machine.emulator.create_service_account(
        "robot@ee-demo-project.iam.gserviceaccount.com",
        "ee-demo-project",
    );
    let texts = [
        account.json_key(),
        machine.jane.authorized_user_json(),
        machine.jane.earthengine_file_json(None),
    ];
    for text in &texts {
        for _ in 0..2 {
            let credentials = Credentials::from_json(text, &machine.options()).unwrap();
            credentials.token().await.unwrap();
        }
    }
    assert_eq!(machine.requests(), texts.len());
    assert_eq!(machine.entries().len(), texts.len());
    let own = machine.options().self_signed_jwt(true);
    let own = Credentials::from_json(&account.json_key(), &own).unwrap();
    own.token().await.unwrap();
    assert_eq!(machine.entries().len(), texts.len());
}

#[tokio::test]
async fn scopes_subject_login_and_host_separate_entries() {
    let machine = Machine::new().await;
    let options = machine.options();
    let text = machine.jane.authorized_user_json();
    let path =
        |text: &str, options: &CredentialOptions| slot(&machine.token_cache(), text, options).path;
    let john = machine.emulator.create_user("john@example.com");
    let elsewhere = CredentialOptions::default().disk_cache(machine.token_cache());
    let drive = options.clone().scopes(Scopes::new(["drive"]));
    let mut paths = vec![
        path(&text, &options),
        path(&text, &drive),
        path(&text, &elsewhere),
        path(&john.authorized_user_json(), &options),
    ];
    let key = machine
        .emulator
        .create_service_account("robot@p-1234.iam.gserviceaccount.com", "p-1234")
        .json_key();
    paths.push(path(&key, &options));
    paths.push(path(&key, &options.clone().subject("john@example.com")));
    assert_eq!(path(&text, &options), paths[0]);
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), 6);
}

#[tokio::test]
async fn cache_files_are_encrypted_and_private() {
    let machine = Machine::new().await;
    let token = machine.token().await;
    for entry in fs::read_dir(machine.token_cache().dir()).unwrap() {
        let path = entry.unwrap().path();
        let contents = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        for secret in [token.secret(), machine.jane.refresh_token()] {
            assert!(!contents.contains(secret));
            assert!(!path.to_string_lossy().contains(secret));
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&path), 0o600, "{path:?}");
            assert_eq!(mode(machine.token_cache().dir()), 0o700);
        }
    }
}

#[tokio::test]
async fn corrupt_and_foreign_cache_files_are_overwritten() {
    let machine = Machine::new().await;
    machine.token().await;
    let file = machine.cache_file();
    let whole = fs::read(&file).unwrap();
    let bent: Vec<u8> = whole.iter().map(|byte| byte ^ 1).collect();
    for (n, contents) in [&b""[..], b"{", &whole[..20], &bent, &[0; 100_000]]
        .iter()
        .enumerate()
    {
        fs::write(&file, contents).unwrap();
        machine.token().await;
        assert_eq!(machine.requests(), n + 2);
        machine.token().await;
        assert_eq!(machine.requests(), n + 2, "the file is overwritten");
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    machine.token().await;
}

#[tokio::test]
async fn rejected_token_is_dropped_in_memory_and_on_disk() {
    let machine = Machine::new().await;
    machine.token().await;
    let credentials = machine.credentials();
    let refused = credentials.token().await.unwrap();
    credentials.token_cache().unwrap().invalidate(&refused);
    let renewed = credentials.token().await.unwrap();
    assert!(!renewed.secret_eq(&refused));
    assert!(machine.token().await.secret_eq(&renewed));
    assert_eq!(machine.requests(), 2);
}

#[tokio::test]
async fn token_renewed_by_another_process_is_used() {
    let machine = Machine::new().await;
    let (here, there) = (machine.credentials(), machine.credentials());
    let refused = here.token().await.unwrap();
    assert!(there.token().await.unwrap().secret_eq(&refused));
    there.token_cache().unwrap().invalidate(&refused);
    let renewed = there.token().await.unwrap();
    here.token_cache().unwrap().invalidate(&refused);
    assert!(here.token().await.unwrap().secret_eq(&renewed));
    assert_eq!(machine.requests(), 2);
}

#[tokio::test]
async fn token_of_a_rejected_credential_is_dropped() {
    let machine = Machine::new().await;
    let credentials = machine.credentials();
    let token = credentials.token().await.unwrap();
    machine.emulator.revoke(machine.jane.refresh_token());
    credentials.token_cache().unwrap().invalidate(&token);
    let error = credentials.token().await.unwrap_err();
    assert_eq!(error.kind(), Token::Rejected);
    assert!(machine.entries().is_empty());
}

#[tokio::test]
async fn transient_error_is_returned_and_not_cached() {
    let machine = Machine::new().await;
    let slot = machine.slot();
    let offline =
        ee_token::source_fn(|| async { Err(ee_token::Error::new(Token::Network, "no way")) });
    let error = CachedOnDisk::new(Arc::new(offline), slot)
        .fetch_token()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Token::Network);
    assert!(machine.entries().is_empty());
    machine.token().await;
}

#[tokio::test]
async fn clearing_deletes_only_cache_files() {
    let machine = Machine::new().await;
    assert_eq!(machine.token_cache().clear().unwrap(), 0);
    machine.token().await;
    let other = machine.token_cache().dir().join("README");
    fs::write(&other, "mine").unwrap();
    assert_eq!(machine.token_cache().clear().unwrap(), 1);
    assert!(other.exists());
    machine.token().await;
    assert_eq!(machine.requests(), 2);
}

#[tokio::test]
async fn day_old_tokens_are_removed() {
    let machine = Machine::new().await;
    machine.token().await;
    let cache = machine.token_cache();
    let [old, young] =
        ["old", "young"].map(|name| cache.dir().join(name).with_extension(EXTENSION));
    fs::write(&young, "").unwrap();
    create_old(&old);
    cache.sweep();
    assert!(!old.exists() && young.exists());
}

#[cfg(unix)]
#[tokio::test]
async fn token_is_requested_without_a_writable_directory() {
    let machine = Machine::new().await;
    fs::write(
        machine.home.path().join("cache"),
        "a file, where a dir should be",
    )
    .unwrap();
    machine.token().await;
    assert!(
        machine
            .token_cache()
            .clear()
            .is_ok_and(|dropped| dropped == 0)
    );
}

#[test]
fn federation_is_not_cached_and_impersonation_like_its_source() {
    let impersonated = |kind: &str| {
        let text = format!(r#"{{"source_credentials": {{"type": "{kind}", "x": [1]}}}}"#);
        is_whole(CredentialKind::ImpersonatedServiceAccount, &text)
    };
    assert!(impersonated("authorized_user"));
    assert!(!impersonated("external_account"));
    assert!(!is_whole(CredentialKind::ImpersonatedServiceAccount, "{}"));
    assert!(!is_whole(CredentialKind::ExternalAccount, "{}"));
    assert!(!is_whole(CredentialKind::MetadataServer, "{}"));
}

#[tokio::test]
async fn sweep_runs_at_most_once_an_hour() {
    let machine = Machine::new().await;
    machine.token().await;
    let old = machine
        .token_cache()
        .dir()
        .join("old")
        .with_extension(EXTENSION);
    create_old(&old);
    let john = machine.emulator.create_user("john@example.com");
    let credentials = Credentials::from_json(&john.authorized_user_json(), &machine.options());
    credentials.unwrap().token().await.unwrap();
    assert!(old.exists());
    assert_eq!(machine.entries().len(), 3);
}

/// The child process that is killed while it requests a token, renews a rejected one, or clears the
/// cache.
#[tokio::test]
async fn subprocess_for_the_test_below() {
    let Some((task, input)) = killed::part() else {
        return;
    };
    let [dir, address, text] = input.splitn(3, '\n').collect::<Vec<_>>()[..] else {
        unreachable!()
    };
    let cache = DiskTokenCache::at(dir);
    if task == "clear" {
        cache.clear().unwrap();
        return;
    }
    let endpoints = Endpoints::emulator(address.parse().unwrap()).unwrap();
    let options = CredentialOptions::new(HttpClient::new(endpoints)).disk_cache(cache);
    let credentials = Credentials::from_json(text, &options).unwrap();
    let ticks = count_ticks();
    let token = credentials.token().await.unwrap();
    if task == "hung" {
        assert!(ticks.load(Ordering::Relaxed) > 5);
    }
    if task == "renew" {
        credentials.token_cache().unwrap().invalidate(&token);
        credentials.token().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_at_any_step_leaves_no_partial_token() {
    const TEST: &str = "storage::disk_cache::tests::subprocess_for_the_test_below";
    let tasks = [
        (
            "first",
            &[
                "directory created",
                "lock opened",
                "temporary created",
                "temporary written",
                "renamed",
                "lock removed",
            ][..],
        ),
        (
            "renew",
            &[
                "lock opened",
                "token removed",
                "temporary created",
                "temporary written",
                "renamed",
                "lock removed",
                "token swept",
            ],
        ),
        ("clear", &["token dropped", "token dropped"]),
    ];
    for (task, all_steps) in tasks {
        for steps in 0..=all_steps.len() {
            let machine = Machine::new().await;
            let cache = machine.token_cache();
            if task != "first" {
                machine.token().await;
                // An old file, which is removed.
                let old = cache.dir().join("old").with_extension(EXTENSION);
                create_old(&old);
            }
            let input = [
                cache.dir().to_str().unwrap(),
                &machine.emulator.address().to_string(),
                &machine.jane.authorized_user_json(),
            ];
            let taken = killed::kill(TEST, task, &input.join("\n"), steps);
            let expected = &all_steps[..all_steps.len().min(steps + 1)];
            assert_eq!(taken, expected, "{task}");

            // The cache holds a valid token or none. The lock was released with the process.
            let before = machine.requests();
            let is_kept = machine.slot().read().is_some();
            let token = machine.token().await;
            assert_eq!(
                machine.requests(),
                before + usize::from(!is_kept),
                "{task} {taken:?}"
            );
            assert!(machine.token().await.secret_eq(&token));
            // Temporary files of the killed process are cleared, too.
            cache.clear().unwrap();
            assert_eq!(fs::read_dir(cache.dir()).unwrap().count(), 0);
            machine.token().await;
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn root_gives_tokens_to_the_owner_of_the_directory() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let machine = Machine::new().await;
    if chown(machine.home.path(), Some(4321), Some(4322)).is_err() {
        let _ = io::Write::write_all(
            &mut io::stderr(),
            b"root_gives_tokens_to_the_owner_of_the_directory: SKIPPED, this user may not give files away\n",
        );
        return;
    }
    machine.token().await;
    let slot = machine.slot();
    for path in [machine.token_cache().dir(), &slot.path] {
        let metadata = fs::symlink_metadata(path).unwrap();
        let owner = (metadata.uid(), metadata.gid());
        assert_eq!(owner, (4321, 4322), "{}", path.display());
    }
}

/// If the disk stops responding at any step, the process continues without it and exits.
#[tokio::test(flavor = "multi_thread")]
async fn hung_disk_delays_neither_token_nor_process_exit() {
    const TEST: &str = "storage::disk_cache::tests::subprocess_for_the_test_below";
    for steps in 0..6 {
        let machine = Machine::new().await;
        let cache = machine.token_cache();
        let input = [
            cache.dir().to_str().unwrap(),
            &machine.emulator.address().to_string(),
            &machine.jane.authorized_user_json(),
        ];
        let taken = killed::hang(TEST, "hung", &input.join("\n"), steps);
        assert_eq!(taken.len(), steps + 1, "{taken:?}");
        assert_eq!(machine.requests(), 1, "{taken:?}");
    }
}
