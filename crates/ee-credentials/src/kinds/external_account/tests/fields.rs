use super::*;

#[tokio::test]
async fn invalid_external_account_fields_are_named() {
    let machine = Machine::new().await;
    let valid = account(json!({"file": "/x"}));
    for field in [
        "audience",
        "subject_token_type",
        "token_url",
        "credential_source",
    ] {
        for bad in [json!(null), json!(""), json!(["canary"]), json!(5)] {
            let mut account = valid.clone();
            account[field] = bad;
            let error = machine.load(&account).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidFile);
            assert!(error.to_string().contains(&format!("`{field}`")), "{error}");
            assert!(!format!("{error:?}").contains("canary"));
        }
    }
    const URL: &str = "service_account_impersonation_url";
    const LIFETIME: &str = "service_account_impersonation";
    for (field, bad) in [
        (URL, json!(5)),
        (URL, json!("https://iamcredentials.googleapis.com/x")),
        // Commands in remedies contain the account.
        (
            URL,
            json!("https://iamcredentials.googleapis.com/x;id:generateAccessToken"),
        ),
        (LIFETIME, json!("canary")),
        (LIFETIME, json!({"token_lifetime_seconds": "canary"})),
        (LIFETIME, json!({"token_lifetime_seconds": 5})),
        ("client_id", json!(["canary"])),
        ("client_secret", json!("canary")),
        ("quota_project_id", json!({})),
        ("workforce_pool_user_project", json!("p")),
        ("subject_token_type", json!("urn:wizard")),
        ("subject_token_type", json!(MTLS)),
    ] {
        let mut account = valid.clone();
        account[field] = bad.clone();
        let error = machine.load(&account).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidFile, "{error}");
        let named = match field {
            "client_secret" => "client_id",
            _ if bad.is_object() && field != "quota_project_id" => "token_lifetime_seconds",
            field => field,
        };
        assert!(error.to_string().contains(named), "{field}: {error}");
        assert!(!format!("{error:?}").contains("canary"));
    }
    assert!(machine.emulator.requests().is_empty());
}

#[tokio::test]
async fn invalid_credential_source_is_named_without_a_request() {
    let machine = Machine::new().await;
    let with_headers = |headers: Value| json!({"url": "https://x.example/", "headers": headers});
    let with_timeout =
        |millis: Value| json!({"executable": {"command": "x", "timeout_millis": millis}});
    for (source, named) in [
        (json!({}), "one of the fields"),
        (json!({"file": ""}), "`file`"),
        (json!({"file": 5}), "`file`"),
        (
            json!({"file": "/x", "url": "https://x.example/"}),
            "exclude",
        ),
        (json!({"file": "/x", "executable": {}}), "exclude"),
        (json!({"file": "/x", "format": "json"}), "`format`"),
        (json!({"file": "/x", "format": {"type": "xml"}}), "`type`"),
        (
            json!({"file": "/x", "format": {"type": "json"}}),
            "`subject_token_field_name`",
        ),
        (json!({"url": "here"}), "`url`"),
        (with_headers(json!({"a b": "canary"})), "`a b`"),
        (with_headers(json!({"a": "can\nary"})), "`a`"),
        (with_headers(json!(["canary"])), "`headers`"),
        (json!({"executable": "canary"}), "`executable`"),
        (json!({"executable": {}}), "`command`"),
        (json!({"executable": {"command": "'canary"}}), "`command`"),
        (json!({"executable": {"command": "''"}}), "`command`"),
        (with_timeout(json!(4999)), "`timeout_millis`"),
        (with_timeout(json!(120001)), "`timeout_millis`"),
        (with_timeout(json!("canary")), "`timeout_millis`"),
        (json!({"certificate": {}}), "`certificate_config_location`"),
        (
            json!({"certificate": {"use_default_certificate_config": "canary"}}),
            "true or false",
        ),
        (
            json!({"certificate": {"use_default_certificate_config": true, "certificate_config_location": "/x"}}),
            "certificate_config_location",
        ),
        (json!({"environment_id": "aws2"}), "`environment_id`"),
        (
            json!({"environment_id": "aws1"}),
            "`regional_cred_verification_url`",
        ),
    ] {
        let error = machine.load(&account(source)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidFile, "{error}");
        assert!(error.to_string().contains(named), "{named}: {error}");
        assert!(!format!("{error:?}").contains("canary"));
    }
    assert!(machine.emulator.requests().is_empty());
}
