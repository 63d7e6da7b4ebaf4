//! Amazon's instance metadata service, version 2, at the address that Google's has too.

use serde_json::json;

use crate::federation::Ec2;
use crate::random;
use crate::reply::{Outcome, Reply};
use crate::request::Request;
use crate::server::Shared;

/// Longest life of a session, in seconds.
const LONGEST: u64 = 21_600;
const CREDENTIALS: &str = "/latest/meta-data/iam/security-credentials";

/// What is asked of Amazon's service, by its path.
pub(super) fn is_asked(request: &Request) -> bool {
    request.path == "/latest" || request.path.starts_with("/latest/")
}

/// Elsewhere than on Amazon's machines nobody answers.
pub(super) fn answer(shared: &Shared, request: &Request) -> Outcome {
    let mut state = shared.state();
    match &mut state.ec2 {
        Some(machine) => look_up(machine, request).into(),
        None => Outcome::Cut,
    }
}

fn look_up(machine: &mut Ec2, request: &Request) -> Reply {
    let plain = |text: &str| Reply::text(200, text);
    if request.path == "/latest/api/token" {
        if request.method != http::Method::PUT {
            return Reply::html(405, "405 - Method Not Allowed");
        }
        let life = request.header("x-aws-ec2-metadata-token-ttl-seconds");
        let life: Option<u64> = life.and_then(|text| text.parse().ok());
        if !life.is_some_and(|seconds| (1..=LONGEST).contains(&seconds)) {
            return Reply::html(400, "400 - Bad Request");
        }
        let session = random::url_safe(40);
        machine.sessions.push(session.clone());
        return plain(&session);
    }
    let session = request.header("x-aws-ec2-metadata-token");
    if !session.is_some_and(|session| machine.sessions.iter().any(|known| known == session)) {
        return Reply::html(401, "401 - Unauthorized");
    }
    if request.method != http::Method::GET {
        return Reply::html(405, "405 - Method Not Allowed");
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
        _ => Reply::html(404, "404 - Not Found"),
    }
}
