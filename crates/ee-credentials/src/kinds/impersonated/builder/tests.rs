use ee_emulator::Emulator;
use ee_token::AccessToken;

use super::*;
use crate::options::options;

const TARGET: &str = "target@ee-demo-project.iam.gserviceaccount.com";
const MIDDLE: &str = "middle@ee-demo-project.iam.gserviceaccount.com";
const ROBOT: &str = "robot@ee-demo-project.iam.gserviceaccount.com";
const IAM: &str = "iamcredentials.googleapis.com";

async fn start() -> (Emulator, CredentialOptions) {
    let emulator = Emulator::builder()
        .metadata_server(ROBOT, "ee-demo-project", &["cloud-platform"])
        .start()
        .await
        .unwrap();
    for email in [TARGET, MIDDLE, ROBOT] {
        emulator.create_service_account(email, "ee-demo-project");
    }
    let options = options(&emulator);
    (emulator, options)
}

#[tokio::test]
async fn narrowed_key_requests_the_iam_scope() {
    let (emulator, options) = start().await;
    emulator.allow_impersonation(ROBOT, TARGET);
    let robot = emulator.create_service_account(ROBOT, "ee-demo-project");
    // Without a new request, these scopes would not suffice for IAM.
    let narrow = options.clone().scopes(Scopes::new(["earthengine"]));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.json");
    std::fs::write(&path, robot.json_key()).unwrap();
    for source in [
        Credentials::from_json(&robot.json_key(), &narrow).unwrap(),
        Credentials::from_file(&path, &narrow).unwrap(),
        Credentials::from_pem(robot.pkcs8_pem(), ROBOT, &narrow).unwrap(),
    ] {
        let credentials = source.impersonate(TARGET).build(&options).unwrap();
        assert_eq!(credentials.principal(), Some(TARGET));
        credentials.token().await.unwrap();
    }
}

#[tokio::test]
async fn delegates_scopes_and_lifetime_are_sent() {
    let (emulator, options) = start().await;
    emulator.allow_impersonation(ROBOT, MIDDLE);
    emulator.allow_impersonation(MIDDLE, TARGET);
    let robot = emulator.create_service_account(ROBOT, "ee-demo-project");
    let credentials = Credentials::from_json(&robot.json_key(), &options)
        .unwrap()
        .impersonate(TARGET)
        .delegates([MIDDLE])
        .scopes(Scopes::new(["earthengine.readonly"]))
        .lifetime(Duration::from_secs(600))
        .build(&options)
        .unwrap();
    credentials.token().await.unwrap();
    let body = emulator.requests_to(IAM).remove(0).json();
    assert_eq!(body["lifetime"], "600s");
    assert_eq!(
        body["scope"][0],
        "https://www.googleapis.com/auth/earthengine.readonly"
    );
    assert_eq!(
        body["delegates"][0],
        format!("projects/-/serviceAccounts/{MIDDLE}")
    );
}

#[tokio::test]
async fn login_token_and_impersonated_account_can_impersonate() {
    let (emulator, options) = start().await;
    let jane = emulator.create_user("jane@example.com");
    emulator.allow_impersonation("jane@example.com", MIDDLE);
    emulator.allow_impersonation(MIDDLE, TARGET);
    let login = Credentials::from_json(&jane.authorized_user_json(), &options).unwrap();
    let middle = login.impersonate(MIDDLE).build(&options).unwrap();
    let target = middle.impersonate(TARGET).build(&options).unwrap();
    target.token().await.unwrap();
    assert_eq!(
        target.impersonated_accounts().collect::<Vec<_>>(),
        [TARGET, MIDDLE]
    );

    let token = login.token().await.unwrap();
    let from_token = Credentials::from_token(AccessToken::new(token.secret()).unwrap());
    let middle = from_token.impersonate(MIDDLE).build(&options).unwrap();
    middle.token().await.unwrap();
}

#[tokio::test]
async fn narrowed_login_impersonates_with_all_granted_scopes() {
    let (emulator, options) = start().await;
    let jane = emulator.create_user("jane@example.com");
    emulator.allow_impersonation("jane@example.com", TARGET);
    let narrow = options.clone().scopes(Scopes::new(["earthengine"]));
    let home = tempfile::tempdir().unwrap();
    let environment = crate::Environment::empty()
        .with_os(crate::Platform::Linux)
        .with_home(home.path());
    let path = environment
        .earth_engine_credentials_file()
        .unwrap()
        .unwrap();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, jane.earthengine_file_json(None)).unwrap();
    let found = crate::Search::new(environment, narrow.clone()).find().await;
    let file = Credentials::from_file(&path, &narrow).unwrap();
    for source in [
        Credentials::from_json(&jane.authorized_user_json(), &narrow).unwrap(),
        found.unwrap().credentials,
        file.clone(),
    ] {
        source.token().await.unwrap();
        let target = source
            .impersonate(TARGET)
            .scopes(Scopes::new(["earthengine.readonly"]));
        emulator.clear_requests();
        target.build(&options).unwrap().token().await.unwrap();
        assert!(!emulator.requests()[0].form().contains_key("scope"));
    }

    // The owner of the replaced login is unknown.
    let john = emulator.create_user("john@example.com");
    std::fs::write(&path, format!(" {}", john.earthengine_file_json(None))).unwrap();
    emulator.clear_requests();
    let target = file.impersonate(TARGET).build(&options).unwrap();
    target.token().await.unwrap_err();
    for request in emulator.requests_to("oauth2.googleapis.com") {
        assert_eq!(
            request.form()["refresh_token"],
            jane.earthengine_refresh_token()
        );
    }
}

#[tokio::test]
async fn metadata_account_can_impersonate() {
    let (emulator, options) = start().await;
    emulator.allow_impersonation(ROBOT, TARGET);
    let environment = crate::Environment::empty().with_metadata_probe(true);
    let found = crate::Search::new(environment, options.clone());
    let machine = found.find().await.unwrap().credentials;
    let credentials = machine.impersonate(TARGET).build(&options).unwrap();
    credentials.token().await.unwrap();
    let request = emulator.requests_to("metadata.google.internal").remove(0);
    assert_eq!(
        request.query_parameters()["scopes"],
        "https://www.googleapis.com/auth/iam"
    );
}

#[test]
fn invalid_impersonation_is_rejected_without_a_request() {
    let options = CredentialOptions::default();
    let token = Credentials::from_token(AccessToken::new("ya29.canary").unwrap());
    let to_middle = token.impersonate(MIDDLE).build(&options).unwrap();
    let key = Credentials::from_api_key("AIza-canary");
    let sdk = token.clone().with_quota_project("764086051850");
    const NO_EMAIL: &str = "not a service account's email address";
    let to_target = || token.impersonate(TARGET);
    let too_long = Duration::from_secs(43_201);
    for (impersonation, words) in [
        (token.impersonate(""), NO_EMAIL),
        (token.impersonate("jane"), NO_EMAIL),
        (token.impersonate("a/b@p.example"), NO_EMAIL),
        (to_target().delegates(["x"]), NO_EMAIL),
        (to_target().delegates([TARGET]), "circle"),
        (to_target().delegates([MIDDLE, MIDDLE]), "circle"),
        (to_middle.impersonate(MIDDLE), "circle"),
        (to_target().lifetime(Duration::ZERO), "1 s to 12 h"),
        (to_target().lifetime(too_long), "1 s to 12 h"),
        (key.impersonate(TARGET), "API key"),
        (sdk.impersonate(TARGET), "764086051850"),
    ] {
        let error = impersonation.build(&options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOptions);
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.remedy().text.is_empty(), "{error}");
        assert!(!format!("{error:?}").contains("canary"));
    }
    assert_eq!(options.http.request_count(), 0);
}
