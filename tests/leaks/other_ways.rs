//! The same credentials on other ways: around somebody else's HTTP client (tower), without async,
//! and together with Google's own client. A test of each way plants a leak there, and must see it.

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
use google_cloud_auth::credentials::{
    self as theirs, CacheableResource, CredentialsProvider, EntityTag, api_key_credentials,
    user_account,
};
use google_cloud_auth::errors::CredentialsError;
use http::{Extensions, HeaderMap, Request, Response};
use serde_json::json;
use tokio::runtime::Runtime;
use tower_layer::Layer as _;
use tower_service::Service;

use crate::answers::builder;
use crate::canary::Canaries;
use crate::every_kind::http_client;
use crate::hostile::{FAULTS, Fault, Hostile, Where};
use crate::kinds::{Keys, make};
use crate::sinks::{Sinks, assert_log_clean, start_log};

type BoxError = Box<dyn StdError + Send + Sync>;

/// What was said, and what must not be in it.
#[derive(Default)]
struct Looked {
    sinks: Sinks,
    canaries: Canaries,
    failures: usize,
}

impl Looked {
    fn ended<T, E: StdError + 'static>(&mut self, name: &str, ended: Result<T, E>) -> Option<T> {
        match ended {
            Ok(value) => Some(value),
            Err(error) => {
                self.failures += 1;
                self.sinks.error(name, &error);
                None
            }
        }
    }

    fn sees_a_leak(&self) -> bool {
        !self.sinks.leaks(&self.canaries, &[]).is_empty()
    }

    fn assert_clean(&self) {
        self.sinks.assert_clean(&self.canaries, &[]);
        assert_log_clean(&self.canaries);
    }
}

/// Credentials whose source says a secret when it has no token.
fn of_a_source_that_tells(canaries: &mut Canaries) -> Credentials {
    let secret = canaries.plant("what a source tells", "");
    Credentials::from_token_source(source_fn(move || {
        let told = format!("cannot use {secret}");
        async move {
            let kind = earthengine::token::ErrorKind::Rejected;
            Err::<AccessToken, _>(earthengine::token::Error::new(kind, told))
        }
    }))
}

/// Somebody's HTTP client, which writes down what it is given, as one that logs does.
#[derive(Debug, Clone)]
struct Below {
    http: reqwest::Client,
    written: Arc<Mutex<String>>,
    /// Whether its errors say what was sent.
    tells: bool,
}

impl Below {
    fn new() -> Self {
        let http = http_client().redirect(reqwest::redirect::Policy::none());
        Self {
            http: http.build().unwrap(),
            written: Arc::default(),
            tells: false,
        }
    }
}

impl Service<Request<&'static str>> for Below {
    type Response = Response<String>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<String>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<&'static str>) -> Self::Future {
        *self.written.lock().unwrap() += &format!("{request:?}\n{request:#?}\n");
        if self.tells {
            let sent = request.headers()["authorization"].as_bytes();
            let told = format!("cannot use {}", String::from_utf8_lossy(sent));
            return Box::pin(async { Err(told.into()) });
        }
        let request = reqwest::Request::try_from(request).unwrap();
        let sent = self.http.execute(request);
        Box::pin(async move {
            let reply = sent.await?;
            let answer = Response::builder().status(reply.status());
            Ok(answer.body(reply.text().await?)?)
        })
    }
}

/// A request through the layer, and what everybody on the way says of it.
async fn layered(looked: &mut Looked, name: &str, layer: &AuthLayer, below: &Below, uri: &str) {
    let mut service = layer.layer(below.clone());
    looked.sinks.debug(name, layer);
    looked.sinks.debug(name, &service);
    poll_fn(|context| service.poll_ready(context))
        .await
        .unwrap();
    let request = Request::post(uri).body("{}").unwrap();
    // What the server answers is the caller's, as it came.
    if let Err(error) = service.call(request).await {
        looked.failures += 1;
        match error.downcast_ref::<earthengine::rest::Error>() {
            Some(ours) => looked.sinks.error(name, ours),
            None => looked.sinks.add(name, format!("{error} {error:?}")),
        }
    }
    let written = std::mem::take(&mut *below.written.lock().unwrap());
    looked.sinks.add(format!("{name}, written below"), written);
}

fn layer(canaries: &mut Canaries, name: &str, credentials: &Credentials) -> AuthLayer {
    let auth = match (credentials.token_cache(), credentials.api_key()) {
        (Some(cache), _) => {
            let key = canaries.plant(format!("{name}: an API key too"), "AIza");
            Auth::token_cache(cache.clone()).with_api_key(key.into())
        }
        (None, Some(key)) => Auth::api_key(key.clone()),
        (None, None) => panic!("{name}: no proof"),
    };
    let layer = AuthLayer::new(auth).unwrap();
    layer.quota_project("ee-demo-project").unwrap()
}

#[tokio::test]
async fn no_secret_is_in_what_the_layer_for_other_http_clients_says_of_any_answer() {
    start_log();
    let keys = Keys::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (mut looked, below) = (Looked::default(), Below::new());
    for kind in ["authorized user", "service account", "token", "API key"] {
        for fault in FAULTS {
            for place in [Where::Everywhere, Where::Api] {
                let name = format!("{kind}, {fault:?} {place:?}");
                let server = Hostile::start(&name, fault, place).await;
                let made = make(kind, &name, &keys, folder.path());
                let options = made.options(kind, server.address).disk_cache(None);
                let credentials = made.credentials(&options).unwrap().unwrap();
                let layer = layer(&mut looked.canaries, &name, &credentials);
                let uri = format!("http://{}/earthengine.googleapis.com/v1/x", server.address);
                layered(&mut looked, &name, &layer, &below, &uri).await;
                looked.canaries.extend(made.canaries);
                looked.canaries.extend(server.canaries());
            }
        }
    }
    let token = looked.canaries.plant("a token for nobody", "ya29.");
    let credentials = Credentials::from_token(AccessToken::new(&token).unwrap());
    let name = "another host";
    let layer = layer(&mut looked.canaries, name, &credentials);
    for uri in [
        format!("https://ada:{token}@elsewhere.example/{token}?key={token}"),
        format!("http://earthengine.googleapis.com/?access_token={token}"),
        format!("/{token}"),
    ] {
        layered(&mut looked, name, &layer, &below, &uri).await;
    }
    let broken = looked.canaries.plant("an API key in two lines", "AIza");
    let refused = AuthLayer::new(Auth::api_key(format!("{broken}\n{broken}").into()));
    looked.ended("a broken key", refused);

    assert!(looked.failures > 40, "{} failures", looked.failures);
    assert!(looked.sinks.contains("[redacted]"));
    assert!(looked.sinks.contains("\"authorization\": Sensitive"));
    looked.canaries.extend(keys.canaries);
    looked.assert_clean();
}

#[tokio::test]
async fn a_leak_of_an_http_client_below_the_layer_is_seen() {
    let mut looked = Looked::default();
    let token = looked.canaries.plant("a token", "ya29.");
    let credentials = Credentials::from_token(AccessToken::new(&token).unwrap());
    let layer = layer(&mut looked.canaries, "a leak", &credentials);
    let below = Below {
        tells: true,
        ..Below::new()
    };
    layered(&mut looked, "a leak", &layer, &below, "https://127.0.0.1/").await;
    assert!(looked.sees_a_leak());

    let mut looked = Looked::default();
    let telling = of_a_source_that_tells(&mut looked.canaries);
    let layer = self::layer(&mut looked.canaries, "a source", &telling);
    layered(
        &mut looked,
        "a source",
        &layer,
        &below,
        "https://127.0.0.1/",
    )
    .await;
    assert!(looked.sees_a_leak());
}

/// A runtime for the servers: those who block have none of their own.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// Everything that blocks, with these credentials.
fn blocked(looked: &mut Looked, name: &str, credentials: &Credentials, address: SocketAddr) {
    let expression = json!({"result": "0", "values": {}});
    let verified = || builder(credentials, address);
    let asked_later = || verified().verify(VerifyLevel::Skip);
    for connect in [&verified as &dyn Fn() -> EarthEngineBuilder, &asked_later] {
        let Some(ee) = looked.ended(name, blocking::connect(connect())) else {
            continue;
        };
        looked.sinks.debug(name, &ee);
        looked.sinks.debug(name, ee.as_async());
        let token = looked.ended(name, ee.token());
        looked.sinks.debug(name, &token);
        // What is computed is the caller's; nothing of these types is in any answer.
        looked.ended(name, ee.compute::<Vec<u64>>(&expression));
        looked.ended(name, ee.get_json::<Vec<u64>>("config"));
        looked.ended(name, ee.post_json::<Vec<u64>>("value:compute", &expression));
        let listing = ee.as_async().operations().list();
        let page = blocking::block_on(async {
            let page = listing.pages().next_page().await;
            page.unwrap_or_else(|| panic!("{name}: no page"))
        });
        looked.ended(name, page);
    }
    let projects = blocking::block_on(verified().list_projects());
    let projects = looked.ended(name, projects);
    looked.sinks.debug(name, &projects);
}

#[test]
fn no_secret_is_in_what_the_client_without_async_says_of_any_answer() {
    start_log();
    let runtime = runtime();
    let keys = runtime.block_on(Keys::new());
    let folder = tempfile::tempdir().unwrap();
    let case = |kind: &str, fault, place| {
        let mut looked = Looked::default();
        let name = format!("{kind}, {fault:?} {place:?}, blocking");
        let server = runtime.block_on(Hostile::start(&name, fault, place));
        let made = make(kind, &name, &keys, folder.path());
        let options = made.options(kind, server.address).disk_cache(None);
        let credentials = made.credentials(&options).unwrap().unwrap();
        blocked(&mut looked, &name, &credentials, server.address);
        // Where it must not block, it says so, and nothing else.
        let inside =
            runtime.block_on(async { blocking::connect(builder(&credentials, server.address)) });
        assert!(looked.ended(&name, inside).is_none(), "it blocked");
        looked.canaries.extend(made.canaries);
        looked.canaries.extend(server.canaries());
        looked
    };
    let mut all = Looked::default();
    thread::scope(|threads| {
        let cases = FAULTS.map(|fault| {
            threads.spawn(move || {
                [
                    case("authorized user", fault, Where::Everywhere),
                    case("authorized user", fault, Where::Api),
                    case("API key", fault, Where::Api),
                ]
            })
        });
        for looked in cases.into_iter().flat_map(|case| case.join().unwrap()) {
            all.sinks.extend(looked.sinks);
            all.canaries.extend(looked.canaries);
            all.failures += looked.failures;
        }
    });
    // The client of the whole process, one after the other.
    for fault in [Fault::InvalidGrant, Fault::Google(403), Fault::Echo] {
        let name = format!("{fault:?}, process-wide");
        let server = runtime.block_on(Hostile::start(&name, fault, Where::Everywhere));
        let made = make("authorized user", &name, &keys, folder.path());
        let options = made
            .options("authorized user", server.address)
            .disk_cache(None);
        let credentials = made.credentials(&options).unwrap().unwrap();
        let ee = blocking::initialize(builder(&credentials, server.address));
        let ee = all.ended(&name, ee);
        all.sinks.debug(&name, &ee);
        earthengine::reset();
        all.canaries.extend(made.canaries);
        all.canaries.extend(server.canaries());
    }
    assert!(all.failures > 300, "{} failures", all.failures);
    assert!(all.sinks.contains("[redacted]"));
    all.assert_clean();
}

#[test]
fn a_leak_on_the_way_without_async_is_seen() {
    let nobody = ([127, 0, 0, 1], 9).into();
    let mut looked = Looked::default();
    let telling = of_a_source_that_tells(&mut looked.canaries);
    let ended = blocking::connect(builder(&telling, nobody));
    assert!(looked.ended("connect", ended).is_none() && looked.sees_a_leak());

    let mut looked = Looked::default();
    let telling = of_a_source_that_tells(&mut looked.canaries);
    let ee = blocking::connect(builder(&telling, nobody).verify(VerifyLevel::Skip)).unwrap();
    assert!(looked.ended("token", ee.token()).is_none() && looked.sees_a_leak());
}

/// Credentials of Google's own client that say a secret in the place of headers.
#[derive(Debug)]
struct Telling(String);

impl CredentialsProvider for Telling {
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

/// Credentials of Google's own client that give a token once, and then something else in its place.
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
async fn no_secret_is_in_what_is_said_of_googles_own_client_and_to_it() {
    start_log();
    // Their client wants one that the process has chosen. Another test may have.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let keys = Keys::new().await;
    let folder = tempfile::tempdir().unwrap();
    let mut looked = Looked::default();
    for fault in FAULTS {
        for place in [Where::Everywhere, Where::Api] {
            let name = format!("theirs, {fault:?} {place:?}");
            let server = Hostile::start(&name, fault, place).await;
            let mut secret = |what: &str, start| {
                let name = format!("{name}: the {what}");
                looked.canaries.plant(name, start)
            };
            let file = json!({
                "type": "authorized_user", "client_id": "1-a.apps.googleusercontent.com",
                "client_secret": secret("client secret", "GOCSPX-"),
                "refresh_token": secret("refresh token", "1//0g"),
                "quota_project_id": "ee-demo-project",
            });
            let address = server.address;
            let of_user = user_account::Builder::new(file)
                .with_token_uri(format!("http://{address}/oauth2.googleapis.com/token"))
                .build()
                .unwrap();
            let ours = Credentials::from_google_cloud(of_user).await;
            if let Some(ours) = looked.ended(&name, ours) {
                looked.sinks.debug(&name, &ours);
                let token = looked.ended(&name, ours.token().await);
                looked.sinks.debug(&name, &token);
                let ee = looked.ended(&name, builder(&ours, address).connect().await);
                looked.sinks.debug(&name, &ee);
            }

            // And ours in their hands.
            let made = make("authorized user", &name, &keys, folder.path());
            let options = made.options("authorized user", address).disk_cache(None);
            let ours = made.credentials(&options).unwrap().unwrap();
            let in_theirs = theirs::Credentials::from(GoogleCloudCredentials::new(ours));
            let headers = in_theirs.headers(Extensions::new()).await;
            let headers = looked.ended(&name, headers);
            looked.sinks.debug(&name, &(headers, in_theirs));
            looked.canaries.extend(made.canaries);
            looked.canaries.extend(server.canaries());
        }
    }
    let key = looked.canaries.plant("their API key", "AIza");
    let of_key = api_key_credentials::Builder::new(key).build();
    let ours = Credentials::from_google_cloud(of_key).await.unwrap();
    looked.sinks.debug("an API key", &ours);

    let odd = Odd {
        token: looked.canaries.plant("an odd token", "ya29."),
        ..Odd::default()
    };
    let ours = Credentials::from_google_cloud(odd.into()).await.unwrap();
    for name in ["no bearer", "two words", "nothing new"] {
        let token = ours.token().await;
        assert!(looked.ended(name, token).is_none(), "{name}");
        looked.sinks.debug(name, &ours);
    }
    let words = format!("no token for {}", looked.canaries.plant("words", "1//0g"));
    let ours = Credentials::from_google_cloud(Telling(words).into()).await;
    assert!(looked.ended("words", ours).is_none());

    assert!(looked.failures > 40, "{} failures", looked.failures);
    assert!(looked.sinks.contains("[redacted]"));
    looked.assert_clean();
}

#[tokio::test]
async fn a_leak_of_googles_own_client_is_seen() {
    let mut looked = Looked::default();
    // Nothing in it looks like a secret of Google's, which would be redacted.
    let secret = looked.canaries.plant("a secret like no other", "");
    let words: Vec<_> = secret
        .as_bytes()
        .chunks(13)
        .map(String::from_utf8_lossy)
        .collect();
    let telling = Telling(words.join(" "));
    let ours = Credentials::from_google_cloud(telling.into()).await;
    assert!(looked.ended("words", ours).is_none() && looked.sees_a_leak());
}
