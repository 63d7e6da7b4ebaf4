//! Credentials of another identity instead of the current one.

use std::fs;

use earthengine::credentials::{CredentialOptions, DiskTokenCache};
use earthengine::token::HttpClient;
use earthengine::{Credentials, Endpoints, ErrorKind};
use ee_emulator::{Emulator, Project, ServiceAccount};

use crate::google_hosts::{PROJECT, constant, isolated};

const HOST: &str = "oauth2.googleapis.com";

async fn emulator() -> Emulator {
    let builder = Emulator::builder().project(Project::new(PROJECT));
    builder.start().await.unwrap()
}

fn account(emulator: &Emulator, name: &str) -> ServiceAccount {
    let email = format!("{name}@ee-demo-project.iam.gserviceaccount.com");
    emulator.create_service_account(&email, PROJECT)
}

/// A running program keeps its identity as long as possible and never changes it between requests.
#[tokio::test]
async fn replaced_credential_file_never_changes_the_identity() {
    let emulator = emulator().await;
    let (current, other) = (account(&emulator, "current"), account(&emulator, "other"));
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("key.json");
    let replace_file = |account: &ServiceAccount| {
        let new = home.path().join("new");
        fs::write(&new, account.json_key()).unwrap();
        fs::rename(new, &file).unwrap();
    };
    replace_file(&current);
    let builder = isolated(emulator.address()).credentials_file(&file);
    let ee = builder.connect().await.unwrap();

    replace_file(&other);
    assert_eq!(ee.compute::<i64>(&constant(1)).await.unwrap(), 1);
    emulator.expire_tokens();
    // The old key is still valid, and still in memory.
    assert_eq!(ee.compute::<i64>(&constant(2)).await.unwrap(), 2);
    assert_eq!(emulator.requests_to(HOST).len(), 2);

    emulator.delete_service_account(current.email());
    emulator.expire_tokens();
    let error = ee.compute::<i64>(&constant(3)).await.unwrap_err();
    assert!(error.kind().is_credential_error(), "{error}");
    let text = error.to_string();
    for word in [current.email(), other.email(), "key.json"] {
        assert!(text.contains(word), "no {word}: {text}");
    }
    assert!(
        error.remedy().text.contains("Restart the program"),
        "{text}"
    );
    let requests = emulator.requests_to(HOST).len();
    ee.compute::<i64>(&constant(4)).await.unwrap_err();
    assert_eq!(emulator.requests_to(HOST).len(), requests, "fails at once");

    // A new key of the same account resolves it.
    replace_file(&account(&emulator, "current"));
    assert_eq!(ee.compute::<i64>(&constant(5)).await.unwrap(), 5);
}

/// A rejected token is invalidated in the cache of another identity, and in its own.
#[tokio::test]
async fn invalidating_one_identity_keeps_the_other() {
    let emulator = emulator().await;
    let home = tempfile::tempdir().unwrap();
    let options = || {
        let endpoints = Endpoints::emulator(emulator.address()).unwrap();
        let cache = DiskTokenCache::at(home.path().join("tokens"));
        CredentialOptions::new(HttpClient::new(endpoints)).disk_cache(cache)
    };
    let [jane, john] = ["jane@example.com", "john@example.com"].map(|email| {
        let login = emulator.create_user(email).authorized_user_json();
        move || Credentials::from_json(&login, &options()).unwrap()
    });
    let (janes, johns) = (jane(), john());
    let right = janes.token().await.unwrap();
    let wrong = johns.token().await.unwrap();
    assert!(!right.secret_eq(&wrong));

    // Another identity's token changes nothing.
    janes.token_cache().unwrap().invalidate(&wrong);
    assert!(janes.token().await.unwrap().secret_eq(&right));
    assert_eq!(emulator.requests_to(HOST).len(), 2);

    // John's token goes, in memory and on disk; Jane's stays in both.
    johns.token_cache().unwrap().invalidate(&wrong);
    let renewed = johns.token().await.unwrap();
    assert!(!renewed.secret_eq(&wrong) && !renewed.secret_eq(&right));
    assert_eq!(emulator.requests_to(HOST).len(), 3);
    assert!(jane().token().await.unwrap().secret_eq(&right));
    assert!(john().token().await.unwrap().secret_eq(&renewed));
    assert_eq!(emulator.requests_to(HOST).len(), 3);
}

#[tokio::test]
async fn denied_identity_causes_no_token_renewal() {
    let builder =
        Emulator::builder().project(Project::new(PROJECT).denied(true).allow("jane@example.com"));
    let emulator = builder.start().await.unwrap();
    let connect = |email: &str| {
        let login = emulator.create_user(email).earthengine_file_json(None);
        let builder = isolated(emulator.address());
        builder.credentials_json(login).connect()
    };
    let error = connect("john@example.com").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ProjectDenied, "{error}");
    assert!(!error.remedy().text.is_empty());
    assert_eq!(
        emulator.requests_to(HOST).len(),
        1,
        "a renewal would not help"
    );
    let ee = connect("jane@example.com").await.unwrap();
    assert_eq!(ee.compute::<i64>(&constant(7)).await.unwrap(), 7);
}
