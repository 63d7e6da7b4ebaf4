//! Every kind of credential meets every broken answer: at the token's host, behind it, and at
//! the API. What comes out of errors, `Debug`, panics and the log has no secret.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use earthengine::credentials::{ObjectStoreCredentials, Search};
use earthengine::rest::{Auth, Client};
use earthengine::token::{HttpClient, revoke};
use earthengine::{
    Credentials, EarthEngine, EarthEngineBuilder, Endpoints, Method, PixelGrid, RetryPolicy,
};
use object_store::CredentialProvider as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::canary::{Canaries, Leak};
use crate::hostile::{FAULTS, Fault, Hostile, Where};
use crate::kinds::{KINDS, Keys, make};
use crate::sinks::{Sinks, assert_none, log_text, panic_text, start_log};

/// What one case showed, and what must not be in it.
struct Case {
    sinks: Sinks,
    canaries: Canaries,
    failures: usize,
    /// The tokens that are on disk.
    kept: usize,
    leaks: Vec<(String, Leak)>,
}

/// The names and the contents of all files under a folder; how many there are.
fn sweep(sinks: &mut Sinks, name: &str, folder: &Path) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        sinks.add(format!("{name}, file name"), path.display().to_string());
        if path.is_dir() {
            files += sweep(sinks, name, &path);
        } else {
            files += 1;
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            sinks.add(format!("{name}, file"), text);
        }
    }
    files
}

async fn case(kind: &'static str, fault: Fault, place: Where, keys: Arc<Keys>) -> Case {
    let name = format!("{kind}, {fault:?} {place:?}");
    let folder = tempfile::tempdir().unwrap();
    let server = Hostile::start(&name, fault, place).await;
    let made = make(kind, &name, &keys, folder.path());
    let options = made.options(kind, server.address);
    let mut case = Case {
        sinks: Sinks::default(),
        canaries: made.canaries.clone(),
        failures: 0,
        kept: 0,
        leaks: Vec::new(),
    };
    let sinks = &mut case.sinks;
    let credentials = match made.credentials(&options) {
        Some(credentials) => Some(credentials.unwrap_or_else(|error| panic!("{name}: {error}"))),
        None => match Search::new(made.environment(), options.clone())
            .find()
            .await
        {
            Ok(found) => {
                sinks.debug(&name, &found);
                Some(found.credentials)
            }
            Err(error) => {
                sinks.error(&name, &error);
                case.failures += 1;
                None
            }
        },
    };
    sinks.debug(&name, &options);
    if let Some(credentials) = credentials {
        match credentials.token().await {
            Ok(token) => case.sinks.debug(&name, &token),
            Err(error) => {
                case.failures += 1;
                let sinks = &mut case.sinks;
                sinks.error(&name, &error);
                sinks.add(&name, format!("{:?}", error.remedy()));
                // Once for each kind: to name the functions on a stack takes a while.
                if fault == Fault::InvalidGrant {
                    sinks.add(&name, panic_text(|| panic!("{error:?}: {error}")));
                }
            }
        }
        if let Err(error) = credentials.fetch_granted_scopes().await {
            case.sinks.error(&format!("{name}, granted scopes"), &error);
        }
        if let Err(error) = credentials.fetch_principal().await {
            case.sinks.error(&format!("{name}, principal"), &error);
        }
        case.sinks
            .debug(&format!("{name}, credentials"), &credentials);
        // Where the machine's own account is asked for, it is asked for with much patience.
        if place != Where::Everywhere || kind != "metadata server" {
            connect(&mut case, &name, &credentials, server.address).await;
        }
        if place == Where::Api {
            requests(
                &mut case,
                &name,
                &credentials,
                server.address,
                folder.path(),
            )
            .await;
        }
        let theirs = ObjectStoreCredentials::new(credentials.clone());
        case.sinks
            .debug(&format!("{name}, for Cloud Storage"), &theirs);
        if let Err(error) = theirs.get_credential().await {
            case.sinks
                .error(&format!("{name}, for Cloud Storage"), &error);
        }
    }
    case.kept = sweep(
        &mut case.sinks,
        &format!("{name}, token cache"),
        &made.cache,
    );
    case.canaries.extend(server.canaries());
    case.leaks = case.sinks.leaks(&case.canaries, &[]);
    case.leaks.extend(case.sinks.leaks_of(&keys.finder, &[]));
    case
}

pub(crate) fn builder(credentials: &Credentials, address: SocketAddr) -> EarthEngineBuilder {
    EarthEngine::builder()
        .isolated()
        .endpoints(Endpoints::emulator(address).unwrap())
        .credentials(credentials.clone())
        .project("ee-demo-project")
        .retry_policy(RetryPolicy::none())
}

/// The same credentials in `connect`, the doctor, the status and the list of projects.
async fn connect(case: &mut Case, name: &str, credentials: &Credentials, address: SocketAddr) {
    let builder = || builder(credentials, address);
    let sink = |what: &str| format!("{name}, {what}");
    case.sinks.debug(&sink("builder"), &builder());
    match builder().connect().await {
        Ok(ee) => {
            case.sinks.debug(&sink("client"), &ee);
            let message = ee.init_message().unwrap_or_default();
            case.sinks.add(sink("message"), message);
        }
        Err(error) => {
            case.failures += 1;
            case.sinks.error(&sink("connect"), &error);
            let more = format!("{:?} {:?}", error.remedy(), error.server_message());
            case.sinks.add(sink("remedy"), more);
        }
    }
    case.sinks
        .debug(&sink("doctor"), &builder().diagnose().await);
    match builder().login_status().await {
        Ok(status) => case.sinks.debug(&sink("status"), &status),
        Err(error) => case.sinks.error(&sink("status"), &error),
    }
    match builder().list_projects().await {
        Ok(projects) => case.sinks.debug(&sink("projects"), &projects),
        Err(error) => case.sinks.error(&sink("projects"), &error),
    }
}

/// The same credentials in requests.
async fn requests(
    case: &mut Case,
    name: &str,
    credentials: &Credentials,
    address: SocketAddr,
    folder: &Path,
) {
    let sink = |what: &str| format!("{name}, {what}");
    let http = HttpClient::new(Endpoints::emulator(address).unwrap());
    let auth = match (credentials.token_cache(), credentials.api_key()) {
        (Some(cache), _) => {
            let secret = case
                .canaries
                .plant(format!("{name}: an API key too"), "AIza");
            Auth::token_cache(cache.clone()).with_api_key(secret.into())
        }
        (None, Some(key)) => Auth::api_key(key.clone()),
        (None, None) => panic!("{name}: no proof"),
    };
    case.sinks.debug(&sink("auth"), &auth);
    let listened = Arc::new(Mutex::new(Sinks::default()));
    let heard = Arc::clone(&listened);
    let client = Client::builder(auth, http)
        .project("ee-demo-project")
        .retry_policy(RetryPolicy {
            max_retries: 1,
            initial_backoff: Duration::from_millis(1),
            ..RetryPolicy::default()
        })
        .on_event(move |signal| heard.lock().unwrap().debug("a signal", signal))
        .build()
        .unwrap();
    case.sinks.debug(&sink("rest client"), &client);
    case.sinks
        .debug(&sink("rest builder"), &client.to_builder());
    let request = client.request(Method::GET, "config");
    case.sinks.debug(&sink("request"), &request);
    match request.send().await {
        Ok(response) => {
            case.sinks.debug(&sink("response"), &response);
            if let Err(error) = response.json::<Vec<u64>>() {
                case.sinks.error(&sink("response's json"), &error);
            }
        }
        Err(error) => {
            case.sinks.error(&sink("request"), &error);
            case.sinks.debug(&sink("api error"), &error.api());
        }
    }
    match client.batch().get("a", "config").send().await {
        Ok(reply) => case.sinks.debug(&sink("batch"), &reply),
        Err(error) => case.sinks.error(&sink("batch"), &error),
    }
    let expression = json!({"result": "0", "values": {}});
    if let Err(error) = client.compute::<Value>(&expression).await {
        case.sinks.error(&sink("compute"), &error);
    }
    let pixels = client
        .compute_pixels(&expression)
        .grid(&PixelGrid::degrees(8.0, 47.5, 0.01, 3, 2));
    if let Err(error) = pixels.save(folder.join("pixels")).await {
        case.sinks.error(&sink("download"), &error);
    }
    let millisecond = Duration::from_millis(1);
    let ended = client
        .operations()
        .wait("an-export")
        .poll_interval(millisecond, millisecond)
        .deadline(50 * millisecond);
    if let Err(error) = ended.await {
        case.sinks.error(&sink("operation"), &error);
    }
    let page = client.assets().list("projects/ee-demo-project/assets");
    if let Some(Err(error)) = page.pages().next_page().await {
        case.sinks.error(&sink("page"), &error);
    }
    let mut listened = listened.lock().unwrap();
    case.sinks.extend(std::mem::take(&mut listened));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_what_any_credential_says_of_any_answer() {
    start_log();
    let keys = Arc::new(Keys::new().await);
    let mut running = JoinSet::new();
    for kind in KINDS {
        for fault in FAULTS {
            for place in [
                Where::Everywhere,
                Where::Exchange,
                Where::Behind,
                Where::Api,
            ] {
                // What is not there is behind nothing.
                let is_there = match place {
                    Where::Behind => matches!(
                        kind,
                        "impersonated" | "federation with impersonation" | "authorized user"
                    ),
                    Where::Exchange => {
                        matches!(kind, "subject token at a URL" | "AWS by its machine")
                    }
                    Where::Everywhere | Where::Api => true,
                };
                if !is_there {
                    continue;
                }
                running.spawn(case(kind, fault, place, Arc::clone(&keys)));
            }
        }
    }
    let (mut leaks, mut failures, mut echoes, mut kept) = (Vec::new(), 0, 0, 0);
    let mut canaries = keys.canaries.clone();
    while let Some(case) = running.join_next().await {
        let case = case.unwrap();
        leaks.extend(case.leaks);
        failures += case.failures;
        kept += case.kept;
        echoes += usize::from(case.sinks.contains("[redacted]"));
        canaries.extend(case.canaries);
    }
    assert!(failures > 500, "{failures} failures: where are the faults?");
    assert!(echoes > 100, "{echoes} echoes");
    assert!(kept > 100, "{kept} tokens on disk");
    for told in [
        "a session with AWS's metadata",
        "an AWS key",
        "a subject token",
    ] {
        let mut names = canaries.names();
        assert!(names.any(|name| name.contains(told)), "no {told}");
    }
    let log = log_text();
    for target in ["hyper_util", "reqwest", "ee_token", "ee_rest"] {
        assert!(log.contains(target), "{target} said nothing");
    }
    for leak in canaries.finder_of_every(4).find(&log) {
        leaks.push(("the log".to_owned(), leak));
    }
    assert_none(&leaks);
}

#[tokio::test]
async fn no_secret_is_in_what_a_revocation_says() {
    start_log();
    let (mut sinks, mut canaries) = (Sinks::default(), Canaries::default());
    for fault in FAULTS {
        let name = format!("revocation, {fault:?}");
        let server = Hostile::start(&name, fault, Where::Everywhere).await;
        let token = canaries.plant(name.clone(), "1//0g");
        let http = HttpClient::new(Endpoints::emulator(server.address).unwrap());
        if let Err(error) = revoke(&http, &token.into()).await {
            sinks.error(&name, &error);
        }
        canaries.extend(server.canaries());
    }
    assert!(sinks.len() > 10);
    sinks.assert_clean(&canaries, &[]);
}
