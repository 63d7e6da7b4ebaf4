//! Credential files of every kind with secrets of this run, and servers.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use earthengine::credentials::{CredentialOptions, DiskTokenCache};
use earthengine::token::HttpClient;
use earthengine::{Endpoints, Environment};
use ee_emulator::{ClientCertificate, EcKey, Emulator, RsaKey};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::allocator::{exempt, learn};
use crate::server::serve;

const AUDIENCE: &str = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/p/providers/o";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// A home directory, servers and secrets.
pub struct Fixture {
    home: TempDir,
    pub working: SocketAddr,
    /// Responds with errors that repeat the request.
    pub failing: SocketAddr,
    secrets: BTreeMap<&'static str, String>,
    pub runtime: tokio::runtime::Runtime,
}

/// Returns a secret of this length after its prefix. Every 32nd character is one that forms, URLs
/// or JSON may escape.
fn secret(name: &str, start: &str, length: usize, mark: char) -> String {
    let mut text = String::new();
    let mut state = std::process::id() as u64 * 7_919 + (name.len() + length) as u64;
    for (at, byte) in name.bytes().cycle().take(length).enumerate() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(u64::from(byte));
        text.push(match at % 32 {
            31 => mark,
            _ => char::from(
                b"abcdefghjkmnpqrstuvwxyzABCDEFGHJKMNPQRSTUVWXYZ23456789"
                    [(state >> 33) as usize % 54],
            ),
        });
    }
    learn_text(&format!("{name} of {length}"), &text);
    format!("{start}{text}")
}

/// Adds a secret to find: its beginning, middle and end, plain and in base64. Percent-encoding and
/// JSON do not change letters and digits.
pub fn learn_text(name: &str, text: &str) {
    let whole = (0..text.len() / 32).chain(text.len().checked_sub(28).map(|at| at / 32));
    let parts: Vec<usize> = whole.collect();
    for part in [parts[0], parts[parts.len() / 2], parts[parts.len() - 1]] {
        let letters = &text.as_bytes()[32 * part + 2..32 * part + 26];
        learn(name, letters);
        for begin in 0..3 {
            let triples = &letters[begin..begin + 21];
            learn(
                &format!("{name}, in base64"),
                STANDARD.encode(triples).as_bytes(),
            );
        }
    }
}

impl Fixture {
    /// Creates a fixture with secrets of this length.
    pub fn new(length: usize) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut secrets = BTreeMap::new();
        for (name, start) in [
            ("an access token", "ya29."),
            ("a refresh token", "1//0g"),
            ("a client secret", "GOCSPX-"),
            ("a subject token", ""),
            ("an ID token", ""),
            ("a URL's header", ""),
            ("an AWS key", ""),
            ("an AWS session", ""),
            ("an AWS metadata session", ""),
            ("an AWS container token", ""),
            ("an authorization code", "4/0A"),
            ("an API key", "AIza"),
        ] {
            secrets.insert(name, secret(name, start, length, '/'));
        }
        // The maximal length in PKCE (RFC 7636 §4.1).
        let verifier = secret("a code verifier", "", length.min(120), '~');
        secrets.insert("a code verifier", verifier);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (rsa, ec) = (RsaKey::generate(2048), EcKey::generate());
        let emulator = runtime.block_on(Emulator::start()).unwrap();
        let certificate = emulator.create_x509_provider(AUDIENCE).certificate("ada");
        let der = |pem: &str| {
            let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
            STANDARD.decode(body).unwrap()
        };
        for (name, pem) in [
            ("an RSA key", rsa.pkcs8_pem()),
            ("a certificate's key", certificate.key_pem()),
        ] {
            learn(&format!("{name}'s bytes"), &der(pem)[700..724]);
            let line = pem.lines().nth(15).unwrap();
            learn(&format!("{name}'s text"), &line.as_bytes()[4..40]);
        }
        learn("an EC key's bytes", &der(ec.pkcs8_pem())[40..64]);
        let fixture = Self {
            home,
            working: serve(&secrets, false),
            failing: serve(&secrets, true),
            secrets,
            runtime,
        };
        fixture.write_files(&rsa, &ec, &certificate);
        fixture
    }

    pub fn secret(&self, name: &str) -> String {
        self.secrets[name].clone()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn write_files(&self, rsa: &RsaKey, ec: &EcKey, certificate: &ClientCertificate) {
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
                "private_key_id": "4c", "private_key": ec.pkcs8_pem(), "token_uri": "https://service-identity.example.com/authenticate"}).to_string()),
            ("federation.json", external(json!({"file": subject, "format": {"type": "json", "subject_token_field_name": "t"}}), JWT).to_string()),
            ("url.json", external(json!({"url": "https://tokens.example.com/t",
                "headers": {"X-Url-Secret": self.secret("a URL's header")}}), JWT).to_string()),
            ("program.json", external(json!({"executable": {"command": format!("/bin/sh {}", self.path("program.sh").display())}}), JWT).to_string()),
            ("program.sh", format!("cat {}", self.path("output").display())),
            ("output", json!({"version": 1, "success": true, "token_type": JWT, "id_token": self.secret("a subject token")}).to_string()),
            ("certificate.json", external(json!({"certificate": {"certificate_config_location": self.path("certificate_config.json")}}),
                "urn:ietf:params:oauth:token-type:mtls").to_string()),
            ("certificate_config.json", json!({"cert_configs": {"workload": {
                "cert_path": self.path("leaf.pem"), "key_path": self.path("key.pem")}}}).to_string()),
            ("leaf.pem", certificate.certificate_pem().to_owned()),
            ("key.pem", certificate.key_pem().to_owned()),
            ("aws.json", external(json!({"environment_id": "aws1",
                "region_url": "http://169.254.169.254/latest/meta-data/placement/availability-zone",
                "url": "http://169.254.169.254/latest/meta-data/iam/security-credentials",
                "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"}),
                "urn:ietf:params:aws:token-type:aws4_request").to_string()),
            ("subject", json!({"t": self.secret("a subject token")}).to_string()),
            ("subject.txt", self.secret("a subject token")),
            ("plain.json", external(json!({"file": self.path("subject.txt")}), JWT).to_string()),
        ];
        for (name, text) in files {
            fs::write(self.path(name), text).unwrap();
        }
    }

    /// Returns options with variables that belong to the test and are never freed.
    pub fn options(&self, address: SocketAddr, more: &[(&str, &str)]) -> CredentialOptions {
        exempt(|| {
            let http = HttpClient::new(Endpoints::emulator(address).unwrap());
            let mut environment = Environment::empty()
                .with_home(self.path("nowhere"))
                .with_var("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1");
            for (name, value) in more {
                environment = environment.with_var(*name, *value);
            }
            std::mem::forget(environment.clone());
            CredentialOptions::new(http)
                .environment(environment)
                .allow_host("tokens.example.com")
                .allow_host("service-identity.example.com")
                .gdch_audience("https://service.example.com")
                .disk_cache(DiskTokenCache::at(self.path("cache")))
        })
    }
}
