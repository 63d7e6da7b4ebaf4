//! Every kind of credential with every malformed response: of the token host, of the hosts after
//! it, and of the API. Errors, `Debug`, panics and the log must contain no secret.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use earthengine::credentials::ObjectStoreCredentials;
use earthengine::rest::{Auth, Client};
use earthengine::token::{HttpClient, revoke};
use earthengine::{
    Credentials, EarthEngine, EarthEngineBuilder, Endpoints, Method, PixelGrid, RetryPolicy,
};
use object_store::CredentialProvider as _;
use serde_json::{Value, json};

use crate::captured_output::{CapturedOutput, assert_none, log_text, start_log};
use crate::cases::{Case, run_all};
use crate::credential_kinds::KINDS;
use crate::hostile_server::{FAULTS, Fault, FaultyHosts, HostileServer};

/// Adds the names and contents of all files in a directory, and returns their number.
fn sweep(output: &mut CapturedOutput, name: &str, dir: &Path) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        output.add(format!("{name}, file name"), path.display().to_string());
        if path.is_dir() {
            files += sweep(output, name, &path);
        } else {
            files += 1;
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            output.add(format!("{name}, file"), text);
        }
    }
    files
}

/// Returns the number of tokens on disk.
async fn use_everywhere(mut case: Case) -> (Case, usize) {
    let credentials = case.credentials().await;
    let (name, address) = (&case.name, case.server.address);
    let output = &mut case.output;
    if let Some(credentials) = credentials {
        let token = credentials.token().await;
        // Once for each kind, because resolving a backtrace takes long.
        if case.fault == Fault::InvalidGrant {
            output.result_and_panic(name, token);
        } else {
            output.result(name, token);
        }
        let of = |part: &str| format!("{name}, {part}");
        let scopes = credentials.fetch_granted_scopes().await;
        output.value_of(&of("granted scopes"), scopes);
        let principal = credentials.fetch_principal().await;
        output.value_of(&of("principal"), principal);
        output.debug(&of("credentials"), &credentials);
        // Requests for the metadata server's own account are retried for long.
        if case.hosts != FaultyHosts::Everywhere || case.kind != "metadata server" {
            connect(output, name, &credentials, address).await;
        }
        if case.hosts == FaultyHosts::Api {
            requests(output, name, &credentials, address, case.dir.path()).await;
        }
        let adapter = ObjectStoreCredentials::new(credentials.clone());
        output.debug(&of("for Cloud Storage"), &adapter);
        let credential = adapter.get_credential().await;
        output.value_of(&of("for Cloud Storage"), credential);
    }
    let cached = sweep(output, &format!("{name}, token cache"), &case.made.cache);
    (case, cached)
}

pub(crate) fn builder(credentials: &Credentials, address: SocketAddr) -> EarthEngineBuilder {
    EarthEngine::builder()
        .isolated()
        .endpoints(Endpoints::emulator(address).unwrap())
        .credentials(credentials.clone())
        .project("ee-demo-project")
        .retry_policy(RetryPolicy::none())
}

/// Uses the credentials in `connect`, the doctor, the status and the list of projects.
async fn connect(
    output: &mut CapturedOutput,
    name: &str,
    credentials: &Credentials,
    address: SocketAddr,
) {
    let builder = || builder(credentials, address);
    let of = |part: &str| format!("{name}, {part}");
    output.debug(&of("builder"), &builder());
    let connected = builder().connect().await;
    if let Err(error) = &connected {
        output.add(of("message"), format!("{:?}", error.server_message()));
    }
    if let Some(ee) = output.result(&of("connect"), connected) {
        output.add(of("message"), ee.init_message().unwrap_or_default());
    }
    output.debug(&of("doctor"), &builder().diagnose().await);
    output.result(&of("status"), builder().login_status().await);
    output.result(&of("projects"), builder().list_projects().await);
}

/// Uses the credentials in requests.
async fn requests(
    output: &mut CapturedOutput,
    name: &str,
    credentials: &Credentials,
    address: SocketAddr,
    dir: &Path,
) {
    let of = |part: &str| format!("{name}, {part}");
    let http = HttpClient::new(Endpoints::emulator(address).unwrap());
    let auth = match (credentials.token_cache(), credentials.api_key()) {
        (Some(cache), _) => {
            let key = output.canaries.plant(of("an API key too"), "AIza");
            Auth::token_cache(cache.clone()).with_api_key(key.into())
        }
        (None, Some(key)) => Auth::api_key(key.clone()),
        (None, None) => panic!("{name}: no authentication"),
    };
    output.debug(&of("auth"), &auth);
    let events = Arc::new(Mutex::new(CapturedOutput::default()));
    let recorded = Arc::clone(&events);
    let client = Client::builder(auth, http)
        .project("ee-demo-project")
        .retry_policy(RetryPolicy {
            max_retries: 1,
            initial_backoff: Duration::from_millis(1),
            ..RetryPolicy::default()
        })
        .on_event(move |event| recorded.lock().unwrap().debug("an event", event))
        .build()
        .unwrap();
    output.debug(&of("rest client"), &client);
    output.debug(&of("rest builder"), &client.to_builder());
    let request = client.request(Method::GET, "config");
    output.debug(&of("request"), &request);
    let sent = request.send().await;
    if let Err(error) = &sent {
        output.debug(&of("api error"), &error.api());
    }
    if let Some(response) = output.result(&of("request"), sent) {
        output.value_of(&of("response's json"), response.json::<Vec<u64>>());
    }
    let batch = client.batch().get("a", "config").send().await;
    output.result(&of("batch"), batch);
    let expression = json!({"result": "0", "values": {}});
    let computed = client.compute::<Value>(&expression).await;
    output.value_of(&of("compute"), computed);
    let grid = PixelGrid::degrees(8.0, 47.5, 0.01, 3, 2);
    let pixels = client.compute_pixels(&expression).grid(&grid);
    let saved = pixels.save(dir.join("pixels")).await;
    output.value_of(&of("download"), saved);
    let millisecond = Duration::from_millis(1);
    let operation = client
        .operations()
        .wait("an-export")
        .poll_interval(millisecond, millisecond)
        .deadline(50 * millisecond);
    output.value_of(&of("operation"), operation.await);
    let page = client.assets().list("projects/ee-demo-project/assets");
    if let Some(page) = page.pages().next_page().await {
        output.value_of(&of("page"), page);
    }
    output.extend(std::mem::take(&mut *events.lock().unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_leak_nothing_from_any_response() {
    let mut cases = Vec::new();
    for kind in KINDS {
        for fault in FAULTS {
            for hosts in [
                FaultyHosts::Everywhere,
                FaultyHosts::Exchange,
                FaultyHosts::Behind,
                FaultyHosts::Api,
            ] {
                // A kind without such a host is skipped.
                let is_there = match hosts {
                    FaultyHosts::Behind => matches!(
                        kind,
                        "impersonated" | "federation with impersonation" | "authorized user"
                    ),
                    FaultyHosts::Exchange => {
                        let is_aws = kind.starts_with("AWS by") && kind != "AWS by variables";
                        is_aws || kind == "subject token at a URL"
                    }
                    FaultyHosts::Everywhere | FaultyHosts::Api => true,
                };
                if is_there {
                    cases.push((kind, fault, hosts));
                }
            }
        }
    }
    let results = run_all(cases, use_everywhere).await;
    assert!(results.failures > 500, "{} failures", results.failures);
    assert!(results.echoes > 100, "{} echoes", results.echoes);
    assert!(results.tokens > 20, "{} tokens on disk", results.tokens);
    for secret in ["an AWS metadata session", "an AWS key", "a subject token"] {
        let mut names = results.canaries.names();
        assert!(names.any(|name| name.contains(secret)), "no {secret}");
    }
    let log = log_text();
    for target in ["hyper_util", "reqwest", "ee_token", "ee_rest"] {
        assert!(log.contains(target), "{target} said nothing");
    }
    assert_none(&results.leaks);
}

#[tokio::test]
async fn revocation_leaks_nothing_from_any_response() {
    start_log();
    let mut output = CapturedOutput::default();
    for fault in FAULTS {
        let name = format!("revocation, {fault:?}");
        let server = HostileServer::start(&name, fault, FaultyHosts::Everywhere).await;
        let token = output.canaries.plant(name.clone(), "1//0g");
        let http = HttpClient::new(Endpoints::emulator(server.address).unwrap());
        output.value_of(&name, revoke(&http, &token.into()).await);
        output.canaries.extend(server.canaries());
    }
    assert!(output.failures > 10, "{} failures", output.failures);
    output.assert_clean();
}
