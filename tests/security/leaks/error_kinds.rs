//! Errors of every kind, each raised with secrets around it. No error may contain one. A kind that
//! is not raised here fails the test.

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::pin::pin;
use std::sync::Mutex;
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
use ee_test_support::canaries::Canaries;
use ee_test_support::certificates::without_authorities;
use ee_test_support::subprocess;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use crate::captured_output::{CapturedOutput, start_log};
use crate::credential_kinds::{Keys, Made, make};
use crate::hostile_server::{Fault, FaultyHosts, HostileServer};
use crate::malformed_responses::builder;

/// The crates that declare kinds.
const CRATES: [&str; 3] = ["ee-token", "ee-credentials", "ee-rest"];

/// The timeout for a silent server.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(50);

const USER: &str = "authorized user";
const TEST: &str = "error_kinds::errors_of_every_kind_contain_no_secret";

/// The output, and what credentials are made of.
struct Setup {
    output: CapturedOutput,
    keys: Keys,
    dir: TempDir,
}

/// A credential and the server that it uses.
struct FixtureWithServer {
    server: HostileServer,
    made: Made,
    credentials: Credentials,
}

impl Setup {
    fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn made(&mut self, kind: &str, name: &str) -> Made {
        let made = make(kind, name, &self.keys, self.dir.path());
        self.output.canaries.extend(made.canaries.clone());
        made
    }

    async fn with_server(&mut self, fault: Fault, hosts: FaultyHosts) -> FixtureWithServer {
        let name = format!("{fault:?}, {hosts:?}");
        let server = HostileServer::start(&name, fault, hosts).await;
        let made = self.made(USER, &name);
        let options = made.options(USER, server.address);
        let credentials = made.credentials(&options).unwrap().unwrap();
        FixtureWithServer {
            server,
            made,
            credentials,
        }
    }

    /// Records an error. A result that is no error raises no kind, which fails the test at the end.
    fn failed<T, E: std::error::Error + 'static>(&mut self, name: &str, result: Result<T, E>) {
        self.output.value_of(name, result);
    }

    fn learn(&mut self, fixture: &FixtureWithServer) {
        self.output.canaries.extend(fixture.server.canaries());
    }
}

fn http(address: SocketAddr) -> HttpClient {
    HttpClient::new(Endpoints::emulator(address).unwrap())
}

/// A regular file that cannot be read: the system reports an input/output error.
const UNREADABLE: &str = "/proc/self/mem";

/// Returns a listener of another user. Only root can create one.
fn foreign_listener() -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let _ = std::os::unix::fs::fchown(&listener, Some(4321), Some(4321));
    (listener.local_addr().unwrap(), listener)
}

/// Returns a caller's HTTP client for servers on this machine.
pub(crate) fn http_client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(without_authorities())
        .no_proxy()
}

async fn tokens(setup: &mut Setup) {
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
        let fixture = setup.with_server(fault, FaultyHosts::Everywhere).await;
        let result = fixture.credentials.token().await;
        setup.failed("a token", result);
        setup.learn(&fixture);
    }
    let server = HostileServer::start("silence", Fault::Silence, FaultyHosts::Everywhere).await;
    let endpoints = Endpoints::emulator(server.address).unwrap();
    let mut made = setup.made(USER, "silence");
    let options = made.options(USER, server.address);
    let client = http_client().read_timeout(RESPONSE_TIMEOUT);
    let http = HttpClient::from_reqwest_builder(client, endpoints).unwrap();
    let options = options.with_http_client(http);
    let result = made.credentials(&options).unwrap().unwrap().token().await;
    setup.failed("silence", result);

    made = setup.made("subject token in a file", "no file");
    fs::remove_file(setup.dir().join("subject")).unwrap();
    let options = made.options("subject token in a file", server.address);
    let result = made.credentials(&options).unwrap().unwrap().token().await;
    setup.failed("no file", result);

    let mut account = made.json.clone().unwrap();
    account["credential_source"]["file"] = json!(UNREADABLE);
    let result = Credentials::from_json(&account.to_string(), &options).unwrap();
    setup.failed("an unreadable file", result.token().await);

    let (address, _listener) = foreign_listener();
    let options = setup.made(USER, "foreign").options(USER, address);
    let made = setup.made(USER, "another user's emulator");
    let result = made.credentials(&options).unwrap().unwrap().token().await;
    setup.failed("another user's emulator", result);

    let secret = setup.output.canaries.plant("a token of the past", "ya29.");
    let over = AccessToken::new(&secret).unwrap().with_expiry(Utc::now());
    let result = Credentials::from_token(over).token().await;
    setup.failed("a token of the past", result);

    let pem = setup.keys.rsa.pkcs8_pem().replace('A', "!");
    setup.failed("a broken key", RsaPrivateKey::from_pem(&pem));

    let refresh_token = setup
        .output
        .canaries
        .plant("sent in the clear", "1//0g")
        .into();
    let grant = Grant::RefreshToken {
        client_id: None,
        client_secret: None,
        refresh_token: &refresh_token,
        rapt: None,
        scopes: None,
    };
    let elsewhere = Url::parse("http://elsewhere.example/token").unwrap();
    let http = HttpClient::new(Endpoints::google());
    let result = TokenEndpoint::new(http, elsewhere)
        .exchange(&grant, None)
        .await;
    setup.failed("in the clear", result);

    let made = setup.made(USER, "no runtime");
    let options = made.options(USER, server.address);
    let credentials = made.credentials(&options).unwrap().unwrap();
    let result = std::thread::spawn(move || {
        let fixture = pin!(credentials.token());
        fixture.poll(&mut Context::from_waker(Waker::noop()))
    });
    if let Poll::Ready(result) = result.join().unwrap() {
        setup.failed("no runtime", result);
    }
}

async fn credentials(setup: &mut Setup) {
    let unused: SocketAddr = ([127, 0, 0, 1], 9).into();
    let home = |environment: Environment, setup: &Setup| {
        environment
            .with_home(setup.dir())
            .with_var("NO_GCE_CHECK", "true")
    };
    let made = setup.made(USER, "files");
    let options = made.options(USER, unused);
    let environment = home(Environment::empty(), setup);
    let found = Search::new(environment.clone(), options.clone())
        .find()
        .await;
    setup.failed("a search", found.map(|found| found.credentials));

    let file = made.json.clone().unwrap();
    let result = Credentials::from_file(UNREADABLE, &options);
    setup.failed("an unreadable file", result);
    let text = file.to_string();
    let cut = Credentials::from_json(&text[..text.len() - 10], &options);
    setup.failed("a cut file", cut);
    let mut foreign = file.clone();
    foreign["universe_domain"] = json!("elsewhere.example");
    let result = Credentials::from_json(&foreign.to_string(), &options);
    setup.failed("another universe", result);
    let result = Credentials::from_json(&text, &options.clone().subject("ada@example.com"));
    setup.failed("a subject", result);
    let sent = Credentials::from_json(&text, &options).unwrap().to_config();
    setup.failed("settings", sent);
    let made = setup.made("subject token at a URL", "another host");
    let mut file = made.json.clone().unwrap();
    file["token_url"] = json!("https://elsewhere.example/token");
    let result = Credentials::from_json(&file.to_string(), &options);
    setup.failed("another host", result);
    let elsewhere = environment
        .clone()
        .with_var("EARTHENGINE_EMULATOR_HOST", "192.0.2.1:80");
    setup.failed("an emulator", elsewhere.endpoints());
    let fixture = setup
        .with_server(Fault::InvalidGrant, FaultyHosts::Everywhere)
        .await;
    let result = fixture.credentials.fetch_granted_scopes().await;
    setup.failed("scopes", result);

    let token = setup.output.canaries.plant("stored", "1//0g");
    let secret = setup.output.canaries.plant("stored with it", "");
    let login = Login::new(token, Scopes::earth_engine()).client("1-a", secret);
    fs::write(setup.dir().join("a-file"), "").unwrap();
    let result = LoginFile::at(setup.dir().join("a-file/credentials")).save_login(&login);
    setup.failed("a store", result);
    logins(setup, &environment, &fixture).await;
    setup.learn(&fixture);
}

/// A user who never returns from the browser.
#[derive(Default)]
pub(crate) struct AbsentUser(Mutex<Option<Url>>);

impl Terminal for AbsentUser {
    fn print(&self, _: &str) {}

    fn show_url(&self, _: &Url, _: &str) {}

    fn prompt<'a>(&'a self, _: &'a str) -> PromptFuture<'a> {
        Box::pin(async { Ok(None) })
    }
}

impl Browser for AbsentUser {
    fn is_available(&self) -> bool {
        true
    }

    fn open(&self, url: &Url) -> bool {
        *self.0.lock().unwrap() = Some(url.clone());
        true
    }
}

async fn logins(setup: &mut Setup, environment: &Environment, fixture: &FixtureWithServer) {
    let gone = AbsentUser::default();
    for (mode, patience) in [
        (LoginMode::Gcloud, Duration::from_secs(60)),
        (
            LoginMode::Localhost { port: None },
            Duration::from_millis(20),
        ),
    ] {
        let result = LoginFlow::new(environment.clone(), http(fixture.server.address))
            .mode(mode)
            .force(true)
            .timeout(patience)
            .run(&gone, &gone)
            .await;
        setup.failed(mode.name(), result);
    }
    let page = gone.0.lock().unwrap().take().unwrap();
    let (_, state) = page
        .query_pairs()
        .find(|(name, _)| name == "state")
        .unwrap();
    setup.output.canaries.add("a login's state", &state);

    let client_secret = setup.output.canaries.plant("a client secret", "GOCSPX-");
    let options = fixture.made.options(USER, fixture.server.address);
    let callback = "https://app.example.com/callback";
    let flow = WebFlow::new("1-web", client_secret, callback, options).unwrap();
    for response in ["error=access_denied", "code="] {
        let (_, pending) = flow.begin().unwrap();
        let fields = serde_json::to_value(&pending).unwrap();
        for field in ["state", "verifier"] {
            let secret = fields[field].as_str().unwrap();
            setup
                .output
                .canaries
                .add(format!("{response}: the {field}"), secret);
        }
        let query = format!("state={}&{response}", fields["state"].as_str().unwrap());
        let result = flow.finish(pending, &query).await;
        setup.failed(response, result.map(|login| login.credentials));
    }
}

fn client(fixture: &FixtureWithServer, http: HttpClient) -> earthengine::rest::ClientBuilder {
    let cache = fixture.credentials.token_cache().unwrap().clone();
    Client::builder(Auth::token_cache(cache), http).retry_policy(RetryPolicy::none())
}

async fn requests(setup: &mut Setup) {
    for (fault, hosts) in [
        (Fault::Google(403), FaultyHosts::Api),
        (Fault::Html(200), FaultyHosts::Api),
        (Fault::NoHttp, FaultyHosts::Api),
        (Fault::InvalidGrant, FaultyHosts::Everywhere),
    ] {
        let fixture = setup.with_server(fault, hosts).await;
        let client = client(&fixture, http(fixture.server.address))
            .project("ee-demo-project")
            .build()
            .unwrap();
        let result = client.get_json::<Value>("config").await;
        setup.failed("a request", result);
        let result = client.request(Method::GET, "../up").send().await;
        setup.failed("a path", result);
        setup.learn(&fixture);
    }
    let fixture = setup.with_server(Fault::Silence, FaultyHosts::Api).await;
    let builder = client(&fixture, http(fixture.server.address)).timeout(RESPONSE_TIMEOUT);
    let result = builder
        .clone()
        .project("ee-demo-project")
        .build()
        .unwrap()
        .get_json::<Value>("config")
        .await;
    setup.failed("silence", result);

    // With an API key, because a token request would fail first.
    let (address, _listener) = foreign_listener();
    let key = setup.output.canaries.plant("an API key", "AIza");
    let keyed = Client::builder(Auth::api_key(key.into()), http(address))
        .retry_policy(RetryPolicy::none())
        .project("ee-demo-project")
        .build()
        .unwrap();
    let result = keyed.get_json::<Value>("config").await;
    setup.failed("another user's emulator", result);

    let expression = json!({"result": "0", "values": {}});
    let outside = builder.clone().project("ee-demo-project").build().unwrap();
    let result = builder.build().unwrap().compute::<Value>(&expression).await;
    setup.failed("no project", result);
    let result = std::thread::spawn(move || {
        let fixture = pin!(outside.get_json::<Value>("config"));
        fixture.poll(&mut Context::from_waker(Waker::noop()))
    });
    if let Poll::Ready(result) = result.join().unwrap() {
        setup.failed("no runtime", result);
    }
    setup.learn(&fixture);

    for state in ["FAILED", "CANCELLED"] {
        let fixture = setup
            .with_server(Fault::Operation(state), FaultyHosts::Api)
            .await;
        let client = client(&fixture, http(fixture.server.address))
            .project("ee-demo-project")
            .build()
            .unwrap();
        let result = client.operations().wait("AN-EXPORT").await;
        setup.failed("an operation", result);
        let pixels = client
            .compute_pixels(&json!({"result": "0", "values": {}}))
            .grid(&PixelGrid::degrees(8.0, 47.5, 0.01, 3, 2));
        let result = pixels.save(setup.dir().join("none/pixels")).await;
        setup.failed("a file", result);
        setup.learn(&fixture);
    }
}

async fn clients(setup: &mut Setup) {
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
    let at_the_api = refusals
        .chain(others)
        .map(|fault| (fault, FaultyHosts::Api));
    let everywhere = [
        Fault::InvalidGrant,
        Fault::InvalidScope,
        Fault::InvalidRapt,
        Fault::ClockSkew,
        Fault::Google(404),
    ];
    let everywhere = everywhere.map(|fault| (fault, FaultyHosts::Everywhere));
    for (fault, hosts) in at_the_api.chain(everywhere) {
        let fixture = setup.with_server(fault, hosts).await;
        let builder = builder(&fixture.credentials, fixture.server.address);
        let result = builder.connect().await;
        if let Err(error) = &result {
            let message = format!("{:?}", error.server_message());
            setup
                .output
                .add(format!("{fault:?}, server message"), message);
        }
        setup.failed("connect", result);
        setup.learn(&fixture);
    }
    let fixture = setup.with_server(Fault::Silence, FaultyHosts::Api).await;
    let builder =
        || builder(&fixture.credentials, fixture.server.address).timeout(RESPONSE_TIMEOUT);
    let result = builder().connect().await;
    setup.failed("silence", result);
    let sdk = earthengine::credentials::SDK_PROJECTS[0];
    for project in [sdk, "No Project"] {
        let result = builder().project(project).connect().await;
        setup.failed("a project", result);
    }
    let bare = || {
        earthengine::EarthEngine::builder()
            .environment(Environment::empty().with_var("NO_GCE_CHECK", "true"))
            .endpoints(Endpoints::emulator(fixture.server.address).unwrap())
            .timeout(RESPONSE_TIMEOUT)
            .project("ee-demo-project")
    };
    let result = bare().connect().await;
    setup.failed("nothing", result);
    let result = bare().credentials_file(UNREADABLE).connect().await;
    setup.failed("an unreadable file", result);
    let text = fixture.made.json.as_ref().unwrap().to_string();
    let result = bare()
        .credentials_json(&text[..text.len() - 10])
        .connect()
        .await;
    setup.failed("a cut file", result);
    let result = bare()
        .credentials_json(text)
        .subject("ada@example.com")
        .connect()
        .await;
    setup.failed("a subject", result);
    setup.learn(&fixture);
}

/// Requests to Google's own hosts, for which the proxy of this process cannot be used.
async fn unusable_proxy(setup: &mut Setup) {
    let http = HttpClient::new(Endpoints::google());
    let client = Client::builder(Auth::api_key("AIza-unused".into()), http.clone());
    let client = client.project("ee-demo-project").build().unwrap();
    let result = client.get_json::<Value>("config").await;
    setup.failed("a proxy for a request", result);
    let token = AccessToken::new("unused").unwrap();
    let result = earthengine::token::token_info(&http, &token).await;
    setup.failed("a proxy for a token", result);
}

/// Returns the kinds that a crate declares.
fn declared(name: &str) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let source = ["error.rs", "error/mod.rs", "error/kind.rs"]
        .map(|file| root.join("crates").join(name).join("src").join(file))
        .into_iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect::<String>();
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
async fn errors_of_every_kind_contain_no_secret() {
    let Some(password) = subprocess::input() else {
        let password = Canaries::default().plant("a proxy password", "");
        let mut process = subprocess::rerun(&[], TEST, &password);
        // Not percent-encoded. Servers on this machine are reached without a proxy.
        process.env("HTTPS_PROXY", format!("http://jane:{password}@127.0.0.1:9"));
        return subprocess::assert_passes(&mut process);
    };
    start_log();
    let keys = Keys::new().await;
    let mut setup = Setup {
        output: CapturedOutput::default(),
        keys,
        dir: tempfile::tempdir().unwrap(),
    };
    setup.output.canaries.add("a proxy password", &password);
    unusable_proxy(&mut setup).await;
    setup.output.canaries.extend(setup.keys.canaries.clone());
    tokens(&mut setup).await;
    credentials(&mut setup).await;
    requests(&mut setup).await;
    clients(&mut setup).await;
    let declared: BTreeSet<String> = CRATES.into_iter().flat_map(declared).collect();
    assert!(declared.len() > 50, "the kinds were not found");
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let unseen: Vec<_> = declared
        .difference(setup.output.kinds())
        // Only root can raise it.
        .filter(|kind| is_root || !kind.ends_with(" UntrustedEmulator"))
        .collect();
    assert!(unseen.is_empty(), "not raised: {unseen:?}");
    setup.output.assert_clean();
}
