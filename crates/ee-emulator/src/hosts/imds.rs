//! Amazon's instance metadata service, version 2, which has the same address as Google's.

use serde_json::json;

use crate::federation::Ec2;
use crate::random;
use crate::request::Request;
use crate::response::{Outcome, Response};
use crate::state::Shared;

/// The maximum lifetime of a session, in seconds.
const MAX_LIFETIME: u64 = 21_600;
const CREDENTIALS: &str = "/latest/meta-data/iam/security-credentials";

/// Returns whether the path is one of Amazon's service.
pub(super) fn is_imds_request(request: &Request) -> bool {
    request.path == "/latest" || request.path.starts_with("/latest/")
}

/// Handles a request. Outside of EC2 the connection is closed, because no such service exists there.
pub(super) fn handle(shared: &Shared, request: &Request) -> Outcome {
    let mut state = shared.state();
    match &mut state.ec2 {
        Some(machine) => look_up(machine, request).into(),
        None => Outcome::Close,
    }
}

fn look_up(machine: &mut Ec2, request: &Request) -> Response {
    let plain = |text: &str| Response::text(200, text);
    if request.path == "/latest/api/token" {
        if request.method != http::Method::PUT {
            return Response::html(405, "405 - Method Not Allowed");
        }
        let lifetime = request.header("x-aws-ec2-metadata-token-ttl-seconds");
        let lifetime: Option<u64> = lifetime.and_then(|text| text.parse().ok());
        if !lifetime.is_some_and(|seconds| (1..=MAX_LIFETIME).contains(&seconds)) {
            return Response::html(400, "400 - Bad Request");
        }
        let session = random::url_safe(40);
        machine.sessions.push(session.clone());
        return plain(&session);
    }
    let session = request.header("x-aws-ec2-metadata-token");
    if !session.is_some_and(|session| machine.sessions.iter().any(|known| known == session)) {
        return Response::html(401, "401 - Unauthorized");
    }
    if request.method != http::Method::GET {
        return Response::html(405, "405 - Method Not Allowed");
    }
    if request.path == "/latest/meta-data/placement/availability-zone" {
        return plain(&machine.zone);
    }
    match request.path.strip_prefix(CREDENTIALS) {
        Some("" | "/") => plain(&machine.role),
        Some(role) if role.strip_prefix('/') == Some(&machine.role) => plain(
            &json!({
                "Code": "Success",
                "Type": "AWS-HMAC",
                "AccessKeyId": machine.key.id,
                "SecretAccessKey": machine.key.secret,
                "Token": machine.key.session_token,
            })
            .to_string(),
        ),
        _ => Response::html(404, "404 - Not Found"),
    }
}
