//! `eectl upload`: imports files in Cloud Storage as assets, described by a manifest.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use earthengine::token::internal::display_path;
use earthengine::{Operation, Remedy, rest};
use serde_json::{Value, json};

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
    let manifest = read(&import.manifest)?;
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
