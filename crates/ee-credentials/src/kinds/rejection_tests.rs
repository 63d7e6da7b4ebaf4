//! Which responses end a credential, for each kind of credential and each host that its tokens
//! come from.

use std::time::Duration;

use ee_emulator::{Emulator, Fault};
use ee_token::{ManualClock, TokenCache};
use serde_json::{Value, json};

use crate::input::location::Location;
use crate::kinds;
use crate::options::options;

const TOKENS: &str = "oauth2.googleapis.com";
const STS: &str = "sts.googleapis.com";
const IAM: &str = "iamcredentials.googleapis.com";
const ROBOT: &str = "robot@ee-demo-project.iam.gserviceaccount.com";
const TARGET: &str = "target@ee-demo-project.iam.gserviceaccount.com";
const AUDIENCE: &str = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/p/providers/i";
const MINUTE: Duration = Duration::from_secs(60);

/// Returns an emulator, and for each kind of credential a file and the host that fails.
async fn kinds() -> (
    Emulator,
    Vec<(Value, &'static str)>,
    tempfile::NamedTempFile,
) {
    let emulator = Emulator::start().await.unwrap();
    let parse = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    let key = parse(
        emulator
            .create_service_account(ROBOT, "ee-demo-project")
            .json_key(),
    );
    emulator.create_service_account(TARGET, "ee-demo-project");
    let jane = emulator.create_user("jane@example.com");
    let login = parse(jane.authorized_user_json());
    let provider = emulator.create_oidc_provider(AUDIENCE);
    emulator.allow_impersonation(ROBOT, TARGET);
    emulator.allow_impersonation(&provider.principal("me"), TARGET);
    let subject = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(subject.path(), provider.subject_token("me")).unwrap();
    let url = format!("https://{IAM}/v1/projects/-/serviceAccounts/{TARGET}:generateAccessToken");
    let federation = json!({
        "type": "external_account",
        "audience": AUDIENCE,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("https://{STS}/v1/token"),
        "credential_source": {"file": subject.path()},
    });
    let mut federation_of_account = federation.clone();
    federation_of_account["service_account_impersonation_url"] = json!(url);
    let impersonation = json!({
        "type": "impersonated_service_account",
        "service_account_impersonation_url": url,
        "source_credentials": key,
    });
    let kinds = vec![
        (key, TOKENS),
        (login, TOKENS),
        (parse(jane.earthengine_file_json(None)), TOKENS),
        (federation, STS),
        (federation_of_account.clone(), STS),
        (federation_of_account, IAM),
        (impersonation, IAM),
    ];
    (emulator, kinds, subject)
}

fn cache(file: &Value, emulator: &Emulator, clock: &ManualClock) -> TokenCache {
    let options = options(emulator);
    let credential = kinds::load(&file.to_string(), &Location::InMemory, &options).unwrap();
    TokenCache::with_clock(credential.source, clock)
}

/// Checks that a failure is transient for every kind of credential.
async fn assert_transient(fault: Fault) {
    let (emulator, kinds, _subject) = kinds().await;
    for (file, host) in kinds {
        let clock = ManualClock::new();
        let tokens = cache(&file, &emulator, &clock);
        emulator.fault(host, fault.clone().times(usize::MAX));
        let error = tokens.token().await.unwrap_err();
        assert!(error.is_transient(), "{host}: {error}");
        assert!(!error.remedy().text.is_empty(), "{host}: {error}");
        emulator.clear_faults();
        clock.advance(Duration::from_secs(2));
        tokens.token().await.unwrap();
    }
}

#[tokio::test]
async fn responses_of_intermediaries_are_transient() {
    let google = |code: u16, status: &str| json!({"error": {"code": code, "message": "No.", "status": status}});
    let faults = [
        Fault::status(403).json(&json!({"error": "forbidden"})),
        Fault::status(403).json(&json!({"error": "invalid_grant"})),
        Fault::status(403).json(&google(403, "RESOURCE_EXHAUSTED")),
        Fault::status(403).json(&google(403, "PERMISSION_DENIED")),
        Fault::status(404).json(&json!({"error": "not_found"})),
        Fault::status(400).json(&json!({"error": "no_such_code"})),
        Fault::respond(403, "text/html", "<html>Blocked"),
        Fault::respond(404, "text/plain", "no such route"),
        Fault::status(302).header("Location", "https://login.hotel.example/"),
        Fault::status(407),
        Fault::status(451),
        Fault::status(511),
        Fault::status(429),
    ];
    let tests = faults.map(|fault| tokio::spawn(assert_transient(fault)));
    for test in tests {
        test.await.unwrap();
    }
}

#[tokio::test]
async fn rejection_that_passed_is_forgotten_after_a_minute() {
    let (emulator, kinds, _subject) = kinds().await;
    for (file, host) in kinds {
        let rejection = if host == IAM {
            let denied = json!({"error": {"code": 403, "status": "PERMISSION_DENIED",
                "message": "Permission 'iam.serviceAccounts.getAccessToken' denied"}});
            Fault::status(403).json(&denied)
        } else {
            Fault::status(400).json(&json!({"error": "invalid_grant"}))
        };
        let clock = ManualClock::new();
        let tokens = cache(&file, &emulator, &clock);
        emulator.clear_requests();
        emulator.fault(host, rejection);
        for _ in 0..20 {
            let error = tokens.token().await.unwrap_err();
            assert!(error.kind().is_rejection(), "{host}: {error}");
            clock.advance(MINUTE / 20 - Duration::from_millis(1));
        }
        assert_eq!(emulator.requests_to(host).len(), 1, "{host}");
        clock.advance(MINUTE / 20);
        tokens.token().await.unwrap();
    }
}
