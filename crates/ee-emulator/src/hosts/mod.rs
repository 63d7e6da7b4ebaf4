//! The emulated hosts.

mod accounts;
mod admission;
mod assets;
mod aws;
mod batch;
mod call;
mod client_auth;
mod code_grant;
mod collections;
mod compute;
mod config;
mod earthengine;
mod expression;
mod features;
mod functions;
mod gdch;
mod geotiff;
mod iam_credentials;
mod id_token;
mod images;
mod imds;
mod imports;
mod jwt_grant;
mod metadata;
mod numpy;
mod oauth2;
mod operations;
mod pages;
mod payload;
mod png;
mod refresh_grant;
mod resource_manager;
mod routes;
mod service_usage;
mod sts;
mod tables;
mod workforce;

use crate::request::Request;
use crate::response::{Outcome, Response};
use crate::service_identity;
use crate::state::Shared;

/// Dispatches a request to its host.
pub(crate) fn handle(shared: &Shared, request: &Request) -> Outcome {
    match request.host.as_str() {
        "oauth2.googleapis.com" => oauth2::handle(shared, request).into(),
        "www.googleapis.com" => oauth2::handle_www(shared, request).into(),
        "accounts.google.com" => accounts::handle(shared, request).into(),
        "code.earthengine.google.com" => client_auth::handle(shared, request).into(),
        "earthengine.googleapis.com" | "earthengine-highvolume.googleapis.com" => {
            earthengine::handle(shared, request).into()
        }
        "iamcredentials.googleapis.com" => iam_credentials::handle(shared, request).into(),
        "sts.googleapis.com" if workforce::PATHS.contains(&request.path.as_str()) => {
            workforce::handle(shared, request).into()
        }
        service_identity::HOST => gdch::handle(shared, request).into(),
        "cloudresourcemanager.googleapis.com" => resource_manager::handle(shared, request).into(),
        "serviceusage.googleapis.com" => service_usage::handle(shared, request).into(),
        "sts.googleapis.com" => sts::handle(shared, request, false).into(),
        "sts.mtls.googleapis.com" => sts::handle(shared, request, true).into(),
        "169.254.169.254" | "[fd00:ec2::254]" if imds::is_imds_request(request) => {
            imds::handle(shared, request)
        }
        "metadata.google.internal" | "169.254.169.254" => metadata::handle(shared, request),
        other => unknown_host(other).into(),
    }
}

fn unknown_host(host: &str) -> Response {
    Response::text(
        404,
        format!(
            "The emulator does not know the host '{host}'. The first segment of the path is the host: \
             https://HOST/PATH is served at http://127.0.0.1:PORT/HOST/PATH.\n"
        ),
    )
}
