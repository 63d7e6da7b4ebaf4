//! Authentication, projects and permissions of Earth Engine calls.

use std::time::Duration;

use ee_emulator::{Emulator, GoogleError, Project};
use serde_json::{Value, json};

use crate::client::*;

const HOUR: Duration = Duration::from_secs(3600);

async fn start() -> Emulator {
    let emulator = Emulator::builder()
        .project(Project::new(PROJECT).number(123_456_789_012))
        .project(Project::new("no-api").api_enabled(false))
        .project(Project::new("unregistered").registration("NOT_REGISTERED"))
        .project(
            Project::new("open-config")
                .registration("NOT_REGISTERED")
                .config_when_unregistered(true),
        )
        .project(Project::new("suspended-proj").suspended(true))
        .project(
            Project::new("not-mine-project")
                .denied(true)
                .allow("jane@example.com"),
        )
        .api_key("AIzaGood", PROJECT)
        .start()
        .await
        .unwrap();
    emulator.create_service_account(ROBOT, PROJECT);
    emulator
}

fn robot(emulator: &Emulator) -> String {
    emulator.issue_token(ROBOT, &["earthengine"], HOUR)
}

async fn compute(emulator: &Emulator, bearer: &str, body: &Value) -> Response {
    let url = format!(
        "{}/v1/projects/{PROJECT}/value:compute",
        emulator.url(EARTHENGINE)
    );
    send(client().post(url).bearer_auth(bearer).json(body)).await
}

#[tokio::test]
async fn usable_project_is_found_by_id_and_number_on_both_hosts() {
    let emulator = start().await;
    let bearer = robot(&emulator);
    for (project, payer) in [
        (PROJECT, None),
        (PROJECT, Some("123456789012")),
        ("123456789012", Some(PROJECT)),
    ] {
        let response = config(&emulator, project, &bearer, payer).await;
        assert_eq!(response.status, 200, "{response:?}");
        let body = response.json();
        assert_eq!(body["name"], format!("projects/{project}/config"));
        assert_eq!(body["registrationState"], "REGISTERED_NOT_COMMERCIALLY");
    }
    let base = emulator.url("earthengine-highvolume.googleapis.com");
    let url = format!("{base}/v1/projects/{PROJECT}/config");
    assert_eq!(
        send(client().get(url).bearer_auth(&bearer)).await.status,
        200
    );
}

#[tokio::test]
async fn request_without_credentials_gets_credentials_missing() {
    let emulator = start().await;
    let response = get(format!(
        "{}/v1/projects/{PROJECT}/config",
        emulator.url(EARTHENGINE)
    ))
    .await;
    assert_eq!(response.status, 401);
    assert_eq!(response.reason().unwrap(), "CREDENTIALS_MISSING");
    assert_eq!(response.json()["error"]["status"], "UNAUTHENTICATED");
    assert_eq!(response.info()["metadata"]["service"], EARTHENGINE);
    assert!(response.headers.contains_key("www-authenticate"));
}

#[tokio::test]
async fn expired_revoked_and_unknown_tokens_are_rejected() {
    let emulator = start().await;
    let short = emulator.issue_token(ROBOT, &["earthengine"], Duration::from_secs(5));
    let long = robot(&emulator);
    assert_eq!(config(&emulator, PROJECT, &short, None).await.status, 200);
    emulator.clock().advance(Duration::from_secs(5));
    let expired = config(&emulator, PROJECT, &short, None).await;
    assert_eq!(expired.reason().unwrap(), "ACCESS_TOKEN_EXPIRED");
    assert_eq!(config(&emulator, PROJECT, &long, None).await.status, 200);
    emulator.expire_tokens();
    let early = config(&emulator, PROJECT, &long, None).await;
    assert_eq!(early.status, 401);
    assert_eq!(early.reason().unwrap(), "ACCESS_TOKEN_EXPIRED");
    assert!(
        early
            .message()
            .starts_with("Request had invalid authentication credentials.")
    );
    assert!(
        early.headers["www-authenticate"]
            .to_str()
            .unwrap()
            .contains("invalid_token")
    );
    let made_up = config(&emulator, PROJECT, "nonsense", None).await;
    assert_eq!(made_up.status, 401);
    assert_eq!(made_up.reason().unwrap(), "ACCESS_TOKEN_TYPE_UNSUPPORTED");
}

#[tokio::test]
async fn scopes_limit_allowed_calls() {
    let emulator = start().await;
    let body = json!({"expression": {"result": "0", "values": {"0": {"constantValue": 1}}}});
    for (scope, reads, computes) in [
        ("earthengine", 200, 200),
        ("cloud-platform", 200, 200),
        ("earthengine.readonly", 200, 403),
        ("drive", 403, 403),
    ] {
        let bearer = emulator.issue_token(ROBOT, &[scope], HOUR);
        let read = config(&emulator, PROJECT, &bearer, None).await;
        assert_eq!(read.status, reads, "{scope}");
        let computed = compute(&emulator, &bearer, &body).await;
        assert_eq!(computed.status, computes, "{scope}");
        if computes == 403 {
            assert_eq!(
                computed.reason().unwrap(),
                "ACCESS_TOKEN_SCOPE_INSUFFICIENT"
            );
        }
    }
}

#[tokio::test]
async fn user_token_requires_quota_project() {
    let emulator = start().await;
    let bearer = emulator.issue_token("jane@example.com", &["earthengine"], HOUR);
    let response = config(&emulator, PROJECT, &bearer, None).await;
    assert_eq!(response.status, 403);
    assert!(
        response
            .message()
            .starts_with("Your application is authenticating by using local Application Default")
    );
    let response = config(&emulator, PROJECT, &bearer, Some(PROJECT)).await;
    assert_eq!(response.status, 200);
}

#[tokio::test]
async fn earth_engine_client_without_project_is_not_signed_up() {
    let emulator = start().await;
    let user = emulator.create_user("jane@example.com");
    let form = [
        ("grant_type", "refresh_token"),
        (
            "client_id",
            "517222506229-vsmmajv00ul0bs7p89v5m89qs8eb9359.apps.googleusercontent.com",
        ),
        ("client_secret", "RUP0RZ6e0pPhDzsqIJ7KlNd1"),
        ("refresh_token", user.earthengine_refresh_token()),
    ];
    let body = token(&emulator, &form).await.json();
    let bearer = body["access_token"].as_str().unwrap();
    let response = config(&emulator, "earthengine-legacy", bearer, None).await;
    assert_eq!(response.status, 403);
    assert!(
        response
            .message()
            .starts_with("Not signed up for Earth Engine")
    );
    let response = config(&emulator, PROJECT, bearer, Some("764086051850")).await;
    assert_eq!(response.reason().unwrap(), "USER_PROJECT_DENIED");
}

#[tokio::test]
async fn project_errors_have_googles_messages() {
    let emulator = start().await;
    let bearer = robot(&emulator);
    for (project, reason, beginning) in [
        (
            "not-mine-project",
            Some("USER_PROJECT_DENIED"),
            "Caller does not have required permission to use project not-mine-project. Grant the \
             caller the roles/serviceusage.serviceUsageConsumer role",
        ),
        (
            "suspended-proj",
            Some("CONSUMER_SUSPENDED"),
            "Permission denied: Consumer 'projects/suspended-proj' has been suspended.",
        ),
        (
            "no-api",
            Some("SERVICE_DISABLED"),
            "Google Earth Engine API has not been used in project no-api before or it is disabled",
        ),
        (
            "unregistered",
            None,
            "Project unregistered is not registered to use Earth Engine. Visit https://",
        ),
        (
            "no-such-project",
            None,
            "Project 'projects/no-such-project' not found or deleted.",
        ),
    ] {
        let response = config(&emulator, project, &bearer, Some(project)).await;
        assert_eq!(response.status, 403, "{project}");
        assert_eq!(response.reason().as_deref(), reason, "{project}");
        assert!(
            response.message().starts_with(beginning),
            "{}",
            response.message()
        );
        assert_eq!(response.json()["error"]["status"], "PERMISSION_DENIED");
        // The same error for the project in the path only.
        let in_path = config(&emulator, project, &bearer, Some(PROJECT)).await;
        assert!(
            in_path.message().starts_with(beginning),
            "{}",
            in_path.message()
        );
        assert_eq!(in_path.reason().as_deref(), reason, "{project}");
    }
}

#[tokio::test]
async fn disabled_api_error_has_consumer_and_link() {
    let emulator = start().await;
    let response = config(&emulator, "no-api", &robot(&emulator), Some("no-api")).await;
    let metadata = response.info()["metadata"].clone();
    assert_eq!(metadata["consumer"], "projects/no-api");
    assert_eq!(metadata["service"], EARTHENGINE);
    let details = response.json()["error"]["details"].clone();
    let help = details
        .as_array()
        .unwrap()
        .iter()
        .find(|detail| detail["@type"] == "type.googleapis.com/google.rpc.Help")
        .unwrap()
        .clone();
    let url = help["links"][0]["url"].as_str().unwrap();
    assert!(url.ends_with("overview?project=no-api"), "{url}");
}

#[tokio::test]
async fn allowed_principal_may_use_denied_project() {
    let emulator = start().await;
    let bearer = emulator.issue_token("jane@example.com", &["earthengine"], HOUR);
    let project = "not-mine-project";
    assert_eq!(
        config(&emulator, project, &bearer, Some(project))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn unregistered_project_may_respond_to_config_only() {
    let emulator = start().await;
    let bearer = robot(&emulator);
    let project = "open-config";
    let response = config(&emulator, project, &bearer, Some(project)).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.json()["registrationState"], "NOT_REGISTERED");
    let url = format!(
        "{}/v1/projects/{project}/algorithms",
        emulator.url(EARTHENGINE)
    );
    assert_eq!(
        send(client().get(url).bearer_auth(&bearer)).await.status,
        403
    );
}

#[tokio::test]
async fn valid_api_key_works_without_token() {
    let emulator = start().await;
    let url = format!("{}/v1/projects/{PROJECT}/config", emulator.url(EARTHENGINE));
    let with = |key: &str| client().get(&url).header("x-goog-api-key", key);
    assert_eq!(send(with("AIzaGood")).await.status, 200);
    let response = send(with("AIzaBad")).await;
    assert_eq!(response.status, 400);
    assert_eq!(response.reason().unwrap(), "API_KEY_INVALID");
}

#[tokio::test]
async fn self_signed_jwt_is_valid_for_one_service() {
    let emulator = start().await;
    let account = emulator.create_service_account(ROBOT, PROJECT);
    let now = emulator.clock().now().timestamp();
    let bearer = |extra: Value| {
        let mut claims = json!({"iss": ROBOT, "sub": ROBOT, "iat": now, "exp": now + 3600});
        for (name, value) in extra.as_object().unwrap() {
            claims[name] = value.clone();
        }
        sign(&account, &header(&account), &claims)
    };
    for (extra, status) in [
        (json!({"aud": "https://earthengine.googleapis.com/"}), 200),
        (json!({"scope": SCOPE}), 200),
        (json!({"aud": "https://storage.googleapis.com/"}), 401),
        (json!({}), 401),
        (json!({"scope": SCOPE, "sub": "jane@example.com"}), 401),
        (
            json!({"scope": SCOPE, "iat": now - 4000, "exp": now - 400}),
            401,
        ),
        (json!({"scope": SCOPE, "exp": now + 7200}), 401),
        (
            json!({"scope": "https://www.googleapis.com/auth/drive"}),
            403,
        ),
    ] {
        let response = config(&emulator, PROJECT, &bearer(extra.clone()), None).await;
        assert_eq!(response.status, status, "{extra}");
    }
}

#[tokio::test]
async fn project_can_fail_with_any_error() {
    let emulator = start().await;
    let bearer = robot(&emulator);
    for error in GoogleError::ALL {
        emulator.add_project(Project::new("trouble").fail_with(*error));
        let response = config(&emulator, "trouble", &bearer, None).await;
        assert_eq!(response.status, error.status(), "{error:?}");
        assert_eq!(response.text, error.body("trouble"), "{error:?}");
    }
}

#[tokio::test]
async fn daily_quota_differs_from_per_minute_quota() {
    let daily: Value = serde_json::from_str(&GoogleError::DailyQuotaExceeded.body("p")).unwrap();
    assert!(
        daily
            .to_string()
            .contains("earthengine.googleapis.com/daily_eecu_usage_time")
    );
    assert_eq!(GoogleError::TooManyConcurrentAggregations.status(), 429);
    assert_eq!(GoogleError::Forbidden.body("p"), "Forbidden");
    assert!(
        GoogleError::ForbiddenHtml
            .body("p")
            .starts_with("<!DOCTYPE html>")
    );
}

#[tokio::test]
async fn discovery_is_public_and_has_emulator_urls() {
    let emulator = start().await;
    let base = emulator.url(EARTHENGINE);
    let response = get(format!("{base}/$discovery/rest?version=v1")).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.json()["rootUrl"], format!("{base}/"));
    assert!(response.json()["resources"]["projects"].is_object());
    let escaped = get(format!(
        "{base}/%24discovery/rest?version=v1&prettyPrint=false"
    ))
    .await;
    assert_eq!(escaped.status, 200);
    assert_eq!(
        get(format!("{base}/$discovery/rest?version=v9"))
            .await
            .status,
        404
    );
    let wrong = client()
        .get(format!("{base}/$discovery/rest?version=v1"))
        .bearer_auth("nonsense");
    assert_eq!(send(wrong).await.status, 401);
    let highvolume = emulator.url("earthengine-highvolume.googleapis.com");
    let response = get(format!("{highvolume}/$discovery/rest?version=v1")).await;
    assert_eq!(response.json()["rootUrl"], format!("{highvolume}/"));
}

#[tokio::test]
async fn algorithm_list_contains_supported_functions() {
    let emulator = start().await;
    let url = format!(
        "{}/v1/projects/{PROJECT}/algorithms",
        emulator.url(EARTHENGINE)
    );
    let response = send(client().get(url).bearer_auth(robot(&emulator))).await;
    let body = response.json();
    let names: Vec<&str> = body["algorithms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|algorithm| algorithm["name"].as_str().unwrap())
        .collect();
    for name in [
        "Number.add",
        "String.cat",
        "List.map",
        "Dictionary.get",
        "If",
    ] {
        assert!(
            names.contains(&format!("algorithms/{name}").as_str()),
            "{name}"
        );
    }
}

#[tokio::test]
async fn project_notices_are_sent_as_headers() {
    let emulator = start().await;
    emulator.add_project(
        Project::new("restricted")
            .quota_status("parallelism_restricted=true")
            .init_message("Hello")
            .max_concurrent_exports(2),
    );
    let url = format!(
        "{}/v1alpha/projects/restricted/config",
        emulator.url(EARTHENGINE)
    );
    let request = client()
        .get(url)
        .bearer_auth(robot(&emulator))
        .header("X-Earth-Engine-Computation-Profiling", "1");
    let response = send(request).await;
    let notice = |name: &str| response.headers[name].to_str().unwrap().to_owned();
    assert_eq!(
        notice("x-earth-engine-quota-status"),
        "parallelism_restricted=true"
    );
    assert_eq!(notice("x-earth-engine-init-message"), "Hello");
    assert!(!notice("x-earth-engine-computation-profile").is_empty());
    assert_eq!(response.json()["maxConcurrentExports"], "2");
}

#[tokio::test]
async fn unknown_paths_are_not_found() {
    let emulator = start().await;
    let base = emulator.url(EARTHENGINE);
    for path in [
        "/",
        "/v1/projects",
        "/v2/projects/p/config",
        "/v1/projects/p/nothing",
    ] {
        assert_eq!(get(format!("{base}{path}")).await.status, 404, "{path}");
    }
    let response = get(format!(
        "http://{}/v1/projects/p/config",
        emulator.address()
    ))
    .await;
    assert_eq!(response.status, 404);
    assert!(
        response.text.contains("does not know the host 'v1'"),
        "{}",
        response.text
    );
}
