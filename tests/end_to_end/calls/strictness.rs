//! The emulator rejects requests that the API rejects.

use earthengine::Method;
use serde_json::{Value, json};

use crate::{connected, constant};

const TO: &str = "projects/ee-demo-project/assets/made";

#[tokio::test]
#[rustfmt::skip]
async fn request_that_the_api_rejects_is_rejected() {
    let (_emulator, ee) = connected().await;
    let client = ee.client();
    let one = constant(1);
    let export = |fields: Value| {
        let mut body = json!({
            "expression": one,
            "assetExportOptions": {"earthEngineDestination": {"name": TO}},
        });
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    let files = |options| export(json!({"assetExportOptions": null, "fileExportOptions": options}));
    let bucket = json!({"bucket": "b", "filenamePrefix": "p"});
    let drive = json!({"folder": "f", "filenamePrefix": "p"});
    let import = |manifest| json!({"imageManifest": manifest});
    let tilesets = json!([{"sources": [{"uris": ["gs://b/a.tif"]}]}]);
    let map = json!({"expression": one});
    for (path, body, problem) in [
        ("value:compute", map.clone(), None),
        ("value:compute?x=1", map.clone(), Some("\"x\"")),
        ("value:compute?fields=result&$prettyPrint=false", map.clone(), None),
        ("value:compute?workloadTag=a", map.clone(), Some("workloadTag")),
        ("value:compute", json!({"expression": one, "x": 1}), Some("\"x\"")),
        ("maps?workloadTag=a", map.clone(), None),
        ("locations/us/maps", map.clone(), None),
        ("locations/us/maps?updateMask=a", map, Some("updateMask")),
        ("videoThumbnails", json!({"expression": one, "bandIds": []}), Some("bandIds")),
        ("filmstripThumbnails", json!({"expression": one, "visualizationOptions": {}}), Some("visualizationOptions")),
        ("featureView", json!({}), Some("asset is missing")),
        ("featureViews", json!({"asset": TO, "expression": one}), Some("\"expression\"")),
        ("tables", json!({"expression": constant(json!([])), "fileFormat": "XLS"}), Some("XLS")),
        ("image:export", export(json!({})), None),
        ("image:export", export(json!({"requestId": "A-1", "maxWorkers": 1})), None),
        ("image:export", export(json!({"requestId": "a_b"})), Some("request_id")),
        ("image:export", export(json!({"requestId": "a".repeat(61)})), Some("request_id")),
        ("image:export", export(json!({"pyramidingPolicy": "MODE"})), Some("pyramidingPolicy")),
        ("image:export", export(json!({"fileExportOptions": {}})), Some("oneof")),
        ("image:export", export(json!({"assetExportOptions": null})), Some("one destination")),
        ("image:export", export(json!({"maxPixels": "1e8"})), Some("'max_pixels' (TYPE_INT64)")),
        ("image:export", export(json!({"grid": {"affineTransform": {"scaleX": true}}})), Some("'grid.affine_transform.scale_x' (TYPE_DOUBLE)")),
        ("image:export", export(json!({"assetExportOptions": {"pyramidingPolicy": "MODAL"}})), Some("PyramidingPolicy), \"MODAL\"")),
        ("image:export", export(json!({"export_options": {}, "x": 1})), Some("\"export_options\"")),
        ("maps", json!({"expression": one, "band_ids": ["a"]}), None),
        ("maps", json!({"expression": one, "visualizationOptions": {"ranges": [{"min": 0, "maximum": 1}]}}), Some("\"maximum\" at 'visualization_options.ranges[0]'")),
        ("image:export", export(json!({"assetExportOptions": {"x": 1}})), Some("\"x\"")),
        ("image:export", export(json!({"assetExportOptions": []})), Some("assetExportOptions")),
        ("image:export", files(json!({"fileFormat": "GEO_TIFF", "driveDestination": drive})), None),
        ("image:export", files(json!({"driveDestination": drive})), Some("file format")),
        (
            "image:export",
            files(json!({"fileFormat": "GEO_TIFF", "driveDestination": drive, "cloudStorageDestination": bucket})),
            Some("oneof"),
        ),
        ("table:export", files(json!({"fileFormat": "CSV", "geoTiffOptions": {}})), Some("geoTiffOptions")),
        ("video:export", export(json!({})), Some("assetExportOptions")),
        ("image:import", import(json!({"name": TO, "tilesets": tilesets})), None),
        ("image:import", import(json!({"name": TO, "sources": []})), Some("\"sources\"")),
        ("image:import", import(json!({"name": TO})), Some("gs://")),
        ("image:import", import(json!({"name": "made", "tilesets": tilesets})), Some("Invalid asset name")),
        ("table:import", import(json!({"name": TO})), Some("\"imageManifest\"")),
        ("table:import", json!({}), Some("tableManifest is missing")),
        ("imageCollection:computeImages", json!({"expression": one}), Some("image collection")),
        ("table:computeFeatures", json!({"expression": one, "filter": ""}), Some("\"filter\"")),
    ] {
        let (method, query) = path.split_once('?').unwrap_or((path, ""));
        let mut request = client.request(Method::POST, method).json(&body);
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            request = request.query(name, value);
        }
        let result = request.send().await;
        match (&result, problem) {
            (Ok(_), None) => {}
            (Err(error), Some(problem)) => {
                assert_eq!(error.api().unwrap().status, 400, "{path} {body}");
                assert!(
                    error.to_string().contains(problem),
                    "{path} {body}: {error}"
                );
            }
            _ => panic!("{path} {body}: {problem:?}, {:?}", result.err()),
        }
    }
    // No body counts as an empty one.
    let started = client.operations().list().items().next().await;
    let path = format!("{}:cancel", started.unwrap().unwrap().name);
    client.request(Method::POST, path).send().await.unwrap();
}
