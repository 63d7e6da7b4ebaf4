//! Imports of files in Cloud Storage.

use earthengine::rest::ErrorKind;
use ee_emulator::Fault;
use serde_json::{Value, json};

use crate::{EARTHENGINE, connected, quick};

const NAME: &str = "projects/ee-demo-project/assets/made";

fn image(name: &str) -> Value {
    json!({"name": name, "tilesets": [{"sources": [{"uris": ["gs://b/a.tif"]}]}]})
}

fn table(name: &str) -> Value {
    json!({"name": name, "sources": [{"uris": ["gs://b/a.csv"]}]})
}

#[tokio::test]
async fn import_is_started_once_and_creates_its_asset() {
    let (emulator, ee) = connected().await;
    let client = quick(&ee);
    emulator.put_asset("projects/earthengine-legacy/assets/users/me", "FOLDER");
    // The server starts the import, and the response is lost.
    emulator.fault(EARTHENGINE, Fault::truncate_body(5));
    let import = client.import_image(&image(NAME)).description("mine");
    let started = import.start().await.unwrap();
    assert_eq!(started.metadata.description, "mine");
    assert_eq!(emulator.operations().len(), 1);
    for _ in 0..2 {
        let import = client.import_table(&table("users/me/made"));
        import.request_id("kept").start().await.unwrap();
    }
    let operations = emulator.operations();
    let kinds: Vec<&str> = operations.iter().map(|o| o.kind.as_str()).collect();
    assert_eq!(kinds, ["INGEST_IMAGE", "INGEST_TABLE"]);
    for operation in &operations {
        client.operations().wait(&operation.name).await.unwrap();
    }
    let legacy = "projects/earthengine-legacy/assets/users/me/made".to_owned();
    assert!(emulator.assets().contains(&NAME.to_owned()));
    assert!(emulator.assets().contains(&legacy));
    // An existing asset is replaced only on request.
    let again = || client.import_image(&image(NAME));
    assert_eq!(
        again().start().await.unwrap_err().api().unwrap().status,
        400
    );
    again().overwrite(true).start().await.unwrap();
}

#[tokio::test]
async fn external_image_is_created_at_once() {
    let (emulator, ee) = connected().await;
    let client = quick(&ee);
    client
        .import_external_image(&image(NAME), false)
        .await
        .unwrap();
    assert_eq!(client.assets().get(NAME).await.unwrap().kind, "IMAGE");
    client
        .import_external_image(&image(NAME), false)
        .await
        .unwrap_err();
    // Replacing an image may be repeated.
    emulator.fault(EARTHENGINE, Fault::truncate_body(0));
    client
        .import_external_image(&image(NAME), true)
        .await
        .unwrap();
}

#[tokio::test]
async fn invalid_import_is_not_sent() {
    let (emulator, ee) = connected().await;
    let client = quick(&ee);
    let before = emulator.requests().len();
    let errors = [
        client.import_image(&json!({})).start().await.unwrap_err(),
        client.import_image(&json!([])).start().await.unwrap_err(),
        client
            .import_image(&json!({"name": 1}))
            .start()
            .await
            .unwrap_err(),
        client
            .import_image(&image("a:b"))
            .start()
            .await
            .unwrap_err(),
        client
            .import_table(&table("projects/my-project/assets"))
            .start()
            .await
            .unwrap_err(),
        client
            .import_table(&table(NAME))
            .request_id("a_b")
            .start()
            .await
            .unwrap_err(),
        client
            .import_image(&image(NAME))
            .option("x", f64::NAN)
            .start()
            .await
            .unwrap_err(),
        client.import_table(&image(NAME)).start().await.unwrap_err(),
        client.import_image(&table(NAME)).start().await.unwrap_err(),
        client
            .import_external_image(&json!({}), true)
            .await
            .unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error}");
        assert!(!error.remedy().text.is_empty());
    }
    assert_eq!(emulator.requests().len(), before);
}
