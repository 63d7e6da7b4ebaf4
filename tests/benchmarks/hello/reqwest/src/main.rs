//! The lower bound for a verified project with a service account key: reads the key, signs with
//! ring, and sends the same two requests with bare reqwest. No checks, cache or retries.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let emulator = std::env::var("EARTHENGINE_EMULATOR_HOST")?;
    let path = std::env::var("GOOGLE_APPLICATION_CREDENTIALS")?;
    let key: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let client = client()?;
    let form = format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={}",
        assertion(&key)?
    );
    let reply = client
        .post(format!("http://{emulator}/oauth2.googleapis.com/token"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
        .send()
        .await?
        .error_for_status()?;
    let token: Value = serde_json::from_slice(&reply.bytes().await?)?;
    let project = key["project_id"].as_str().unwrap_or_default();
    let reply = client
        .get(format!(
            "http://{emulator}/earthengine.googleapis.com/v1/projects/{project}/config"
        ))
        .bearer_auth(token["access_token"].as_str().unwrap_or_default())
        .header("x-goog-user-project", project)
        .send()
        .await?
        .error_for_status()?;
    let config: Value = serde_json::from_slice(&reply.bytes().await?)?;
    println!("{}", config["registrationState"]);
    Ok(())
}

fn client() -> Outcome<reqwest::Client> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        // Without TLS, because loading certificates takes time.
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .build()?)
}

fn assertion(key: &Value) -> Outcome<String> {
    let pem = key["private_key"].as_str().unwrap_or_default();
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())?;
    let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|e| e.to_string())?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let claims = json!({
        "iss": key["client_email"],
        "aud": "https://oauth2.googleapis.com/token",
        "scope": "https://www.googleapis.com/auth/earthengine https://www.googleapis.com/auth/cloud-platform",
        "iat": now,
        "exp": now + 3600,
    });
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": key["private_key_id"]});
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let mut jwt = format!("{}.{}", encode(&header), encode(&claims));
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        jwt.as_bytes(),
        &mut signature,
    )
    .map_err(|_| "the key cannot sign")?;
    jwt.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut jwt);
    Ok(jwt)
}
