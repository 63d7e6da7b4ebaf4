//! What credentials do from beginning to end.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use earthengine::credentials::login::{Flow, WebFlow};
use earthengine::credentials::{DiskCache, NewLogin, Options, Store};
use earthengine::token::HttpClient;
use earthengine::{Credentials, Endpoints, Environment, Scopes};
use ee_emulator::{EcKey, RsaKey};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::allocator::{exempt, learn};

const AUDIENCE: &str = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/p/providers/o";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// A part of a life, and its name.
type Stage = (&'static str, fn(&World));

pub const STAGES: [Stage; 12] = [
    ("service account", |world| {
        world.credential("service-account.json")
    }),
    ("service account with escapes", |world| {
        world.credential("escaped.json")
    }),
    ("self-signed", World::self_signed),
    ("authorized user", |world| world.credential("user.json")),
    ("Earth Engine file", |world| world.credential("ee.json")),
    ("workforce user", |world| world.credential("workforce.json")),
    ("impersonated", |world| {
        world.credential("impersonated.json")
    }),
    ("service identity", |world| world.credential("gdch.json")),
    ("federation", |world| world.credential("federation.json")),
    ("AWS", |world| world.credential("aws.json")),
    ("store", World::store),
    ("logins", World::logins),
];

/// A home folder, a server, and secrets.
pub struct World {
    home: TempDir,
    address: SocketAddr,
    secrets: BTreeMap<&'static str, String>,
    runtime: tokio::runtime::Runtime,
}

fn secret(name: &str, start: &str) -> String {
    let mut text = start.to_owned();
    let mut state = std::process::id() as u64 * 7_919 + name.len() as u64;
    for byte in name.bytes().cycle().take(60) {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(u64::from(byte));
        text.push(char::from(
            b"abcdefghjkmnpqrstuvwxyzABCDEFGHJKMNPQRSTUVWXYZ23456789"[(state >> 33) as usize % 54],
        ));
    }
    learn(name, &text.as_bytes()[start.len() + 10..start.len() + 34]);
    text
}

impl World {
    pub fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut secrets = BTreeMap::new();
        for (name, start) in [
            ("an access token", "ya29."),
            ("a refresh token", "1//0g"),
            ("a client secret", "GOCSPX-"),
            ("a subject token", ""),
            ("an AWS key", ""),
            ("an AWS session", ""),
            ("an authorization code", "4/0A"),
            ("a code verifier", ""),
        ] {
            secrets.insert(name, secret(name, start));
        }
        let (rsa, ec) = (RsaKey::generate(2048), EcKey::generate());
        let der = |pem: &str| {
            let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
            STANDARD.decode(body).unwrap()
        };
        let rsa_der = der(rsa.pkcs8_pem());
        learn("an RSA key's bytes", &rsa_der[700..724]);
        learn(
            "an RSA key's text",
            &rsa.pkcs8_pem().lines().nth(15).unwrap().as_bytes()[4..40],
        );
        learn("an EC key's bytes", &der(ec.pkcs8_pem())[40..64]);
        let token = secrets["an access token"].clone();
        let refresh = secrets["a refresh token"].clone();
        let address = serve(token, refresh);
        let world = Self {
            home,
            address,
            secrets,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
        };
        world.write_files(&rsa, &ec);
        world
    }

    pub fn secret(&self, name: &str) -> String {
        self.secrets[name].clone()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn write_files(&self, rsa: &RsaKey, ec: &EcKey) {
        let refresh = self.secret("a refresh token");
        let client = self.secret("a client secret");
        let subject = self.path("subject");
        let key = json!({"type": "service_account", "client_email": "r@p.iam.gserviceaccount.com",
            "private_key": rsa.pkcs8_pem(), "private_key_id": "4c", "project_id": "ee-demo-project",
            "token_uri": "https://oauth2.googleapis.com/token"});
        let user = json!({"type": "authorized_user", "client_id": "1-a", "client_secret": client, "refresh_token": refresh});
        let external = |source: Value, of: &str| {
            json!({"type": "external_account", "audience": AUDIENCE,
            "subject_token_type": of, "token_url": "https://sts.googleapis.com/v1/token",
            "credential_source": source, "client_id": "1-a", "client_secret": client})
        };
        let files = [
            ("service-account.json", key.to_string()),
            ("escaped.json", key.to_string().replace('/', "\\/")),
            ("user.json", user.to_string().replace('/', "\\/")),
            ("ee.json", json!({"client_id": "1-a", "client_secret": client, "refresh_token": refresh}).to_string()),
            ("workforce.json", json!({"type": "external_account_authorized_user", "audience": AUDIENCE, "client_id": "1-a",
                "client_secret": client, "refresh_token": refresh, "token_url": "https://sts.googleapis.com/v1/oauthtoken"}).to_string()),
            ("impersonated.json", json!({"type": "impersonated_service_account", "source_credentials": user,
                "service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/r@p.iam.gserviceaccount.com:generateAccessToken"}).to_string()),
            ("gdch.json", json!({"type": "gdch_service_account", "format_version": "1", "project": "p", "name": "n",
                "private_key_id": "4c", "private_key": ec.pkcs8_pem(), "token_uri": "https://service-identity.googleapis.com/authenticate"}).to_string()),
            ("federation.json", external(json!({"file": subject, "format": {"type": "json", "subject_token_field_name": "t"}}), JWT).to_string()),
            ("aws.json", external(json!({"environment_id": "aws1",
                "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"}),
                "urn:ietf:params:aws:token-type:aws4_request").to_string()),
            ("subject", json!({"t": self.secret("a subject token")}).to_string()),
        ];
        for (name, text) in files {
            fs::write(self.path(name), text).unwrap();
        }
    }

    /// The variables are the test's own, and stay.
    fn options(&self) -> Options {
        exempt(|| {
            let http = HttpClient::new(Endpoints::emulator(self.address).unwrap()).unwrap();
            let environment = Environment::empty()
                .with_home(self.home.path())
                .with_var("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
                .with_var("AWS_SECRET_ACCESS_KEY", self.secret("an AWS key"))
                .with_var("AWS_SESSION_TOKEN", self.secret("an AWS session"))
                .with_var("AWS_REGION", "us-east-1");
            std::mem::forget(environment.clone());
            Options::new(http)
                .environment(environment)
                .gdch_audience("https://service.example.com")
                .disk_cache(DiskCache::at(self.path("cache")))
        })
    }

    /// Read, used, asked for another token, dropped.
    fn credential(&self, file: &str) {
        let options = self.options();
        let credentials = Credentials::from_file(self.path(file), &options).unwrap();
        self.use_and_drop(credentials, &options);
        let text = exempt(|| fs::read_to_string(self.path(file)).unwrap());
        drop(Credentials::from_json(&text, &options).unwrap());
        exempt(move || drop((text, options)));
    }

    fn use_and_drop(&self, credentials: Credentials, options: &Options) {
        self.runtime.block_on(async {
            let token = credentials.token().await.unwrap();
            credentials.cache().unwrap().invalidate(&token);
            drop(token);
            let _ = credentials.token().await.unwrap();
            drop(credentials);
        });
        let _ = options;
    }

    fn self_signed(&self) {
        let options = self.options().self_signed(true);
        let credentials =
            Credentials::from_file(self.path("service-account.json"), &options).unwrap();
        self.use_and_drop(credentials, &options);
        exempt(move || drop(options));
    }

    fn store(&self) {
        let store = Store::at(self.path("credentials"));
        let (token, client) = exempt(|| {
            (
                self.secret("a refresh token"),
                self.secret("a client secret"),
            )
        });
        let login = NewLogin::new(token, Scopes::earth_engine()).client("1-a", client);
        store.save_login(&login).unwrap();
        store.set_project("ee-demo-project").unwrap();
        drop(store.read().unwrap());
        drop(login);
        let http = exempt(|| HttpClient::new(Endpoints::emulator(self.address).unwrap()).unwrap());
        self.runtime
            .block_on(async { store.revoke(&http).await.unwrap() });
    }

    fn logins(&self) {
        let options = self.options();
        let environment = exempt(|| Environment::empty().with_home(self.home.path()));
        let code = exempt(|| self.secret("an authorization code"));
        let code = earthengine::SecretString::from(code);
        self.runtime.block_on(async {
            let flow = Flow::new(environment, options.http.clone());
            let verifier = exempt(|| {
                let text = format!("request:{0}:{0}", self.secret("a code verifier"));
                earthengine::SecretString::from(text)
            });
            let saved = flow.finish_notebook(&verifier, &code).await.unwrap();
            drop(saved);
            let client = exempt(|| self.secret("a client secret"));
            let flow = WebFlow::new(
                "1-a",
                client,
                "https://app.example.com/callback",
                options.clone(),
            )
            .unwrap();
            let (_, pending) = flow.begin().unwrap();
            let query = exempt(|| {
                format!(
                    "state={}&code={}",
                    pending.state(),
                    self.secret("an authorization code")
                )
            });
            let login = flow.finish(pending, &query).await.unwrap();
            drop(login.credentials.token().await.unwrap());
            drop((login, flow));
            exempt(move || drop(query));
        });
        drop(code);
        exempt(move || drop(options));
    }
}

/// A server whose memory is not looked at.
fn serve(token: String, refresh: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let replies = Arc::new((token, refresh));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.unwrap(), &replies);
        }
    });
    address
}

fn answer(mut stream: TcpStream, (token, refresh): &(String, String)) {
    let mut bytes = Vec::new();
    let mut chunk = [0; 16384];
    let head = loop {
        let count = stream.read(&mut chunk).unwrap_or(0);
        if count == 0 {
            return;
        }
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("content-length: ")
                    .map(str::to_owned)
            });
            if body.len() >= length.map_or(0, |n| n.parse().unwrap()) {
                break head.to_owned();
            }
        }
    };
    let body = if head.contains("generateAccessToken") {
        json!({"accessToken": token, "expireTime": "2099-01-01T01:00:00Z"})
    } else if head.contains("client-auth") {
        json!({"client_id": "1-a", "client_secret": refresh})
    } else {
        json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer", "refresh_token": refresh,
            "scope": "https://www.googleapis.com/auth/earthengine"})
    };
    let body = body.to_string();
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2099 00:00:00 GMT\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
}
