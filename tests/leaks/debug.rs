//! `Debug` of every public type: one value of each that holds a secret, or something that does.

use std::any::type_name;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::Path;

use earthengine::credentials::login::{LoginFlow, LoginMode, LoginOutcome, WebFlow};
use earthengine::credentials::{
    CredentialOptions, DiskTokenCache, EarthEngineFile, ExternalAccountConfig,
    GoogleCloudCredentials, Login, LoginFile, ObjectStoreCredentials, Search, ServiceAccountKey,
};
use earthengine::rest::{Auth, AuthLayer, Download};
use earthengine::token::{
    ClientBasicAuth, EcPrivateKey, Grant, HttpClient, Request, RsaPrivateKey, TokenEndpoint,
};
use earthengine::{
    Credentials, EarthEngine, Endpoints, Environment, Method, Scopes, SecretString, ThumbnailKind,
};
use ee_emulator::{Emulator, Project};
use serde_json::json;
use tower_layer::Layer as _;

use crate::canary::Canaries;
use crate::kinds::{Keys, ROBOT};
use crate::sinks::Sinks;

const PROJECT: &str = "ee-demo-project";
const WEB_CLIENT: &str = "1-web.apps.googleusercontent.com";

/// The files that say what is public.
const PUBLIC: [&str; 5] = [
    "ee-token/src/lib.rs",
    "ee-credentials/src/lib.rs",
    "ee-credentials/src/login/mod.rs",
    "ee-rest/src/lib.rs",
    "ee-init/src/lib.rs",
];

/// Public types that hold no secret: names, numbers, settings, and what servers tell. What a
/// server echoes in its errors is another test's.
#[rustfmt::skip]
const NO_SECRET: [&str; 70] = [
    "Algorithm", "AlgorithmArgument", "ApiError", "ApiState", "Asset", "AssetName", "AssetUpdate",
    "IamBinding", "Check", "CheckStatus", "Claims", "RpcCode", "DiskTokenCache", "ConnectStats",
    "Endpoint", "Endpoints", "Error", "ErrorKind", "Export", "ExportKind", "ImageFormat",
    "ImpersonationConfig", "CredentialKind", "HelpLink", "ListedProject", "ManualClock", "Method", "LoginMode",
    "Operation", "OperationError", "OperationMetadata", "OperationState", "CredentialSource", "Platform", "Page",
    "PixelGrid", "IamPolicy", "PageCursor", "PrintablePath", "Project", "ProjectConfig", "ProjectId", "ProjectSource",
    "QuotaViolation", "Registration", "Remedy", "RemovedFile", "RetryPolicy", "Revocation", "SavedLogin",
    "Scopes", "CredentialConfig", "ClientEvent", "SearchOutcome", "SearchStep", "LoginFile", "SystemBrowser", "ThumbnailKind", "TokenInfo",
    "Url", "VerifyLevel", "Warning", "CredentialLocation",
    "WorkloadTag",
    // Traits, and types of functions and futures.
    "AuthFuture", "Browser", "PromptFuture", "Terminal", "TokenFuture", "TokenSource",
];

/// What was looked at.
#[derive(Default)]
struct Looked {
    sinks: Sinks,
    types: BTreeSet<String>,
}

impl Looked {
    fn at<T: Debug>(&mut self, value: &T) {
        let path = type_name::<T>();
        let path = path.split('<').next().unwrap_or(path);
        let name = path.rsplit("::").next().unwrap_or(path);
        self.sinks.debug(path, value);
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
    looked: &mut Looked,
    canaries: &mut Canaries,
    keys: &Keys,
    http: &HttpClient,
    refresh_token: &SecretString,
) {
    looked.at(&RsaPrivateKey::from_pem(keys.rsa.pkcs8_pem()).unwrap());
    looked.at(&EcPrivateKey::from_pem(keys.ec.sec1_pem()).unwrap());
    let secret = SecretString::from(canaries.plant("a secret", ""));
    looked.at(&secret);
    looked.at(&Grant::RefreshToken {
        client_id: Some("1-a"),
        client_secret: Some(&secret),
        refresh_token: &secret,
        rapt: Some(&secret),
        scopes: None,
    });
    looked.at(&Grant::JwtBearer { assertion: &secret });
    looked.at(&ClientBasicAuth {
        client_id: "1-a",
        client_secret: &secret,
    });
    let endpoint = TokenEndpoint::google(http.clone());
    looked.at(&endpoint);
    let earth_engines = SecretString::from(crate::PUBLIC_CLIENT_SECRET);
    let grant = Grant::RefreshToken {
        client_id: Some(crate::PUBLIC_CLIENT_ID),
        client_secret: Some(&earth_engines),
        refresh_token,
        rapt: None,
        scopes: None,
    };
    looked.at(&endpoint.exchange(&grant, None).await.unwrap());
    looked.at(http);
}

async fn credentials(
    looked: &mut Looked,
    canaries: &mut Canaries,
    keys: &Keys,
    options: &CredentialOptions,
    login: &str,
) -> Credentials {
    let text = SecretString::from(login);
    looked.at(&EarthEngineFile::from_json(login).unwrap());
    looked.at(&ServiceAccountKey::from_pem(keys.rsa.pkcs8_pem(), ROBOT).unwrap());
    let secret = canaries.plant("a client's secret", "GOCSPX-");
    looked
        .at(&ExternalAccountConfig::new("//iam.googleapis.com/x", "jwt")
            .oauth_client("1-a", secret));
    let variable = canaries.plant("a variable", "");
    let environment = Environment::empty().with_var("AWS_SECRET_ACCESS_KEY", variable);
    looked.at(&environment);
    looked.at(options);
    let search = Search::new(environment, options.clone()).with_json(text);
    looked.at(&search);
    let found = search.find().await.unwrap();
    looked.at(&found);
    let key = canaries.plant("an API key", "AIza");
    let auth = Auth::api_key(key.as_str().into());
    looked.at(&auth);
    let layer = AuthLayer::new(auth).unwrap();
    looked.at(&layer);
    looked.at(&layer.layer(()));
    looked.at(&Credentials::from_api_key(key));
    let credentials = found.credentials;
    looked.at(&credentials);
    looked.at(&credentials.impersonate(ROBOT));
    looked.at(&ObjectStoreCredentials::new(credentials.clone()));
    looked.at(&GoogleCloudCredentials::new(credentials.clone()));
    looked.at(credentials.token_cache().unwrap());
    looked.at(&credentials.token().await.unwrap());
    let token = canaries.plant("stored", "1//0g");
    let secret = canaries.plant("stored with it", "");
    let login = Login::new(token, Scopes::earth_engine()).client("1-a", secret);
    looked.at(&login);
    let folder = tempfile::tempdir().unwrap();
    let store = LoginFile::at(folder.path().join("credentials"));
    store.save_login(&login).unwrap();
    looked.at(&store.read().unwrap().unwrap());
    credentials
}

async fn logins(
    looked: &mut Looked,
    canaries: &mut Canaries,
    web_secret: &str,
    options: &CredentialOptions,
) {
    let folder = tempfile::tempdir().unwrap();
    let environment = Environment::empty()
        .with_home(folder.path())
        .with_var("NO_GCE_CHECK", "true");
    let flow = LoginFlow::new(environment, options.http_client().clone())
        .mode(LoginMode::Notebook)
        .force(true)
        .quiet(true);
    looked.at(&flow);
    let nobody = crate::every_kind::Gone::default();
    let begun = flow.run(&nobody, &nobody).await.unwrap();
    looked.at(&begun);
    let LoginOutcome::AwaitingCode(begun) = begun else {
        panic!("{begun:?}");
    };
    for verifier in begun.code_verifier.expose_secret().split(':').skip(1) {
        canaries.add("a notebook's verifier", verifier);
    }
    looked.at(&begun);

    let callback = "http://localhost:1/callback";
    let flow = WebFlow::new(WEB_CLIENT, web_secret, callback, options.clone()).unwrap();
    looked.at(&flow);
    let (url, pending) = flow.begin().unwrap();
    looked.at(&pending);
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
    looked.at(&login);
}

async fn clients(looked: &mut Looked, credentials: &Credentials, endpoints: Endpoints) {
    let builder = || {
        EarthEngine::builder()
            .isolated()
            .endpoints(endpoints.clone())
            .credentials(credentials.clone())
            .project(PROJECT)
    };
    looked.at(&builder());
    looked.at(&builder().diagnose().await);
    looked.at(&builder().login_status().await.unwrap());
    let ee = builder().connect().await.unwrap();
    looked.at(&ee);
    let client = ee.client();
    looked.at(client);
    looked.at(&client.to_builder());
    looked.at(&client.request(Method::GET, "config"));
    looked.at(&client.request(Method::GET, "config").send().await.unwrap());
    let streaming = client.request(Method::GET, "config").send_streaming().await;
    looked.at(&streaming.unwrap());
    looked.at(&client.batch().get("a", "config"));
    looked.at(&client.batch().get("a", "config").send().await.unwrap());
    looked.at(&client.assets());
    looked.at(&client.operations());
    looked.at(&client.operations().wait("AN-EXPORT"));
    let listing = || client.operations().list();
    looked.at(&listing());
    looked.at(&listing().pages());
    looked.at(&listing().items());
    let one = json!({"result": "0", "values": {"0": {"constantValue": 1}}});
    looked.at(&client.compute_pixels(&one));
    looked.at(&client.map(&one));
    looked.at(&client.thumbnail(&one, ThumbnailKind::Image));
    looked.at(&client.map(&one).create().await.unwrap());
    let thumbnail = client.thumbnail(&one, ThumbnailKind::Image).create().await;
    looked.at(&thumbnail.unwrap());
    let token = credentials.token().await.unwrap();
    let mut request = Request::new(Method::POST, client.base_url().clone());
    let header = token.header().clone();
    request.headers_mut().insert("authorization", header);
    *request.body_mut() = Some(token.secret().to_owned().into());
    looked.at(&request);
    let asking = client.clone();
    looked.at(&Download::new(move || {
        asking.request(Method::GET, "config")
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_debug_of_any_public_type() {
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
    let folder = tempfile::tempdir().unwrap();
    let options =
        CredentialOptions::new(http.clone()).disk_cache(DiskTokenCache::at(folder.path()));
    let mut looked = Looked::default();

    let refresh_token = jane.earthengine_refresh_token().into();
    tokens(&mut looked, &mut canaries, &keys, &http, &refresh_token).await;
    let login = jane.earthengine_file_json(None);
    let found = credentials(&mut looked, &mut canaries, &keys, &options, &login).await;
    logins(&mut looked, &mut canaries, &web_secret, &options).await;
    clients(&mut looked, &found, endpoints).await;

    for (number, request) in emulator.requests().iter().enumerate() {
        if let Some(token) = request.bearer() {
            canaries.add(
                format!("an access token {number}"),
                token.trim_start_matches("ya29."),
            );
        }
    }
    looked.sinks.assert_clean(&canaries, &[]);
    let known: BTreeSet<_> = NO_SECRET.iter().map(|name| (*name).to_owned()).collect();
    let known: BTreeSet<_> = known.union(&looked.types).cloned().collect();
    let public = public();
    assert!(public.len() > 100, "what is public is somewhere else now");
    let unknown: Vec<_> = public.difference(&known).collect();
    assert!(unknown.is_empty(), "nobody looked at {unknown:?}");
}
