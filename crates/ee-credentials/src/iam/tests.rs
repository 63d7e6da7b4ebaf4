use ee_emulator::{Emulator, Fault};
use serde_json::{Value, json};

use super::*;
use crate::options::options;

const TARGET: &str = "target@ee-demo-project.iam.gserviceaccount.com";
const HOST: &str = "iamcredentials.googleapis.com";

async fn request(fault: Fault) -> Result<AccessToken, Error> {
    let emulator = Emulator::start().await.unwrap();
    // For every attempt.
    emulator.fault(HOST, fault.times(5));
    let http = options(&emulator).http;
    let url = format!("https://{HOST}/v1/projects/-/serviceAccounts/{TARGET}{METHOD}");
    generate_access_token(
        &http,
        &url.parse().unwrap(),
        &AccessToken::new("ya29.canary-source").unwrap(),
        None,
        &[],
        &Scopes::earth_engine(),
        Duration::from_secs(3600),
    )
    .await
}

fn status(status: u16, message: &str, reason: &str) -> Fault {
    let details: Value = match reason {
        "" => json!([]),
        reason => json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]),
    };
    Fault::status(status).json(&json!({"error": {
        "code": status, "message": message, "status": if status == 404 { "NOT_FOUND" } else { "X" },
        "details": details,
    }}))
}

#[tokio::test]
async fn rejection_has_the_servers_message_and_a_remedy() {
    use ErrorKind::{Expired, InvalidScope, Rejected, UnconfirmedRejection as Unconfirmed};
    const PERMISSION_DENIED: &str = "Permission 'iam.serviceAccounts.getAccessToken' denied";
    for (code, message, reason, kind, hint) in [
        (401, "expired", "ACCESS_TOKEN_EXPIRED", Expired, ""),
        (
            403,
            "scopes",
            "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
            InvalidScope,
            "cloud-platform",
        ),
        (
            403,
            "off in project my-project",
            "SERVICE_DISABLED",
            Rejected,
            "services enable iamcredentials.googleapis.com --project=my-project",
        ),
        (403, "no", "USER_PROJECT_DENIED", Rejected, "UsageConsumer"),
        (403, "denied", "IAM_PERMISSION_DENIED", Rejected, ROLE),
        (403, PERMISSION_DENIED, "", Rejected, ROLE),
        (404, "no account", "", Rejected, "check its email address"),
        (400, "lifetime too long", "", Rejected, "1 hour or less"),
        (400, "ya29.canary-source", "", Unconfirmed, "try again"),
        (403, "no", "SECURITY_POLICY_VIOLATED", Rejected, "perimeter"),
        (418, "blocked", "", Unconfirmed, "try again"),
    ] {
        let fault = status(code, message, reason);
        let error = request(fault).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(TARGET), "{error}");
        let remedy = error.remedy().to_string().to_lowercase();
        assert!(remedy.contains(&hint.to_lowercase()), "{error}: {remedy}");
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
}

#[tokio::test]
async fn response_of_an_overloaded_server_or_gateway_is_transient() {
    let exhausted =
        json!({"error": {"code": 403, "status": "RESOURCE_EXHAUSTED", "message": "quota"}});
    for fault in [
        Fault::status(403).json(&exhausted),
        Fault::status(403).json(&json!({"error": {"code": 403, "message": "blocked"}})),
        Fault::status(403).json(&json!({"error": "forbidden"})),
        Fault::status(404).body("no such host"),
        Fault::respond(407, "text/html", "<html>"),
        Fault::status(511),
    ] {
        let error = request(fault).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert!(!error.kind().is_rejection(), "{error}");
        assert!(!error.remedy().text.is_empty(), "{error}");
    }
}

#[tokio::test]
async fn malformed_iam_response_is_an_error_and_not_quoted() {
    for body in [
        "",
        "<html>canary",
        r#"{"accessToken": "ya29.canary"}"#,
        r#"{"accessToken": "", "expireTime": "2100-01-01T00:00:00Z"}"#,
        r#"{"accessToken": "ya29.canary", "expireTime": "soon"}"#,
        r#"{"accessToken": "ya29.canary", "expireTime": "2001-01-01T00:00:00Z"}"#,
        r#"{"accessToken": "ya29.canary", "expireTime": "9999-01-01T00:00:00Z"}"#,
        r#"{"accessToken": ["canary"], "expireTime": 7}"#,
    ] {
        let error = request(Fault::respond(200, "application/json", body))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{body}");
        assert!(error.to_string().contains(HOST), "{error}");
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
}

#[tokio::test]
async fn token_lifetime_uses_the_servers_clock() {
    // The server's clock is a day ahead of this machine's.
    let server_time = Utc::now() + TimeDelta::days(1);
    let fault = Fault::status(200)
        .json(&json!({
            "accessToken": "ya29.x",
            "expireTime": (server_time + TimeDelta::seconds(600)).to_rfc3339(),
        }))
        .header(
            "Date",
            &server_time.format("%a, %d %b %Y %H:%M:%S GMT").to_string(),
        );
    let lifetime = request(fault).await.unwrap().expires_at().unwrap() - Utc::now();
    assert!(
        lifetime > TimeDelta::seconds(500) && lifetime < TimeDelta::seconds(700),
        "{lifetime}"
    );
}
