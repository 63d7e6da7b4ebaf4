use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ee_emulator::{Emulator, Fault, User};
use ee_token::ErrorKind as Token;
use serde_json::{Value, json};

use super::*;
use crate::Credentials;
use crate::options::options;

struct Machine {
    emulator: Emulator,
    dir: tempfile::TempDir,
}

impl Machine {
    async fn new() -> Self {
        Self {
            emulator: Emulator::start().await.unwrap(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("credential.json")
    }

    fn write(&self, text: &str) {
        // Replaces the file: another inode even if the clock stands still.
        let new = self.dir.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path()).unwrap();
    }

    fn options(&self) -> CredentialOptions {
        options(&self.emulator)
    }

    fn credentials(&self) -> Credentials {
        Credentials::from_file(self.path(), &self.options()).unwrap()
    }

    /// Writes a new login of the user jane.
    fn write_login(&self) -> User {
        let jane = self.emulator.create_user("jane@example.com");
        self.write(&jane.authorized_user_json());
        jane
    }
}

#[tokio::test]
async fn new_login_in_the_file_is_used_after_a_rejection() {
    let machine = Machine::new().await;
    let jane = machine.emulator.create_user("jane@example.com");
    machine.write(&jane.earthengine_file_json(None));
    let credentials = machine.credentials();
    let token = credentials.token().await.unwrap();

    let new_login = machine.emulator.create_user("jane@example.com");
    machine.emulator.clear_requests();
    machine.emulator.revoke(jane.earthengine_refresh_token());
    credentials.token_cache().unwrap().invalidate(&token);
    let error = credentials.token().await.unwrap_err();
    assert_eq!(error.kind(), Token::Rejected);
    let sent = machine.emulator.requests().len();
    credentials.token().await.unwrap_err();
    assert_eq!(
        machine.emulator.requests().len(),
        sent,
        "the rejection stays without a request"
    );

    machine.write(&new_login.earthengine_file_json(None));
    credentials.token().await.unwrap();
    let paths: Vec<_> = machine.emulator.requests()[sent..]
        .iter()
        .map(|request| request.path.clone())
        .collect();
    // The server no longer knows the old token, so the owner of the new one is not queried.
    assert_eq!(
        paths,
        ["/token", "/tokeninfo"],
        "the old login is not tried again"
    );
}

#[tokio::test]
async fn login_replaced_before_its_rejection_is_no_error() {
    let machine = Machine::new().await;
    let jane = machine.write_login();
    let credentials = machine.credentials();
    machine.emulator.revoke(jane.refresh_token());
    machine.write_login();
    credentials.token().await.unwrap();
}

#[tokio::test]
async fn other_account_or_kind_in_the_file_is_an_error() {
    let machine = Machine::new().await;
    let account = |name: &str| {
        machine.emulator.create_service_account(
            &format!("{name}@ee-demo-project.iam.gserviceaccount.com"),
            "ee-demo-project",
        )
    };
    let first = account("first");
    machine.write(&first.json_key());
    let credentials = machine.credentials();
    machine.emulator.delete_service_account(first.email());
    machine.write(&account("second").json_key());
    let error = credentials.token().await.unwrap_err();
    assert_eq!(error.kind(), Token::InvalidCredential);
    let message = error.to_string();
    assert!(
        message.contains("first@") && message.contains("second@"),
        "{message}"
    );

    machine.write_login();
    let error = credentials.token().await.unwrap_err();
    assert!(error.to_string().contains("user login"), "{error}");

    machine.write(&account("first").json_key());
    credentials.token().await.unwrap();
}

const TOKENS: &str = "oauth2.googleapis.com";

/// Returns a response with this token and an ID token of the subject `sub`.
fn response(token: &str, sub: &str) -> Fault {
    let claims = URL_SAFE_NO_PAD.encode(json!({ "sub": sub }).to_string());
    let id_token = format!("e30.{claims}.c2ln");
    Fault::status(200)
        .json(&json!({"access_token": token, "expires_in": 3600, "id_token": id_token}))
}

#[tokio::test]
async fn login_with_another_subject_is_an_error() {
    let machine = Machine::new().await;
    let jane = machine.write_login();
    let credentials = machine.credentials();
    machine
        .emulator
        .fault(TOKENS, response("ya29.jane", "jane"));
    let token = credentials.token().await.unwrap();
    credentials.token_cache().unwrap().invalidate(&token);

    let john = machine.emulator.create_user("john@example.com");
    machine.emulator.revoke(jane.refresh_token());
    machine.write(&john.authorized_user_json());
    machine
        .emulator
        .fault(TOKENS, response("ya29.john", "john").after_requests(1));
    for _ in 0..2 {
        let error = credentials.token().await.unwrap_err();
        assert_eq!(error.kind(), Token::InvalidCredential);
        assert!(error.to_string().contains("another user's"), "{error}");
    }
    assert_eq!(machine.emulator.faults_left(TOKENS), 0);

    machine.write_login();
    machine
        .emulator
        .fault(TOKENS, response("ya29.jane", "jane"));
    credentials.token().await.unwrap();
}

#[cfg(feature = "disk-cache")]
#[tokio::test]
async fn other_users_login_is_an_error_despite_a_cached_token() {
    let machine = Machine::new().await;
    let tokens = crate::DiskTokenCache::at(machine.dir.path().join("tokens"));
    let options = machine.options().disk_cache(tokens);
    let [jane, john] = ["jane", "john"].map(|name| machine.emulator.create_user(name));
    machine.write(&john.authorized_user_json());
    let johns = Credentials::from_file(machine.path(), &options).unwrap();
    johns.token().await.unwrap();

    machine.write(&jane.authorized_user_json());
    let credentials = Credentials::from_file(machine.path(), &options).unwrap();
    machine
        .emulator
        .fault(TOKENS, response("ya29.jane", "jane"));
    let token = credentials.token().await.unwrap();
    credentials.token_cache().unwrap().invalidate(&token);
    machine.emulator.revoke(jane.refresh_token());
    machine.write(&john.authorized_user_json());
    machine
        .emulator
        .fault(TOKENS, response("ya29.john", "john").after_requests(1));
    let error = credentials.token().await.unwrap_err();
    assert!(error.to_string().contains("another user's"), "{error}");
}

const STS: &str = "sts.googleapis.com";
const IAM: &str = "iamcredentials.googleapis.com";
const LIFETIME: std::time::Duration = std::time::Duration::from_secs(3600);
const TARGET: &str = "target@ee-demo-project.iam.gserviceaccount.com";

#[derive(Debug, Clone, Copy, PartialEq)]
enum Login {
    AuthorizedUser,
    EarthEngineFile,
    Workforce,
}

/// The owner of the login that replaces the rejected one.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Owner {
    Same,
    Other,
    /// The previous token has been revoked.
    RevokedBefore,
    /// No scope reveals the owner.
    WithoutScope,
}

/// Creates a login. Returns its file and its refresh token.
fn log_in(machine: &Machine, login: Login, name: &str, owner: Owner) -> (Value, String) {
    let scopes: &[&str] = match owner {
        Owner::WithoutScope => &["cloud-platform"],
        _ => &["cloud-platform", "openid"],
    };
    let emulator = &machine.emulator;
    let email = format!("{name}@example.com");
    let user = || emulator.create_user_with_scopes(&email, scopes, scopes);
    let (principal, text, token) = match login {
        Login::AuthorizedUser => {
            let user = user();
            let token = user.refresh_token().to_owned();
            (email.clone(), user.authorized_user_json(), token)
        }
        Login::EarthEngineFile => {
            let user = user();
            let token = user.earthengine_refresh_token().to_owned();
            (email.clone(), user.earthengine_file_json(None), token)
        }
        Login::Workforce => {
            let user = emulator.create_workforce_user(name);
            let token = user.refresh_token().to_owned();
            (user.principal().to_owned(), user.json(), token)
        }
    };
    emulator.allow_impersonation(&principal, TARGET);
    (serde_json::from_str(&text).unwrap(), token)
}

fn impersonating(source: Value) -> Value {
    json!({
        "type": "impersonated_service_account",
        "service_account_impersonation_url":
            format!("https://{IAM}/v1/projects/-/serviceAccounts/{TARGET}:generateAccessToken"),
        "source_credentials": source,
    })
}

/// Counts the warnings of this crate.
#[derive(Clone, Default)]
struct WarningCount(Arc<AtomicUsize>);

impl tracing::Subscriber for WarningCount {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("ee_credentials")
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        if *event.metadata().level() == tracing::Level::WARN {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// Replaces a login while it is rejected. Returns the next token, the number of warnings and
/// the number of requests that queried an owner.
async fn replace(
    machine: &Machine,
    (login, is_source): (Login, bool),
    owner: Owner,
) -> (Result<(), ee_token::Error>, usize, usize) {
    let emulator = &machine.emulator;
    let queries = || {
        let of_owner = |path: &str| ["/tokeninfo", "/v1/introspect"].contains(&path);
        let requests = emulator.requests();
        requests.iter().filter(|r| of_owner(&r.path)).count()
    };
    let file = |name| {
        let (file, token) = log_in(machine, login, name, owner);
        let file = if is_source { impersonating(file) } else { file };
        (file.to_string(), token)
    };
    let (old, old_token) = file("jane");
    machine.write(&old);
    let credentials = machine.credentials();
    let token = credentials.token().await.unwrap();
    assert_eq!(queries(), 0, "no query without a rejection");

    let name = if owner == Owner::Other {
        "john"
    } else {
        "jane"
    };
    machine.write(&file(name).0);
    let invalid_grant = Fault::status(400).json(&json!({"error": "invalid_grant"}));
    let (host, rejection) = match login {
        _ if is_source => (
            IAM,
            Fault::status(403).json(&json!({"error": {"code": 403, "status":
                "PERMISSION_DENIED", "message": "Permission denied", "details":
                [{"@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "IAM_PERMISSION_DENIED"}]}})),
        ),
        Login::Workforce => (STS, invalid_grant),
        _ => (TOKENS, invalid_grant),
    };
    if owner == Owner::RevokedBefore {
        emulator.revoke(&old_token);
    } else {
        emulator.fault(host, rejection);
    }
    credentials.token_cache().unwrap().invalidate(&token);
    let warnings = WarningCount::default();
    let guard = tracing::subscriber::set_default(warnings.clone());
    let result = credentials.token().await.map(drop);
    drop(guard);
    assert_eq!(emulator.faults_left(host), 0);
    let sent = queries();
    if result.is_err() {
        machine.write(&old);
        credentials
            .token()
            .await
            .expect("the first owner's login is used again");
    }
    (result, warnings.0.load(Ordering::Relaxed), sent)
}

#[tokio::test]
async fn other_users_login_is_never_used_silently() {
    for kind in [
        (Login::AuthorizedUser, false),
        (Login::EarthEngineFile, false),
        (Login::Workforce, false),
        (Login::AuthorizedUser, true),
        (Login::Workforce, true),
    ] {
        for owner in [
            Owner::Same,
            Owner::Other,
            Owner::RevokedBefore,
            Owner::WithoutScope,
        ] {
            // Introspection names the principal whatever the scopes.
            if kind.0 == Login::Workforce && owner == Owner::WithoutScope {
                continue;
            }
            let machine = Machine::new().await;
            machine
                .emulator
                .create_service_account(TARGET, "ee-demo-project");
            let (result, warnings, queries) = replace(&machine, kind, owner).await;
            let case = format!("{kind:?} {owner:?}: {result:?}");
            match owner {
                Owner::Same => {
                    assert!(result.is_ok(), "{case}");
                    assert_eq!((warnings, queries), (0, 2), "{case}");
                }
                Owner::Other => {
                    let error = result.unwrap_err();
                    assert_eq!(error.kind(), Token::InvalidCredential, "{case}");
                    assert!(error.to_string().contains("another user's"), "{case}");
                    assert!(!error.remedy().text.is_empty(), "{case}");
                    assert_eq!((warnings, queries), (0, 2), "{case}");
                }
                Owner::RevokedBefore | Owner::WithoutScope => {
                    assert!(result.is_ok(), "{case}");
                    assert_eq!(warnings, 1, "{case}");
                    assert!(queries <= 1, "{case}");
                }
            }
        }
    }
}

#[tokio::test]
async fn source_of_an_impersonation_is_compared_by_id_token() {
    let machine = Machine::new().await;
    machine
        .emulator
        .create_service_account(TARGET, "ee-demo-project");
    let file = |name: &str| {
        let (file, token) = log_in(&machine, Login::AuthorizedUser, name, Owner::Other);
        (impersonating(file).to_string(), token)
    };
    let (janes, refresh_token) = file("jane");
    machine.write(&janes);
    let credentials = machine.credentials();
    // Google's tokens, with ID tokens that the emulator does not issue.
    let issue = |name: &str| {
        let email = format!("{name}@example.com");
        let token = machine
            .emulator
            .issue_token(&email, &["cloud-platform"], LIFETIME);
        response(&token, name)
    };
    machine.emulator.fault(TOKENS, issue("jane"));
    let token = credentials.token().await.unwrap();
    machine.emulator.expire_tokens();
    machine.emulator.revoke(&refresh_token);
    machine.write(&file("john").0);
    machine
        .emulator
        .fault(TOKENS, issue("john").after_requests(1));
    credentials.token_cache().unwrap().invalidate(&token);
    let error = credentials.token().await.unwrap_err();
    assert!(error.to_string().contains("another user's"), "{error}");
}

#[tokio::test]
async fn login_of_an_unknown_account_is_used() {
    let machine = Machine::new().await;
    let login = |account: &str| {
        let user = machine.emulator.create_user("jane@example.com");
        let mut file: Value = serde_json::from_str(&user.authorized_user_json()).unwrap();
        file["account"] = json!(account);
        (user, file.to_string())
    };
    for (before, after, is_used) in [
        ("", "", true),
        ("", "jane@example.com", true),
        ("jane@example.com", "jane@example.com", true),
        ("jane@example.com", "john@example.com", false),
        // The program has reported jane as its principal.
        ("jane@example.com", "", false),
    ] {
        let (old, text) = login(before);
        machine.write(&text);
        let credentials = machine.credentials();
        machine.emulator.revoke(old.refresh_token());
        machine.write(&login(after).1);
        let token = credentials.token().await;
        assert_eq!(token.is_ok(), is_used, "{before:?} {after:?}");
    }
}

#[tokio::test]
async fn invalid_or_missing_file_is_named_until_it_is_valid() {
    let machine = Machine::new().await;
    let jane = machine.write_login();
    let credentials = machine.credentials();
    machine.emulator.revoke(jane.refresh_token());
    machine.write("{\"type\": \"authorized_user\"");
    let error = credentials.token().await.unwrap_err();
    assert!(error.to_string().contains("credential.json"), "{error}");
    assert!(error.to_string().contains("truncated"), "{error}");
    fs::remove_file(machine.path()).unwrap();
    let error = credentials.token().await.unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");
    machine.write_login();
    credentials.token().await.unwrap();
}
