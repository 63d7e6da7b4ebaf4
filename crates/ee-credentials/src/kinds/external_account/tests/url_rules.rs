use super::*;

#[tokio::test]
async fn disallowed_hosts_are_named_with_their_field() {
    let machine = Machine::new().await;
    let mut accounts = Vec::new();
    for (field, url) in [
        ("token_url", "https://evil.example/v1/token"),
        ("token_url", "http://sts.googleapis.com/v1/token"),
        (
            "service_account_impersonation_url",
            "https://evil.example/x:generateAccessToken",
        ),
    ] {
        let mut account = account(json!({"file": "/x"}));
        account[field] = json!(url);
        accounts.push((account, field));
    }
    for (field, url) in [
        ("url", "http://evil.example/latest"),
        ("region_url", "http://127.0.0.1/x"),
        ("imdsv2_session_token_url", "http://169.254.169.253/x"),
        (
            "regional_cred_verification_url",
            "https://sts.{region}.evil.example",
        ),
        (
            "regional_cred_verification_url",
            "http://sts.{region}.amazonaws.com",
        ),
    ] {
        let mut account = aws_account();
        account["credential_source"][field] = json!(url);
        accounts.push((account, field));
    }
    for url in [
        "http://tokens.example.com/",
        "https://me:canary@tokens.example.com/",
        "ftp://x.example/",
    ] {
        accounts.push((account(json!({"url": url})), "url"));
    }
    for (account, field) in accounts {
        let error = machine.load(&account).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DisallowedHost, "{error}");
        assert!(error.to_string().contains(&format!("`{field}`")), "{error}");
        assert!(!error.remedy().text.is_empty() && !format!("{error:?}").contains("canary"));
    }
    assert!(machine.emulator.requests().is_empty());
    let mut allowed = account(json!({"file": "/x"}));
    allowed["token_url"] = json!("https://sts.example.com/token");
    let options = machine.options().allow_host("sts.example.com");
    Credentials::from_json(&allowed.to_string(), &options).unwrap();
    let mut amazon = aws_account();
    amazon["credential_source"]["regional_cred_verification_url"] =
        json!("https://sts.{region}.example.com");
    for host in ["STS.us-east-1.example.com", "sts.us-east-1.example.com:443"] {
        let options = machine.options().allow_host(host);
        Credentials::from_json(&amazon.to_string(), &options).unwrap();
    }
    // A region must not lead to another host than the allowed one.
    let environment = Environment::empty()
        .with_var("AWS_REGION", "us-west-2")
        .with_var("AWS_ACCESS_KEY_ID", "AKIAX")
        .with_var("AWS_SECRET_ACCESS_KEY", "canary");
    let options = machine.options().environment(environment);
    let options = options.allow_host("sts.us-east-1.example.com");
    let credentials = Credentials::from_json(&amazon.to_string(), &options).unwrap();
    let error = credentials.token().await.unwrap_err();
    assert!(
        error.to_string().contains("sts.us-west-2.example.com"),
        "{error}"
    );
    assert!(machine.emulator.requests().is_empty());
    allowed["universe_domain"] = json!("example.net");
    let error = Credentials::from_json(&allowed.to_string(), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedUniverse);
    let error = Credentials::from_json(
        &account(json!({"file": "/x"})).to_string(),
        &options.subject("a@b"),
    )
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOptions);
}

/// URLs of services where other users can receive or store requests.
const HOSTILE: &[&str] = &[
    "https://storage.googleapis.com/upload/storage/v1/b/bucket/o?uploadType=media&name=x",
    "https://storage.googleapis.com/v1/token",
    "https://bucket.storage.googleapis.com/v1/token",
    "https://sts.storage.googleapis.com/v1/token",
    "https://iamcredentials.storage.googleapis.com/v1/projects/-/serviceAccounts/a@b.example:generateAccessToken",
    "https://storage.mtls.googleapis.com/v1/token",
    "https://storage.us-east1.rep.googleapis.com/v1/token",
    "https://firebasestorage.googleapis.com/v0/b/bucket/o?name=x",
    "https://my-app.firebaseio.com/x.json",
    "https://my-app-uc.a.run.app/v1/token",
    "https://us-central1-my-project.cloudfunctions.net/v1/token",
    "https://my-app.appspot.com/v1/token",
    "https://my-app.web.app/v1/token",
    "https://script.google.com/macros/s/x/exec",
    "https://sites.google.com/v1/token",
    "https://bigquery.googleapis.com/upload/bigquery/v2/projects/p/jobs",
    "https://logging.googleapis.com/v2/entries:write",
    "https://pubsub.googleapis.com/v1/projects/p/topics/t:publish",
    "https://www.googleapis.com/upload/drive/v3/files?uploadType=media",
    "https://content-storage.googleapis.com/v1/token",
    "https://evil.p.googleapis.com/v1/token",
    "https://storage-evil.p.googleapis.com/v1/token",
    "https://sts.evil.p.googleapis.com/v1/token",
    "https://sts.googleapis.com.evil.example/v1/token",
    "https://sts.googleapis.com@evil.example/v1/token",
    "https://evil.example/sts.googleapis.com/v1/token",
    "https://sts.googleapis.com/v1/../../upload",
    "https://accounts.google.com/v1/token",
    "https://sts.s3.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15",
    "https://sts.{region}.s3.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15",
    "https://abc.execute-api.us-east-1.amazonaws.com/?Action=GetCallerIdentity",
    "https://sts.us-east-1.amazonaws.com/?Action=AssumeRole",
];

#[tokio::test]
async fn hostile_urls_are_rejected_in_every_field() {
    let machine = Machine::new().await;
    let path = machine.file("secret", "canary");
    let workforce = machine.emulator.create_workforce_user("jane").json();
    let workforce: Value = serde_json::from_str(&workforce).unwrap();
    let mut file = account(json!({ "file": path }));
    file["service_account_impersonation_url"] = json!(format!(
        "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{ROBOT}:generateAccessToken"
    ));
    let key = machine
        .emulator
        .create_service_account(
            "key@ee-demo-project.iam.gserviceaccount.com",
            "ee-demo-project",
        )
        .json_key();
    let key: Value = serde_json::from_str(&key).unwrap();
    let impersonated = json!({
        "type": "impersonated_service_account",
        "service_account_impersonation_url": file["service_account_impersonation_url"],
        "source_credentials": file,
    });
    let fields = [
        (&file, "/token_url"),
        (&file, "/service_account_impersonation_url"),
        (&aws_account(), "/token_url"),
        (
            &aws_account(),
            "/credential_source/regional_cred_verification_url",
        ),
        (&aws_account(), "/credential_source/url"),
        (&aws_account(), "/credential_source/region_url"),
        (&workforce, "/token_url"),
        (&key, "/token_uri"),
        (&impersonated, "/service_account_impersonation_url"),
        (&impersonated, "/source_credentials/token_url"),
        (
            &impersonated,
            "/source_credentials/service_account_impersonation_url",
        ),
    ];
    for (whole, pointer) in fields {
        machine.load(whole).unwrap();
        for url in HOSTILE {
            let mut file = whole.clone();
            match file.pointer_mut(pointer) {
                Some(field) => *field = json!(url),
                None => panic!("{pointer}"),
            }
            let error = machine.load(&file).unwrap_err();
            let field = pointer.rsplit('/').next().unwrap();
            assert!(error.to_string().contains(&format!("`{field}`")), "{error}");
            let expected = [ErrorKind::DisallowedHost, ErrorKind::InvalidFile];
            assert!(expected.contains(&error.kind()), "{pointer}: {url}");
            assert!(!error.remedy().text.is_empty(), "{error}");
        }
    }
    assert!(machine.emulator.requests().is_empty());
}
