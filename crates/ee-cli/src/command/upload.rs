//! `eectl upload`: imports files in Cloud Storage as assets.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use earthengine::token::internal::display_path;
use earthengine::{Operation, Remedy, rest};
use serde_json::{Value, json};

use super::asset::properties::{parse_properties, parse_time};
use super::session::{Session, advise, invalid_argument};
use crate::cli::Global;
use crate::cli::task::{Import, Upload, UploadCommand};
use crate::error::CliError;
use crate::output::{print, print_json, print_status};

pub(crate) async fn run(global: &Global, upload: &Upload) -> Result<(), CliError> {
    let (import, is_table) = match &upload.what {
        UploadCommand::Image(import) => (import, false),
        UploadCommand::Table(import) => (import, true),
    };
    let manifest = match &import.manifest {
        Some(file) => read(file)?,
        None => describe(import, is_table)?,
    };
    let session = Session::connect(global).await?;
    let started = session.start(import, is_table, &manifest).await?;
    let Some(timeout) = import.wait else {
        if global.json {
            return print_json(&json!(started));
        }
        let id = started.id();
        if global.quiet {
            return print(format!("{id}\n"));
        }
        print(format!("started the task {id}\n"))?;
        print_status(&format!(
            "to wait until it has ended:\n    eectl task wait {id}"
        ));
        return Ok(());
    };
    if !(global.json || global.quiet) {
        print_status(&format!("started the task {}", started.id()));
    }
    session
        .wait_for(&[started.id().to_owned()], timeout.map(Duration::from_secs))
        .await
}

impl Session<'_> {
    async fn start(
        &self,
        import: &Import,
        is_table: bool,
        manifest: &Value,
    ) -> Result<Operation, CliError> {
        let mut request = match is_table {
            true => self.ee.client().import_table(manifest),
            false => self.ee.client().import_image(manifest),
        };
        request = request.overwrite(import.force);
        if let Some(text) = &import.description {
            request = request.description(text);
        }
        // Chosen here, so that the hint about a failure can name it.
        let new_id = match &import.request_id {
            Some(id) => Some(id.clone()),
            None => rest::internal::request_id(),
        };
        if let Some(id) = &new_id {
            request = request.request_id(id);
        }
        let name = manifest
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or("the asset");
        request.start().await.map_err(|error| {
            if error.kind() == rest::ErrorKind::InvalidRequest {
                return invalid_argument(&error);
            }
            let error = match new_id.filter(|_| error.is_transient()) {
                // The import may have started.
                Some(id) => {
                    let mut remedy = error.remedy().clone();
                    remedy.text = format!(
                        "{} Add --request-id {id}, so that the import is not started twice.",
                        remedy.text
                    )
                    .into();
                    error.with_remedy(remedy)
                }
                None if import.force => error,
                None => advise(
                    error,
                    "If the asset exists already, add --force to replace it.",
                ),
            };
            self.error(&format!("import {name}"), error)
        })
    }
}

/// Makes a manifest of the command line.
fn describe(import: &Import, is_table: bool) -> Result<Value, CliError> {
    if let Some(uri) = import.uris.iter().find(|uri| !uri.starts_with("gs://")) {
        return Err(CliError::usage_with_remedy(
            &format!("{uri} is not a file in Cloud Storage"),
            Remedy::new("Copy the file to a bucket, and name it gs://BUCKET/FILE:")
                .command("gcloud storage cp FILE gs://BUCKET/"),
        ));
    }
    let source = |uri: &String| json!({"uris": [uri]});
    let sources: Vec<Value> = import.uris.iter().map(source).collect();
    let mut manifest = json!({"name": import.asset_id});
    if !is_table {
        manifest["tilesets"] = json!([{"id": "ts", "sources": sources}]);
    } else if sources.len() == 1 {
        manifest["sources"] = json!(sources);
    } else {
        return Err(CliError::usage_with_remedy(
            "a table is imported from one file",
            Remedy::new("Use one URI, or a manifest with several `sources`."),
        ));
    }
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

fn read(file: &Path) -> Result<Value, CliError> {
    let result = match file == Path::new("-") {
        true => {
            let mut text = Vec::new();
            std::io::stdin().lock().read_to_end(&mut text).map(|_| text)
        }
        false => std::fs::read(file),
    };
    let text =
        result.map_err(|e| CliError::io(&format!("cannot read {}", display_path(file)), &e))?;
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
