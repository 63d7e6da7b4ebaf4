//! `eectl api` sends every method of the API, and the emulator's responses follow its description.

use std::collections::BTreeSet;

use ee_emulator::Description;
use serde_json::json;

use super::*;

/// The calls in order: the method, the arguments of `eectl api`, and the body. `{ID}` stands for the
/// last part of the name in the last response of the method with this ID.
#[rustfmt::skip]
fn calls() -> Vec<(&'static str, &'static str, Value)> {
    let none = Value::Null;
    let node = |value: Value| json!({"result": "0", "values": {"0": {"constantValue": value}}});
    let one = json!({"expression": node(json!(1))});
    let feature = json!({"type": "Feature", "geometry": null, "properties": {"n": 1}});
    let features = json!({"expression": node(json!([feature]))});
    let images = json!({"expression": node(json!([{"type": "Image", "id": "a"}]))});
    let to_drive = |field: &str, format: &str| {
        let options = json!({"fileFormat": format, "driveDestination": {"folder": "f", "filenamePrefix": "p"}});
        json!({"expression": node(json!(1)), field: options})
    };
    let to_asset = |name: &str| {
        let name = format!("projects/{PROJECT}/assets/{name}");
        json!({"expression": node(json!(1)), "assetExportOptions": {"earthEngineDestination": {"name": name}}})
    };
    let folder = json!({"type": "FOLDER"});
    let to = |name: &str| json!({"destinationName": format!("projects/{PROJECT}/assets/{name}")});
    let update = json!({"asset": {"properties": {"a": 1}}, "updateMask": "properties"});
    let policy = json!({"policy": {"bindings": [{"role": "roles/viewer", "members": ["allUsers"]}]}});
    let permissions = json!({"permissions": ["earthengine.assets.get"]});
    let image = json!({"imageManifest": {
        "name": format!("projects/{PROJECT}/assets/external"),
        "tilesets": [{"sources": [{"uris": ["gs://b/a.tif"]}]}],
    }});
    let table = json!({"tableManifest": {
        "name": format!("projects/{PROJECT}/assets/imported"),
        "sources": [{"uris": ["gs://b/a.csv"]}],
    }});
    let view = json!({"asset": format!("projects/{PROJECT}/assets/table")});
    let limit = json!({"maxConcurrentExports": 3});
    vec![
        ("projects.getConfig", "config", none.clone()),
        ("projects.updateConfig", "PATCH config --query updateMask=registration.billing_consent", json!({"registration": {"billingConsent": "BILLING_CONSENT_FULL"}})),
        ("v1alpha.projects.getConfig", "v1alpha/projects/ee-demo-project/config", none.clone()),
        ("v1alpha.projects.updateConfig", "PATCH v1alpha/projects/ee-demo-project/config --query updateMask=max_concurrent_exports", limit),
        ("projects.algorithms.list", "algorithms", none.clone()),
        ("projects.assets.create", "POST assets --query assetId=a", folder.clone()),
        ("projects.locations.assets.create", "POST locations/us/assets --query assetId=b", folder),
        ("projects.listAssets", "projects/ee-demo-project:listAssets --query pageSize=1", none.clone()),
        ("projects.assets.get", "assets/a", none.clone()),
        ("projects.assets.get", "projects/ee-demo-project/assets/", none.clone()),
        ("projects.assets.patch", "PATCH assets/a", update),
        ("projects.assets.copy", "POST assets/image:copy", to("a/copy")),
        ("projects.assets.listAssets", "assets/a:listAssets", none.clone()),
        ("projects.assets.move", "POST assets/a/copy:move", to("moved")),
        ("projects.assets.delete", "DELETE assets/moved", none.clone()),
        ("projects.assets.getIamPolicy", "POST assets/a:getIamPolicy", none.clone()),
        ("projects.assets.setIamPolicy", "POST assets/a:setIamPolicy", policy),
        ("projects.assets.testIamPermissions", "POST assets/a:testIamPermissions", permissions),
        ("projects.assets.getPixels", "POST assets/image:getPixels", json!({"fileFormat": "PNG"})),
        ("projects.assets.listFeatures", "assets/table:listFeatures", none.clone()),
        ("projects.value.compute", "POST value:compute", one.clone()),
        ("projects.image.computePixels", "POST image:computePixels", one.clone()),
        ("projects.table.computeFeatures", "POST table:computeFeatures", features.clone()),
        ("projects.imageCollection.computeImages", "POST imageCollection:computeImages", images),
        ("projects.image.export", "POST image:export", to_drive("fileExportOptions", "GEO_TIFF")),
        ("projects.table.export", "POST table:export", to_drive("fileExportOptions", "CSV")),
        ("projects.video.export", "POST video:export", to_drive("fileExportOptions", "MP4")),
        ("projects.map.export", "POST map:export", to_drive("tileExportOptions", "PNG")),
        ("projects.classifier.export", "POST classifier:export", to_asset("trees")),
        ("projects.image.importExternal", "POST image:importExternal", image.clone()),
        ("projects.table.import", "POST table:import", table),
        ("projects.assets.delete", "DELETE assets/external", none.clone()),
        ("projects.image.import", "POST image:import", image),
        ("projects.operations.list", "operations --query pageSize=2", none.clone()),
        ("projects.operations.get", "operations/{projects.image.export}", none.clone()),
        ("projects.operations.wait", "POST operations/{projects.image.export}:wait", json!({"timeout": "1s"})),
        ("projects.operations.get", "operations/{projects.image.export}", none.clone()),
        ("projects.operations.delete", "DELETE operations/{projects.image.export}", none.clone()),
        ("projects.operations.cancel", "POST operations/{projects.table.export}:cancel", none.clone()),
        ("projects.operations.get", "operations/{projects.table.export}", none.clone()),
        ("projects.maps.create", "POST maps --query workloadTag=a", one.clone()),
        ("projects.maps.tiles.get", "maps/{projects.maps.create}/tiles/1/0/0", none.clone()),
        ("projects.thumbnails.create", "POST thumbnails", one.clone()),
        ("projects.thumbnails.getPixels", "thumbnails/{projects.thumbnails.create}:getPixels", none.clone()),
        ("projects.filmstripThumbnails.create", "POST filmstripThumbnails", one.clone()),
        ("projects.filmstripThumbnails.getPixels", "filmstripThumbnails/{projects.filmstripThumbnails.create}:getPixels", none.clone()),
        ("projects.videoThumbnails.create", "POST videoThumbnails", one.clone()),
        ("projects.videoThumbnails.getPixels", "videoThumbnails/{projects.videoThumbnails.create}:getPixels", none.clone()),
        ("projects.tables.create", "POST tables", features.clone()),
        ("projects.tables.getFeatures", "tables/{projects.tables.create}:getFeatures", none.clone()),
        ("projects.featureView.create", "POST featureView", view.clone()),
        ("projects.featureViews.create", "POST featureViews", view),
        ("projects.featureViews.tiles.get", "featureViews/{projects.featureViews.create}/tiles/0/0/0", none),
        ("projects.locations.maps.create", "POST locations/us/maps", one.clone()),
        ("projects.locations.thumbnails.create", "POST locations/us/thumbnails", one.clone()),
        ("projects.locations.filmstripThumbnails.create", "POST locations/us/filmstripThumbnails", one.clone()),
        ("projects.locations.videoThumbnails.create", "POST locations/us/videoThumbnails", one),
        ("projects.locations.tables.create", "POST locations/us/tables", features),
    ]
}

#[tokio::test]
async fn every_method_is_sent_and_its_response_is_described() {
    let machine = Machine::with_key(|b| b).await;
    let emulator = &machine.emulator;
    emulator.put_asset(&format!("projects/{PROJECT}/assets/image"), "IMAGE");
    let feature = json!({"type": "Feature", "geometry": null, "properties": {}});
    emulator.put_table(&format!("projects/{PROJECT}/assets/table"), [feature]);
    let description = Description::get();
    let mut called = BTreeSet::new();
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for (id, arguments, body) in calls() {
        let mut arguments = arguments.to_owned();
        for (id, name) in &names {
            arguments = arguments.replace(&format!("{{{id}}}"), name);
        }
        let mut words: Vec<&str> = arguments.split(' ').collect();
        words.insert(0, "api");
        let input = match &body {
            Value::Null => String::new(),
            body => {
                words.extend(["--input", "-"]);
                body.to_string()
            }
        };
        let result = machine.run_with_input(&words, &input).await;
        assert_eq!(result.status, 0, "{arguments}: {}", result.stderr);
        called.insert(id);

        let sent = machine.emulator.requests_to("earthengine.googleapis.com");
        let sent = sent.last().unwrap();
        let found = description.method_of(sent.method.as_str(), &sent.path);
        assert_eq!(found, Some(id), "{arguments}");
        let (_, method) = description
            .methods()
            .find(|(other, _)| *other == id)
            .unwrap();
        if method.response == "HttpBody" {
            continue;
        }
        let response = result.json();
        let violations = description.violations(&method.response, &response);
        assert_eq!(violations, [], "{arguments}: {response}");
        let name = response["name"].as_str().unwrap_or_default();
        let (_, last) = name.rsplit_once('/').unwrap_or_default();
        names.insert(id.to_owned(), last.to_owned());
    }
    // Only GDAL reads assets in version v1alpha.
    let all = description.methods().map(|(id, _)| id);
    let all = all.filter(|id| !id.starts_with("v1alpha.projects.assets."));
    let all: BTreeSet<&str> = all.collect();
    assert_eq!(called, all);
}
