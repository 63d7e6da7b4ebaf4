//! Revoking a login.

use ee_emulator::Emulator;

use super::*;
use crate::options::options;

#[tokio::test]
async fn revoke_ends_the_grant_then_removes_the_file() {
    let emulator = Emulator::start().await.unwrap();
    let http = options(&emulator).http;
    let jane = emulator.create_user("jane@example.com");
    let (_dir, store) = store();
    let save = || {
        store
            .save_login(&login(jane.earthengine_refresh_token()))
            .unwrap()
    };
    save();
    let (revocation, removed) = store.revoke(&http).await.unwrap();
    assert_eq!(revocation, Revocation::Revoked);
    assert!(removed.existed && !store.path().exists());
    let sent = emulator.requests();
    assert_eq!((sent[0].path.as_str(), sent.len()), ("/revoke", 1));
    assert_eq!(sent[0].form()["token"], jane.earthengine_refresh_token());

    save();
    assert_eq!(
        store.revoke(&http).await.unwrap().0,
        Revocation::AlreadyEnded
    );
    store.set_project("p").unwrap();
    assert_eq!(store.revoke(&http).await.unwrap().0, Revocation::NoLogin);
    assert!(!store.revoke(&http).await.unwrap().1.existed);
}

#[tokio::test]
async fn login_saved_during_revocation_is_kept() {
    let emulator = Emulator::start().await.unwrap();
    let slow = ee_emulator::Fault::delay(Duration::from_millis(300));
    emulator.fault("oauth2.googleapis.com", slow);
    let http = options(&emulator).http;
    let jane = emulator.create_user("jane@example.com");
    let (_dir, store) = store();
    store
        .save_login(&login(jane.earthengine_refresh_token()))
        .unwrap();
    let meanwhile = async {
        while emulator.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        store.save_login(&login("1//meanwhile")).unwrap();
    };
    let (result, ()) = tokio::join!(store.revoke(&http), meanwhile);
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CredentialsFile);
    assert!(
        error.to_string().contains("a new login was saved"),
        "{error}"
    );
    assert_eq!(contents(&store)["refresh_token"], "1//meanwhile");
}

#[tokio::test]
async fn failed_revocation_keeps_the_file() {
    let emulator = Emulator::start().await.unwrap();
    let http = options(&emulator).http;
    let (_dir, store) = store();
    store.save_login(&login("1//canary")).unwrap();
    emulator.shutdown().await;
    let error = store.revoke(&http).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Token(ee_token::ErrorKind::Network));
    assert!(!format!("{error:?}").contains("canary"));
    assert!(store.path().exists());
}
