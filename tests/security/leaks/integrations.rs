//! Credentials in other clients: around another HTTP client (tower), in the blocking client, and
//! with google-cloud-auth. A test of each plants a leak and must detect it.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread;

use earthengine::credentials::GoogleCloudCredentials;
use earthengine::rest::{Auth, AuthLayer};
use earthengine::token::source_fn;
use earthengine::{AccessToken, Credentials, EarthEngineBuilder, VerifyLevel, blocking};
use ee_test_support::canaries::Canaries;
use google_cloud_auth::credentials::{
    self as google, CacheableResource, CredentialsProvider, EntityTag, api_key_credentials,
    user_account,
};
use google_cloud_auth::errors::CredentialsError;
use http::{Extensions, HeaderMap, Request, Response};
use serde_json::json;
use tokio::runtime::Runtime;
use tower_layer::Layer as _;
use tower_service::Service;

use crate::captured_output::{CapturedOutput, start_log};
use crate::credential_kinds::{Keys, make};
use crate::error_kinds::http_client;
use crate::hostile_server::{FAULTS, Fault, FaultyHosts, HostileServer};
use crate::malformed_responses::builder;

type BoxError = Box<dyn StdError + Send + Sync>;

fn has_leak(output: &CapturedOutput) -> bool {
    !output.leaks(&[]).is_empty()
}

/// Returns credentials whose source fails with a secret in its message.
fn leaking_source(canaries: &mut Canaries) -> Credentials {
    let secret = canaries.plant("the message of a source", "");
    Credentials::from_token_source(source_fn(move || {
        let message = format!("cannot use {secret}");
        async move {
            let kind = earthengine::token::ErrorKind::Rejected;
            Err::<AccessToken, _>(earthengine::token::Error::new(kind, message))
        }
    }))
}

/// An HTTP client that records its requests, like one that logs them.
#[derive(Debug, Clone)]
struct RecordingService {
    http: reqwest::Client,
    written: Arc<Mutex<String>>,
    /// Whether its errors contain the request.
    repeats_requests: bool,
}

impl RecordingService {
    fn new() -> Self {
        let http = http_client().redirect(reqwest::redirect::Policy::none());
        Self {
            http: http.build().unwrap(),
            written: Arc::default(),
            repeats_requests: false,
        }
    }
}

impl Service<Request<&'static str>> for RecordingService {
    type Response = Response<String>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<String>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<&'static str>) -> Self::Future {
        *self.written.lock().unwrap() += &format!("{request:?}\n{request:#?}\n");
        if self.repeats_requests {
            let sent = request.headers()["authorization"].as_bytes();
            let message = format!("cannot use {}", String::from_utf8_lossy(sent));
            return Box::pin(async { Err(message.into()) });
        }
        let request = reqwest::Request::try_from(request).unwrap();
        let sent = self.http.execute(request);
        Box::pin(async move {
            let received = sent.await?;
            let response = Response::builder().status(received.status());
            Ok(response.body(received.text().await?)?)
        })
    }
}

/// Sends a request through the layer, and records the output of each part.
async fn layered(
    output: &mut CapturedOutput,
    name: &str,
    layer: &AuthLayer,
    below: &RecordingService,
    uri: &str,
) {
    let mut service = layer.layer(below.clone());
    output.debug(name, layer);
    output.debug(name, &service);
    poll_fn(|context| service.poll_ready(context))
        .await
        .unwrap();
    let request = Request::post(uri).body("{}").unwrap();
    // The response belongs to the caller.
    if let Err(error) = service.call(request).await {
        output.failures += 1;
        match error.downcast_ref::<earthengine::rest::Error>() {
            Some(error) => output.error(name, error),
            None => output.add(name, format!("{error} {error:?}")),
        }
    }
    let written = std::mem::take(&mut *below.written.lock().unwrap());
    output.add(format!("{name}, written below"), written);
}

fn layer(canaries: &mut Canaries, name: &str, credentials: &Credentials) -> AuthLayer {
    let auth = match (credentials.token_cache(), credentials.api_key()) {
        (Some(cache), _) => {
            let key = canaries.plant(format!("{name}: an API key too"), "AIza");
            Auth::token_cache(cache.clone()).with_api_key(key.into())
        }
        (None, Some(key)) => Auth::api_key(key.clone()),
        (None, None) => panic!("{name}: no authentication"),
    };
    let layer = AuthLayer::new(auth).unwrap();
    layer.quota_project("ee-demo-project").unwrap()
}

#[tokio::test]
async fn tower_layer_leaks_nothing_from_any_response() {
    start_log();
    let keys = Keys::new().await;
    let dir = tempfile::tempdir().unwrap();
    let (mut output, below) = (CapturedOutput::default(), RecordingService::new());
    for kind in ["authorized user", "service account", "token", "API key"] {
        for fault in FAULTS {
            for hosts in [FaultyHosts::Everywhere, FaultyHosts::Api] {
                let name = format!("{kind}, {fault:?} {hosts:?}");
                let server = HostileServer::start(&name, fault, hosts).await;
                let made = make(kind, &name, &keys, dir.path());
                let options = made.options(kind, server.address).disk_cache(None);
                let credentials = made.credentials(&options).unwrap().unwrap();
                let layer = layer(&mut output.canaries, &name, &credentials);
                let uri = format!("http://{}/earthengine.googleapis.com/v1/x", server.address);
                layered(&mut output, &name, &layer, &below, &uri).await;
                output.canaries.extend(made.canaries);
                output.canaries.extend(server.canaries());
            }
        }
    }
    let token = output.canaries.plant("an unused token", "ya29.");
    let credentials = Credentials::from_token(AccessToken::new(&token).unwrap());
    let name = "another host";
    let layer = layer(&mut output.canaries, name, &credentials);
    for uri in [
        format!("https://ada:{token}@elsewhere.example/{token}?key={token}"),
        format!("http://earthengine.googleapis.com/?access_token={token}"),
        format!("/{token}"),
    ] {
        layered(&mut output, name, &layer, &below, &uri).await;
    }
    let broken = output.canaries.plant("an API key in two lines", "AIza");
    let refused = AuthLayer::new(Auth::api_key(format!("{broken}\n{broken}").into()));
    output.value_of("a broken key", refused);

    assert!(output.failures > 40, "{} failures", output.failures);
    assert!(output.contains("[redacted]"));
    assert!(output.contains("\"authorization\": Sensitive"));
    output.canaries.extend(keys.canaries);
    output.assert_clean();
}

#[tokio::test]
async fn leak_below_the_tower_layer_is_detected() {
    let mut output = CapturedOutput::default();
    let token = output.canaries.plant("a token", "ya29.");
    let credentials = Credentials::from_token(AccessToken::new(&token).unwrap());
    let layer = layer(&mut output.canaries, "a leak", &credentials);
    let below = RecordingService {
        repeats_requests: true,
        ..RecordingService::new()
    };
    layered(&mut output, "a leak", &layer, &below, "https://127.0.0.1/").await;
    assert!(has_leak(&output));

    let mut output = CapturedOutput::default();
    let leaking = leaking_source(&mut output.canaries);
    let layer = self::layer(&mut output.canaries, "a source", &leaking);
    layered(
        &mut output,
        "a source",
        &layer,
        &below,
        "https://127.0.0.1/",
    )
    .await;
    assert!(has_leak(&output));
}

/// Returns a runtime for the servers, because blocking callers have none.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// Makes every blocking call with these credentials.
fn blocked(
    output: &mut CapturedOutput,
    name: &str,
    credentials: &Credentials,
    address: SocketAddr,
) {
    let expression = json!({"result": "0", "values": {}});
    let verified = || builder(credentials, address);
    let unverified = || verified().verify(VerifyLevel::Skip);
    for connect in [&verified as &dyn Fn() -> EarthEngineBuilder, &unverified] {
        let Some(ee) = output.value_of(name, blocking::connect(connect())) else {
            continue;
        };
        output.debug(name, &ee);
        output.debug(name, ee.as_async());
        output.result(name, ee.token());
        // Results belong to the caller; no response has these types.
        output.value_of(name, ee.compute::<Vec<u64>>(&expression));
        output.value_of(name, ee.get_json::<Vec<u64>>("config"));
        output.value_of(name, ee.post_json::<Vec<u64>>("value:compute", &expression));
        let listing = ee.as_async().operations().list();
        let page = blocking::block_on(async {
            let page = listing.pages().next_page().await;
            page.unwrap_or_else(|| panic!("{name}: no page"))
        });
        output.value_of(name, page);
    }
    let projects = blocking::block_on(verified().list_projects());
    output.result(name, projects);
}

#[test]
fn blocking_client_leaks_nothing_from_any_response() {
    start_log();
    let runtime = runtime();
    let keys = runtime.block_on(Keys::new());
    let dir = tempfile::tempdir().unwrap();
    let case = |kind: &str, fault, hosts| {
        let mut output = CapturedOutput::default();
        let name = format!("{kind}, {fault:?} {hosts:?}, blocking");
        let server = runtime.block_on(HostileServer::start(&name, fault, hosts));
        let made = make(kind, &name, &keys, dir.path());
        let options = made.options(kind, server.address).disk_cache(None);
        let credentials = made.credentials(&options).unwrap().unwrap();
        blocked(&mut output, &name, &credentials, server.address);
        // Inside of async code the calls fail without a request.
        let inside =
            runtime.block_on(async { blocking::connect(builder(&credentials, server.address)) });
        assert!(output.value_of(&name, inside).is_none(), "the call blocked");
        output.canaries.extend(made.canaries);
        output.canaries.extend(server.canaries());
        output
    };
    let mut all = CapturedOutput::default();
    thread::scope(|threads| {
        let cases = FAULTS.map(|fault| {
            threads.spawn(move || {
                [
                    case("authorized user", fault, FaultyHosts::Everywhere),
                    case("authorized user", fault, FaultyHosts::Api),
                    case("API key", fault, FaultyHosts::Api),
                ]
            })
        });
        for output in cases.into_iter().flat_map(|case| case.join().unwrap()) {
            all.extend(output);
        }
    });
    // The shared client, replaced each time.
    for fault in [Fault::InvalidGrant, Fault::Google(403), Fault::Echo] {
        let name = format!("{fault:?}, process-wide");
        let server = runtime.block_on(HostileServer::start(&name, fault, FaultyHosts::Everywhere));
        let made = make("authorized user", &name, &keys, dir.path());
        let options = made
            .options("authorized user", server.address)
            .disk_cache(None);
        let credentials = made.credentials(&options).unwrap().unwrap();
        let ee = blocking::initialize(builder(&credentials, server.address));
        all.result(&name, ee);
        earthengine::reset();
        all.canaries.extend(made.canaries);
        all.canaries.extend(server.canaries());
    }
    assert!(all.failures > 300, "{} failures", all.failures);
    assert!(all.contains("[redacted]"));
    all.assert_clean();
}

#[test]
fn leak_in_the_blocking_client_is_detected() {
    let unused_address = ([127, 0, 0, 1], 9).into();
    let mut output = CapturedOutput::default();
    let leaking = leaking_source(&mut output.canaries);
    let ended = blocking::connect(builder(&leaking, unused_address));
    assert!(output.value_of("connect", ended).is_none() && has_leak(&output));

    let mut output = CapturedOutput::default();
    let leaking = leaking_source(&mut output.canaries);
    let ee =
        blocking::connect(builder(&leaking, unused_address).verify(VerifyLevel::Skip)).unwrap();
    assert!(output.value_of("token", ee.token()).is_none() && has_leak(&output));
}

/// Credentials of google-cloud-auth that return a secret instead of headers.
#[derive(Debug)]
struct LeakingProvider(String);

impl CredentialsProvider for LeakingProvider {
    async fn headers(
        &self,
        _: Extensions,
    ) -> Result<CacheableResource<HeaderMap>, CredentialsError> {
        Err(CredentialsError::from_msg(false, self.0.clone()))
    }

    async fn universe_domain(&self) -> Option<String> {
        None
    }
}

/// Credentials of google-cloud-auth that return a token once and then another result.
#[derive(Debug, Default)]
struct Odd {
    token: String,
    asked: Mutex<usize>,
}

impl CredentialsProvider for Odd {
    async fn headers(
        &self,
        _: Extensions,
    ) -> Result<CacheableResource<HeaderMap>, CredentialsError> {
        let mut asked = self.asked.lock().unwrap();
        *asked += 1;
        let value = match *asked {
            1 => format!("Bearer {}", self.token),
            2 => format!("Basic {}", self.token),
            3 => format!("Bearer {} {}", self.token, self.token),
            _ => return Ok(CacheableResource::NotModified),
        };
        let mut data = HeaderMap::new();
        data.insert("authorization", value.parse().unwrap());
        Ok(CacheableResource::New {
            entity_tag: EntityTag::new(),
            data,
        })
    }

    async fn universe_domain(&self) -> Option<String> {
        None
    }
}

#[tokio::test]
async fn google_cloud_auth_adapter_leaks_nothing() {
    start_log();
    // google-cloud-auth requires a process-wide provider. Another test may have installed one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let keys = Keys::new().await;
    let dir = tempfile::tempdir().unwrap();
    let mut output = CapturedOutput::default();
    for fault in FAULTS {
        for hosts in [FaultyHosts::Everywhere, FaultyHosts::Api] {
            let name = format!("google, {fault:?} {hosts:?}");
            let server = HostileServer::start(&name, fault, hosts).await;
            let mut secret = |what: &str, start| {
                let name = format!("{name}: the {what}");
                output.canaries.plant(name, start)
            };
            let file = json!({
                "type": "authorized_user", "client_id": "1-a.apps.googleusercontent.com",
                "client_secret": secret("client secret", "GOCSPX-"),
                "refresh_token": secret("refresh token", "1//0g"),
                "quota_project_id": "ee-demo-project",
            });
            let address = server.address;
            let user = user_account::Builder::new(file)
                .with_token_uri(format!("http://{address}/oauth2.googleapis.com/token"))
                .build()
                .unwrap();
            let credentials = Credentials::from_google_cloud(user).await;
            if let Some(credentials) = output.result(&name, credentials) {
                output.result(&name, credentials.token().await);
                output.result(&name, builder(&credentials, address).connect().await);
            }

            // The adapter in the other direction.
            let made = make("authorized user", &name, &keys, dir.path());
            let options = made.options("authorized user", address).disk_cache(None);
            let credentials = made.credentials(&options).unwrap().unwrap();
            let adapter = google::Credentials::from(GoogleCloudCredentials::new(credentials));
            let headers = adapter.headers(Extensions::new()).await;
            let headers = output.value_of(&name, headers);
            output.debug(&name, &(headers, adapter));
            output.canaries.extend(made.canaries);
            output.canaries.extend(server.canaries());
        }
    }
    let key = output.canaries.plant("their API key", "AIza");
    let key_credentials = api_key_credentials::Builder::new(key).build();
    let credentials = Credentials::from_google_cloud(key_credentials)
        .await
        .unwrap();
    output.debug("an API key", &credentials);

    let odd = Odd {
        token: output.canaries.plant("an odd token", "ya29."),
        ..Odd::default()
    };
    let credentials = Credentials::from_google_cloud(odd.into()).await.unwrap();
    for name in ["no bearer", "two words", "nothing new"] {
        let token = credentials.token().await;
        assert!(output.value_of(name, token).is_none(), "{name}");
        output.debug(name, &credentials);
    }
    let text = format!("no token for {}", output.canaries.plant("words", "1//0g"));
    let credentials = Credentials::from_google_cloud(LeakingProvider(text).into()).await;
    assert!(output.value_of("words", credentials).is_none());

    assert!(output.failures > 40, "{} failures", output.failures);
    assert!(output.contains("[redacted]"));
    output.assert_clean();
}

#[tokio::test]
async fn leak_in_google_cloud_auth_is_detected() {
    let mut output = CapturedOutput::default();
    // It does not look like one of Google's secrets, which would be redacted.
    let secret = output.canaries.plant("a secret like no other", "");
    let text: Vec<_> = secret
        .as_bytes()
        .chunks(13)
        .map(String::from_utf8_lossy)
        .collect();
    let leaking = LeakingProvider(text.join(" "));
    let credentials = Credentials::from_google_cloud(leaking.into()).await;
    assert!(output.value_of("words", credentials).is_none() && has_leak(&output));
}
