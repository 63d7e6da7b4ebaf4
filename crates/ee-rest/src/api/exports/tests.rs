use super::*;
use crate::ErrorKind;

const ID: &str = "projects/my-project/assets/a";

fn image() -> Export<Image> {
    Export::image(&json!({}))
}

/// Returns the body, or the message of the error.
fn body<K, D>(export: Export<K, D>) -> Result<Value, String> {
    export.into_body().map(Value::Object).map_err(|error| {
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert!(!error.remedy().text.is_empty());
        error.to_string()
    })
}

#[test]
fn each_export_kind_has_its_file_options_and_format() {
    fn check<K: FileKind>(export: Export<K>, field: &str, format: &str) {
        let body = body(export.to_cloud_storage("b", "p")).unwrap();
        let to = json!({"bucket": "b", "filenamePrefix": "p"});
        let options = json!({"fileFormat": format, "cloudStorageDestination": to});
        assert_eq!(body[field], options);
    }
    check(image(), "fileExportOptions", "GEO_TIFF");
    check(Export::table(&json!({})), "fileExportOptions", "CSV");
    check(Export::video(&json!({})), "fileExportOptions", "MP4");
    check(
        Export::map(&json!({})),
        "tileExportOptions",
        "AUTO_JPEG_PNG",
    );
    let table = Export::table(&json!({}));
    let table = body(table.to_drive("f", "p").file_format("SHP")).unwrap();
    assert_eq!(table["fileExportOptions"]["fileFormat"], "SHP");
}

#[test]
fn options_and_destinations_merge_in_any_order() {
    let policy = json!({"pyramidingPolicy": "MODE"});
    let expected = json!({
        "expression": {},
        "assetExportOptions": {
            "pyramidingPolicy": "MODE",
            "earthEngineDestination": {"name": ID, "overwrite": true},
        },
    });
    for export in [
        image().option(ASSET_OPTIONS, &policy).to_asset(ID),
        image().to_asset(ID).option(ASSET_OPTIONS, &policy),
        image().to_asset(ID).pyramiding_policy("MODE"),
    ] {
        assert_eq!(body(export.overwrite(true)).unwrap(), expected);
    }
    let files = image()
        .option(
            "fileExportOptions",
            json!({"geoTiffOptions": {"cloudOptimized": true}}),
        )
        .to_cloud_storage("b", "p")
        .tile_size(512)
        .file_dimensions(1024, 2048);
    assert_eq!(
        body(files).unwrap()["fileExportOptions"],
        json!({
            "fileFormat": "GEO_TIFF",
            "cloudStorageDestination": {"bucket": "b", "filenamePrefix": "p"},
            "geoTiffOptions": {
                "cloudOptimized": true,
                "tileSize": 512,
                "tileDimensions": {"width": 1024, "height": 2048},
            },
        })
    );
    let records = json!({"fileFormat": "TF_RECORD_IMAGE"});
    let records = image().option("fileExportOptions", records);
    let records = body(records.to_drive("f", "p")).unwrap();
    assert_eq!(
        records["fileExportOptions"]["fileFormat"],
        "TF_RECORD_IMAGE"
    );
    let table = Export::table(&json!({})).to_bigquery("p.d.t");
    assert_eq!(
        body(table.overwrite(true).append(false)).unwrap()["bigqueryExportOptions"],
        json!({"bigqueryDestination": {"table": "p.d.t", "overwrite": true, "append": false}})
    );
}

#[test]
fn extent_is_applied_once_before_or_after_the_destination() {
    let expression = json!({"result": "0", "values": {"0": {"constantValue": 1}}});
    let region = json!({"type": "Polygon", "coordinates": [[[8, 47], [9, 47], [9, 48], [8, 47]]]});
    let image = || Export::image(&expression);
    let before = image().crs("EPSG:2056").scale(10.0).region(&region);
    let after = image().to_asset(ID).region(&region).scale(10.0);
    let after = body(after.crs("EPSG:2056")).unwrap();
    assert_eq!(body(before.to_asset(ID)).unwrap(), after);
    assert_eq!(after["expression"]["result"], "2");
    assert_eq!(after["expression"]["values"].as_object().unwrap().len(), 3);
}

#[test]
fn export_that_the_api_would_misread_is_rejected() {
    let to_asset = || image().to_asset(ID);
    let grid = |width, scale| PixelGrid::new("EPSG:4326", width, 1, [scale; 6]);
    let drive = json!({"driveDestination": {"folder": "f"}});
    for (export, problem) in [
        (to_asset(), None),
        (image().to_asset("a:b"), Some("a:b")),
        (image().to_asset("projects/my-project/assets"), Some("root")),
        (
            to_asset().option("fileExportOptions", drive),
            Some("2 destinations"),
        ),
        (to_asset().request_id("a_b"), Some("request ID")),
        (to_asset().request_id(&"a".repeat(61)), Some("request ID")),
        (to_asset().request_id(""), None),
        (to_asset().request_id("A1-b2"), None),
        (to_asset().grid(&grid(1, 1.0)), None),
        (to_asset().grid(&grid(0, 1.0)), Some("no pixels")),
        (to_asset().grid(&grid(u32::MAX, 1.0)), Some("2147483647")),
        (to_asset().grid(&grid(1, f64::NAN)), Some("not finite")),
        (
            to_asset().option("x", f64::INFINITY),
            Some("could not be serialized"),
        ),
        (to_asset().priority(9999), None),
        (
            to_asset().priority(10_000),
            Some("10000 is not the priority"),
        ),
        (
            to_asset().option("priority", -1),
            Some("-1 is not the priority"),
        ),
        (
            to_asset().pyramiding_policy("mode"),
            Some("\"mode\" is not a pyramiding policy"),
        ),
        (to_asset().scale(0.0), Some("size of a pixel")),
        (to_asset().scale(f64::NAN), Some("size of a pixel")),
        (to_asset().region([8, 47]), Some("not a GeoJSON geometry")),
        (to_asset().region(json!([f64::NAN])), Some("contains null")),
        (
            to_asset().region([f64::NAN]),
            Some("could not be serialized"),
        ),
        (to_asset().crs("EPSG:4326"), Some("no `result`")),
        (to_asset().grid(&grid(1, 1.0)).scale(1.0), Some("as well")),
    ] {
        match (body(export), problem) {
            (Ok(_), None) => {}
            (Err(message), Some(problem)) => assert!(message.contains(problem), "{message}"),
            (result, _) => panic!("{problem:?}: {result:?}"),
        }
    }
    let files = || image().to_drive("f", "p");
    let sizes = json!({"tileDimensions": {"width": 1, "height": 1}});
    let records = files().option("fileExportOptions", json!({"tfRecordOptions": sizes}));
    for (export, problem) in [
        (files().file_format("GeoTIFF"), "Use GEO_TIFF"),
        (files().file_format("CSV"), "Use GEO_TIFF"),
        (files().tile_size(0), "positive"),
        (files().file_dimensions(256, -256), "positive"),
        (
            files().tile_size(256).file_format("TF_RECORD_IMAGE"),
            "GEO_TIFF",
        ),
        (records, "TF_RECORD_IMAGE"),
        (image().to_cloud_storage("", "p"), "gs://"),
        (image().to_cloud_storage("gs://b", "p"), "gs://"),
    ] {
        let error = export.into_body().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert!(error.remedy().text.contains(problem), "{error}");
    }
    let most = body(image().max_pixels(u64::MAX)).unwrap();
    assert_eq!(most["maxPixels"], "9223372036854775807");
    assert!(body(Export::table(&json!({})).to_feature_view("a:b")).is_err());
    for table in ["", "t", "d.t", "p..t"] {
        let export = Export::table(&json!({})).to_bigquery(table);
        assert!(body(export).unwrap_err().contains("BigQuery"), "{table}");
    }
    let text = body(Export::image("{}").to_asset(ID)).unwrap_err();
    assert!(text.contains("not a JSON object"), "{text}");
}
