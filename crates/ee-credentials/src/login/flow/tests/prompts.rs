//! Codes and addresses that the user pastes.

use super::*;

#[tokio::test]
async fn missing_code_is_an_error_that_suggests_two_steps() {
    let mut machine = Machine::new().await;
    machine.user.pastes = false;
    let error = machine.fails("notebook", ErrorKind::LoginUnavailable).await;
    assert!(error.remedy().command.as_ref().unwrap().contains("--quiet"));
}

#[tokio::test]
async fn address_of_the_last_page_is_pasted_without_a_browser() {
    let mut machine = Machine::new().await;
    machine.user.browses = false;
    let wrong = vec![
        "http://localhost:1/?code=4/x&state=other",
        "4/0code",
        "",
        " ",
    ];
    machine.user.pastes_addresses = Mutex::new(Some(wrong));
    let flow = machine.flow("localhost:0").timeout(Duration::from_secs(20));
    let saved = machine.saved(&flow).await;
    assert!(saved.expires_at.is_none(), "{saved:?}");
    let printed = machine.user.printed();
    let wrong = "This is not the address of this login's last page.";
    assert_eq!(printed.matches(wrong).count(), 2, "{printed}");
    // Without input, the browser may still respond.
    machine.user.pastes = false;
    machine.user.pastes_addresses = Mutex::default();
    let flow = machine.flow("localhost:0").force(true);
    let flow = flow.timeout(Duration::from_millis(300));
    assert_eq!(machine.error(&flow).await.kind(), ErrorKind::LoginTimeout);
}

#[tokio::test]
async fn wrong_code_is_requested_again() {
    let machine = Machine::new().await;
    *machine.user.wrong_codes.lock().unwrap() = vec!["4/0other", "4/0wrong"];
    machine.saved(&machine.flow("notebook")).await;
    let printed = machine.user.printed();
    assert_eq!(printed.matches("paste it again").count(), 2, "{printed}");
    assert!(!printed.contains("4/0"), "{printed}");
    machine.check_login_works().await;
}

#[tokio::test]
async fn third_wrong_code_ends_the_login() {
    let machine = Machine::new().await;
    *machine.user.wrong_codes.lock().unwrap() = vec!["4/0d", "4/0c", "4/0b", "4/0a"];
    machine.fails("notebook", ErrorKind::LoginFailed).await;
    assert_eq!(machine.user.wrong_codes.lock().unwrap().len(), 1);
    assert!(!machine.path().exists());
}

#[tokio::test]
async fn wrong_code_of_a_script_ends_the_login() {
    let mut machine = Machine::new().await;
    machine.user.is_script = true;
    *machine.user.wrong_codes.lock().unwrap() = vec!["4/0wrong"];
    machine.fails("notebook", ErrorKind::LoginFailed).await;
    assert!(!machine.user.printed().contains("again"));
}

#[tokio::test]
async fn end_of_input_after_a_wrong_code_reports_the_code() {
    let mut machine = Machine::new().await;
    machine.user.pastes = false;
    *machine.user.wrong_codes.lock().unwrap() = vec!["4/0wrong"];
    machine.fails("notebook", ErrorKind::LoginFailed).await;
}

#[tokio::test]
async fn rejected_address_is_requested_again() {
    let mut machine = Machine::new().await;
    machine.user.browses = false;
    *machine.user.pastes_addresses.lock().unwrap() = Some(Vec::new());
    let failing = Fault::status(400)
        .body(r#"{"error": "invalid_grant", "error_description": "Malformed auth code."}"#);
    machine.emulator.fault(TOKENS, failing);
    machine.saved(&machine.flow("localhost:0")).await;
    let printed = machine.user.printed();
    assert!(printed.contains("was rejected"), "{printed}");
    assert!(printed.contains("paste it again"), "{printed}");
    machine.check_login_works().await;
}

#[tokio::test]
async fn rejection_that_no_other_code_helps_is_not_repeated() {
    let mut machine = Machine::new().await;
    machine.user.browses = false;
    *machine.user.pastes_addresses.lock().unwrap() = Some(Vec::new());
    let failing = Fault::status(401).body(
        r#"{"error": "invalid_client", "error_description": "The OAuth client was deleted."}"#,
    );
    machine.emulator.fault(TOKENS, failing);
    machine.fails("localhost:0", ErrorKind::LoginFailed).await;
    assert!(!machine.user.printed().contains("again"));
}
