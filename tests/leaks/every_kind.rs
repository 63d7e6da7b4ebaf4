//! Errors of every kind that the crates have, each with secrets around it: none is in what it
//! says. A kind that nothing here leads to fails the test.

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use chrono::Utc;
use earthengine::credentials::login::{
    Browser, LoginFlow, LoginMode, PromptFuture, Terminal, WebFlow,
};
use earthengine::credentials::{Login, LoginFile, Search};
use earthengine::rest::{Auth, Client};
use earthengine::token::{Grant, HttpClient, RsaPrivateKey, TokenEndpoint};
use earthengine::{
    AccessToken, Credentials, Endpoints, Environment, Method, PixelGrid, RetryPolicy, Scopes,
};
use ee_emulator::GoogleError;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use crate::answers::builder;
use crate::canary::Canaries;
use crate::hostile::{Fault, Hostile, Where};
use crate::kinds::{Keys, Made, make};
use crate::sinks::{Sinks, assert_log_clean, start_log};

/// Each crate, as [`Sinks`] names it, and where its kinds are declared.
const CRATES: [&str; 4] = ["ee-token", "ee-credentials", "ee-rest", "ee-init"];

/// How long a silent server is waited for.
const PATIENCE: Duration = Duration::from_millis(50);

const USER: &str = "authorized user";

/// What was said, and what must not be in it.
struct Looked {
    sinks: Sinks,
    canaries: Canaries,
    keys: Keys,
    folder: TempDir,
}

/// A credential, and the server that it asks.
struct Asked {
    server: Hostile,
    made: Made,
    credentials: Credentials,
}

impl Looked {
    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn made(&mut self, kind: &str, name: &str) -> Made {
        let made = make(kind, name, &self.keys, self.folder.path());
        self.canaries.extend(made.canaries.clone());
        made
    }

    async fn asked(&mut self, fault: Fault, place: Where) -> Asked {
        let name = format!("{fault:?}, {place:?}");
        let server = Hostile::start(&name, fault, place).await;
        let made = self.made(USER, &name);
        let options = made.options(USER, server.address);
        let credentials = made.credentials(&options).unwrap().unwrap();
        Asked {
            server,
            made,
            credentials,
        }
    }

    /// What did not fail leads to no kind, and is found missing at the end.
    fn failed<T, E: std::error::Error + 'static>(&mut self, name: &str, ended: Result<T, E>) {
        if let Err(error) = ended {
            self.sinks.error(name, &error);
        }
    }

    fn learn(&mut self, asked: &Asked) {
        self.canaries.extend(asked.server.canaries());
    }
}

fn http(address: SocketAddr) -> HttpClient {
    HttpClient::new(Endpoints::emulator(address).unwrap())
}

/// A regular file from which nothing can be read: the system reports an input/output error.
const UNREADABLE: &str = "/proc/self/mem";

/// A listener that belongs to another user. Only root can create one.
fn foreign_listener() -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let _ = std::os::unix::fs::fchown(&listener, Some(4321), Some(4321));
    (listener.local_addr().unwrap(), listener)
}

/// A client of somebody else's, for what is on this machine.
pub(crate) fn http_client() -> reqwest::ClientBuilder {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
}

async fn tokens(looked: &mut Looked) {
    for fault in [
        Fault::InvalidGrant,
        Fault::InvalidScope,
        Fault::InvalidRapt,
        Fault::ClockSkew,
        Fault::Html(200),
        Fault::Google(404),
        Fault::Html(502),
        Fault::CutBody,
    ] {
        let asked = looked.asked(fault, Where::Everywhere).await;
        let ended = asked.credentials.token().await;
        looked.failed("a token", ended);
        looked.learn(&asked);
    }
    let server = Hostile::start("silence", Fault::Silence, Where::Everywhere).await;
    let endpoints = Endpoints::emulator(server.address).unwrap();
    let mut made = looked.made(USER, "silence");
    let options = made.options(USER, server.address);
    let impatient = http_client().read_timeout(PATIENCE);
    let http = HttpClient::from_reqwest_builder(impatient, endpoints).unwrap();
    let options = options.with_http_client(http);
    let ended = made.credentials(&options).unwrap().unwrap().token().await;
    looked.failed("silence", ended);

    made = looked.made("subject token in a file", "no file");
    fs::remove_file(looked.folder().join("subject")).unwrap();
    let options = made.options("subject token in a file", server.address);
    let ended = made.credentials(&options).unwrap().unwrap().token().await;
    looked.failed("no file", ended);

    let mut account = made.json.clone().unwrap();
    account["credential_source"]["file"] = json!(UNREADABLE);
    let ended = Credentials::from_json(&account.to_string(), &options).unwrap();
    looked.failed("an unreadable file", ended.token().await);

    let (address, _listener) = foreign_listener();
    let options = looked.made(USER, "foreign").options(USER, address);
    let made = looked.made(USER, "another user's emulator");
    let ended = made.credentials(&options).unwrap().unwrap().token().await;
    looked.failed("another user's emulator", ended);

    let secret = looked.canaries.plant("a token of the past", "ya29.");
    let over = AccessToken::new(&secret).unwrap().with_expiry(Utc::now());
    let ended = Credentials::from_token(over).token().await;
    looked.failed("a token of the past", ended);

    let pem = looked.keys.rsa.pkcs8_pem().replace('A', "!");
    looked.failed("a broken key", RsaPrivateKey::from_pem(&pem));

    let refresh_token = looked.canaries.plant("sent in the clear", "1//0g").into();
    let grant = Grant::RefreshToken {
        client_id: None,
        client_secret: None,
        refresh_token: &refresh_token,
        rapt: None,
        scopes: None,
    };
    let elsewhere = Url::parse("http://elsewhere.example/token").unwrap();
    let http = HttpClient::new(Endpoints::google());
    let ended = TokenEndpoint::new(http, elsewhere)
        .exchange(&grant, None)
        .await;
    looked.failed("in the clear", ended);

    let made = looked.made(USER, "no runtime");
    let options = made.options(USER, server.address);
    let credentials = made.credentials(&options).unwrap().unwrap();
    let ended = std::thread::spawn(move || {
        let asked = pin!(credentials.token());
        asked.poll(&mut Context::from_waker(Waker::noop()))
    });
    if let Poll::Ready(ended) = ended.join().unwrap() {
        looked.failed("no runtime", ended);
    }
}

async fn credentials(looked: &mut Looked) {
    let nobody: SocketAddr = ([127, 0, 0, 1], 9).into();
    let home = |environment: Environment, looked: &Looked| {
        environment
            .with_home(looked.folder())
            .with_var("NO_GCE_CHECK", "true")
    };
    let made = looked.made(USER, "files");
    let options = made.options(USER, nobody);
    let environment = home(Environment::empty(), looked);
    let found = Search::new(environment.clone(), options.clone())
        .find()
        .await;
    looked.failed("a search", found.map(|found| found.credentials));

    let file = made.json.clone().unwrap();
    let ended = Credentials::from_file(UNREADABLE, &options);
    looked.failed("an unreadable file", ended);
    let text = file.to_string();
    let cut = Credentials::from_json(&text[..text.len() - 10], &options);
    looked.failed("a cut file", cut);
    let mut foreign = file.clone();
    foreign["universe_domain"] = json!("elsewhere.example");
    let ended = Credentials::from_json(&foreign.to_string(), &options);
    looked.failed("another universe", ended);
    let ended = Credentials::from_json(&text, &options.clone().subject("ada@example.com"));
    looked.failed("a subject", ended);
    let sent = Credentials::from_json(&text, &options).unwrap().to_config();
    looked.failed("settings", sent);
    let made = looked.made("subject token at a URL", "another host");
    let mut file = made.json.clone().unwrap();
    file["token_url"] = json!("https://elsewhere.example/token");
    let ended = Credentials::from_json(&file.to_string(), &options);
    looked.failed("another host", ended);
    let elsewhere = environment
        .clone()
        .with_var("EARTHENGINE_EMULATOR_HOST", "192.0.2.1:80");
    looked.failed("an emulator", elsewhere.endpoints());
    let asked = looked.asked(Fault::InvalidGrant, Where::Everywhere).await;
    let ended = asked.credentials.fetch_granted_scopes().await;
    looked.failed("scopes", ended);

    let token = looked.canaries.plant("stored", "1//0g");
    let secret = looked.canaries.plant("stored with it", "");
    let login = Login::new(token, Scopes::earth_engine()).client("1-a", secret);
    fs::write(looked.folder().join("a-file"), "").unwrap();
    let ended = LoginFile::at(looked.folder().join("a-file/credentials")).save_login(&login);
    looked.failed("a store", ended);
    logins(looked, &environment, &asked).await;
    looked.learn(&asked);
}

/// Somebody who never comes back from the browser.
#[derive(Default)]
pub(crate) struct Gone(Mutex<Option<Url>>);

impl Terminal for Gone {
    fn print(&self, _: &str) {}

    fn show_url(&self, _: &Url, _: &str) {}

    fn prompt<'a>(&'a self, _: &'a str) -> PromptFuture<'a> {
        Box::pin(async { Ok(None) })
    }
}

impl Browser for Gone {
    fn is_available(&self) -> bool {
        true
    }

    fn open(&self, url: &Url) -> bool {
        *self.0.lock().unwrap() = Some(url.clone());
        true
    }
}

async fn logins(looked: &mut Looked, environment: &Environment, asked: &Asked) {
    let gone = Gone::default();
    for (mode, patience) in [
        (LoginMode::Gcloud, Duration::from_secs(60)),
        (
            LoginMode::Localhost { port: None },
            Duration::from_millis(20),
        ),
    ] {
        let ended = LoginFlow::new(environment.clone(), http(asked.server.address))
            .mode(mode)
            .force(true)
            .timeout(patience)
            .run(&gone, &gone)
            .await;
        looked.failed(mode.name(), ended);
    }
    let page = gone.0.lock().unwrap().take().unwrap();
    let (_, state) = page
        .query_pairs()
        .find(|(name, _)| name == "state")
        .unwrap();
    looked.canaries.add("a login's state", &state);

    let client_secret = looked.canaries.plant("a client secret", "GOCSPX-");
    let options = asked.made.options(USER, asked.server.address);
    let callback = "https://app.example.com/callback";
    let flow = WebFlow::new("1-web", client_secret, callback, options).unwrap();
    for answer in ["error=access_denied", "code="] {
        let (_, pending) = flow.begin().unwrap();
        let kept = serde_json::to_value(&pending).unwrap();
        for field in ["state", "verifier"] {
            let secret = kept[field].as_str().unwrap();
            looked
                .canaries
                .add(format!("{answer}: the {field}"), secret);
        }
        let query = format!("state={}&{answer}", kept["state"].as_str().unwrap());
        let ended = flow.finish(pending, &query).await;
        looked.failed(answer, ended.map(|login| login.credentials));
    }
}

fn client(asked: &Asked, http: HttpClient) -> earthengine::rest::ClientBuilder {
    let cache = asked.credentials.token_cache().unwrap().clone();
    Client::builder(Auth::token_cache(cache), http).retry_policy(RetryPolicy::none())
}

async fn requests(looked: &mut Looked) {
    for (fault, place) in [
        (Fault::Google(403), Where::Api),
        (Fault::Html(200), Where::Api),
        (Fault::NoHttp, Where::Api),
        (Fault::InvalidGrant, Where::Everywhere),
    ] {
        let asked = looked.asked(fault, place).await;
        let client = client(&asked, http(asked.server.address))
            .project("ee-demo-project")
            .build()
            .unwrap();
        let ended = client.get_json::<Value>("config").await;
        looked.failed("a request", ended);
        let ended = client.request(Method::GET, "../up").send().await;
        looked.failed("a path", ended);
        looked.learn(&asked);
    }
    let asked = looked.asked(Fault::Silence, Where::Api).await;
    let of_nobody = client(&asked, http(asked.server.address)).timeout(PATIENCE);
    let ended = of_nobody
        .clone()
        .project("ee-demo-project")
        .build()
        .unwrap()
        .get_json::<Value>("config")
        .await;
    looked.failed("silence", ended);
    let expression = json!({"result": "0", "values": {}});
    let outside = of_nobody
        .clone()
        .project("ee-demo-project")
        .build()
        .unwrap();
    let ended = of_nobody
        .build()
        .unwrap()
        .compute::<Value>(&expression)
        .await;
    looked.failed("no project", ended);
    let ended = std::thread::spawn(move || {
        let asked = pin!(outside.get_json::<Value>("config"));
        asked.poll(&mut Context::from_waker(Waker::noop()))
    });
    if let Poll::Ready(ended) = ended.join().unwrap() {
        looked.failed("no runtime", ended);
    }
    looked.learn(&asked);

    for state in ["FAILED", "CANCELLED"] {
        let asked = looked.asked(Fault::Operation(state), Where::Api).await;
        let client = client(&asked, http(asked.server.address))
            .project("ee-demo-project")
            .build()
            .unwrap();
        let ended = client.operations().wait("AN-EXPORT").await;
        looked.failed("an operation", ended);
        let pixels = client
            .compute_pixels(&json!({"result": "0", "values": {}}))
            .grid(&PixelGrid::degrees(8.0, 47.5, 0.01, 3, 2));
        let ended = pixels.save(looked.folder().join("none/pixels")).await;
        looked.failed("a file", ended);
        looked.learn(&asked);
    }
}

async fn clients(looked: &mut Looked) {
    let refusals = GoogleError::ALL
        .iter()
        .map(|refusal| Fault::GoogleError(*refusal));
    let others = [
        Fault::Google(400),
        Fault::Google(404),
        Fault::Google(429),
        Fault::Google(500),
        Fault::NoHttp,
    ];
    let at_the_api = refusals.chain(others).map(|fault| (fault, Where::Api));
    let everywhere = [
        Fault::InvalidGrant,
        Fault::InvalidScope,
        Fault::InvalidRapt,
        Fault::ClockSkew,
        Fault::Google(404),
    ];
    let everywhere = everywhere.map(|fault| (fault, Where::Everywhere));
    for (fault, place) in at_the_api.chain(everywhere) {
        let asked = looked.asked(fault, place).await;
        let builder = builder(&asked.credentials, asked.server.address);
        let ended = builder.connect().await;
        if let Err(error) = &ended {
            let more = format!("{:?} {:?}", error.remedy(), error.server_message());
            looked.sinks.add(format!("{fault:?}, remedy"), more);
        }
        looked.failed("connect", ended);
        looked.learn(&asked);
    }
    let asked = looked.asked(Fault::Silence, Where::Api).await;
    let builder = || builder(&asked.credentials, asked.server.address).timeout(PATIENCE);
    let ended = builder().connect().await;
    looked.failed("silence", ended);
    let sdk = earthengine::credentials::SDK_PROJECTS[0];
    for project in [sdk, "No Project"] {
        let ended = builder().project(project).connect().await;
        looked.failed("a project", ended);
    }
    let bare = || {
        earthengine::EarthEngine::builder()
            .environment(Environment::empty().with_var("NO_GCE_CHECK", "true"))
            .endpoints(Endpoints::emulator(asked.server.address).unwrap())
            .timeout(PATIENCE)
            .project("ee-demo-project")
    };
    let ended = bare().connect().await;
    looked.failed("nothing", ended);
    let ended = bare().credentials_file(UNREADABLE).connect().await;
    looked.failed("an unreadable file", ended);
    let text = asked.made.json.as_ref().unwrap().to_string();
    let ended = bare()
        .credentials_json(&text[..text.len() - 10])
        .connect()
        .await;
    looked.failed("a cut file", ended);
    let ended = bare()
        .credentials_json(text)
        .subject("ada@example.com")
        .connect()
        .await;
    looked.failed("a subject", ended);
    looked.learn(&asked);
}

/// The kinds that a crate declares.
fn declared(name: &str) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let source = ["error.rs", "error/mod.rs"]
        .map(|file| root.join("crates").join(name).join("src").join(file))
        .into_iter()
        .find_map(|path| fs::read_to_string(path).ok())
        .unwrap();
    let (_, declared) = source.split_once("pub enum ErrorKind {").unwrap();
    let (declared, _) = declared.split_once("\n}").unwrap();
    let kinds = declared
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()) && line.ends_with(','));
    let bare = kinds.map(|line| line.split(['(', ',']).next().unwrap_or_default());
    bare.map(|kind| format!("{name} {kind}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_an_error_of_any_kind() {
    start_log();
    let keys = Keys::new().await;
    let mut looked = Looked {
        sinks: Sinks::default(),
        canaries: keys.canaries.clone(),
        keys,
        folder: tempfile::tempdir().unwrap(),
    };
    tokens(&mut looked).await;
    credentials(&mut looked).await;
    requests(&mut looked).await;
    clients(&mut looked).await;
    let declared: BTreeSet<String> = CRATES.into_iter().flat_map(declared).collect();
    assert!(declared.len() > 50, "the kinds are somewhere else now");
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let unseen: Vec<_> = declared
        .difference(looked.sinks.kinds())
        // Only root can create what leads to it.
        .filter(|kind| is_root || *kind != "ee-token UntrustedEmulator")
        .collect();
    assert!(unseen.is_empty(), "nothing led to {unseen:?}");
    looked.sinks.assert_clean(&looked.canaries, &[]);
    assert_log_clean(&looked.canaries);
}
