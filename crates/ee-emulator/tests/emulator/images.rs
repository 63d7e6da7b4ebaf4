//! Image assets as GDAL reads them.

use std::time::Duration;

use ee_emulator::Emulator;
use serde_json::{Value, json};

use crate::client::*;

const COLLECTION: &str = "projects/ee-demo-project/assets/scenes";

/// An emulator with a collection of two images and a table.
async fn start() -> (Emulator, String) {
    let emulator = Emulator::start().await.unwrap();
    emulator.put_asset(COLLECTION, "IMAGE_COLLECTION");
    emulator.put_table(&format!("{COLLECTION}/wells"), []);
    for name in ["a", "b"] {
        let Value::Object(fields) = json!({
            "properties": {"CLOUD_COVER": 3},
            "bands": [
                {"id": "B1", "dataType": {"precision": "INT", "range": {"max": 255}}},
                {"id": "B2", "dataType": {"precision": "INT", "range": {"max": 10_000}}},
            ],
        }) else {
            unreachable!()
        };
        emulator.put_asset_fields(&format!("{COLLECTION}/{name}"), fields);
    }
    emulator.create_user("jane@example.com");
    let lifetime = Duration::from_secs(600);
    let bearer = emulator.issue_token("jane@example.com", &["earthengine.readonly"], lifetime);
    (emulator, bearer)
}

async fn fetch(emulator: &Emulator, bearer: &str, path: &str, body: Option<&Value>) -> Response {
    let url = format!(
        "{}/{path}",
        emulator.url("earthengine-highvolume.googleapis.com")
    );
    let request = match body {
        Some(body) => client().post(url).json(body),
        None => client().get(url),
    };
    let request = request.header("x-goog-user-project", PROJECT);
    send(request.bearer_auth(bearer)).await
}

#[tokio::test]
async fn images_of_a_collection_are_listed_in_v1alpha() {
    let (emulator, bearer) = start().await;
    let list = async |path: &str| fetch(&emulator, &bearer, path, None).await;
    let first = list(&format!("v1alpha/{COLLECTION}:listImages?pageSize=1")).await;
    assert_eq!(first.status, 200, "{first:?}");
    let first = first.json();
    assert_eq!(first["images"][0]["properties"]["CLOUD_COVER"], 3);
    let token = first["nextPageToken"].as_str().unwrap();
    let second = list(&format!(
        "v1alpha/{COLLECTION}:listImages?pageToken={token}"
    ))
    .await
    .json();
    assert_eq!(second["images"].as_array().unwrap().len(), 1);
    assert_eq!(second["images"][0]["name"], format!("{COLLECTION}/b"));
    for (path, status) in [
        (format!("v1/{COLLECTION}:listImages"), 404),
        (format!("v1alpha/{COLLECTION}/a:listImages"), 400),
        (format!("v1alpha/{COLLECTION}/none:listImages"), 404),
        (format!("v1alpha/{COLLECTION}:listImages?filter=x"), 400),
        (format!("v1alpha/{COLLECTION}/a"), 200),
    ] {
        assert_eq!(list(&path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn pixels_have_the_types_of_the_bands() {
    let (emulator, bearer) = start().await;
    let pixels = async |bands: Value| {
        let path = format!("v1alpha/{COLLECTION}/a:getPixels");
        let body = json!({
            "fileFormat": "NPY",
            "bandIds": bands,
            "grid": {"dimensions": {"width": 8, "height": 4}},
        });
        fetch(&emulator, &bearer, &path, Some(&body)).await
    };
    let both = pixels(json!(["B2", "B1"])).await;
    assert!(
        both.text.contains("[('B2', '<u2'), ('B1', '|u1')]"),
        "{both:?}"
    );
    let all = pixels(json!([])).await;
    assert!(
        all.text.contains("[('B1', '|u1'), ('B2', '<u2')]"),
        "{all:?}"
    );
    assert_eq!(pixels(json!(["B3"])).await.status, 400);
}
