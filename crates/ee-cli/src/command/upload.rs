//! `eectl upload`: imports files in Cloud Storage as assets.

mod manifest;

use std::time::Duration;

use earthengine::{Operation, rest};
use serde_json::{Value, json};

use super::session::{Session, advise, invalid_argument};
use crate::cli::Global;
use crate::cli::upload::{Import, ImportExternalImage, Upload, UploadCommand};
use crate::error::CliError;
use crate::output::{print, print_json, print_status};

pub(crate) async fn run(global: &Global, upload: &Upload) -> Result<(), CliError> {
    let (import, is_table, manifest) = match &upload.what {
        UploadCommand::Image(image) => (&image.import, false, manifest::of_image(image)?),
        UploadCommand::Table(table) => (&table.import, true, manifest::of_table(table)?),
        UploadCommand::ExternalImage(image) => return external_image(global, image).await,
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

async fn external_image(global: &Global, image: &ImportExternalImage) -> Result<(), CliError> {
    let manifest = manifest::read(&image.manifest)?;
    let session = Session::connect(global).await?;
    let client = session.ee.client();
    let created = client.import_external_image(&manifest, image.force).await;
    let name = asset(&manifest);
    created.map_err(|error| session.import_error(name, image.force, error))?;
    if global.json {
        return print_json(&json!({"name": name}));
    }
    print(format!("created {name}\n"))
}

/// Returns the name of the new asset.
fn asset(manifest: &Value) -> &str {
    let name = manifest.get("name").and_then(Value::as_str);
    name.unwrap_or("the asset")
}

impl Session<'_> {
    /// Converts the error of an import.
    fn import_error(&self, name: &str, is_forced: bool, error: rest::Error) -> CliError {
        let error = match error.kind() {
            rest::ErrorKind::InvalidRequest => return invalid_argument(&error),
            _ if is_forced => error,
            _ => advise(
                error,
                "If the asset exists already, add --force to replace it.",
            ),
        };
        self.error(&format!("import {name}"), error)
    }

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
        request.start().await.map_err(|error| {
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
                None => error,
            };
            self.import_error(asset(manifest), import.force, error)
        })
    }
}
