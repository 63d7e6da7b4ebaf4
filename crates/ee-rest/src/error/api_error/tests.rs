use serde_json::json;

use super::*;

fn read(status: u16, body: &Value) -> ApiError {
    ApiError::from_response(status.try_into().unwrap(), body.to_string().as_bytes())
}

#[test]
fn error_info_and_help_are_parsed() {
    let error = read(
        403,
        &json!({"error": {
        "code": 403,
        "message": "Google Earth Engine API has not been used in project p before or it is disabled.",
        "status": "PERMISSION_DENIED",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.Help", "links": [
                {"description": "Google developers console API activation",
                 "url": "https://console.developers.google.com/apis/x"},
                {"description": "no address"}, 7]},
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo",
             "reason": "SERVICE_DISABLED", "domain": "googleapis.com",
             "metadata": {"consumer": "projects/p", "service": "earthengine.googleapis.com", "odd": 3}},
            {"@type": "type.googleapis.com/google.rpc.LocalizedMessage", "message": "?"},
            {"no": "type"}, null,
        ]}}),
    );
    assert_eq!(error.code, RpcCode::PermissionDenied);
    assert_eq!(error.reason.as_deref(), Some("SERVICE_DISABLED"));
    assert_eq!(error.domain.as_deref(), Some("googleapis.com"));
    assert_eq!(error.metadata["consumer"], "projects/p");
    assert_eq!(error.metadata.len(), 2);
    assert_eq!(error.links.len(), 1);
    assert_eq!(
        error.links[0].url,
        "https://console.developers.google.com/apis/x"
    );
    assert!(!error.is_from_intermediary() && !error.is_transient());
    assert!(
        error
            .to_string()
            .starts_with("403 PERMISSION_DENIED: Google Earth Engine API")
    );
}

#[test]
fn quota_failures_and_retry_info_are_parsed() {
    let retry = |delay: &str| {
        read(
            429,
            &json!({"error": {"message": "m", "details": [
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay},
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure",
             "violations": [{"subject": "project:p", "description": "reads per minute"}]}]}}),
        )
    };
    let error = retry("3.5s");
    assert_eq!(error.code, RpcCode::ResourceExhausted);
    assert_eq!(error.retry_delay, Some(Duration::from_millis(3500)));
    assert_eq!(error.quota_violations[0].subject, "project:p");
    assert!(error.is_transient());
    for junk in ["-1s", "NaNs", "infs", "1e300s", "soon", "3", ""] {
        assert_eq!(retry(junk).retry_delay, None, "{junk}");
    }
}

#[test]
fn older_format_and_arrays_are_parsed() {
    let old = json!({"error": {"code": 403, "message": "Rate Limit Exceeded",
        "errors": [{"domain": "usageLimits", "reason": "userRateLimitExceeded", "message": "m"}]}});
    for body in [old.clone(), json!([old])] {
        let error = read(403, &body);
        assert_eq!(error.reason.as_deref(), Some("userRateLimitExceeded"));
        assert_eq!(error.domain.as_deref(), Some("usageLimits"));
        assert!(error.is_rate_limit() && error.is_transient() && !error.is_from_intermediary());
    }
}

#[test]
fn body_in_another_format_is_excerpted_as_from_an_intermediary() {
    for (status, body, message) in [
        (403, &b"Forbidden"[..], "Forbidden"),
        (
            403,
            b"<!DOCTYPE html><html><title>Error 403 (Forbidden)!!1</title>",
            "Error 403 (Forbidden)!!1",
        ),
        (502, b"", "no explanation was given"),
        (500, b"\xff\xfe\xfd", "\u{fffd}\u{fffd}\u{fffd}"),
        (400, b"{\"error\": \"text\"}", "{\"error\": \"text\"}"),
        (400, b"[]", "[]"),
        (418, b"null", "null"),
    ] {
        let error = ApiError::from_response(status.try_into().unwrap(), body);
        assert_eq!(error.message, message);
        assert!(error.is_from_intermediary());
    }
    let error = read(403, &json!({"error": {}}));
    assert_eq!(
        (error.message.as_str(), error.is_from_intermediary()),
        ("no explanation was given", false)
    );
}

#[test]
fn truncated_error_is_not_from_an_intermediary() {
    for body in ["{\"error\": {\"message\": \"cut", "\n [{\"error\":", "{"] {
        let error = ApiError::from_response(StatusCode::FORBIDDEN, body.as_bytes());
        assert_eq!(
            (&*error.message, error.is_from_intermediary()),
            (body.trim(), false)
        );
    }
    for body in ["\"cut", "{\"error\" cut", "tru", "12"] {
        let error = ApiError::from_response(StatusCode::FORBIDDEN, body.as_bytes());
        assert!(error.is_from_intermediary(), "{body}");
    }
}

#[test]
fn texts_of_an_error_are_bounded() {
    let long = "x".repeat(50_000);
    let error = read(
        400,
        &json!({"error": {"message": long, "details": [
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": long, "domain": long,
             "metadata": {&long: long}},
            {"@type": "type.googleapis.com/google.rpc.Help",
             "links": [{"description": long, "url": long}]},
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure",
             "violations": [{"subject": long, "description": long}]}]}}),
    );
    assert_eq!(error.message.chars().count(), 1001);
    assert!(format!("{error:?}").chars().count() < 10_000);
}

#[test]
fn fields_of_the_wrong_type_are_ignored() {
    let error = read(
        400,
        &json!({"error": {"code": "x", "message": 7, "status": [], "errors": 1, "details": [
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": 1, "metadata": []},
            {"@type": "type.googleapis.com/google.rpc.Help", "links": {}},
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [null]},
            {"@type": 5}]}}),
    );
    assert_eq!(error.code, RpcCode::InvalidArgument);
    assert_eq!(error.reason, None);
}

#[test]
fn message_is_safe_for_the_terminal() {
    let error = read(
        400,
        &json!({"error": {"message": "a\u{1b}[2Jb\u{202e}\u{2066}\u{200b}c\nd ya29.secret-token"}}),
    );
    assert_eq!(error.message, "a[2Jbc\nd [redacted]");
}
