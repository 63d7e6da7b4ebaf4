//! `Debug` of every public type: one value of each type that holds a secret, directly or
//! indirectly.

use std::any::type_name;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::Path;

use earthengine::credentials::login::{LoginFlow, LoginMode, LoginOutcome, WebFlow};
use earthengine::credentials::{
    Accounts, CredentialOptions, DiskTokenCache, EarthEngineFile, ExternalAccountConfig,
    GoogleCloudCredentials, Login, LoginFile, ObjectStoreCredentials, Search, ServiceAccountKey,
};
use earthengine::rest::{Auth, AuthLayer, Download};
use earthengine::token::{
    ClientBasicAuth, EcPrivateKey, Grant, HttpClient, Request, RsaPrivateKey, TokenEndpoint,
};
use earthengine::{Credentials, EarthEngine, Endpoints, Environment, Method, Scopes, SecretString};
#[cfg(unix)]
use ee_broker::Forwarder;
use ee_broker::{Broker, BrokerAddress, ClientEnvironment};
use ee_emulator::{Emulator, Project};
use ee_test_support::canaries::Canaries;
use serde_json::json;
use tower_layer::Layer as _;

use crate::captured_output::CapturedOutput;
use crate::credential_kinds::{Keys, ROBOT};

const PROJECT: &str = "ee-demo-project";
const WEB_CLIENT: &str = "1-web.apps.googleusercontent.com";

/// The files with the public items.
const PUBLIC: [&str; 6] = [
    "ee-broker/src/lib.rs",
    "ee-token/src/lib.rs",
    "ee-credentials/src/lib.rs",
    "ee-credentials/src/login/mod.rs",
    "ee-rest/src/lib.rs",
    "ee-init/src/lib.rs",
];

/// Public types that hold no secret: names, numbers, options and responses. Secrets that a server
/// repeats in errors are part of another test.
#[rustfmt::skip]
const NO_SECRET: [&str; 76] = [
    "AccountName", "Accounts", "SwitchedAccount", "Algorithm", "AlgorithmArgument", "ApiError", "ApiState", "Asset", "AssetName", "AssetUpdate",
    "IamBinding", "Check", "CheckStatus", "Claims", "RpcCode", "DiskTokenCache", "ConnectStats",
    "Endpoint", "Endpoints", "Error", "ErrorKind", "Export", "ImageFormat",
    "ImpersonationConfig", "CredentialKind", "HelpLink", "ListedProject", "ManualClock", "Method", "LoginMode",
    "ExportLimit", "ProjectRegistration", "OperationNotification", "OperationStage",
    "Operation", "OperationError", "OperationMetadata", "OperationState", "CredentialSource", "Platform", "Page",
    "PixelGrid", "PreconditionViolation", "IamPolicy", "PageCursor", "PrintablePath", "Project", "ProjectConfig", "ProjectId", "ProjectSource",
    "QuotaViolation", "Registration", "Remedy", "RemovedFile", "RetryPolicy", "Revocation", "SavedLogin",
    "Scopes", "CredentialConfig", "ClientEvent", "SearchOutcome", "SearchStep", "LoginFile", "SystemBrowser", "TokenInfo",
    "Url", "VerifyLevel", "Warning", "CredentialLocation",
    "WorkloadTag",
    // Traits, functions and futures.
    "AuthFuture", "Browser", "PromptFuture", "Terminal", "TokenFuture", "TokenSource",
];

/// The types that were formatted.
#[derive(Default)]
struct Checked {
    output: CapturedOutput,
    types: BTreeSet<String>,
}

impl Checked {
    fn at<T: Debug>(&mut self, value: &T) {
        let path = type_name::<T>();
        let path = path.split('<').next().unwrap_or(path);
        let name = path.rsplit("::").next().unwrap_or(path);
        self.output.debug(path, value);
        self.types.insert(name.to_owned());
    }
}

fn public() -> BTreeSet<String> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut names = BTreeSet::new();
    for file in PUBLIC {
        let text = fs::read_to_string(crates.join(file)).unwrap();
        let text = text.replace("#[doc(hidden)]\npub use", "hidden");
        let (text, _) = text.split_once("pub mod internal").unwrap_or((&text, ""));
        for exported in text.split("pub use ").skip(1) {
            let (exported, _) = exported.split_once(';').unwrap();
            let words = exported.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            let types = words.filter(|word| {
                let mut letters = word.chars();
                letters.next().is_some_and(|c| c.is_ascii_uppercase())
                    && letters.any(|c| c.is_ascii_lowercase())
            });
            names.extend(types.map(str::to_owned));
        }
    }
    names
}

async fn tokens(
    checked: &mut Checked,
    canaries: &mut Canaries,
    keys: &Keys,
    http: &HttpClient,
    refresh_token: &SecretString,
) {
    checked.at(&RsaPrivateKey::from_pem(keys.rsa.pkcs8_pem()).unwrap());
    checked.at(&EcPrivateKey::from_pem(keys.ec.sec1_pem()).unwrap());
    let secret = SecretString::from(canaries.plant("a secret", ""));
    checked.at(&secret);
    checked.at(&Grant::RefreshToken {
        client_id: Some("1-a"),
        client_secret: Some(&secret),
        refresh_token: &secret,
        rapt: Some(&secret),
        scopes: None,
    });
    checked.at(&Grant::JwtBearer { assertion: &secret });
    checked.at(&ClientBasicAuth {
        client_id: "1-a",
        client_secret: &secret,
    });
    let endpoint = TokenEndpoint::google(http.clone());
    checked.at(&endpoint);
    let earth_engines = SecretString::from(crate::PUBLIC_CLIENT_SECRET);
    let grant = Grant::RefreshToken {
        client_id: Some(crate::PUBLIC_CLIENT_ID),
        client_secret: Some(&earth_engines),
        refresh_token,
        rapt: None,
        scopes: None,
    };
    checked.at(&endpoint.exchange(&grant, None).await.unwrap());
    checked.at(http);
}

async fn credentials(
    checked: &mut Checked,
    canaries: &mut Canaries,
    keys: &Keys,
    options: &CredentialOptions,
    login: &str,
) -> Credentials {
    let text = SecretString::from(login);
    checked.at(&EarthEngineFile::from_json(login).unwrap());
    checked.at(&ServiceAccountKey::from_pem(keys.rsa.pkcs8_pem(), ROBOT).unwrap());
    let secret = canaries.plant("a client's secret", "GOCSPX-");
    checked
        .at(&ExternalAccountConfig::new("//iam.googleapis.com/x", "jwt")
            .oauth_client("1-a", secret));
    let variable = canaries.plant("a variable", "");
    let environment = Environment::empty().with_var("AWS_SECRET_ACCESS_KEY", variable);
    checked.at(&environment);
    checked.at(options);
    let search = Search::new(environment, options.clone()).with_json(text);
    checked.at(&search);
    let found = search.find().await.unwrap();
    checked.at(&found);
    let key = canaries.plant("an API key", "AIza");
    let auth = Auth::api_key(key.as_str().into());
    checked.at(&auth);
    let layer = AuthLayer::new(auth).unwrap();
    checked.at(&layer);
    checked.at(&layer.layer(()));
    checked.at(&Credentials::from_api_key(key));
    let credentials = found.credentials;
    checked.at(&credentials);
    checked.at(&credentials.impersonate(ROBOT));
    checked.at(&ObjectStoreCredentials::new(credentials.clone()));
    checked.at(&GoogleCloudCredentials::new(credentials.clone()));
    checked.at(credentials.token_cache().unwrap());
    checked.at(&credentials.token().await.unwrap());
    let token = canaries.plant("stored", "1//0g");
    let secret = canaries.plant("stored with it", "");
    let login = Login::new(token, Scopes::earth_engine()).client("1-a", secret);
    checked.at(&login);
    let dir = tempfile::tempdir().unwrap();
    let store = LoginFile::at(dir.path().join("credentials"));
    store.save_login(&login).unwrap();
    checked.at(&store.read().unwrap().unwrap());
    let accounts = Accounts::of(store.clone());
    checked.at(&accounts.list().unwrap().remove(0));
    credentials
}

async fn brokers(checked: &mut Checked, canaries: &mut Canaries, found: &Credentials) {
    let builder = || Broker::builder(found.clone()).listen("127.0.0.1:0".parse().unwrap());
    checked.at(&builder());
    let broker = builder().project(PROJECT).start().await.unwrap();
    broker.token().await.unwrap();
    let url = broker.token_url().unwrap();
    let path = url.split('/').nth(3).unwrap();
    canaries.add("the path of a broker", path);
    checked.at(&broker);
    let address = format!("{}/{path}", broker.addresses()[0]);
    checked.at(&address.parse::<BrokerAddress>().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let environment = Environment::empty();
    checked.at(&ClientEnvironment::new(&broker, dir.path(), &environment).unwrap());
    #[cfg(unix)]
    checked.at(&Forwarder::start("127.0.0.1:0".parse().unwrap(), "/run/ee.sock").unwrap());
}

async fn logins(
    checked: &mut Checked,
    canaries: &mut Canaries,
    web_secret: &str,
    options: &CredentialOptions,
) {
    let dir = tempfile::tempdir().unwrap();
    let environment = Environment::empty()
        .with_home(dir.path())
        .with_var("NO_GCE_CHECK", "true");
    let flow = LoginFlow::new(environment, options.http_client().clone())
        .mode(LoginMode::Notebook)
        .force(true)
        .quiet(true);
    checked.at(&flow);
    let user = crate::error_kinds::AbsentUser::default();
    let begun = flow.run(&user, &user).await.unwrap();
    checked.at(&begun);
    let LoginOutcome::AwaitingCode(begun) = begun else {
        panic!("{begun:?}");
    };
    for verifier in begun.code_verifier.expose_secret().split(':').skip(1) {
        canaries.add("a notebook's verifier", verifier);
    }
    checked.at(&begun);

    let callback = "http://localhost:1/callback";
    let flow = WebFlow::new(WEB_CLIENT, web_secret, callback, options.clone()).unwrap();
    checked.at(&flow);
    let (url, pending) = flow.begin().unwrap();
    checked.at(&pending);
    let kept = serde_json::to_value(&pending).unwrap();
    for field in ["state", "verifier"] {
        canaries.add(format!("the {field}"), kept[field].as_str().unwrap());
    }
    let request = Request::new(Method::GET, url);
    let page = options.http_client().send(request).await.unwrap();
    let back = page.headers()["location"].to_str().unwrap();
    let (_, query) = back.split_once('?').unwrap();
    let login = flow.finish(pending, query).await.unwrap();
    if let Some(token) = &login.refresh_token {
        canaries.add("a web login's refresh token", token.expose_secret());
    }
    checked.at(&login);
}

async fn clients(checked: &mut Checked, credentials: &Credentials, endpoints: Endpoints) {
    let builder = || {
        EarthEngine::builder()
            .isolated()
            .endpoints(endpoints.clone())
            .credentials(credentials.clone())
            .project(PROJECT)
    };
    checked.at(&builder());
    checked.at(&builder().diagnose().await);
    checked.at(&builder().login_status().await.unwrap());
    let ee = builder().connect().await.unwrap();
    checked.at(&ee);
    let client = ee.client();
    checked.at(client);
    checked.at(&client.to_builder());
    checked.at(&client.request(Method::GET, "config"));
    checked.at(&client.request(Method::GET, "config").send().await.unwrap());
    let streaming = client.request(Method::GET, "config").send_streaming().await;
    checked.at(&streaming.unwrap());
    checked.at(&client.batch().get("a", "config"));
    checked.at(&client.batch().get("a", "config").send().await.unwrap());
    checked.at(&client.assets());
    checked.at(&client.operations());
    checked.at(&client.operations().wait("AN-EXPORT"));
    let listing = || client.operations().list();
    checked.at(&listing());
    checked.at(&listing().pages());
    checked.at(&listing().items());
    let one = json!({"result": "0", "values": {"0": {"constantValue": 1}}});
    checked.at(&client.compute_pixels(&one));
    checked.at(&client.get_pixels("users/me/a"));
    checked.at(&client.compute_images(&one).unwrap());
    checked.at(&client.map(&one));
    checked.at(&client.thumbnail(&one));
    checked.at(&client.filmstrip(&one));
    checked.at(&client.video_thumbnail(&one));
    checked.at(&client.map(&one).create().await.unwrap());
    let thumbnail = client.thumbnail(&one).create().await;
    checked.at(&thumbnail.unwrap());
    checked.at(&client.import_image(&json!({"name": "users/me/a"})));
    checked.at(&client.feature_view("users/me/a"));
    let none = json!({"result": "0", "values": {"0": {"constantValue": []}}});
    checked.at(&client.table(&none));
    checked.at(&client.table(&none).create().await.unwrap());
    let token = credentials.token().await.unwrap();
    let mut request = Request::new(Method::POST, client.base_url().clone());
    let header = token.header().clone();
    request.headers_mut().insert("authorization", header);
    *request.body_mut() = Some(token.secret().to_owned().into());
    checked.at(&request);
    let asking = client.clone();
    checked.at(&Download::new(move || {
        asking.request(Method::GET, "config")
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn debug_of_public_types_shows_no_secret() {
    let keys = Keys::new().await;
    let mut canaries = keys.canaries.clone();
    let web_secret = canaries.plant_word("a web client's secret", "GOCSPX-");
    let emulator = Emulator::builder()
        .project(Project::new(PROJECT))
        .oauth_client(WEB_CLIENT, &web_secret)
        .start()
        .await
        .unwrap();
    emulator.auto_consent("jane@example.com");
    let jane = emulator.create_user("jane@example.com");
    canaries.add("a refresh token", jane.earthengine_refresh_token());
    let endpoints = Endpoints::emulator(emulator.address()).unwrap();
    let http = HttpClient::new(endpoints.clone());
    let dir = tempfile::tempdir().unwrap();
    let options = CredentialOptions::new(http.clone()).disk_cache(DiskTokenCache::at(dir.path()));
    let mut checked = Checked::default();

    let refresh_token = jane.earthengine_refresh_token().into();
    tokens(&mut checked, &mut canaries, &keys, &http, &refresh_token).await;
    let login = jane.earthengine_file_json(None);
    let found = credentials(&mut checked, &mut canaries, &keys, &options, &login).await;
    brokers(&mut checked, &mut canaries, &found).await;
    logins(&mut checked, &mut canaries, &web_secret, &options).await;
    clients(&mut checked, &found, endpoints).await;

    for (number, request) in emulator.requests().iter().enumerate() {
        if let Some(token) = request.bearer() {
            canaries.add(
                format!("an access token {number}"),
                token.trim_start_matches("ya29."),
            );
        }
    }
    checked.output.canaries.extend(canaries);
    checked.output.assert_clean();
    let known: BTreeSet<_> = NO_SECRET.iter().map(|name| (*name).to_owned()).collect();
    let known: BTreeSet<_> = known.union(&checked.types).cloned().collect();
    let public = public();
    assert!(public.len() > 100, "the public items were not found");
    let unknown: Vec<_> = public.difference(&known).collect();
    assert!(unknown.is_empty(), "not formatted: {unknown:?}");
}
