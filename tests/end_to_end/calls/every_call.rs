//! Every typed call, with its options. The emulator validates the requests against the description
//! of the API.

use std::collections::BTreeSet;
use std::time::Duration;

use earthengine::rest::{Client, IamPolicy};
use earthengine::{AssetUpdate, Export, ImageFormat, PixelGrid};
use ee_emulator::Description;
use serde_json::{Value, json};

use crate::{EARTHENGINE, connected, constant};

fn named(path: &str) -> String {
    format!("projects/ee-demo-project/assets/{path}")
}

#[tokio::test]
async fn every_method_has_a_typed_call() {
    let (emulator, ee) = connected().await;
    emulator.put_asset(&named("image"), "IMAGE");
    emulator.put_table(&named("table"), [feature()]);
    emulator.put_asset("projects/earthengine-legacy/assets/users/me", "FOLDER");
    let client = ee.client().with_workload_tag("every-call").unwrap();
    project(&client).await;
    assets(&client).await;
    computations(&client).await;
    maps_and_files(&client).await;
    exports(&client).await;
    imports(&client).await;
    operations(&client).await;

    let description = Description::get();
    let mut called = BTreeSet::new();
    let mut tagged = BTreeSet::new();
    for request in emulator.requests_to(EARTHENGINE) {
        let line = format!("{} {}", request.method, request.path);
        assert_eq!(request.status, Some(200), "{line}");
        let id = description.method_of(request.method.as_str(), &request.path);
        let id = id.unwrap_or_else(|| panic!("{line}"));
        called.insert(id);
        let in_body = request.json()["workloadTag"] == "every-call";
        if in_body || request.query.contains("workloadTag=every-call") {
            tagged.insert(id);
        }
    }
    // Only GDAL reads assets in version v1alpha.
    let methods = description.methods();
    for (id, method) in methods.filter(|(id, _)| !id.starts_with("v1alpha.projects.assets.")) {
        assert!(called.contains(id), "{id}");
        let body = method
            .request
            .as_deref()
            .and_then(|schema| description.fields(schema));
        let in_body = body.is_some_and(|fields| fields.contains_key("workloadTag"));
        let has_tag = in_body || method.query.contains_key("workloadTag");
        assert_eq!(tagged.contains(id), has_tag, "{id}");
    }
}

fn feature() -> Value {
    json!({"type": "Feature", "geometry": null, "properties": {"n": 1}})
}

fn grid() -> PixelGrid {
    PixelGrid::degrees(8.0, 47.5, 0.01, 30, 20)
}

fn visualization() -> Value {
    json!({"ranges": [{"min": 0, "max": 3000}], "paletteColors": ["000000", "ffffff"], "opacity": 0.5})
}

async fn project(client: &Client) {
    client.config().await.unwrap();
    let consent = json!({"registration": {"billingConsent": "BILLING_CONSENT_FULL"}});
    let paths = ["registration.billingConsent"];
    client.update_config(&paths, &consent).await.unwrap();
    client.export_limit().await.unwrap();
    client.set_export_limit(3).await.unwrap();
    client.algorithms().await.unwrap();
}

async fn assets(client: &Client) {
    let assets = client.assets();
    let (folder, other) = (named("folder"), named("other"));
    assets.get("projects/ee-demo-project/assets").await.unwrap();
    assets.create(&folder, "FOLDER").await.unwrap();
    let dated = json!({
        "type": "IMAGE_COLLECTION",
        "properties": {"a": [1, null]},
        "startTime": "2026-01-01T00:00:00Z",
    });
    let nested = named("folder/nested");
    assets.create_with(&nested, &dated).await.unwrap();
    assets
        .create_in_location("us", &other, &dated)
        .await
        .unwrap();
    assert!(assets.exists(&other).await.unwrap());
    for parent in ["projects/ee-demo-project", &folder] {
        let list = assets.list(parent).page_size(1).option("view", "BASIC");
        assert!(!list.items().all().await.unwrap().is_empty());
    }
    let features = assets.list_features::<Value>(&named("table")).page_size(1);
    let features = features.filter("").option("region", "");
    assert_eq!(features.items().all().await.unwrap(), [feature()]);
    let update = AssetUpdate::new()
        .property("a.b, c", json!({"x": null}))
        .property("gone", ())
        .start_time("2026-01-01T00:00:00Z")
        .end_time("2026-02-01T00:00:00Z");
    assets.update(&folder, &update).await.unwrap();
    assets
        .copy(&named("image"), &named("copy"), true)
        .await
        .unwrap();
    assets
        .rename(&named("copy"), &named("renamed"))
        .await
        .unwrap();
    let policy: IamPolicy = assets.get_iam_policy(&folder).await.unwrap();
    let mut changed = policy;
    changed.grant("roles/viewer", "allUsers");
    assets.set_iam_policy(&folder, &changed).await.unwrap();
    let permissions = ["earthengine.assets.get"];
    assets
        .test_iam_permissions(&folder, &permissions)
        .await
        .unwrap();
    assets.delete(&other).await.unwrap();
}

async fn computations(client: &Client) {
    let one = constant(1);
    assert_eq!(client.compute::<u8>(&one).await.unwrap(), 1);
    let computed = client
        .compute_pixels(&one)
        .format(ImageFormat::Npy)
        .bands(&["a"])
        .visualization(visualization())
        .grid(&grid());
    computed.bytes().await.unwrap();
    let region = json!({"type": "Point", "coordinates": [8.5, 47.4]});
    let stored = client
        .get_pixels(&named("image"))
        .format(ImageFormat::GeoTiff)
        .bands(&["a"])
        .grid(&grid())
        .region(region);
    stored.bytes().await.unwrap();
    let features = constant(json!([feature()]));
    let features = client.compute_features::<Value>(&features).unwrap();
    let features = features
        .page_size(1)
        .option("featureProjection", "FEATURE_PROJECTION_NATIVE");
    assert_eq!(features.items().all().await.unwrap(), [feature()]);
    let images = constant(json!([{"type": "Image", "id": "a"}]));
    let images = client.compute_images(&images).unwrap().page_size(u32::MAX);
    assert_eq!(images.items().all().await.unwrap().len(), 1);
}

/// Downloads the file that a request creates, without and with a location.
macro_rules! download_each {
    ($request:expr) => {
        for request in [$request(), $request().location("us")] {
            let file = request.create().await.unwrap();
            file.download().bytes().await.unwrap();
        }
    };
}

async fn maps_and_files(client: &Client) {
    let one = constant(1);
    let map = || {
        client
            .map(&one)
            .format(ImageFormat::Png)
            .bands(&["a"])
            .visualization(visualization())
    };
    let thumbnail = || {
        let thumbnail = client
            .thumbnail(&one)
            .format(ImageFormat::Jpeg)
            .bands(&["a"]);
        thumbnail
            .visualization(visualization())
            .grid(&grid())
            .option("filenamePrefix", "a")
    };
    let filmstrip = || {
        client
            .filmstrip(&one)
            .horizontal()
            .format(ImageFormat::Png)
            .grid(&grid())
    };
    let video = || {
        client
            .video_thumbnail(&one)
            .frames_per_second(2.5)
            .grid(&grid())
    };
    let features = constant(json!([feature()]));
    let table = || {
        client
            .table(&features)
            .format("GEO_JSON")
            .selectors(&["n"])
            .filename("wells")
    };
    let tile = |map: earthengine::rest::MapTiles| async move {
        map.tile(1, 0, 0).unwrap().bytes().await.unwrap();
    };
    for map in [map(), map().location("us")] {
        tile(map.create().await.unwrap()).await;
    }
    download_each!(thumbnail);
    download_each!(filmstrip);
    download_each!(video);
    download_each!(table);
    let view = || client.feature_view(&named("table")).visualization(&one);
    tile(view().create().await.unwrap()).await;
    tile(view().create_in_feature_views().await.unwrap()).await;
}

async fn exports(client: &Client) {
    let one = constant(1);
    let image = || {
        let image = Export::image(&one).description("an image").priority(9999);
        image.request_id("").grid(&grid()).max_pixels(u64::MAX)
    };
    let to_asset = image().to_asset("users/me/image");
    let to_asset = to_asset.overwrite(true).pyramiding_policy("MODE");
    client.export(to_asset).await.unwrap();
    let to_drive = image()
        .to_drive("folder", "image")
        .file_format("TF_RECORD_IMAGE");
    client.export(to_drive).await.unwrap();
    let to_files = image().to_cloud_storage("bucket", "image");
    let to_files = to_files.tile_size(512).file_dimensions(1024, 2048);
    client.export(to_files).await.unwrap();
    let square = json!({
        "type": "Polygon",
        "coordinates": [[[8, 47], [9, 47], [9, 48], [8, 48], [8, 47]]],
    });
    let extent = Export::image(&one).crs("EPSG:32632").scale(30.0);
    let extent = extent.region(square).to_drive("folder", "image");
    client.export(extent).await.unwrap();
    let table = || {
        Export::table(&one)
            .selectors(&["a"])
            .option("maxVertices", 9)
    };
    client
        .export(table().to_asset("users/me/table").overwrite(true))
        .await
        .unwrap();
    client
        .export(table().to_drive("folder", "table").file_format("SHP"))
        .await
        .unwrap();
    client
        .export(table().to_feature_view("users/me/view"))
        .await
        .unwrap();
    let rows = table().to_bigquery("p.d.t").overwrite(true).append(false);
    client.export(rows).await.unwrap();
    let options = json!({"framesPerSecond": 5, "maxFrames": 10});
    let video = Export::video(&one).option("videoOptions", options);
    client
        .export(video.to_cloud_storage("bucket", "video").file_format("VP9"))
        .await
        .unwrap();
    let map = Export::map(&one).option("tileOptions", json!({"endZoom": 5, "skipEmpty": true}));
    client
        .export(map.to_cloud_storage("bucket", "map").file_format("PNG"))
        .await
        .unwrap();
    let classifier = Export::classifier(&one).to_asset("users/me/trees");
    client.export(classifier).await.unwrap();
}

async fn imports(client: &Client) {
    let tilesets = json!([{"id": "t", "sources": [{"uris": ["gs://b/a.tif"]}]}]);
    let bands =
        json!([{"id": "b1", "tilesetId": "t", "tilesetBandIndex": 0, "pyramidingPolicy": "MODE"}]);
    let image = json!({
        "name": "users/me/imported",
        "tilesets": tilesets,
        "bands": bands,
        "missingData": {"values": [-9999]},
        "properties": {"a": 1},
        "startTime": "2026-01-01T00:00:00Z",
    });
    let import = client.import_image(&image).description("an image");
    import
        .overwrite(true)
        .request_id("a-1")
        .start()
        .await
        .unwrap();
    let source =
        json!({"uris": ["gs://b/a.csv"], "xColumn": "x", "yColumn": "y", "maxVertices": 9});
    let table = json!({"name": "users/me/imported-table", "sources": [source]});
    let import = client
        .import_table(&table)
        .description("a table")
        .overwrite(false);
    import.start().await.unwrap();
    client.import_external_image(&image, true).await.unwrap();
}

async fn operations(client: &Client) {
    let operations = client.operations();
    let all = operations.list().page_size(5).items().all().await.unwrap();
    let [first, second, ..] = all.as_slice() else {
        panic!("{all:?}");
    };
    operations.get(&first.name).await.unwrap();
    let seconds = Duration::from_millis(1500);
    operations.wait_once(&first.name, seconds).await.unwrap();
    operations.wait(&first.name).await.unwrap();
    operations.delete(&first.name).await.unwrap();
    operations.cancel(&second.name).await.unwrap();
}
