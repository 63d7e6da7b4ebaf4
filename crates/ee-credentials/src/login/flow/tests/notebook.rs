use super::*;

#[tokio::test]
async fn scopes_changed_on_the_notebook_page_are_saved() {
    let machine = Machine::new().await;
    let flow = machine.flow("notebook").quiet(true);
    let pending = machine.pending(&flow).await;
    let code = code_shown_at(pending.url).await;
    let page = json!({
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "scopes": ["https://www.googleapis.com/auth/earthengine", "https://www.googleapis.com/auth/drive"],
    });
    let changed = Fault::status(200).json(&page);
    machine
        .emulator
        .fault("code.earthengine.google.com", changed);
    let granted = json!({
        "access_token": "ya29.x", "expires_in": 3599, "token_type": "Bearer", "refresh_token": "1//x",
        "scope": "https://www.googleapis.com/auth/earthengine https://www.googleapis.com/auth/drive",
    });
    let granting = Fault::status(200).json(&granted);
    machine.emulator.fault(TOKENS, granting);
    let saved = flow
        .finish_notebook(&pending.code_verifier, &code)
        .await
        .unwrap();
    assert_eq!(saved.granted, Scopes::new(["earthengine", "drive"]));
    assert!(saved.missing.is_empty(), "{saved:?}");
    let mut warnings = saved.warnings.iter();
    assert!(warnings.all(|w| w.code != "scopes_not_granted"));
    assert_eq!(machine.file()["scopes"], page["scopes"]);
}

#[tokio::test]
async fn notebook_login_warns_about_its_expiry() {
    let machine = Machine::new().await;
    let saved = machine.saved(&machine.flow("notebook")).await;
    let left = saved.expires_at.unwrap() - Utc::now();
    assert_eq!(left.num_hours(), 7 * 24 - 1);
    assert_eq!(saved.warnings[0].code, "login_expires");
    assert!(machine.user.printed().contains("7 days"));
    assert_eq!(
        machine.token_requests()[0].form()["redirect_uri"],
        "urn:ietf:wg:oauth:2.0:oob"
    );
    machine.check_login_works().await;

    let options = CredentialOptions::new(machine.flow("notebook").session.http);
    let search = Search::new(machine.environment.clone(), options);
    let credentials = search.find().await.unwrap().credentials;
    assert_eq!(credentials.warnings()[0].code, "login_expires");
    let mut file = machine.file();
    file["rust_login_at"] = json!("2026-01-01T00:00:00Z");
    fs::write(machine.path(), file.to_string()).unwrap();
    machine
        .emulator
        .revoke(file["refresh_token"].as_str().unwrap());
    let credentials = search.find().await.unwrap().credentials;
    let error = credentials.token().await.unwrap_err();
    assert_eq!(error.kind(), Token::Rejected);
    let remedy = error.remedy().to_string();
    assert!(
        remedy.contains("7 days") && remedy.contains("2026-01-08"),
        "{remedy}"
    );
}

#[tokio::test]
async fn notebook_login_works_in_two_steps() {
    let machine = Machine::new().await;
    let flow = machine.flow("notebook").quiet(true);
    let pending = machine.pending(&flow).await;
    assert!(!format!("{pending:?}").contains(pending.code_verifier.expose_secret()));
    assert!(!machine.path().exists());
    let code = code_shown_at(pending.url).await;
    let wrong: SecretString = "a:b:c".into();
    let error = flow.finish_notebook(&wrong, &code).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LoginFailed);
    assert!(error.to_string().contains("Unknown request_id"), "{error}");
    let verifier = &pending.code_verifier;
    for (wrong, kind) in [
        ("4/0wrong", ErrorKind::LoginFailed),
        (" ", ErrorKind::InvalidOptions),
    ] {
        let result = flow.finish_notebook(verifier, &wrong.into()).await;
        assert_eq!(result.unwrap_err().kind(), kind);
    }
    flow.finish_notebook(verifier, &code).await.unwrap();
    machine.check_login_works().await;
}
