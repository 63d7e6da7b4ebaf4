//! Exports and polling of operations.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use earthengine::rest::export::{Asset, Image};
use earthengine::rest::{Client, ErrorKind, OperationPoller};
use earthengine::{Export, OperationState};
use ee_emulator::Fault;

use crate::{EARTHENGINE, connected, constant, quick};

const MS: Duration = Duration::from_millis(1);

fn to_asset() -> Export<Image, Asset> {
    Export::image(&constant(1))
        .description("mine")
        .to_asset("projects/ee-demo-project/assets/made")
}

fn wait(client: &Client, name: &str) -> OperationPoller {
    client.operations().wait(name).poll_interval(MS, 3 * MS)
}

#[tokio::test]
async fn export_is_started_polled_and_creates_its_asset() {
    let (emulator, ee) = connected().await;
    let client = quick(&ee);
    let started = client.export(to_asset()).await.unwrap();
    assert_eq!(started.state(), &OperationState::Pending);
    assert_eq!(started.metadata.description, "mine");
    assert_eq!(started.metadata.priority, Some(100));
    let first = client.export(to_asset().priority(9999)).await.unwrap();
    assert_eq!(first.metadata.priority, Some(9999));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let states = seen.clone();
    let ended = wait(&client, started.id())
        .on_progress(move |operation| states.lock().unwrap().push(operation.state().to_string()))
        .await
        .unwrap();
    assert_eq!(*seen.lock().unwrap(), ["RUNNING", "SUCCEEDED"]);
    assert_eq!(ended.metadata.destination_uris.len(), 1);
    assert_eq!(emulator.assets(), ["projects/ee-demo-project/assets/made"]);
}

#[tokio::test]
async fn every_kind_of_export_is_accepted() {
    let (emulator, ee) = connected().await;
    let client = quick(&ee);
    let one = constant(1);
    let image = Export::image(&one).to_drive("folder", "image");
    client.export(image).await.unwrap();
    let table = || Export::table(&one);
    let files = table().to_cloud_storage("bucket", "table");
    client.export(files).await.unwrap();
    let asset = table().to_asset("users/me/table");
    client.export(asset).await.unwrap();
    let video = Export::video(&one).to_cloud_storage("bucket", "video");
    client.export(video).await.unwrap();
    let map = Export::map(&one).to_cloud_storage("bucket", "map");
    client.export(map).await.unwrap();
    let classifier = Export::classifier(&one).to_asset("users/me/trees");
    client.export(classifier).await.unwrap();
    let kinds: Vec<String> = emulator.operations().into_iter().map(|o| o.kind).collect();
    assert_eq!(
        kinds,
        [
            "EXPORT_IMAGE",
            "EXPORT_FEATURES",
            "EXPORT_FEATURES",
            "EXPORT_VIDEO",
            "EXPORT_TILES",
            "EXPORT_CLASSIFIER"
        ]
    );
    let listed = ee
        .operations()
        .list()
        .page_size(4)
        .items()
        .all()
        .await
        .unwrap();
    assert_eq!(listed.len(), 6);
}

#[tokio::test]
async fn retried_export_starts_one_task() {
    let (emulator, ee) = connected().await;
    let client = quick(&ee);
    // The server starts the task, and the response is lost; then it is busy.
    emulator.fault(EARTHENGINE, Fault::truncate_body(5));
    emulator.fault(EARTHENGINE, Fault::status(503));
    emulator.fault(EARTHENGINE, Fault::truncate_body(0));
    let started = client.export(to_asset()).await.unwrap();
    let operations = emulator.operations();
    assert_eq!(operations.len(), 1);
    assert_eq!(operations[0].name, started.name);
    let sent = emulator.requests_to(EARTHENGINE);
    assert_eq!(
        sent.iter()
            .filter(|r| r.path.ends_with("image:export"))
            .count(),
        4
    );
    // Another call starts another task, and the same request ID does not.
    client.export(to_asset()).await.unwrap();
    assert_eq!(emulator.operations().len(), 2);
    for _ in 0..2 {
        client.export(to_asset().request_id("kept")).await.unwrap();
    }
    assert_eq!(emulator.operations().len(), 3);
}

#[tokio::test]
async fn failed_operation_returns_its_error_message() {
    let (emulator, ee) = connected().await;
    let client = quick(&ee);
    emulator.fail_operation("Image.select: no such band");
    let started = client.export(to_asset()).await.unwrap();
    let error = wait(&client, &started.name).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OperationFailed);
    assert!(
        error.to_string().contains("Image.select: no such band"),
        "{error}"
    );
    assert_eq!(error.operation().unwrap().state(), &OperationState::Failed);
    // Getting a failed operation is not an error.
    let looked = client.operations().get(&started.name).await.unwrap();
    assert!(looked.done && looked.error.is_some());
}

#[tokio::test]
async fn operation_can_be_cancelled_and_deleted() {
    let (emulator, ee) = connected().await;
    let client = quick(&ee);
    let operations = client.operations();
    let started = client.export(to_asset()).await.unwrap();
    let error = operations.delete(&started.name).await.unwrap_err();
    assert_eq!(error.api().unwrap().status, 400);
    operations.cancel(&started.name).await.unwrap();
    let error = wait(&client, &started.name).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OperationCancelled);
    operations.delete(&started.name).await.unwrap();
    assert!(emulator.operations().is_empty());
    let error = operations.get(&started.name).await.unwrap_err();
    assert_eq!(error.api().unwrap().status, 404);
}

#[tokio::test]
async fn wait_ends_at_its_deadline_and_the_operation_continues() {
    let (emulator, ee) = connected().await;
    let client = quick(&ee);
    emulator.hang_operations(true);
    let started = client.export(to_asset()).await.unwrap();
    // Both polls until it runs take much less time.
    let error = wait(&client, &started.name)
        .deadline(Duration::from_secs(1))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(!error.remedy().text.is_empty());
    assert_eq!(emulator.operations()[0].state, "RUNNING");
    emulator.hang_operations(false);
    wait(&client, &started.name).await.unwrap();
}

#[tokio::test]
async fn wait_continues_through_transient_errors() {
    let (emulator, ee) = connected().await;
    let client = quick(&ee);
    let started = client.export(to_asset()).await.unwrap();
    // More than the retries of a single request.
    emulator.fault(EARTHENGINE, Fault::status(503).times(9));
    let ended = wait(&client, &started.name).await.unwrap();
    assert_eq!(ended.state(), &OperationState::Succeeded);
}

#[tokio::test]
async fn one_request_waits_on_the_server() {
    let (emulator, ee) = connected().await;
    let client = quick(&ee);
    let started = client.export(to_asset()).await.unwrap();
    emulator.hang_operations(true);
    let running = client.operations().wait_once(started.id(), MS).await;
    assert!(!running.unwrap().done);
    emulator.hang_operations(false);
    let ended = client.operations().wait_once(&started.name, 9 * MS).await;
    assert_eq!(ended.unwrap().state(), &OperationState::Succeeded);
    let sent = emulator.requests_to(EARTHENGINE);
    let body = String::from_utf8_lossy(&sent.last().unwrap().body).into_owned();
    assert_eq!(body, r#"{"timeout":"0.009s"}"#);
}
