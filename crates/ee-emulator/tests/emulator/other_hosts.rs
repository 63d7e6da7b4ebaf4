//! Resource Manager and Service Usage.

use std::time::Duration;

use ee_emulator::{Emulator, Project};

use crate::client::*;

const HOUR: Duration = Duration::from_secs(3600);

async fn start() -> Emulator {
    Emulator::builder()
        .project(Project::new(PROJECT).number(123_456_789_012))
        .project(Project::new("no-api").api_enabled(false))
        .project(Project::new("not-mine-project").denied(true))
        .start()
        .await
        .unwrap()
}

#[tokio::test]
async fn search_returns_visible_projects() {
    let emulator = start().await;
    let base = emulator.url("cloudresourcemanager.googleapis.com");
    let url = format!("{base}/v3/projects:search");
    assert_eq!(get(url.clone()).await.status, 401);
    let narrow = emulator.issue_token("jane@example.com", &["earthengine"], HOUR);
    let response = send(client().get(&url).bearer_auth(narrow)).await;
    assert_eq!(
        response.reason().unwrap(),
        "ACCESS_TOKEN_SCOPE_INSUFFICIENT"
    );

    let bearer = emulator.issue_token("jane@example.com", &["cloud-platform"], HOUR);
    let body = send(client().get(&url).bearer_auth(&bearer)).await.json();
    let ids: Vec<_> = body["projects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|project| project["projectId"].as_str().unwrap())
        .collect();
    assert_eq!(ids, [PROJECT, "no-api"]);
    assert_eq!(body["projects"][0]["name"], "projects/123456789012");

    let page = format!("{url}?pageSize=1");
    let body = send(client().get(&page).bearer_auth(&bearer)).await.json();
    assert_eq!(body["projects"].as_array().unwrap().len(), 1);
    let next = body["nextPageToken"].as_str().unwrap();
    let page = format!("{page}&pageToken={next}");
    let body = send(client().get(&page).bearer_auth(&bearer)).await.json();
    assert_eq!(body["projects"][0]["projectId"], "no-api");
    assert!(body["nextPageToken"].is_null());
    let page = format!("{url}?pageToken=nonsense");
    assert_eq!(
        send(client().get(&page).bearer_auth(&bearer)).await.status,
        400
    );
}

#[tokio::test]
async fn service_usage_returns_api_state() {
    let emulator = start().await;
    let base = emulator.url("serviceusage.googleapis.com");
    let bearer = emulator.issue_token("jane@example.com", &["cloud-platform"], HOUR);
    let ask = async |project: &str, service: &str| {
        let url = format!("{base}/v1/projects/{project}/services/{service}");
        send(client().get(url).bearer_auth(&bearer)).await
    };
    assert_eq!(ask(PROJECT, EARTHENGINE).await.json()["state"], "ENABLED");
    assert_eq!(
        ask("123456789012", EARTHENGINE).await.json()["state"],
        "ENABLED"
    );
    assert_eq!(ask("no-api", EARTHENGINE).await.json()["state"], "DISABLED");
    let denied = ask("not-mine-project", EARTHENGINE).await;
    assert_eq!(denied.reason().unwrap(), "IAM_PERMISSION_DENIED");
    assert_eq!(
        denied.info()["metadata"]["permission"],
        "serviceusage.services.get"
    );
    assert_eq!(ask(PROJECT, "other.googleapis.com").await.status, 403);
}
