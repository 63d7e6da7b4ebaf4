//! Values that are sent between processes: the configuration of a credential, impersonation, and a
//! pending login.
#![no_main]

use std::sync::LazyLock;

use ee_credentials::login::{PendingLogin, WebFlow};
use ee_credentials::{
    CredentialConfig, CredentialLocation, Credentials, Environment, Error, ImpersonationConfig,
};
use ee_token::{Endpoints, HttpClient};
use fuzz::{
    block_on, check_error, check_names, check_secrets, check_written_again, options, with_keys,
};

const VARIABLE: &str = "EARTHENGINE_TOKEN";
const SECRET: &str = "s3cr3t-r3fr3sh";

static HTTP: LazyLock<HttpClient> = LazyLock::new(|| HttpClient::new(Endpoints::google()));
static KEY: LazyLock<String> = LazyLock::new(|| {
    with_keys(
        r#"{"type": "service_account", "client_email": "robot@p-1234.iam.gserviceaccount.com",
            "token_uri": "https://oauth2.googleapis.com/token", "private_key": "RSA-KEY"}"#,
    )
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(settings) = serde_json::from_str::<CredentialConfig>(text) {
        check_written_again(&settings);
        check_settings(settings);
    }
    if let Ok(step) = serde_json::from_str::<ImpersonationConfig>(text) {
        check_written_again(&step);
    }
    if let Ok(pending) = serde_json::from_str::<PendingLogin>(text) {
        check_pending(text, pending);
    }
});

/// Credentials from a configuration have the same configuration.
fn check_settings(mut settings: CredentialConfig) {
    if let CredentialLocation::File(_) = settings.found {
        // It would be read from this machine's disk.
        settings.found = CredentialLocation::Variable(VARIABLE.into());
    }
    let login = format!(
        r#"{{"type": "authorized_user", "client_id": "1-a", "client_secret": "{SECRET}", "refresh_token": "1//{SECRET}"}}"#
    );
    let is_key = settings.kind == "service_account";
    let environment =
        Environment::empty().with_var(VARIABLE, if is_key { KEY.clone() } else { login });
    let find = |settings: &CredentialConfig| -> Result<Credentials, Error> {
        block_on(Credentials::from_config(settings, &environment, &HTTP))
    };
    match find(&settings) {
        Ok(credentials) => {
            check_names(&credentials);
            let shown = format!("{credentials:?}");
            assert!(!shown.contains(SECRET), "{shown}");
            let reparsed = credentials.to_config().expect("they have a source");
            assert_eq!(
                (&reparsed.kind, &reparsed.found),
                (&settings.kind, &settings.found)
            );
            let steps = |settings: &CredentialConfig| -> Vec<String> {
                let steps = settings.impersonation.iter();
                steps.map(|step| step.target.clone()).collect()
            };
            assert_eq!(steps(&reparsed), steps(&settings));
            let found = find(&reparsed).expect("the configuration is valid");
            assert_eq!(found.to_config().expect("settings"), reparsed);
        }
        Err(error) => {
            check_error(&error, error.remedy());
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(SECRET), "{shown}");
        }
    }
}

/// A restored login is the same login, and ends only with its own response.
fn check_pending(text: &str, pending: PendingLogin) {
    static FLOW: LazyLock<WebFlow> = LazyLock::new(|| {
        WebFlow::new("1-a", "secret", "https://app.example/callback", options()).expect("a flow")
    });
    check_secrets(text, &["state", "verifier"], &format!("{pending:?}"));
    let written = serde_json::to_string(&pending).expect("JSON");
    let reparsed: PendingLogin =
        serde_json::from_str(&written).expect("a serialized login is parsed");
    assert_eq!(reparsed.state(), pending.state());
    assert_eq!(serde_json::to_string(&reparsed).expect("JSON"), written);
    for query in ["", "state=&code=x", "state=another&code=x"] {
        if url::form_urlencoded::parse(query.as_bytes()).any(|(_, value)| value == pending.state())
        {
            continue;
        }
        let rejected = block_on(FLOW.finish(pending.clone(), query));
        let error = rejected.expect_err("the response to another login");
        check_error(&error, error.remedy());
    }
}
