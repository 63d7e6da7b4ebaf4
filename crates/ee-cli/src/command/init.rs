//! `eectl init`: finds credentials and verifies the project.

use std::time::Duration;

use earthengine::EarthEngine;
use serde_json::{Value, json};

use crate::cli::{Global, Init};
use crate::error::CliError;
use crate::output::{print, print_json, print_status, strip_unsafe_chars, warn, warnings_as_json};
use crate::words;

pub(crate) async fn run(global: &Global, init: &Init) -> Result<(), CliError> {
    let ee = super::builder(global)
        .wait_for_propagation(Duration::from_secs(init.wait))
        .connect()
        .await
        .map_err(CliError::init)?;
    if global.json {
        return print_json(&as_json(&ee));
    }
    if !global.quiet {
        warn(ee.warnings());
        if let Some(message) = ee.init_message() {
            print_status(&format!(
                "message from Earth Engine: {}",
                strip_unsafe_chars(message)
            ));
        }
    }
    print(render_text(&ee))
}

fn as_json(ee: &EarthEngine) -> Value {
    let credentials = ee.credentials();
    let mut credential = json!({
        "kind": credentials.kind().as_str(),
        "source": credentials.source().as_str(),
    });
    if let Some(principal) = credentials.principal() {
        credential["principal"] = json!(principal);
    }
    let mut json = json!({
        "project": ee.project().id,
        "project_source": ee.project().source.as_str(),
        "registration": ee.registration().as_str(),
        "credential": credential,
        "requests": ee.connect_stats().requests,
        "elapsed_ms": ee.connect_stats().elapsed.as_secs_f64() * 1000.0,
        "warnings": warnings_as_json(ee.warnings()),
    });
    if let Some(tier) = ee.tier() {
        json["tier"] = json!(tier);
    }
    if let Some(message) = ee.init_message() {
        json["init_message"] = json!(message);
    }
    json
}

fn render_text(ee: &EarthEngine) -> String {
    let credentials = ee.credentials();
    let principal = credentials.principal().map(|email| format!(", {email}"));
    let stats = ee.connect_stats();
    format!(
        "credential    {}{} ({})\nproject       {} ({})\nregistration  {}{}\n{} in {:.0} ms\n",
        credentials.kind().description(),
        principal.unwrap_or_default(),
        words::credential_source(credentials),
        ee.project().id,
        ee.project().source,
        strip_unsafe_chars(ee.registration().description()),
        tier(ee),
        words::count(stats.requests, "request"),
        stats.elapsed.as_secs_f64() * 1000.0,
    )
}

/// Returns the tier after a comma, if it is known.
pub(super) fn tier(ee: &EarthEngine) -> String {
    ee.tier()
        .map(|tier| format!(", {tier} tier"))
        .unwrap_or_default()
}
