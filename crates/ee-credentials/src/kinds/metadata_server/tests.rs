use ee_emulator::{Emulator, Fault};
use ee_token::{Endpoints, ManualClock, TokenCache};
use serde_json::json;
use tokio::time::Instant;

use super::detection::{ADDRESS, Detection, detect, url};
use super::*;
use crate::options::options;
use crate::{CredentialOptions, Credentials, Environment, ErrorKind};

const HOST: &str = "metadata.google.internal";
const ROBOT: &str = "vm@ee-demo-project.iam.gserviceaccount.com";

async fn machine() -> (Emulator, CredentialOptions) {
    let emulator = Emulator::builder()
        .metadata_server(ROBOT, "ee-demo-project", &["cloud-platform"])
        .start()
        .await
        .unwrap();
    let options = options(&emulator);
    (emulator, options)
}

fn with_probe() -> Environment {
    Environment::empty().with_metadata_probe(true)
}

async fn detected(
    environment: &Environment,
    options: &CredentialOptions,
) -> Option<Arc<MetadataServer>> {
    match detect(environment, options).await.unwrap() {
        Detection::Server(server) => Some(server),
        Detection::NotFound(_) => None,
    }
}

async fn server(environment: &Environment, options: &CredentialOptions) -> Option<Credentials> {
    let server = detected(environment, options).await?;
    Some(Credentials::from_metadata_server(server, options))
}

fn on_google_machine() -> Environment {
    with_probe().with_dmi_product_name("Google Compute Engine")
}

#[tokio::test]
async fn detected_metadata_server_returns_token_and_project() {
    let (emulator, options) = machine().await;
    let credentials = server(&with_probe(), &options).await.unwrap();
    assert_eq!(credentials.kind(), CredentialKind::MetadataServer);
    assert_eq!(credentials.source().as_str(), "metadata_server");
    let token = credentials.token().await.unwrap();
    assert!(token.expires_at().unwrap() > Utc::now() + TimeDelta::minutes(30));
    let project = credentials.fetch_metadata_project().await.unwrap();
    assert_eq!(project.as_deref(), Some("ee-demo-project"));
    let number = credentials.fetch_metadata_project_number().await.unwrap();
    assert!(number.is_some());

    let requests = emulator.requests();
    let urls: Vec<_> = requests
        .iter()
        .map(|r| format!("{}{}", r.host, r.path))
        .collect();
    assert_eq!(
        urls,
        [
            "169.254.169.254/",
            "metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token",
            "metadata.google.internal/computeMetadata/v1/project/project-id",
            "metadata.google.internal/computeMetadata/v1/project/numeric-project-id",
        ]
    );
    assert!(
        requests
            .iter()
            .all(|r| r.header("metadata-flavor") == Some("Google"))
    );
    assert_eq!(
        requests[1].query_parameters()["scopes"],
        "https://www.googleapis.com/auth/earthengine,https://www.googleapis.com/auth/cloud-platform"
    );
}

#[tokio::test]
async fn metadata_server_is_not_probed_if_disabled() {
    let (emulator, options) = machine().await;
    let disabled = with_probe().with_var("NO_GCE_CHECK", "true");
    assert!(server(&disabled, &options).await.is_none());
    assert!(server(&Environment::empty(), &options).await.is_none());
    assert!(emulator.requests().is_empty());
    // Only the exact value `true` disables the probe.
    assert!(
        server(&with_probe().with_var("NO_GCE_CHECK", "1"), &options)
            .await
            .is_some()
    );
}

#[tokio::test]
async fn metadata_server_is_detected_by_probe_or_firmware() {
    let emulator = Emulator::start().await.unwrap();
    let options = options(&emulator);
    assert!(server(&with_probe(), &options).await.is_none());
    assert_eq!(emulator.requests().len(), 3);
    assert!(server(&on_google_machine(), &options).await.is_some());
}

#[tokio::test]
async fn metadata_token_lifetime_starts_with_the_last_attempt() {
    let (emulator, options) = machine().await;
    let credentials = server(&with_probe(), &options).await.unwrap();
    emulator.fault(HOST, Fault::status(503).header("retry-after", "1").times(1));
    let response = json!({"access_token": "ya29.x", "expires_in": 3600});
    emulator.fault(
        HOST,
        Fault::status(200)
            .json(&response)
            .header("metadata-flavor", "Google"),
    );
    let started = Utc::now();
    let token = credentials.token().await.unwrap();
    assert!(token.expires_at().unwrap() - started >= TimeDelta::seconds(3601));
}

#[tokio::test]
async fn metadata_probe_ends_at_its_timeout() {
    let (emulator, options) = machine().await;
    emulator.fault(ADDRESS, Fault::delay(Duration::from_secs(20)));
    let started = Instant::now();
    let environment = with_probe().with_var("GCE_METADATA_TIMEOUT", "0.2");
    assert!(server(&environment, &options).await.is_none());
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn metadata_probe_is_brief_unless_a_platform_is_known() {
    let (emulator, options) = machine().await;
    emulator.fault(ADDRESS, Fault::delay(Duration::from_secs(600)).times(3));
    let container = with_probe().with_var("KUBERNETES_SERVICE_HOST", "10.0.0.1");
    for (environment, milliseconds) in [(with_probe(), 800), (container, 3000)] {
        let started = tokio::time::Instant::now();
        assert!(server(&environment, &options).await.is_none());
        assert_eq!(started.elapsed().as_millis(), milliseconds);
    }
    emulator.clear_requests();
    assert!(server(&on_google_machine(), &options).await.is_some());
    assert!(
        emulator.requests().is_empty(),
        "a known machine needs no probe"
    );
}

#[tokio::test]
async fn configured_metadata_host_is_validated_and_not_probed() {
    let (emulator, _) = machine().await;
    let google = CredentialOptions::default();
    let host = format!("{}", emulator.address());
    let environment = Environment::empty().with_var("GCE_METADATA_HOST", host.as_str());
    assert!(server(&environment, &google).await.is_some());
    assert!(emulator.requests().is_empty());
    for bad in ["http://x/", "a b", "u@h"] {
        let environment = Environment::empty().with_var("GCE_METADATA_HOST", bad);
        let error = detect(&environment, &google).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidEnvironment);
        assert!(error.to_string().contains("GCE_METADATA_HOST"));
    }
    for bad in ["soon", "-1", "inf"] {
        let environment = with_probe().with_var("GCE_METADATA_TIMEOUT", bad);
        let error = detect(&environment, &google).await.err().unwrap();
        assert!(
            error.to_string().contains("GCE_METADATA_TIMEOUT"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn response_without_metadata_flavor_is_an_error() {
    let (emulator, options) = machine().await;
    let credentials = server(&with_probe(), &options).await.unwrap();
    emulator.fault(
        HOST,
        Fault::status(200).json(&json!({"access_token": "ya29.canary", "expires_in": 3600})),
    );
    let error = credentials.token().await.unwrap_err();
    assert!(error.to_string().contains("Metadata-Flavor"), "{error}");
    assert!(!format!("{error:?}").contains("canary"));
}

#[tokio::test]
async fn transient_metadata_failures_are_retried() {
    let (emulator, options) = machine().await;
    let credentials = server(&with_probe(), &options).await.unwrap();
    emulator.fault(HOST, Fault::status(503).times(2));
    emulator.fault(HOST, Fault::disconnect());
    credentials.token().await.unwrap();
    assert_eq!(emulator.requests_to(HOST).len(), 4);
}

#[tokio::test]
async fn malformed_metadata_token_is_an_error() {
    for body in [
        "",
        "<html>",
        r#"{"access_token": "ya29.canary"}"#,
        r#"{"access_token": "ya29.canary", "expires_in": -1}"#,
    ] {
        let (emulator, options) = machine().await;
        let credentials = server(&with_probe(), &options).await.unwrap();
        let response =
            Fault::respond(200, "application/json", body).header(FLAVOR.as_str(), GOOGLE);
        emulator.fault(HOST, response);
        let error = credentials.token().await.unwrap_err();
        assert_eq!(error.kind(), Token::InvalidResponse, "{body}");
        assert!(!format!("{error:?}").contains("canary"));
    }
}

#[tokio::test]
async fn metadata_account_and_scopes_are_fetched_once() {
    let (emulator, options) = machine().await;
    let credentials = server(&with_probe(), &options).await.unwrap();
    assert_eq!(credentials.principal(), None);
    let principal = credentials.fetch_principal().await.unwrap();
    assert_eq!(principal.as_deref(), Some(ROBOT));
    let granted = credentials.fetch_granted_scopes().await.unwrap().unwrap();
    assert_eq!(granted, Scopes::new(["cloud-platform"]));
    assert_eq!(credentials.principal(), Some(ROBOT));
    let requests = emulator.requests_to(HOST);
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].query, "recursive=true");
}

#[tokio::test]
async fn metadata_works_without_recursive_queries() {
    let emulator = Emulator::builder()
        .metadata_server(ROBOT, "ee-demo-project", &["cloud-platform", "drive"])
        .metadata_without_recursive()
        .start()
        .await
        .unwrap();
    let credentials = server(&with_probe(), &options(&emulator)).await.unwrap();
    let granted = credentials.fetch_granted_scopes().await.unwrap().unwrap();
    assert_eq!(granted, Scopes::new(["cloud-platform", "drive"]));
    assert_eq!(credentials.principal(), Some(ROBOT));
    credentials.token().await.unwrap();
}

#[tokio::test]
async fn selected_metadata_account_is_used_or_rejected() {
    const OTHER: &str = "other@ee-demo-project.iam.gserviceaccount.com";
    let emulator = Emulator::builder()
        .metadata_server(ROBOT, "ee-demo-project", &["cloud-platform"])
        .metadata_account(OTHER, &["earthengine"])
        .start()
        .await
        .unwrap();
    let named = |email: &str| options(&emulator).service_account_email(email);
    let credentials = server(&with_probe(), &named(OTHER)).await.unwrap();
    assert_eq!(credentials.principal(), Some(OTHER));
    credentials.token().await.unwrap();
    let path = emulator.requests().pop().unwrap().path;
    assert!(
        path.ends_with(&format!("/service-accounts/{OTHER}/token")),
        "{path}"
    );

    let missing = server(&with_probe(), &named("gone@p.example"))
        .await
        .unwrap();
    let error = missing.token().await.unwrap_err();
    assert_eq!(error.kind(), Token::Rejected);
    assert!(error.to_string().contains("gone@p.example"), "{error}");
    assert_eq!(missing.fetch_granted_scopes().await.unwrap(), None);
    for bad in ["../../project/x", "a b", "?x=1"] {
        let error = detect(&with_probe(), &named(bad)).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidOptions);
    }
}

#[tokio::test]
async fn attached_account_ends_the_rejection() {
    let (emulator, options) = machine().await;
    let server = detected(&with_probe(), &options).await.unwrap();
    let clock = ManualClock::new();
    let tokens = TokenCache::with_clock(server, &clock);
    for status in [403, 404] {
        emulator.clear_requests();
        emulator.fault(
            HOST,
            Fault::status(status).header("Metadata-Flavor", "Google"),
        );
        for _ in 0..2 {
            let error = tokens.token().await.unwrap_err();
            assert_eq!(error.kind(), Token::Rejected);
        }
        assert_eq!(emulator.requests_to(HOST).len(), 1);
        clock.advance(Duration::from_secs(60));
        let token = tokens.token().await.unwrap();
        tokens.invalidate(&token);
    }
}

#[tokio::test]
async fn emulator_receives_all_metadata_requests() {
    let (emulator, _) = machine().await;
    let environment = Environment::empty()
        .with_metadata_probe(true)
        .with_var("EARTHENGINE_EMULATOR_HOST", emulator.address().to_string());
    let http = HttpClient::new(environment.endpoints().unwrap());
    let options = CredentialOptions::new(http.clone());
    // With the client of the detection, each request goes to the emulator or fails.
    for host in [ADDRESS, HOST] {
        let url = url("GCE_METADATA_IP", host, "x").unwrap();
        let client = client_for(&http, &url);
        let real = client.endpoints().resolve(&url).unwrap();
        assert_eq!(
            real.as_str(),
            format!("http://{}/{host}/x", emulator.address())
        );
    }
    let credentials = server(&environment, &options).await.unwrap();
    credentials.token().await.unwrap();
    assert_eq!(emulator.requests()[0].host, ADDRESS);
}

#[tokio::test]
async fn metadata_endpoint_may_have_a_path() {
    let (emulator, _) = machine().await;
    let address = emulator.address().to_string();
    let base_url = format!("http://{address}/metadata.google.internal/");
    let endpoints =
        Endpoints::google().with_url(Endpoint::MetadataServer, base_url.parse().unwrap());
    let environment = Environment::empty()
        .with_var("GCE_METADATA_IP", address)
        .with_dmi_product_name("Google Compute Engine");
    let options = CredentialOptions::new(HttpClient::new(endpoints));
    let found = detected(&environment, &options).await.unwrap();
    let other = found.with_scopes(Scopes::new(["drive"])).unwrap();
    found.token().await.unwrap();
    other.token().await.unwrap();
    let project = found.project().await.unwrap();
    assert_eq!(project.as_deref(), Some("ee-demo-project"));
}

#[tokio::test]
async fn metadata_retries_last_longer_with_google_firmware() {
    let (_emulator, options) = machine().await;
    for (environment, seconds) in [(with_probe(), 10), (on_google_machine(), 30)] {
        let server = detected(&environment, &options).await.unwrap();
        assert_eq!(server.retry.max_elapsed, Duration::from_secs(seconds));
    }
}

#[test]
fn invalid_metadata_scopes_are_ignored() {
    let body = "openid\n\u{1b}[2J a\"b \u{202e}x drive";
    assert_eq!(scopes(body.as_bytes()), Scopes::new(["openid", "drive"]));
    let account = json!({"email": "vm@p.example", "scopes": ["openid", "\u{7f}", "drive"]});
    let info = account_info(account.to_string().as_bytes()).unwrap();
    assert_eq!(info.scopes, Scopes::new(["openid", "drive"]));
}

#[test]
fn unsafe_metadata_email_is_ignored() {
    assert_eq!(
        line(b" robot@p-1234.example\n").as_deref(),
        Some("robot@p-1234.example")
    );
    let reversed = "a\u{202e}b".as_bytes();
    for unsafe_line in [
        &b"a\x1b[2J"[..],
        reversed,
        b"a\nb",
        b"\xff",
        b" \n",
        &[b'a'; 400],
    ] {
        assert_eq!(line(unsafe_line), None, "{unsafe_line:?}");
    }
    let account = br#"{"email": "a\u001b[2J", "scopes": []}"#;
    assert!(account_info(account).is_none());
}

#[test]
fn expires_in_may_be_a_string() {
    let sent_at = Utc::now();
    let response = |seconds: &str| {
        let body = format!(r#"{{"access_token": "ya29.x", "expires_in": {seconds}}}"#);
        token_response(body.as_bytes(), sent_at).map(|token| token.expires_at().unwrap() - sent_at)
    };
    assert_eq!(response(r#""3599""#), Ok(TimeDelta::seconds(3599)));
    assert_eq!(response("3599"), Ok(TimeDelta::seconds(3599)));
    assert!(response(r#""soon""#).is_err());
}

#[tokio::test]
async fn variable_with_a_bad_metadata_host_is_named() {
    let options = CredentialOptions::default();
    for variable in ["GCE_METADATA_HOST", "GCE_METADATA_ROOT"] {
        let environment = Environment::empty().with_var(variable, "a/b");
        let error = detect(&environment, &options).await.err().unwrap();
        assert!(error.to_string().starts_with(variable), "{error}");
    }
}

#[test]
fn account_is_read_despite_odd_fields() {
    let cloud = || Scopes::new(["cloud-platform"]);
    let none = || Scopes::new::<&str>([]);
    for (body, info) in [
        (
            json!({"email": "a@x", "scopes": "https://www.googleapis.com/auth/cloud-platform\n"}),
            Some((Some("a@x"), cloud())),
        ),
        (
            json!({"email": "a@x", "scopes": ["https://www.googleapis.com/auth/cloud-platform", 7, null]}),
            Some((Some("a@x"), cloud())),
        ),
        (
            json!({"email": "a@x", "aliases": 7}),
            Some((Some("a@x"), none())),
        ),
        (
            json!({"email": "a@x", "scopes": {}}),
            Some((Some("a@x"), none())),
        ),
        (
            json!({"email": null, "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}),
            Some((None, cloud())),
        ),
        (json!({"email": 7}), None),
        (json!([]), None),
        (json!("a@x"), None),
    ] {
        let found = account_info(body.to_string().as_bytes());
        let found = found.map(|info| (info.email, info.scopes));
        let info = info.map(|(email, scopes)| (email.map(str::to_owned), scopes));
        assert_eq!(found, info, "{body}");
    }
}

#[test]
fn denial_by_iam_is_recognized() {
    for (reason, expected) in [
        ("IAM returned 403 Forbidden: PERMISSION_DENIED", true),
        (
            "Permission 'iam.serviceAccounts.getAccessToken' denied on resource",
            true,
        ),
        (
            "Unable to generate access token; IAM returned 404 Not Found: Gaia id",
            true,
        ),
        (
            "rpc error: code = PermissionDenied desc = permission denied",
            true,
        ),
        ("IAM returned 503 Service Unavailable", false),
        ("context deadline exceeded", false),
        ("connection denied", false),
    ] {
        assert_eq!(is_denial(reason), expected, "{reason}");
    }
}

#[tokio::test]
async fn strict_mutual_tls_is_refused_before_any_request() {
    let (emulator, options) = machine().await;
    let with_mode = |mode: &str| with_probe().with_var("GCE_METADATA_MTLS_MODE", mode);
    for mode in ["strict", "Strict", "on"] {
        let error = detect(&with_mode(mode), &options).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidEnvironment);
        assert!(
            error.to_string().contains("GCE_METADATA_MTLS_MODE"),
            "{error}"
        );
    }
    assert!(emulator.requests().is_empty());
    for mode in ["default", "none", ""] {
        assert!(server(&with_mode(mode), &options).await.is_some(), "{mode}");
    }
}
