//! The manifest of an import: from a file, or from the options of the command line.

use std::path::Path;

use earthengine::Remedy;
use earthengine::token::internal::display_path;
use serde_json::{Value, json};

use crate::cli::upload::{Import, ImportImage, ImportTable};
use crate::command::asset::properties::{parse_properties, parse_time};
use crate::command::read_input;
use crate::error::CliError;

/// Files of records, which are parts of one source.
const RECORDS: [&str; 2] = [".tfrecord", ".tfrecord.gz"];
const TILESET: &str = "ts";

/// Reads the manifest of an image, or describes the image as the Python command does.
pub(super) fn of_image(image: &ImportImage) -> Result<Value, CliError> {
    if let Some(file) = &image.import.manifest {
        return read(file);
    }
    let ImportImage { import, options } = image;
    let mut manifest = describe(import)?;
    let uris = &import.uris;
    let has_records = uris.iter().any(|uri| {
        let uri = uri.to_lowercase();
        RECORDS.iter().any(|extension| uri.ends_with(extension))
    });
    let sources: Vec<Value> = match has_records {
        true => vec![json!({"uris": uris})],
        false => uris.iter().map(|uri| json!({"uris": [uri]})).collect(),
    };
    let mut tileset = json!({"id": TILESET, "sources": sources});
    if let Some(crs) = &options.crs {
        tileset["crs"] = json!(crs);
    }
    manifest["tilesets"] = json!([tileset]);

    let mut bands = options.bands.clone();
    name_bands(
        &mut bands,
        "--pyramiding-policy",
        options.pyramiding_policy.len(),
    )?;
    name_bands(&mut bands, "--nodata-value", options.nodata_value.len())?;
    if !bands.is_empty() {
        let bands = bands.iter().enumerate().map(
            |(index, name)| json!({"id": name, "tilesetId": TILESET, "tilesetBandIndex": index}),
        );
        manifest["bands"] = bands.collect();
    }
    let policies = options.pyramiding_policy.iter();
    let policies = policies.map(|policy| json!(policy.to_uppercase()));
    set_for_bands(&mut manifest, "pyramidingPolicy", policies.collect());
    let missing = options.nodata_value.iter();
    let missing = missing.map(|value| json!({"values": [value]}));
    set_for_bands(&mut manifest, "missingData", missing.collect());
    if options.last_band_alpha {
        manifest["maskBands"] = json!([{"tilesetId": TILESET}]);
    }
    Ok(manifest)
}

/// Reads the manifest of a table, or describes the table as the Python command does.
pub(super) fn of_table(table: &ImportTable) -> Result<Value, CliError> {
    if let Some(file) = &table.import.manifest {
        return read(file);
    }
    let ImportTable { import, options } = table;
    let mut manifest = describe(import)?;
    let [uri] = import.uris.as_slice() else {
        return Err(CliError::usage_with_remedy(
            "a table is imported from one file",
            Remedy::new("Use one URI, or a manifest with several `sources`."),
        ));
    };
    let mut source = json!({
        "uris": [uri],
        "charset": options.charset,
        "maxErrorMeters": options.max_error,
        "maxVertices": options.max_vertices,
        "crs": options.crs,
        "geodesic": options.geodesic.then_some(true),
        "primaryGeometryColumn": options.primary_geometry_column,
        "xColumn": options.x_column,
        "yColumn": options.y_column,
        "dateFormat": options.date_format,
        "csvDelimiter": options.csv_delimiter,
        "csvQualifier": options.csv_qualifier,
    });
    if let Some(fields) = source.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    manifest["sources"] = json!([source]);
    Ok(manifest)
}

/// Makes the part of a manifest that images and tables share.
fn describe(import: &Import) -> Result<Value, CliError> {
    if let Some(uri) = import.uris.iter().find(|uri| !uri.starts_with("gs://")) {
        return Err(CliError::usage_with_remedy(
            &format!("{uri} is not a file in Cloud Storage"),
            Remedy::new("Copy the file to a bucket, and name it gs://BUCKET/FILE:")
                .command("gcloud storage cp FILE gs://BUCKET/"),
        ));
    }
    let mut manifest = json!({"name": import.asset_id});
    let mut properties = parse_properties(&import.property)?;
    properties.retain(|_, value| !value.is_null());
    if !properties.is_empty() {
        manifest["properties"] = json!(properties);
    }
    for (field, option, text) in [
        ("startTime", "--time-start", &import.time_start),
        ("endTime", "--time-end", &import.time_end),
    ] {
        if let Some(time) = text.as_deref().map(|text| parse_time(option, text)) {
            manifest[field] = json!(time?);
        }
    }
    Ok(manifest)
}

/// Names the bands `b1`, `b2` … if an option has a value for each and they have no names.
fn name_bands(bands: &mut Vec<String>, option: &str, number: usize) -> Result<(), CliError> {
    match (bands.len(), number) {
        (_, 0 | 1) => Ok(()),
        (0, number) => {
            bands.extend((1..=number).map(|index| format!("b{index}")));
            Ok(())
        }
        (named, number) if named == number => Ok(()),
        (named, number) => Err(CliError::usage_with_remedy(
            &format!("{option} has {number} values for {named} bands"),
            Remedy::new("Use one value for all bands, or one for each."),
        )),
    }
}

/// Sets a field of the image to its only value, or that of each band to its own.
fn set_for_bands(manifest: &mut Value, field: &str, values: Vec<Value>) {
    if let [value] = values.as_slice() {
        manifest[field] = value.clone();
        return;
    }
    for (index, value) in values.into_iter().enumerate() {
        manifest["bands"][index][field] = value;
    }
}

/// Reads a manifest from a file, or from standard input.
pub(super) fn read(file: &Path) -> Result<Value, CliError> {
    let text = read_input(file)?;
    let invalid = |why: &str| {
        CliError::usage_with_remedy(
            &format!("the manifest {} {why}", display_path(file)),
            Remedy::new(MANIFEST)
                .url("https://developers.google.com/earth-engine/guides/image_manifest"),
        )
    };
    let manifest: Value =
        serde_json::from_slice(&text).map_err(|error| invalid(&format!("is not JSON: {error}")))?;
    match manifest.is_object() {
        true => Ok(manifest),
        false => Err(invalid("is not a JSON object")),
    }
}

const MANIFEST: &str = "Use an object such as {\"name\": \"projects/PROJECT/assets/PATH\", \"tilesets\": [{\"sources\": [{\"uris\": [\"gs://BUCKET/FILE.tif\"]}]}]}; tables have `sources` instead of `tilesets`.";

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::upload::UploadCommand;
    use crate::cli::{Arguments, Command};

    fn manifest(line: &str) -> Result<Value, CliError> {
        let line = format!("eectl upload {line}");
        let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
        let Command::Upload(upload) = arguments.command else {
            panic!("{line}");
        };
        match upload.what {
            UploadCommand::Image(image) => of_image(&image),
            UploadCommand::Table(table) => of_table(&table),
            UploadCommand::ExternalImage(image) => read(&image.manifest),
        }
    }

    #[test]
    fn options_of_an_image_are_for_all_bands_or_for_each() {
        assert_eq!(
            manifest("image --asset-id A gs://b/1.tif gs://b/2.tif --crs EPSG:4326 --pyramiding-policy mode --nodata-value -9999").unwrap(),
            json!({
                "name": "A",
                "tilesets": [{
                    "id": "ts",
                    "crs": "EPSG:4326",
                    "sources": [{"uris": ["gs://b/1.tif"]}, {"uris": ["gs://b/2.tif"]}],
                }],
                "pyramidingPolicy": "MODE",
                "missingData": {"values": [-9999.0]},
            })
        );
        assert_eq!(
            manifest("image --asset_id A gs://b/1.TFRecord gs://b/1.json --pyramiding_policy MEAN,min --nodata_value 0,1.5").unwrap(),
            json!({
                "name": "A",
                "tilesets": [{"id": "ts", "sources": [{"uris": ["gs://b/1.TFRecord", "gs://b/1.json"]}]}],
                "bands": [
                    {"id": "b1", "tilesetId": "ts", "tilesetBandIndex": 0, "pyramidingPolicy": "MEAN", "missingData": {"values": [0.0]}},
                    {"id": "b2", "tilesetId": "ts", "tilesetBandIndex": 1, "pyramidingPolicy": "MIN", "missingData": {"values": [1.5]}},
                ],
            })
        );
        let named = manifest("image --asset-id A gs://b/1.tif --bands R,G --last-band-alpha");
        let named = named.unwrap();
        assert_eq!(named["bands"][1]["id"], "G");
        assert_eq!(named["maskBands"], json!([{"tilesetId": "ts"}]));
        for line in [
            "image --asset-id A gs://b/1.tif --bands R,G --nodata-value 1,2,3",
            "image --asset-id A gs://b/1.tif --nodata-value 1,2 --pyramiding-policy MIN,MAX,MIN",
            "image --asset-id A 1.tif",
        ] {
            assert_eq!(manifest(line).unwrap_err().exit_status(), 2, "{line}");
        }
    }

    #[test]
    fn options_of_a_table_are_those_of_its_source() {
        assert_eq!(
            manifest("table --asset-id A gs://b/1.csv").unwrap(),
            json!({"name": "A", "sources": [{"uris": ["gs://b/1.csv"]}]})
        );
        assert_eq!(
            manifest("table --asset-id A gs://b/1.csv --charset latin1 --max-error 2.5 --max_vertices 100 --crs EPSG:3857 --geodesic --primary_geometry_column g --x-column lon --y_column lat --date-format yyyy --csv_delimiter ; --csv-qualifier |").unwrap(),
            json!({"name": "A", "sources": [{
                "uris": ["gs://b/1.csv"], "charset": "latin1", "maxErrorMeters": 2.5, "maxVertices": 100,
                "crs": "EPSG:3857", "geodesic": true, "primaryGeometryColumn": "g", "xColumn": "lon",
                "yColumn": "lat", "dateFormat": "yyyy", "csvDelimiter": ";", "csvQualifier": "|",
            }]})
        );
    }
}
