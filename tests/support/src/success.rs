//! Successful responses of Google's hosts, AWS's metadata server and a URL source, with given secrets.

use serde_json::json;

use crate::http::response;

const SCOPES: &str =
    "https://www.googleapis.com/auth/earthengine https://www.googleapis.com/auth/cloud-platform";

/// Returns the response to a request with this path, of which the host is the first segment.
/// `secret` returns the secret of this name.
pub fn success(path: &str, mut secret: impl FnMut(&'static str) -> String) -> Vec<u8> {
    let plain = |text: &str, flavor: &str| {
        let headers = format!("Content-Type: text/plain\r\n{flavor}");
        response("200 OK", &headers, text.as_bytes())
    };
    // Subject tokens of Google's metadata server are rejected, so others must not look like it.
    let text = |text: &str| plain(text, "");
    let google = |text: &str| plain(text, "Metadata-Flavor: Google\r\n");
    let last = path.rsplit('/').next().unwrap_or_default();
    let body = if path.contains("iamcredentials") {
        json!({"accessToken": secret("an access token"), "expireTime": "2099-01-01T01:00:00Z"})
    } else if path.contains("/computeMetadata/") && !path.contains("/token") {
        return google("123456789012");
    } else if path.ends_with("/security-credentials/a-role") || path.contains(ECS) {
        let credentials = json!({"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "ASIAEXAMPLE",
            "SecretAccessKey": secret("an AWS key"), "Token": secret("an AWS session"),
            "Expiration": "2099-01-01T00:00:00Z"});
        return text(&credentials.to_string());
    } else if path.contains(AWS_STS) {
        let (key, session) = (secret("an AWS key"), secret("an AWS session"));
        return text(&format!(
            "<Credentials><AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>{key}</SecretAccessKey>\
             <SessionToken>{session}</SessionToken></Credentials>"
        ));
    } else if is_subject_token_source(path) {
        return match last {
            "security-credentials" => text("a-role"),
            "availability-zone" => text("us-east-1b"),
            "token" => text(&secret("an AWS metadata session")),
            _ => text(&secret("a subject token")),
        };
    } else if path.contains("/config") {
        json!({"registrationState": "REGISTERED_NOT_COMMERCIALLY", "maxConcurrentExports": 2})
    } else if path.contains("client-auth") {
        json!({"client_id": "1-a.apps.googleusercontent.com", "client_secret": secret("a client secret")})
    } else {
        json!({"access_token": secret("an access token"), "expires_in": 3599, "token_type": "Bearer",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "refresh_token": secret("a refresh token"), "id_token": secret("an ID token"),
            "scope": SCOPES})
    };
    let headers = "Content-Type: application/json\r\nMetadata-Flavor: Google\r\nDate: Thu, 01 Jan 2099 00:00:00 GMT\r\n";
    response("200 OK", headers, body.to_string().as_bytes())
}

/// The credential endpoint of a container, and AWS's Security Token Service.
const ECS: &str = "/169.254.170.2/";
const AWS_STS: &str = "/sts.us-east-1.amazonaws.com/";

/// Returns whether the path is that of a source of AWS keys or of a URL source.
pub fn is_subject_token_source(path: &str) -> bool {
    let sources = ["/latest/", "/tokens.example.com", ECS, AWS_STS];
    sources.iter().any(|source| path.contains(source))
}
