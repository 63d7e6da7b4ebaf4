use ee_emulator::{Emulator, Fault};
use ee_token::ManualClock;
use serde_json::{Value, json};

use super::file::load;
use super::*;
use crate::iam::account::{iam_scopes, is_account};
use crate::input::json::JsonObject;
use crate::input::location::Location;
use crate::options::options;
use crate::{CredentialOptions, Credentials, Environment, ErrorKind, kinds};

const TARGET: &str = "target@ee-demo-project.iam.gserviceaccount.com";
const MIDDLE: &str = "middle@ee-demo-project.iam.gserviceaccount.com";
const ROBOT: &str = "robot@ee-demo-project.iam.gserviceaccount.com";
const JANE: &str = "jane@example.com";
const URL: &str = "service_account_impersonation_url";
const SOURCE: &str = "source_credentials";
const IAM: &str = "iamcredentials.googleapis.com";

async fn start() -> Emulator {
    let emulator = Emulator::start().await.unwrap();
    for email in [TARGET, MIDDLE] {
        emulator.create_service_account(email, "ee-demo-project");
    }
    emulator
}

fn key(emulator: &Emulator) -> Value {
    let robot = emulator.create_service_account(ROBOT, "ee-demo-project");
    serde_json::from_str(&robot.json_key()).unwrap()
}

fn login(emulator: &Emulator) -> Value {
    serde_json::from_str(&emulator.create_user(JANE).authorized_user_json()).unwrap()
}

fn url(email: &str) -> String {
    format!("https://{IAM}/v1/projects/-/serviceAccounts/{email}:generateAccessToken")
}

fn file(target: &str, source: &Value) -> Value {
    json!({
        "type": "impersonated_service_account",
        "service_account_impersonation_url": url(target),
        "source_credentials": source,
    })
}

fn read(file: &Value, options: &CredentialOptions) -> Credentials {
    Credentials::from_json(&file.to_string(), options).unwrap()
}

#[tokio::test]
async fn key_is_exchanged_for_the_targets_token() {
    let emulator = start().await;
    emulator.allow_impersonation(ROBOT, TARGET);
    let credentials = read(&file(TARGET, &key(&emulator)), &options(&emulator));
    assert_eq!(
        credentials.kind(),
        CredentialKind::ImpersonatedServiceAccount
    );
    assert_eq!(credentials.principal(), Some(TARGET));
    let token = credentials.token().await.unwrap();
    assert!(token.scopes().unwrap().contains("earthengine"));
    assert!(token.expires_at().is_some());
    let requests = emulator.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1].host, IAM);
    assert_eq!(
        requests[1].json(),
        json!({
            "delegates": [],
            "scope": [
                "https://www.googleapis.com/auth/earthengine",
                "https://www.googleapis.com/auth/cloud-platform",
            ],
            "lifetime": "3600s",
        })
    );
    assert_eq!(requests[1].header("x-goog-user-project"), None);
    assert!(!format!("{credentials:?} {:?}", credentials.token_cache()).contains(token.secret()));
}

#[tokio::test]
async fn login_source_bills_iam_to_its_quota_project() {
    let emulator = start().await;
    emulator.allow_impersonation(JANE, TARGET);
    let variable = "GOOGLE_CLOUD_QUOTA_PROJECT";
    for of_environment in ["", "env-quota-project"] {
        let mut source = login(&emulator);
        source["quota_project_id"] = json!("ee-demo-project");
        let mut file = file(TARGET, &source);
        file["quota_project_id"] = json!("pays-for-the-rest");
        let environment = Environment::empty().with_var(variable, of_environment);
        let credentials = read(&file, &options(&emulator).environment(environment));
        let expected = match of_environment {
            "" => "pays-for-the-rest",
            project => project,
        };
        assert_eq!(credentials.quota_project(), Some(expected));
        emulator.clear_requests();
        credentials.token().await.unwrap();
        let requests = emulator.requests();
        assert!(!requests[0].form().contains_key("scope"));
        assert_eq!(
            requests[1].header("x-goog-user-project"),
            Some("ee-demo-project")
        );
    }
}

#[tokio::test]
async fn workforce_user_can_impersonate() {
    let emulator = start().await;
    let jane = emulator.create_workforce_user("jane");
    emulator.allow_impersonation(jane.principal(), TARGET);
    let source = serde_json::from_str(&jane.json()).unwrap();
    let credentials = read(&file(TARGET, &source), &options(&emulator));
    credentials.token().await.unwrap();
}

#[tokio::test]
async fn scopes_and_delegates_of_the_file_are_sent() {
    let emulator = start().await;
    emulator.allow_impersonation(ROBOT, MIDDLE);
    emulator.allow_impersonation(MIDDLE, TARGET);
    let mut file = file(TARGET, &key(&emulator));
    file["scopes"] = json!(["https://www.googleapis.com/auth/earthengine.readonly"]);
    file["delegates"] = json!([MIDDLE]);
    let options = options(&emulator).scopes(Scopes::new(["drive"]));
    let credentials = read(&file, &options);
    credentials.token().await.unwrap();
    let body = emulator.requests_to(IAM).remove(0).json();
    assert_eq!(
        body["scope"],
        json!(["https://www.googleapis.com/auth/earthengine.readonly"])
    );
    assert_eq!(
        body["delegates"],
        json!([format!("projects/-/serviceAccounts/{MIDDLE}")])
    );
}

#[tokio::test]
async fn impersonated_source_gets_only_the_iam_scope() {
    let emulator = start().await;
    emulator.allow_impersonation(ROBOT, MIDDLE);
    emulator.allow_impersonation(MIDDLE, TARGET);
    let mut inner = file(MIDDLE, &key(&emulator));
    // These scopes apply only when the inner file is used directly.
    inner["scopes"] = json!(["https://www.googleapis.com/auth/earthengine"]);
    let credentials = read(&file(TARGET, &inner), &options(&emulator));
    credentials.token().await.unwrap();
    let scopes: Vec<Value> = emulator
        .requests_to(IAM)
        .iter()
        .map(|request| request.json()["scope"].clone())
        .collect();
    assert_eq!(scopes[0], json!(["https://www.googleapis.com/auth/iam"]));
    assert_eq!(scopes.len(), 2);
}

#[tokio::test]
async fn source_token_rejected_as_expired_is_refreshed_once() {
    let emulator = start().await;
    emulator.allow_impersonation(ROBOT, TARGET);
    let credentials = read(&file(TARGET, &key(&emulator)), &options(&emulator));
    let token = credentials.token().await.unwrap();
    emulator.expire_tokens();
    credentials.token_cache().unwrap().invalidate(&token);
    credentials.token().await.unwrap();
    assert_eq!(emulator.requests_to("oauth2.googleapis.com").len(), 2);
    assert_eq!(emulator.requests_to(IAM).len(), 3);
}

#[tokio::test]
async fn source_token_expiring_in_flight_is_refreshed() {
    let lifetime = std::time::Duration::from_secs(1);
    let emulator = Emulator::builder().token_lifetime(lifetime);
    let emulator = emulator.start().await.unwrap();
    emulator.create_service_account(TARGET, "ee-demo-project");
    emulator.allow_impersonation(ROBOT, TARGET);
    let credentials = read(&file(TARGET, &key(&emulator)), &options(&emulator));
    emulator.fault(IAM, Fault::delay(lifetime * 3 / 2).times(2));
    credentials.token().await.unwrap();
    let statuses: Vec<_> = emulator
        .requests()
        .iter()
        .filter(|request| request.host == IAM)
        .map(|request| request.status)
        .collect();
    assert_eq!(statuses, [Some(401), Some(401), Some(200)]);
}

#[tokio::test]
async fn denied_impersonation_names_principal_role_and_command() {
    let emulator = start().await;
    let credentials = read(&file(TARGET, &key(&emulator)), &options(&emulator));
    let error = credentials.token().await.unwrap_err();
    assert_eq!(error.kind(), Token::Rejected);
    assert_eq!(error.principal(), Some(ROBOT));
    assert!(error.to_string().contains(TARGET), "{error}");
    assert!(error.to_string().contains(iam::PERMISSION), "{error}");
    let command = error.remedy().command.clone().unwrap();
    assert!(
        command.contains(&format!("--member=serviceAccount:{ROBOT}")),
        "{command}"
    );
    assert!(command.contains(iam::ROLE), "{command}");
}

#[tokio::test]
async fn rejected_source_is_reported_without_an_iam_request() {
    let emulator = start().await;
    let jane = emulator.create_user(JANE);
    let source = serde_json::from_str(&jane.authorized_user_json()).unwrap();
    emulator.revoke(jane.refresh_token());
    let credentials = read(&file(TARGET, &source), &options(&emulator));
    let error = credentials.token().await.unwrap_err();
    assert!(
        error.to_string().contains("`source_credentials`"),
        "{error}"
    );
    assert!(emulator.requests_to(IAM).is_empty());
}

#[tokio::test]
async fn transient_iam_failure_is_retried() {
    let emulator = start().await;
    emulator.allow_impersonation(ROBOT, TARGET);
    emulator.fault(IAM, Fault::status(503));
    let credentials = read(&file(TARGET, &key(&emulator)), &options(&emulator));
    credentials.token().await.unwrap();
    assert_eq!(emulator.requests_to(IAM).len(), 2);
}

#[tokio::test]
async fn other_target_or_source_in_the_file_is_an_error() {
    let emulator = start().await;
    emulator.allow_impersonation(ROBOT, TARGET);
    emulator.allow_impersonation(ROBOT, MIDDLE);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("adc.json");
    let write = |text: &Value| {
        let new = dir.path().join("new");
        std::fs::write(&new, text.to_string()).unwrap();
        std::fs::rename(new, &path).unwrap();
    };
    write(&file(TARGET, &key(&emulator)));
    let credentials = Credentials::from_file(&path, &options(&emulator)).unwrap();
    emulator.delete_service_account(ROBOT);
    let new_key = key(&emulator);
    for other in [
        file(MIDDLE, &new_key),
        file(TARGET, &login(&emulator)),
        new_key.clone(),
    ] {
        emulator.delete_service_account(ROBOT);
        write(&other);
        let error = credentials.token().await.unwrap_err();
        assert_eq!(error.kind(), Token::InvalidCredential, "{error}");
        assert!(error.to_string().contains(TARGET), "{error}");
    }
    write(&file(TARGET, &key(&emulator)));
    credentials.token().await.unwrap();
}

#[test]
fn invalid_impersonation_fields_are_named_without_a_request() {
    let login = json!({
        "type": "authorized_user", "client_id": "c", "client_secret": "s-canary",
        "refresh_token": "1//canary",
    });
    let nested = |depth: usize| {
        (0..depth).fold(login.clone(), |source, n| {
            file(&format!("a{n}@p.iam.gserviceaccount.com"), &source)
        })
    };
    let change = |field: &str, value: Value| {
        let mut file = file(TARGET, &login);
        file[field] = value;
        file
    };
    let source = |field: &str, value: Value| {
        let mut file = file(TARGET, &login);
        file["source_credentials"][field] = value;
        file
    };
    const FIELD: &str = "`service_account_impersonation_url`";
    let check = |file: Value, kind: ErrorKind, words: &str| {
        let options = CredentialOptions::default();
        let error = Credentials::from_json(&file.to_string(), &options).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let message = error.to_string();
        assert!(message.contains(words), "{message} / {words}");
        let start = "the credential given as text";
        assert!(message.starts_with(start), "{message}");
        assert!(!error.remedy().text.is_empty(), "{error}");
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        assert_eq!(options.http.request_count(), 0);
    };
    let gdch = json!({"type": "gdch_service_account"});
    for (file, words) in [
        (change(URL, json!(null)), FIELD),
        (change(URL, json!("")), FIELD),
        (change(URL, json!(["canary"])), FIELD),
        (change(URL, json!("no url")), FIELD),
        (change(URL, json!(format!("https://{IAM}/v1/x"))), FIELD),
        (change(URL, json!(url("a%2fb@p.example"))), FIELD),
        (change(URL, json!(url("no-address"))), FIELD),
        (change(URL, json!(url("a@p.example") + "?x=canary")), FIELD),
        (
            change(SOURCE, json!(null)),
            "`source_credentials` is missing",
        ),
        (change(SOURCE, json!("canary")), "must be an object"),
        (change(SOURCE, json!({})), "`type` is missing"),
        (change(SOURCE, gdch), "\"gdch_service_account\""),
        (source("type", json!("wizard")), "in `source_credentials`"),
        (
            source("refresh_token", json!(null)),
            "`refresh_token` is missing",
        ),
        (
            source("client_secret", json!(7)),
            "`client_secret` is a number",
        ),
        (
            source("quota_project_id", json!("764086051850")),
            "belongs to a Google SDK",
        ),
        (change("delegates", json!("canary")), "`delegates`"),
        (change("delegates", json!([7])), "`delegates`"),
        (change("delegates", json!(["a b"])), "`delegates`"),
        (change("delegates", json!([MIDDLE, MIDDLE])), "circle"),
        (change("delegates", json!([TARGET])), "circle"),
        (change("scopes", json!("canary")), "`scopes`"),
        (change("quota_project_id", json!([])), "`quota_project_id`"),
        (file(TARGET, &file(TARGET, &login)), "circle"),
        (file(TARGET, &file(MIDDLE, &file(TARGET, &login))), "circle"),
        (nested(5), "nests more than 4"),
        (nested(40), "nests more than 4"),
    ] {
        check(file, ErrorKind::InvalidFile, words);
    }
    let elsewhere = url(TARGET).replace("googleapis.com", "evil.example");
    let without_tls = url(TARGET).replace("https", "http");
    for (url, words) in [
        (elsewhere, "iamcredentials.evil.example"),
        (without_tls, "without HTTPS"),
    ] {
        check(change(URL, json!(url)), ErrorKind::DisallowedHost, words);
    }
    let universe = change("universe_domain", json!("example.net"));
    check(universe, ErrorKind::UnsupportedUniverse, "example.net");
    let options = CredentialOptions::default().subject("boss@example.com");
    let error = Credentials::from_json(&nested(1).to_string(), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOptions);
    let plain = CredentialOptions::default();
    assert!(Credentials::from_json(&nested(4).to_string(), &plain).is_ok());
}

#[test]
fn account_email_needs_no_url_escaping() {
    for good in [
        TARGET,
        "x@p.example.com.iam.gserviceaccount.com",
        "112233445566778899001",
    ] {
        assert!(is_account(good), "{good}");
    }
    for bad in [
        "", "@", "a@", "@b.c", "a@b", "a/b@c.d", "a@c.d/x", "a%2f@c.d", "a@b@c.d", "ü@c.d",
        "a b@c.d", "..@c.d", "a:b@c.d", "12345",
    ] {
        assert!(!is_account(bad), "{bad}");
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// Returns a token cache of the file's credential that uses a manual clock.
fn cache(file: &Value, emulator: &Emulator, clock: &ManualClock) -> TokenCache {
    let text = file.to_string();
    let object = JsonObject::parse(&text, &Location::InMemory).unwrap();
    let source = load(&object, &options(emulator)).unwrap().source;
    TokenCache::with_clock(source, clock)
}

#[tokio::test]
async fn rejected_source_tokens_are_requested_again_after_a_minute() {
    let emulator = start().await;
    emulator.allow_impersonation(ROBOT, TARGET);
    let clock = ManualClock::new();
    let tokens = cache(&file(TARGET, &key(&emulator)), &emulator, &clock);
    let unauthorized = json!({"error": {"code": 401, "status": "UNAUTHENTICATED"}});
    emulator.fault(IAM, Fault::status(401).json(&unauthorized).times(2));
    for _ in 0..3 {
        let error = tokens.token().await.unwrap_err();
        assert_eq!(error.kind(), Token::Expired);
        assert!(!error.remedy().text.is_empty());
    }
    assert_eq!(emulator.requests_to(IAM).len(), 2);

    clock.advance(MINUTE);
    tokens.token().await.unwrap();
}

#[tokio::test]
async fn granted_role_ends_the_rejection() {
    let emulator = start().await;
    let clock = ManualClock::new();
    let tokens = cache(&file(TARGET, &key(&emulator)), &emulator, &clock);
    for requests in [1, 2] {
        for _ in 0..3 {
            let error = tokens.token().await.unwrap_err();
            assert_eq!(error.kind(), Token::Rejected);
        }
        assert_eq!(emulator.requests_to(IAM).len(), requests);
        clock.advance(MINUTE * 2);
    }
    emulator.allow_impersonation(ROBOT, TARGET);
    tokens.token().await.unwrap();
}

#[tokio::test]
async fn rejection_of_the_source_ends_when_its_own_does() {
    let emulator = start().await;
    emulator.allow_impersonation(ROBOT, TARGET);
    let clock = ManualClock::new();
    let robot = key(&emulator);
    let text = robot.to_string();
    let source = kinds::load(
        &text,
        &Location::InMemory,
        &options(&emulator).scopes(iam_scopes()),
    );
    let account = ImpersonatedServiceAccount {
        http: options(&emulator).http,
        url: url(TARGET).parse().unwrap(),
        route: Route::new(TARGET, [""; 0]).ok().unwrap(),
        scopes: Scopes::default(),
        lifetime: DEFAULT_LIFETIME,
        source: TokenCache::with_clock(source.unwrap().source, &clock),
        source_quota_project: None,
        source_principal: None,
    };
    let tokens = TokenCache::with_clock(account, &clock);
    const TOKENS: &str = "oauth2.googleapis.com";
    let rejected = json!({"error": "invalid_grant", "error_description": "Invalid JWT Signature."});
    emulator.fault(TOKENS, Fault::status(400).json(&rejected).times(2));
    for (requests, minutes) in [(1, 1), (2, 2)] {
        for _ in 0..3 {
            let error = tokens.token().await.unwrap_err();
            assert_eq!(error.kind(), Token::Rejected);
        }
        assert_eq!(emulator.requests_to(TOKENS).len(), requests);
        clock.advance(MINUTE * minutes);
    }
    tokens.token().await.unwrap();
}

#[tokio::test]
async fn unsafe_principal_stays_out_of_commands() {
    let emulator = start().await;
    for name in [
        "x;curl e|sh #@p.example",
        "--flags-file=x@p.example",
        "$(id)@p.example",
    ] {
        let mut login = login(&emulator);
        login["account"] = json!(name);
        let mut key = key(&emulator);
        key["client_email"] = json!(name);
        for source in [login, key] {
            let credentials = read(&file(TARGET, &source), &options(&emulator));
            emulator.fault(
                "oauth2.googleapis.com",
                Fault::status(200).json(&json!({"access_token": "ya29.x", "expires_in": 3600})),
            );
            let denied =
                json!({"error": {"code": 403, "message": format!("{} denied", iam::PERMISSION)}});
            emulator.fault(IAM, Fault::status(403).json(&denied));
            let error = credentials.token().await.unwrap_err();
            assert_eq!(error.principal(), Some(name));
            let command = error.remedy().command.clone().unwrap();
            assert!(command.contains(" --member=MEMBER "), "{command}");
        }
    }
}
