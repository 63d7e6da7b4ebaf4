//! Features of assets, computed images, tables for download, and feature views.

use earthengine::rest::ErrorKind;
use serde_json::{Value, json};

use crate::{EARTHENGINE, connected, constant, quick};

const TABLE: &str = "projects/ee-demo-project/assets/wells";

fn features(count: usize) -> Vec<Value> {
    let feature =
        |n| json!({"type": "Feature", "geometry": null, "properties": {"n": n, "s": "a,b"}});
    (0..count).map(feature).collect()
}

#[tokio::test]
async fn features_of_a_table_are_listed_in_pages() {
    let (emulator, ee) = connected().await;
    emulator.put_table(TABLE, features(5));
    let assets = ee.assets();
    let listed = assets.list_features::<Value>(TABLE).page_size(2);
    assert_eq!(listed.items().all().await.unwrap(), features(5));
    let requests = emulator.requests_to(EARTHENGINE);
    let pages = requests
        .iter()
        .filter(|request| request.path.ends_with(":listFeatures"));
    assert_eq!(pages.count(), 3);
    // The region is GeoJSON text.
    let region = json!({"type": "Point", "coordinates": [1, 2]});
    let refused = assets
        .list_features::<Value>(TABLE)
        .option("region", region);
    let error = refused.items().all().await.unwrap_err();
    assert!(error.to_string().contains("parameter 'region'"), "{error}");
    let error = assets
        .list_features::<Value>("a:b")
        .items()
        .all()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
}

#[tokio::test]
async fn computed_images_are_described() {
    let (_emulator, ee) = connected().await;
    let image = |n: u32| json!({"type": "Image", "id": format!("a/{n}"), "properties": {"n": n}});
    let collection = constant((0..3).map(image).collect::<Vec<_>>());
    let images = ee
        .client()
        .compute_images(&collection)
        .unwrap()
        .page_size(2);
    let images = images.items().all().await.unwrap();
    let found: Vec<_> = images.iter().map(|i| (&*i.kind, &*i.id)).collect();
    assert_eq!(
        found,
        [("IMAGE", "a/0"), ("IMAGE", "a/1"), ("IMAGE", "a/2")]
    );
    assert_eq!(images[2].properties["n"], 2);
    let load = json!({"functionName": "Image.load", "arguments": {"id": {"constantValue": "a"}}});
    let load = json!({"arrayValue": {"values": [{"functionInvocationValue": load}]}});
    let made = json!({"functionName": "ImageCollection.fromImages", "arguments": {"images": load}});
    let made = json!({"result": "0", "values": {"0": {"functionInvocationValue": made}}});
    let client = ee.client();
    let made = client.compute_images(&made).unwrap().items().all().await;
    assert_eq!(made.unwrap()[0].id, "a");
    let large = client.compute_images(&collection).unwrap();
    let large = large.page_size(u32::MAX).items().all().await;
    assert_eq!(large.unwrap().len(), 3);
}

#[tokio::test]
async fn table_is_downloaded_in_its_format() {
    let (emulator, ee) = connected().await;
    let client = quick(&ee);
    let table = || client.table(&constant(features(2)));
    let csv = table().create().await.unwrap();
    assert!(csv.url().starts_with(&emulator.url(EARTHENGINE)));
    assert!(csv.url().ends_with(&format!("{}:getFeatures", csv.name())));
    let text = csv.download().bytes().await.unwrap();
    assert_eq!(text, "n,s,.geo\n0,\"a,b\",\n1,\"a,b\",\n");
    let selected = table().selectors(&["n"]).filename("wells").create();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wells.csv");
    selected
        .await
        .unwrap()
        .download()
        .save(&path)
        .await
        .unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "n\n0\n1\n");
    let json = table().format("GEO_JSON").create().await.unwrap();
    let json: Value = serde_json::from_slice(&json.download().bytes().await.unwrap()).unwrap();
    assert_eq!(json["features"], json!(features(2)));
    let error = table().format("XLS").create().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert!(error.remedy().text.contains("GEO_JSON"));
    let table = table().option("fileFormat", "XLS");
    let error = table.create().await.unwrap_err();
    assert_eq!(error.api().unwrap().status, 400);
}

#[tokio::test]
async fn feature_view_has_tiles() {
    let (_emulator, ee) = connected().await;
    let client = quick(&ee);
    let view = client.feature_view(TABLE).visualization(&constant(1));
    let tiles = view.create().await.unwrap();
    assert!(tiles.name().contains("/featureViews/"), "{}", tiles.name());
    let tile = tiles.tile(2, 5, 3).unwrap().bytes().await.unwrap();
    assert!(tile.windows(8).any(|name| name == b"features"));
    let error = client.feature_view("a:b").create().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
}
