//! Credentials of somebody else, in our place or taken for ours.

use std::fs;

use earthengine::credentials::{CredentialOptions, DiskTokenCache};
use earthengine::token::HttpClient;
use earthengine::{Credentials, EarthEngine, Endpoints, ErrorKind};
use ee_emulator::{Emulator, Project, ServiceAccount};

use crate::town::{PROJECT, constant};

const HOST: &str = "oauth2.googleapis.com";

async fn emulator() -> Emulator {
    let builder = Emulator::builder().project(Project::new(PROJECT));
    builder.start().await.unwrap()
}

fn account(emulator: &Emulator, name: &str) -> ServiceAccount {
    let email = format!("{name}@ee-demo-project.iam.gserviceaccount.com");
    emulator.create_service_account(&email, PROJECT)
}

/// A running program goes on as whom it started as, as long as that is possible, and is never
/// somebody else from one request to the next.
#[tokio::test]
async fn another_identity_in_the_place_of_ours_is_never_taken_up() {
    let emulator = emulator().await;
    let (ours, theirs) = (account(&emulator, "ours"), account(&emulator, "theirs"));
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("key.json");
    let put = |account: &ServiceAccount| {
        let beside = home.path().join("beside");
        fs::write(&beside, account.json_key()).unwrap();
        fs::rename(beside, &file).unwrap();
    };
    put(&ours);
    let ee = EarthEngine::builder()
        .isolated()
        .endpoints(Endpoints::emulator(emulator.address()).unwrap())
        .credentials_file(&file)
        .project(PROJECT)
        .connect()
        .await
        .unwrap();

    put(&theirs);
    assert_eq!(ee.compute::<i64>(&constant(1)).await.unwrap(), 1);
    emulator.expire_tokens();
    // Our key is still good, and still known.
    assert_eq!(ee.compute::<i64>(&constant(2)).await.unwrap(), 2);
    assert_eq!(emulator.requests_to(HOST).len(), 2);

    emulator.delete_service_account(ours.email());
    emulator.expire_tokens();
    let error = ee.compute::<i64>(&constant(3)).await.unwrap_err();
    assert!(error.kind().is_credential_error(), "{error}");
    let text = error.to_string();
    for word in [ours.email(), theirs.email(), "key.json"] {
        assert!(text.contains(word), "no {word}: {text}");
    }
    assert!(
        error.remedy().unwrap().text.contains("Start again"),
        "{text}"
    );
    let asked = emulator.requests_to(HOST).len();
    ee.compute::<i64>(&constant(4)).await.unwrap_err();
    assert_eq!(emulator.requests_to(HOST).len(), asked, "said at once");

    // Somebody puts right what was wrong: a new key of the same account.
    put(&account(&emulator, "ours"));
    assert_eq!(ee.compute::<i64>(&constant(5)).await.unwrap(), 5);
}

/// A program that has taken one identity for the other, was refused, and says so to the one or to
/// the other.
#[tokio::test]
async fn the_wrong_identity_is_invalidated_without_harm_to_the_right_one() {
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

    // Of a token that is not hers there is nothing to forget.
    janes.token_cache().unwrap().invalidate(&wrong);
    assert!(janes.token().await.unwrap().secret_eq(&right));
    assert_eq!(emulator.requests_to(HOST).len(), 2);

    // His goes, here and on the disk, and hers stays in both places.
    johns.token_cache().unwrap().invalidate(&wrong);
    let renewed = johns.token().await.unwrap();
    assert!(!renewed.secret_eq(&wrong) && !renewed.secret_eq(&right));
    assert_eq!(emulator.requests_to(HOST).len(), 3);
    assert!(jane().token().await.unwrap().secret_eq(&right));
    assert!(john().token().await.unwrap().secret_eq(&renewed));
    assert_eq!(emulator.requests_to(HOST).len(), 3);
}

/// The wrong identity is refused where it asks, and the right one is not asked to pay for it.
#[tokio::test]
async fn a_wrong_identity_is_refused_and_no_renewal_is_spent_on_it() {
    let builder =
        Emulator::builder().project(Project::new(PROJECT).denied(true).allow("jane@example.com"));
    let emulator = builder.start().await.unwrap();
    let connect = |email: &str| {
        let login = emulator.create_user(email).earthengine_file_json(None);
        let builder = EarthEngine::builder()
            .isolated()
            .endpoints(Endpoints::emulator(emulator.address()).unwrap())
            .credentials_json(login);
        builder.project(PROJECT).connect()
    };
    let error = connect("john@example.com").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ProjectDenied, "{error}");
    assert!(error.remedy().is_some());
    assert_eq!(emulator.requests_to(HOST).len(), 1, "no renewal helps");
    let ee = connect("jane@example.com").await.unwrap();
    assert_eq!(ee.compute::<i64>(&constant(7)).await.unwrap(), 7);
}
