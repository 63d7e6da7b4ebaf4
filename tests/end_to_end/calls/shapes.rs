//! Unusual but legal responses: the typed calls parse them and keep what they do not know.

use ee_emulator::Fault;
use serde_json::json;

use crate::parsers::call;
use crate::{EARTHENGINE, connected, quick};

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
        ("getConfig", vec![json!({})], "Unspecified"),
        ("getConfig", vec![json!({"registrationState": "STATE_2", "registration": {"newField": 1}, "newField": "x"})], "newField"),
        ("getConfig", vec![json!({"registrationState": null, "registration": null, "noncommercialQuotaEnforced": "x"})], "Unspecified"),
        ("v1alpha.getConfig", vec![json!({})], "None"),
        ("v1alpha.getConfig", vec![json!({"maxConcurrentExports": -1, "planMaxConcurrentExports": 2})], "Some(2)"),
        ("v1alpha.getConfig", vec![json!({"maxConcurrentExports": "3", "newField": 1})], "Some(3)"),
        ("updateConfig", vec![json!({"registration": {"freeQuota": "NEW", "billingConsent": null, "newField": 1}})], "newField"),
        ("algorithms.list", vec![json!({})], "[]"),
        ("algorithms.list", vec![json!({"algorithms": [{}, {"name": "algorithms/a", "arguments": [{}], "hidden": null, "newField": 1}]})], "algorithms/a"),
        ("value.compute", vec![json!({})], "None"),
        ("value.compute", vec![json!({"result": null, "newField": 1})], "None"),
        ("assets.get", vec![json!({})], "Asset"),
        ("assets.get", vec![asset.clone()], "9223372036854775807"),
        ("assets.get", vec![json!({"sizeBytes": 7, "properties": [], "startTime": 1})], "Number(7)"),
        ("assets.copy", vec![asset.clone()], "newField"),
        ("assets.listAssets", vec![json!({})], "[]"),
        ("assets.listAssets", vec![json!({"nextPageToken": "t"}), json!({"assets": [], "nextPageToken": "u"}), json!({"assets": [{}, asset], "nextPageToken": "", "unreachable": ["x"]})], "NEW_TYPE"),
        ("assets.listFeatures", vec![json!({"type": "FeatureCollection"})], "[]"),
        ("assets.listFeatures", vec![json!({"nextPageToken": "t"}), json!({"features": [{"type": "Feature"}, {}]})], "Feature"),
        ("assets.getIamPolicy", vec![json!({})], "bindings: []"),
        ("assets.getIamPolicy", vec![json!({"bindings": [{}, {"role": "r", "members": [], "condition": {}, "newField": 1}], "version": 3})], "newField"),
        ("assets.getIamPolicy", vec![json!({"bindings": null, "etag": null, "version": null})], "bindings: []"),
        ("assets.getIamPolicy", vec![json!({"bindings": [{"role": "r", "members": null, "condition": null}]})], "members: []"),
        ("assets.testIamPermissions", vec![json!({})], "[]"),
        ("assets.testIamPermissions", vec![json!({"permissions": null})], "[]"),
        ("algorithms.list", vec![json!({"algorithms": null})], "[]"),
        ("algorithms.list", vec![json!({"algorithms": [{"arguments": [{"newField": 1}]}]})], "newField"),
        ("table.computeFeatures", vec![json!({"type": "FeatureCollection", "nextPageToken": "t"}), json!({"features": [{"geometry": null}]})], "geometry"),
        ("imageCollection.computeImages", vec![json!({"images": []})], "[]"),
        ("imageCollection.computeImages", vec![json!({"nextPageToken": "t"}), json!({"images": [{}, {"id": "i"}]})], "\"i\""),
        ("image.export", vec![json!({})], "Operation"),
        ("image.export", vec![operation.clone()], "NEW_STATE"),
        ("image.import", vec![operation.clone()], "Some(0.5)"),
        ("image.importExternal", vec![json!({})], "()"),
        ("image.importExternal", vec![json!({"name": "projects/p/assets/a", "newField": 1})], "()"),
        ("operations.get", vec![operation.clone()], "Some(7.0)"),
        ("operations.get", vec![json!({"done": true, "error": {"code": 99, "details": [{"@type": "t", "x": 1}]}})], "99"),
        ("operations.get", vec![json!({"done": true, "response": {"@type": "t"}, "metadata": {}})], "@type"),
        ("operations.wait", vec![json!({"done": false})], "done: false"),
        ("operations.list", vec![json!({})], "[]"),
        ("operations.list", vec![json!({"nextPageToken": "t"}), json!({"operations": [{}, operation]})], "NEW_TYPE"),
        ("operations.cancel", vec![json!({"newField": 1})], "()"),
        ("maps.create", vec![named("maps")], "maps/x"),
        ("thumbnails.create", vec![named("thumbnails")], "thumbnails/x"),
        ("tables.create", vec![named("tables")], "tables/x"),
        ("featureView.create", vec![named("featureViews")], "featureViews/x"),
        ("featureView.create", vec![named("featureView")], "featureView/x"),
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
    for name in ["maps.create", "thumbnails.create", "tables.create", "featureView.create"] {
        emulator.fault(EARTHENGINE, Fault::respond(200, "application/json", "{}"));
        let error = call(&client, name).await.unwrap_err();
        assert!(!error.remedy().text.is_empty(), "{name}: {error}");
    }
}
