//! Shared helpers: signing, sending and parsing.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ee_emulator::{Emulator, ServiceAccount};
use ee_test_support::certificates::without_authorities;
use reqwest::header::HeaderMap;
use ring::rand::SystemRandom;
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents,
};
use serde_json::{Value, json};

pub(crate) const PROJECT: &str = "ee-demo-project";
pub(crate) const ROBOT: &str = "robot@ee-demo-project.iam.gserviceaccount.com";
pub(crate) const SCOPE: &str = "https://www.googleapis.com/auth/earthengine";
pub(crate) const AUDIENCE: &str = "https://oauth2.googleapis.com/token";
pub(crate) const OAUTH2: &str = "oauth2.googleapis.com";
pub(crate) const EARTHENGINE: &str = "earthengine.googleapis.com";

/// A fully read response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Response {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// Returns the reason in `google.rpc.ErrorInfo`.
    pub(crate) fn reason(&self) -> Option<String> {
        self.info()["reason"].as_str().map(str::to_owned)
    }

    pub(crate) fn info(&self) -> Value {
        let body = self.json();
        let details = body["error"]["details"].as_array().cloned();
        details
            .unwrap_or_default()
            .into_iter()
            .find(|detail| detail["@type"] == "type.googleapis.com/google.rpc.ErrorInfo")
            .unwrap_or(Value::Null)
    }

    pub(crate) fn message(&self) -> String {
        self.json()["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Returns `error` and `error_description` of an OAuth error.
    pub(crate) fn oauth_error(&self) -> (String, String) {
        let body = self.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        (text("error"), text("error_description"))
    }
}

/// Creates a client for plain HTTP without redirects or proxies.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        // Feature unification may enable gzip, but the tests examine the bytes as sent.
        .no_gzip()
        .redirect(reqwest::redirect::Policy::none())
        .tls_backend_preconfigured(without_authorities())
        .build()
        .unwrap()
}

pub(crate) async fn send(request: reqwest::RequestBuilder) -> Response {
    let response = request.send().await.unwrap();
    Response {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    }
}

pub(crate) async fn get(url: String) -> Response {
    send(client().get(url)).await
}

/// Sends a request to the token endpoint.
pub(crate) async fn token(emulator: &Emulator, form: &[(&str, &str)]) -> Response {
    let url = format!("{}/token", emulator.url(OAUTH2));
    send(client().post(url).form(form)).await
}

/// Returns valid claims at the emulator's current time.
pub(crate) fn claims(emulator: &Emulator) -> Value {
    let now = emulator.clock().now().timestamp();
    json!({"iss": ROBOT, "scope": SCOPE, "aud": AUDIENCE, "iat": now, "exp": now + 3600})
}

pub(crate) fn header(account: &ServiceAccount) -> Value {
    json!({"alg": "RS256", "typ": "JWT", "kid": account.private_key_id()})
}

/// Signs an RS256 JWT with any header and claims.
pub(crate) fn sign(account: &ServiceAccount, header: &Value, claims: &Value) -> String {
    let der: String = account
        .pkcs8_pem()
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let pair = RsaKeyPair::from_pkcs8(&STANDARD.decode(der).unwrap()).unwrap();
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        signed.as_bytes(),
        &mut signature,
    )
    .unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Returns the claims of an ID token after verifying it with the published key.
pub(crate) async fn id_token_claims(emulator: &Emulator, token: &str) -> Value {
    let url = format!("{}/oauth2/v3/certs", emulator.url("www.googleapis.com"));
    let key = get(url).await.json()["keys"][0].clone();
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let parameter = |name: &str| decode(key[name].as_str().unwrap());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let public = RsaPublicKeyComponents {
        n: parameter("n"),
        e: parameter("e"),
    };
    public
        .verify(
            &RSA_PKCS1_2048_8192_SHA256,
            signed.as_bytes(),
            &decode(signature),
        )
        .unwrap();
    let parts: Vec<Value> = signed
        .split('.')
        .map(|part| serde_json::from_slice(&decode(part)).unwrap())
        .collect();
    assert_eq!(parts[0]["kid"], key["kid"]);
    assert_eq!(parts[1]["iss"], "https://accounts.google.com");
    parts[1].clone()
}

/// Sends an assertion to the token endpoint.
pub(crate) async fn assert_jwt(emulator: &Emulator, jwt: &str) -> Response {
    let grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    token(emulator, &[("grant_type", grant_type), ("assertion", jwt)]).await
}

/// Sends an Earth Engine call with a bearer token and an optional quota project.
pub(crate) async fn config(
    emulator: &Emulator,
    project: &str,
    bearer: &str,
    quota_project: Option<&str>,
) -> Response {
    let url = format!("{}/v1/projects/{project}/config", emulator.url(EARTHENGINE));
    let mut request = client().get(url).bearer_auth(bearer);
    if let Some(quota_project) = quota_project {
        request = request.header("x-goog-user-project", quota_project);
    }
    send(request).await
}

pub(crate) fn query(url: &str) -> BTreeMap<String, String> {
    let url = url::Url::parse(url).unwrap();
    url.query_pairs().into_owned().collect()
}
