//! Calls another Google API with the same credentials: lists the buckets of Cloud Storage.
//!
//! ```text
//! cargo run -p earthengine --example token_for_another_api
//! ```
//!
//! Any HTTP client can send the request; this one is already there. The features `object_store` and
//! `google-cloud-auth` pass the credentials to other crates instead.

#![allow(clippy::print_stdout, reason = "prints the buckets")]

use std::error::Error;

use earthengine::token::{HttpClient, Request};
use earthengine::{EarthEngine, Environment, Method};
use serde_json::Value;
use url::Url;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ee = EarthEngine::builder().connect().await?;
    // The scope `cloud-platform`, requested by default, covers Cloud Storage. A token is valid for
    // up to an hour: get it for each request. It comes from memory until it has to be refreshed.
    let token = ee.credentials().token().await?;

    let url = "https://storage.googleapis.com/storage/v1/b";
    let url = Url::parse_with_params(url, [("project", ee.project().id.as_str())])?;
    let mut request = Request::new(Method::GET, url);
    // Marked as sensitive, so that logs do not show it.
    request
        .headers_mut()
        .insert("authorization", token.header().clone());
    let http = HttpClient::new(Environment::current().endpoints()?);
    let response = http.send(request).await?.error_for_status()?;

    let page: Value = serde_json::from_slice(&response.bytes().await?)?;
    for bucket in page["items"].as_array().into_iter().flatten() {
        println!("{}", bucket["name"].as_str().unwrap_or_default());
    }
    Ok(())
}
