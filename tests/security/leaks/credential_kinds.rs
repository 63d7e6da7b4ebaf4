//! A credential of every kind, with secrets of this run.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use earthengine::credentials::{CredentialOptions, DiskTokenCache, ExternalAccountConfig};
use earthengine::token::HttpClient;
use earthengine::{AccessToken, Credentials, Endpoints, Environment};
use ee_emulator::{EcKey, Emulator, RsaKey};
use ee_test_support::canaries::{Canaries, Finder};
use serde_json::{Value, json};

pub(crate) const ROBOT: &str = "robot@ee-demo-project.iam.gserviceaccount.com";
const AUDIENCE: &str = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/p/providers/o";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// The kinds by name.
pub(crate) const KINDS: [&str; 22] = [
    "service account",
    "service account for a person",
    "self-signed service account",
    "service account's PEM",
    "authorized user",
    "Earth Engine file",
    "workforce user",
    "impersonated",
    "service identity",
    "metadata server",
    "subject token in a file",
    "subject token at a URL",
    "subject token of a program",
    "subject token of a closure",
    "AWS by variables",
    "AWS by its machine",
    "AWS by its container",
    "AWS by a web identity",
    "certificate",
    "federation with impersonation",
    "token",
    "API key",
];

/// Keys and certificates, which take long to generate.
pub(crate) struct Keys {
    pub(crate) rsa: RsaKey,
    pub(crate) ec: EcKey,
    certificate: String,
    certificate_key: String,
    pub(crate) canaries: Canaries,
    pub(crate) finder: Finder,
}

impl Keys {
    pub(crate) async fn new() -> Self {
        let emulator = Emulator::start().await.unwrap();
        let certificate = emulator.create_x509_provider(AUDIENCE).certificate("ada");
        let (rsa, ec) = (RsaKey::generate(2048), EcKey::generate());
        let mut canaries = Canaries::default();
        canaries.add_pem("the RSA key", rsa.pkcs8_pem());
        canaries.add_ec_pem("the EC key", ec.pkcs8_pem());
        let key = certificate.key_pem();
        canaries.add_private_exponent("the certificate's key", key);
        Self {
            rsa,
            ec,
            certificate: certificate.certificate_pem().to_owned(),
            certificate_key: key.to_owned(),
            finder: canaries.finder(),
            canaries,
        }
    }
}

/// The parts of a credential: its text or value, and its environment variables.
pub(crate) struct Made {
    /// The content of its file, for the kinds that have one.
    pub(crate) json: Option<Value>,
    pub(crate) pem: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) token: Option<AccessToken>,
    pub(crate) supply: Option<String>,
    pub(crate) variables: Vec<(&'static str, String)>,
    /// The directory of its disk cache.
    pub(crate) cache: PathBuf,
    pub(crate) canaries: Canaries,
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    path
}

/// Writes a program that returns a token and prints to standard error.
fn program(dir: &Path, token: &str) -> io::Result<String> {
    let output = json!({"version": 1, "success": true, "token_type": JWT, "id_token": token});
    let script = format!("echo 'got {token}' >&2\necho '{output}'\n");
    Ok(format!(
        "/bin/sh {}",
        write(dir, "program.sh", &script).display()
    ))
}

/// Creates a credential of this kind.
pub(crate) fn make(kind: &str, prefix: &str, keys: &Keys, dir: &Path) -> Made {
    let mut made = Made {
        json: None,
        pem: None,
        key: None,
        token: None,
        supply: None,
        variables: vec![("NO_GCE_CHECK", "true".to_owned())],
        cache: dir.join("cache"),
        canaries: Canaries::default(),
    };
    let canaries = &mut made.canaries;
    let mut secret =
        |what: &str, start: &str| canaries.plant(format!("{prefix}: the {what}"), start);
    let service_account = || {
        json!({
            "type": "service_account", "client_email": ROBOT, "private_key": keys.rsa.pkcs8_pem(),
            "private_key_id": "4c2e", "project_id": "ee-demo-project",
            "token_uri": "https://oauth2.googleapis.com/token",
        })
    };
    let external = |source: Value, of: &str| {
        json!({
            "type": "external_account", "audience": AUDIENCE, "subject_token_type": of,
            "token_url": "https://sts.googleapis.com/v1/token", "credential_source": source,
        })
    };
    match kind {
        "service account" | "service account for a person" | "self-signed service account" => {
            made.json = Some(service_account());
        }
        "service account's PEM" => made.pem = Some(keys.rsa.pkcs8_pem().to_owned()),
        "authorized user" => {
            made.json = Some(json!({
                "type": "authorized_user", "client_id": "1-a.apps.googleusercontent.com",
                "client_secret": secret("client secret", "GOCSPX-"),
                "refresh_token": secret("refresh token", "1//0g"), "rapt_token": secret("rapt", ""),
                "quota_project_id": "ee-demo-project",
            }))
        }
        "Earth Engine file" => {
            made.json = Some(json!({
                "client_id": "1-a.apps.googleusercontent.com", "client_secret": secret("client secret", ""),
                "refresh_token": secret("refresh token", "1//0g"), "project": "ee-demo-project",
            }))
        }
        "workforce user" => {
            made.json = Some(json!({
                "type": "external_account_authorized_user",
                "audience": "//iam.googleapis.com/locations/global/workforcePools/p/providers/o",
                "client_id": "1-a", "client_secret": secret("client secret", ""),
                "refresh_token": secret("refresh token", ""),
                "token_url": "https://sts.googleapis.com/v1/oauthtoken",
            }))
        }
        "impersonated" => {
            made.json = Some(json!({
                "type": "impersonated_service_account",
                "service_account_impersonation_url": format!("https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{ROBOT}:generateAccessToken"),
                "source_credentials": {"type": "authorized_user", "client_id": "1-a", "client_secret": secret("client secret", ""),
                    "refresh_token": secret("refresh token", "1//0g")},
            }))
        }
        "service identity" => {
            made.json = Some(json!({
                "type": "gdch_service_account", "format_version": "1", "project": "p", "name": "n",
                "private_key_id": "4c2e", "private_key": keys.ec.sec1_pem(),
                "token_uri": "https://service-identity.example.com/authenticate",
            }))
        }
        "metadata server" => {
            made.variables = vec![
                ("GCE_METADATA_HOST", "metadata.google.internal".to_owned()),
                ("GCE_METADATA_TIMEOUT", "1".to_owned()),
            ];
        }
        "subject token in a file" => {
            let path = write(dir, "subject", &secret("subject token", ""));
            let mut account = external(json!({ "file": path }), JWT);
            account["client_id"] = json!("1-a");
            account["client_secret"] = json!(secret("client secret", ""));
            made.json = Some(account);
        }
        "subject token at a URL" => {
            made.json = Some(external(
                json!({
                    "url": "https://tokens.example.com/t", "headers": {"X-Url-Secret": secret("header's secret", "")},
                }),
                JWT,
            ))
        }
        "subject token of a program" => {
            made.variables
                .push(("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1".to_owned()));
            let command = program(dir, &secret("subject token", "")).unwrap();
            made.json = Some(external(
                json!({"executable": {"command": command, "timeout_millis": 20000}}),
                JWT,
            ));
        }
        "subject token of a closure" => made.supply = Some(secret("subject token", "")),
        "AWS by variables"
        | "AWS by its machine"
        | "AWS by its container"
        | "AWS by a web identity" => {
            if kind != "AWS by its machine" {
                made.variables.push(("AWS_REGION", "us-east-1".to_owned()));
            }
            match kind {
                "AWS by variables" => made.variables.extend([
                    ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
                    ("AWS_SECRET_ACCESS_KEY", secret("AWS key", "")),
                    ("AWS_SESSION_TOKEN", secret("AWS session", "")),
                ]),
                "AWS by its container" => made.variables.extend([
                    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/c".to_owned()),
                    (
                        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                        secret("container token", ""),
                    ),
                ]),
                "AWS by a web identity" => {
                    let token = write(dir, "web-identity", &secret("web identity token", ""));
                    let token = token.display().to_string();
                    made.variables.extend([
                        (
                            "AWS_ROLE_ARN",
                            "arn:aws:iam::123456789012:role/r".to_owned(),
                        ),
                        ("AWS_WEB_IDENTITY_TOKEN_FILE", token),
                    ]);
                }
                _ => {}
            }
            made.json = Some(external(
                json!({
                    "environment_id": "aws1",
                    "region_url": "http://169.254.169.254/latest/meta-data/placement/availability-zone",
                    "url": "http://169.254.169.254/latest/meta-data/iam/security-credentials",
                    "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
                }),
                "urn:ietf:params:aws:token-type:aws4_request",
            ));
        }
        "certificate" => {
            let config = json!({"cert_configs": {"workload": {
                "cert_path": write(dir, "leaf.pem", &keys.certificate),
                "key_path": write(dir, "key.pem", &keys.certificate_key),
            }}});
            let path = write(dir, "certificate_config.json", &config.to_string());
            made.json = Some(external(
                json!({"certificate": {"certificate_config_location": path}}),
                "urn:ietf:params:oauth:token-type:mtls",
            ));
        }
        "federation with impersonation" => {
            let path = write(dir, "subject", &secret("subject token", ""));
            let mut account = external(json!({ "file": path }), JWT);
            account["service_account_impersonation_url"] = json!(format!(
                "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{ROBOT}:generateAccessToken"
            ));
            made.json = Some(account);
        }
        "token" => made.token = Some(AccessToken::new(&secret("access token", "ya29.")).unwrap()),
        "API key" => made.key = Some(secret("API key", "AIza")),
        _ => panic!("{kind}"),
    }
    made
}

impl Made {
    pub(crate) fn environment(&self) -> Environment {
        self.variables
            .iter()
            .fold(Environment::empty(), |environment, (name, value)| {
                environment.with_var(*name, value)
            })
    }

    pub(crate) fn options(&self, kind: &str, address: SocketAddr) -> CredentialOptions {
        let http = HttpClient::new(Endpoints::emulator(address).unwrap());
        let options = CredentialOptions::new(http)
            .environment(self.environment())
            .disk_cache(DiskTokenCache::at(&self.cache))
            .allow_host("tokens.example.com")
            .allow_host("service-identity.example.com")
            .gdch_audience("https://service.example.com");
        match kind {
            "self-signed service account" => options.self_signed_jwt(true),
            "service account for a person" => options.subject("ada@example.com"),
            _ => options,
        }
    }

    /// Returns the credentials, or `None` for the kind that a search must find.
    pub(crate) fn credentials(
        &self,
        options: &CredentialOptions,
    ) -> Option<Result<Credentials, earthengine::credentials::Error>> {
        if let Some(json) = &self.json {
            return Some(Credentials::from_json(&json.to_string(), options));
        }
        if let Some(pem) = &self.pem {
            return Some(Credentials::from_pem(pem, ROBOT, options));
        }
        if let Some(key) = &self.key {
            return Some(Ok(Credentials::from_api_key(key.as_str())));
        }
        if let Some(token) = &self.token {
            return Some(Ok(Credentials::from_token(token.clone())));
        }
        let supply = self.supply.clone()?;
        let account =
            ExternalAccountConfig::new(AUDIENCE, JWT).oauth_client("1-a", supply.as_str());
        let supply = move || {
            let token = supply.clone();
            async move { Ok(token.into()) }
        };
        Some(Credentials::from_subject_token(account, supply, options))
    }
}
