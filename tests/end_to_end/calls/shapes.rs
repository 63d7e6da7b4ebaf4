//! Unusual but legal responses: the typed calls parse them and keep what they do not know.

use earthengine::rest::{Client, Error};
use earthengine::{Export, ExportKind, ThumbnailKind};
use ee_emulator::Fault;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::time::Duration;

use crate::{EARTHENGINE, connected, constant, quick};

/// Performs a call and formats its result.
async fn call(client: &Client, name: &str) -> Result<String, Error> {
    fn text(value: impl Debug) -> Result<String, Error> {
        Ok(format!("{value:?}"))
    }
    let id = "users/me/a";
    let one = constant(1);
    let assets = client.assets();
    let operations = client.operations();
    let manifest = json!({"name": id});
    match name {
        "config" => text(client.config().await?),
        "export_limit" => text(client.export_limit().await?),
        "algorithms" => text(client.algorithms().await?),
        "compute" => text(client.compute::<Option<Value>>(&one).await?),
        "assets.get" => text(assets.get(id).await?),
        "assets.copy" => text(assets.copy(id, "users/me/b", true).await?),
        "assets.list" => text(assets.list(id).items().all().await?),
        "assets.list_features" => text(assets.list_features::<Value>(id).items().all().await?),
        "assets.get_iam_policy" => text(assets.get_iam_policy(id).await?),
        "assets.test_iam_permissions" => text(assets.test_iam_permissions(id, &[]).await?),
        "compute_features" => {
            let features = client.compute_features::<Value>(&one)?;
            text(features.items().all().await?)
        }
        "compute_images" => text(client.compute_images(&one)?.items().all().await?),
        "export" => {
            let export = Export::new(ExportKind::Image, &one).to_asset(id);
            text(client.export(export).await?)
        }
        "import_image" => text(client.import_image(&manifest).start().await?),
        "import_external_image" => text(client.import_external_image(&manifest, true).await?),
        "operations.get" => text(operations.get("A").await?),
        "operations.wait_once" => text(operations.wait_once("A", Duration::MAX).await?),
        "operations.list" => text(operations.list().items().all().await?),
        "operations.cancel" => text(operations.cancel("A").await?),
        "map" => text(client.map(&one).create().await?.name()),
        "thumbnail" => {
            let thumbnail = client.thumbnail(&one, ThumbnailKind::Image);
            text(thumbnail.create().await?.name())
        }
        "table" => text(client.table(&one).create().await?.name()),
        "feature_view" => text(client.feature_view(id).create().await?.name()),
        _ => panic!("{name}"),
    }
}

#[tokio::test]
#[rustfmt::skip]
async fn unusual_responses_are_parsed() {
    let (emulator, ee) = connected().await;
    let client = quick(&ee);
    let operation = json!({
        "name": "projects/p/operations/A",
        "metadata": {
            "@type": "t", "state": "NEW_STATE", "type": "NEW_TYPE", "attempt": "1", "progress": "0.5",
            "priority": -1, "batchEecuUsageSeconds": "NaN", "createTime": "2026-01-01T00:00:00.000000001+01:00",
            "stages": [{}, {"totalWorkUnits": "7", "new": {}}], "notifications": [{}], "newField": [1],
        },
        "done": false, "newField": {"a": 1},
    });
    let asset = json!({
        "type": "NEW_TYPE", "name": "projects/p/assets/a", "sizeBytes": "9223372036854775807",
        "properties": null, "updateTime": null, "quota": {"sizeBytes": "0"}, "bands": [{}], "newField": 1,
    });
    let named = |collection: &str| json!({"name": format!("projects/p/{collection}/x"), "newField": 1});
    // A call, its responses and what its result shows.
    for (name, pages, shown) in [
        ("config", vec![json!({})], "Unspecified"),
        ("config", vec![json!({"registrationState": "STATE_2", "registration": {"newField": 1}, "newField": "x"})], "newField"),
        ("config", vec![json!({"registrationState": null, "registration": null, "noncommercialQuotaEnforced": "x"})], "Unspecified"),
        ("export_limit", vec![json!({})], "None"),
        ("export_limit", vec![json!({"maxConcurrentExports": -1, "planMaxConcurrentExports": 2})], "Some(2)"),
        ("algorithms", vec![json!({})], "[]"),
        ("algorithms", vec![json!({"algorithms": [{}, {"name": "algorithms/a", "arguments": [{}], "hidden": null, "newField": 1}]})], "algorithms/a"),
        ("compute", vec![json!({})], "None"),
        ("compute", vec![json!({"result": null, "newField": 1})], "None"),
        ("assets.get", vec![json!({})], "Asset"),
        ("assets.get", vec![asset.clone()], "9223372036854775807"),
        ("assets.get", vec![json!({"sizeBytes": 7, "properties": [], "startTime": 1})], "Number(7)"),
        ("assets.copy", vec![asset.clone()], "newField"),
        ("assets.list", vec![json!({})], "[]"),
        ("assets.list", vec![json!({"nextPageToken": "t"}), json!({"assets": [], "nextPageToken": "u"}), json!({"assets": [{}, asset], "nextPageToken": "", "unreachable": ["x"]})], "NEW_TYPE"),
        ("assets.list_features", vec![json!({"type": "FeatureCollection"})], "[]"),
        ("assets.list_features", vec![json!({"nextPageToken": "t"}), json!({"features": [{"type": "Feature"}, {}]})], "Feature"),
        ("assets.get_iam_policy", vec![json!({})], "bindings: []"),
        ("assets.get_iam_policy", vec![json!({"bindings": [{}, {"role": "r", "members": [], "condition": {}, "newField": 1}], "version": 3})], "newField"),
        ("assets.test_iam_permissions", vec![json!({})], "[]"),
        ("compute_features", vec![json!({"type": "FeatureCollection", "nextPageToken": "t"}), json!({"features": [{"geometry": null}]})], "geometry"),
        ("compute_images", vec![json!({"images": []})], "[]"),
        ("compute_images", vec![json!({"nextPageToken": "t"}), json!({"images": [{}, {"id": "i"}]})], "\"i\""),
        ("export", vec![json!({})], "Operation"),
        ("export", vec![operation.clone()], "NEW_STATE"),
        ("import_image", vec![operation.clone()], "Some(0.5)"),
        ("import_external_image", vec![json!({})], "()"),
        ("import_external_image", vec![json!({"name": "projects/p/assets/a", "newField": 1})], "()"),
        ("operations.get", vec![operation.clone()], "Some(7.0)"),
        ("operations.get", vec![json!({"done": true, "error": {"code": 99, "details": [{"@type": "t", "x": 1}]}})], "99"),
        ("operations.get", vec![json!({"done": true, "response": {"@type": "t"}, "metadata": {}})], "@type"),
        ("operations.wait_once", vec![json!({"done": false})], "done: false"),
        ("operations.list", vec![json!({})], "[]"),
        ("operations.list", vec![json!({"nextPageToken": "t"}), json!({"operations": [{}, operation]})], "NEW_TYPE"),
        ("operations.cancel", vec![json!({"newField": 1})], "()"),
        ("map", vec![named("maps")], "maps/x"),
        ("thumbnail", vec![named("thumbnails")], "thumbnails/x"),
        ("table", vec![named("tables")], "tables/x"),
        ("feature_view", vec![named("featureViews")], "featureViews/x"),
        ("feature_view", vec![named("featureView")], "featureView/x"),
    ] {
        for page in &pages {
            emulator.fault(EARTHENGINE, Fault::respond(200, "application/json", page.to_string()));
        }
        let result = call(&client, name).await;
        let text = result.unwrap_or_else(|error| panic!("{name} {pages:?}: {error}"));
        assert!(text.contains(shown), "{name} {pages:?}: {text}");
        assert_eq!(emulator.faults_left(EARTHENGINE), 0, "{name}");
    }
    // Without its name, a map cannot be used.
    for name in ["map", "thumbnail", "table", "feature_view"] {
        emulator.fault(EARTHENGINE, Fault::respond(200, "application/json", "{}"));
        let error = call(&client, name).await.unwrap_err();
        assert!(!error.remedy().text.is_empty(), "{name}: {error}");
    }
}
