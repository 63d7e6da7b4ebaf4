use std::fs;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll, Waker};

use ee_emulator::{Emulator, User};
use ee_token::{Error, ErrorKind as Token, TokenSource};
use serde_json::json;

use super::*;
use crate::input::file::faults::{self, Fault, inject};
use crate::input::file::read;
use crate::input::location::Location;
use crate::kinds;
use crate::options::options;
use crate::source::reloading;
use crate::{CredentialOptions, Credentials, Environment, Platform, Search};

const TEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Counts how often a task runs that uses no files.
pub(crate) fn count_ticks() -> Arc<AtomicUsize> {
    let ticks = Arc::new(AtomicUsize::new(0));
    let counted = ticks.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    ticks
}

fn touch(path: &Path, started: &Arc<AtomicUsize>) -> impl FnOnce() + Send + 'static {
    let (path, started) = (path.to_owned(), started.clone());
    move || {
        started.fetch_add(1, Ordering::Relaxed);
        faults::apply(&path, false).unwrap();
    }
}

#[tokio::test]
async fn successive_operations_share_threads() {
    let path = Path::new("/shared/threads");
    let mut threads = std::collections::HashSet::new();
    for _ in 0..50 {
        let id = run(path, READ_TIMEOUT, || thread::current().id()).await;
        threads.insert(id.unwrap());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(threads.len() < 25, "{} threads", threads.len());
}

#[tokio::test]
async fn panicking_operation_is_an_error_and_the_next_one_runs() {
    let path = Path::new("/panics");
    let result = run(path, READ_TIMEOUT, || panic!("in an operation")).await;
    assert!(result.is_err_and(|error: io::Error| error.kind() == io::ErrorKind::Other));
    assert_eq!(run(path, READ_TIMEOUT, || 7).await.unwrap(), 7);
}

#[tokio::test]
async fn hung_path_holds_one_thread() {
    let path = Path::new("/hung/one/thread");
    let hung = inject(path, Fault::Hang);
    let started = Arc::new(AtomicUsize::new(0));
    let limit = Duration::from_millis(100);
    for _ in 0..20 {
        let error = run(path, limit, touch(path, &started)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
    assert_eq!(started.load(Ordering::Relaxed), 1);
    assert!(run_briefly(path, touch(path, &started)).is_none());
    assert_eq!(started.load(Ordering::Relaxed), 1);
    let other = Path::new("/hung/other");
    run(other, READ_TIMEOUT, touch(other, &started))
        .await
        .unwrap();

    drop(hung);
    while run(path, limit, touch(path, &started)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn runtime_ends_while_an_operation_hangs() {
    let path = Path::new("/hung/runtime");
    let _hung = inject(path, Fault::Hang);
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let result = runtime.block_on(async {
            let operation = || faults::apply(path, false);
            let hung = run(path, READ_TIMEOUT, operation);
            // The caller's own deadline.
            timeout(Duration::from_millis(50), hung).await
        });
        drop(runtime);
        ended.send(result.is_err()).unwrap();
    });
    assert!(end.recv_timeout(TEST_TIMEOUT).unwrap());
}

#[test]
fn without_a_runtime_the_calling_thread_is_used() {
    let path = Path::new("/nowhere");
    let mut inline = pin!(run(path, READ_TIMEOUT, || thread::current().id()));
    let Poll::Ready(result) = inline
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    else {
        panic!("the operation did not finish at once");
    };
    assert_eq!(result.unwrap(), thread::current().id());
    let id = run_briefly(path, || thread::current().id());
    assert_eq!(id, Some(thread::current().id()));
}

type Fetch = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send>> + Send>;

/// An asynchronous operation that reads a file.
struct Case {
    name: &'static str,
    /// The file that cannot be read.
    path: PathBuf,
    /// The file that the error names if the read hangs.
    named: PathBuf,
    fetch: Fetch,
}

struct Machine {
    emulator: Emulator,
    dir: tempfile::TempDir,
}

const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const POOL: &str =
    "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers";

impl Machine {
    async fn new() -> Self {
        Self {
            emulator: Emulator::start().await.unwrap(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn options(&self) -> CredentialOptions {
        let allowed = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES";
        options(&self.emulator).environment(Environment::empty().with_var(allowed, "1"))
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Another inode, even if the clock stands still.
        let new = self.dir.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, &path).unwrap();
        path
    }

    fn jane(&self) -> User {
        self.emulator.create_user("jane@example.com")
    }

    fn search(&self, name: &'static str, path: PathBuf, environment: Environment) -> Case {
        let environment = environment.with_os(Platform::Linux);
        let search = Search::new(environment, self.options());
        self.search_with(name, path, search)
    }

    fn search_with(&self, name: &'static str, path: PathBuf, search: Search) -> Case {
        Case {
            name,
            named: path.clone(),
            path,
            fetch: Box::new(move || {
                let search = search.clone();
                Box::pin(async move {
                    let found = search
                        .find()
                        .await
                        .map_err(crate::Error::into_token_error)?;
                    found.credentials.token().await.map(drop)
                })
            }),
        }
    }

    fn searches(&self) -> Vec<Case> {
        let text = self.jane().authorized_user_json();
        let home = |name: &str| Environment::empty().with_home(self.dir.path().join(name));
        let ours = self.file("ee/.config/earthengine/credentials", &text);
        let gcloud = "gcloud/.config/gcloud/application_default_credentials.json";
        let gcloud = self.file(gcloud, &text);
        let named = self.file("named.json", &text);
        let given = self.file("given.json", &text);
        let variable = "GOOGLE_APPLICATION_CREDENTIALS";
        let naming = Environment::empty().with_var(variable, named.to_str().unwrap());
        let only = Search::new(Environment::empty(), self.options()).with_file(&given);
        vec![
            self.search("earthengine_file", ours, home("ee")),
            self.search("gcloud_adc", gcloud, home("gcloud")),
            self.search("named_adc", named, naming),
            self.search_with("with_file", given, only),
        ]
    }

    /// A rejected login whose file contains another login by now.
    async fn replaced(&self) -> Case {
        let old = self.jane();
        let path = self.file("replaced.json", &old.authorized_user_json());
        let location = Location::file(&path);
        let text = read(&location).unwrap();
        let (credential, _) =
            reloading::load(text, location, kinds::load, &self.options()).unwrap();
        self.emulator.revoke(old.refresh_token());
        let error = credential.source.fetch_token().await.unwrap_err();
        assert_eq!(error.kind(), Token::Rejected);
        self.file("replaced.json", &self.jane().authorized_user_json());
        let source: Arc<dyn TokenSource> = credential.source;
        Case {
            name: "replaced",
            named: path.clone(),
            path,
            fetch: Box::new(move || {
                let source = source.clone();
                Box::pin(async move {
                    assert!(source.can_retry_after_rejection());
                    source.fetch_token().await.map(drop)
                })
            }),
        }
    }

    fn federation(&self, name: &'static str, path: PathBuf, account: serde_json::Value) -> Case {
        let (options, text) = (self.options(), account.to_string());
        Case {
            name,
            named: path.clone(),
            path,
            fetch: Box::new(move || {
                let credentials = Credentials::from_json(&text, &options).unwrap();
                Box::pin(async move { credentials.token().await.map(drop) })
            }),
        }
    }

    fn federations(&self) -> Vec<Case> {
        let account = |audience: &str, kind: &str, host: &str, source: serde_json::Value| {
            json!({
                "type": "external_account", "audience": audience, "subject_token_type": kind,
                "token_url": format!("https://{host}/v1/token"), "credential_source": source,
            })
        };
        let audience = format!("{POOL}/oidc");
        let provider = self.emulator.create_oidc_provider(&audience);
        let token = provider.subject_token("me");
        let bearer = |source| account(&audience, JWT, "sts.googleapis.com", source);
        let subject = self.file("subject", &token);
        let mut cases = vec![self.federation(
            "subject_token",
            subject.clone(),
            bearer(json!({ "file": subject })),
        )];
        if cfg!(unix) {
            let output = json!({
                "version": 1, "success": true, "token_type": JWT, "id_token": token,
                "expiration_time": chrono::Utc::now().timestamp() + 3600,
            });
            let output = self.file("output", &output.to_string());
            let source = json!({"executable": {"command": "/bin/sh -c :", "output_file": output}});
            cases.push(self.federation("output_file", output, bearer(source)));
        }
        let audience = format!("{POOL}/x509");
        let shown = self
            .emulator
            .create_x509_provider(&audience)
            .certificate("workload.example");
        let certificate = self.file("leaf.pem", shown.certificate_pem());
        let key = self.file("key.pem", shown.key_pem());
        let chain = self.file("chain.pem", shown.issuer_pem());
        let workload = json!({"cert_path": certificate, "key_path": key});
        let config = json!({"cert_configs": {"workload": workload}});
        let config = self.file("config.json", &config.to_string());
        let account = account(
            &audience,
            "urn:ietf:params:oauth:token-type:mtls",
            "sts.mtls.googleapis.com",
            json!({"certificate": {
                "certificate_config_location": config, "trust_chain_path": chain,
            }}),
        );
        for (name, path) in [
            ("certificate_config", &config),
            ("certificate", &certificate),
            ("certificate_key", &key),
            ("certificate_chain", &chain),
        ] {
            cases.push(Case {
                named: config.clone(),
                ..self.federation(name, path.clone(), account.clone())
            });
        }
        cases
    }

    /// All of them but [`Self::replaced`].
    fn cases(&self) -> Vec<Case> {
        let mut cases = self.searches();
        cases.extend(self.federations());
        cases
    }
}

fn assert_transient(name: &str, error: &Error, path: &Path) {
    assert_eq!(error.kind(), Token::Io, "{name}: {error}");
    assert!(error.is_transient(), "{name}");
    let path = path.display().to_string();
    assert!(error.to_string().contains(&path), "{name}: {error}");
    assert!(!error.remedy().text.is_empty(), "{name}");
}

#[tokio::test]
async fn hung_files_hold_up_no_other_task() {
    let machine = Machine::new().await;
    let mut cases = machine.cases();
    cases.push(machine.replaced().await);
    let hung: Vec<_> = cases
        .iter()
        .map(|case| inject(&case.path, Fault::Hang))
        .collect();
    let ticks = count_ticks();
    let fetches = cases.iter().map(|case| tokio::spawn((case.fetch)()));
    for (case, fetch) in cases.iter().zip(fetches.collect::<Vec<_>>()) {
        let error = fetch.await.unwrap().unwrap_err();
        assert_transient(case.name, &error, &case.named);
        let said = error.to_string();
        assert!(said.contains("did not respond"), "{}: {error}", case.name);
    }
    // One for each 10 ms of the 5 s; far fewer on a machine that is busy.
    assert!(ticks.load(Ordering::Relaxed) > 50);
    drop(hung);
    for case in cases {
        let mut result = (case.fetch)().await;
        while result
            .as_ref()
            .is_err_and(|error| error.to_string().contains("did not respond"))
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
            result = (case.fetch)().await;
        }
        result.unwrap_or_else(|error| panic!("{}: {error}", case.name));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn system_errors_are_transient_wherever_a_file_is_read() {
    use rustix::io::Errno;
    let machine = Machine::new().await;
    let cases = machine.cases();
    for errno in [
        Errno::MFILE,
        Errno::NFILE,
        Errno::IO,
        Errno::STALE,
        Errno::NOMEM,
        Errno::TIMEDOUT,
        Errno::BUSY,
        Errno::AGAIN,
        Errno::NOLCK,
        Errno::NOBUFS,
        Errno::HOSTDOWN,
        Errno::NOTCONN,
        Errno::NXIO,
    ] {
        let number = errno.raw_os_error();
        for fault in [Fault::Error(number), Fault::OpenError(number)] {
            let replaced = machine.replaced().await;
            for case in cases.iter().chain([&replaced]) {
                let injected = inject(&case.path, fault);
                for _ in 0..2 {
                    let error = (case.fetch)().await.unwrap_err();
                    assert_transient(case.name, &error, &case.path);
                }
                drop(injected);
                let result = (case.fetch)().await;
                result.unwrap_or_else(|error| panic!("{} {errno}: {error}", case.name));
            }
        }
    }
}

/// A program that replaces a file may set its mode last.
#[cfg(unix)]
#[tokio::test]
async fn missing_permission_is_transient_while_a_file_is_replaced() {
    let machine = Machine::new().await;
    let case = machine.replaced().await;
    let denied = rustix::io::Errno::ACCESS.raw_os_error();
    let injected = inject(&case.path, Fault::OpenError(denied));
    for _ in 0..2 {
        let error = (case.fetch)().await.unwrap_err();
        assert_transient(case.name, &error, &case.path);
    }
    drop(injected);
    (case.fetch)().await.unwrap();

    let given = machine.file("given.json", &machine.jane().authorized_user_json());
    let _injected = inject(&given, Fault::OpenError(denied));
    let error = Credentials::from_file(&given, &machine.options()).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::InvalidFile);
}
