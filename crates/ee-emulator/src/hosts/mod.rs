//! One module per host, and per idea where a host is more than one.

mod accounts;
mod admission;
mod assets;
mod aws;
mod batch;
mod client_auth;
mod code_grant;
mod compute;
mod earthengine;
mod features;
mod functions;
mod gdch;
mod iam_credentials;
mod imds;
mod jwt_grant;
mod metadata;
mod oauth2;
mod operations;
mod pages;
mod payload;
mod pictures;
mod png;
mod refresh_grant;
mod resource_manager;
mod routes;
mod service_usage;
mod sts;
mod workforce;

use crate::reply::{Outcome, Reply};
use crate::request::Request;
use crate::server::Shared;
use crate::service_identity;

/// What the host that the request is for answers.
pub(crate) fn answer(shared: &Shared, request: &Request) -> Outcome {
    match request.host.as_str() {
        "oauth2.googleapis.com" => oauth2::answer(shared, request).into(),
        "www.googleapis.com" => oauth2::answer_by_older_name(shared, request).into(),
        "accounts.google.com" => accounts::answer(shared, request).into(),
        "code.earthengine.google.com" => client_auth::answer(shared, request).into(),
        "earthengine.googleapis.com" | "earthengine-highvolume.googleapis.com" => {
            earthengine::answer(shared, request).into()
        }
        "iamcredentials.googleapis.com" => iam_credentials::answer(shared, request).into(),
        "sts.googleapis.com" if workforce::PATHS.contains(&request.path.as_str()) => {
            workforce::answer(shared, request).into()
        }
        service_identity::HOST => gdch::answer(shared, request).into(),
        "cloudresourcemanager.googleapis.com" => resource_manager::answer(shared, request).into(),
        "serviceusage.googleapis.com" => service_usage::answer(shared, request).into(),
        "sts.googleapis.com" => sts::answer(shared, request, false).into(),
        "sts.mtls.googleapis.com" => sts::answer(shared, request, true).into(),
        "169.254.169.254" | "[fd00:ec2::254]" if imds::is_asked(request) => {
            imds::answer(shared, request)
        }
        "metadata.google.internal" | "169.254.169.254" => metadata::answer(shared, request),
        other => unknown_host(other).into(),
    }
}

fn unknown_host(host: &str) -> Reply {
    Reply::text(
        404,
        format!(
            "The emulator has no host '{host}'. The first segment of the path is the host: \
             https://HOST/PATH is at http://127.0.0.1:PORT/HOST/PATH.\n"
        ),
    )
}
