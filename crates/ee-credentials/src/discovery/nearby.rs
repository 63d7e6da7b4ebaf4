//! What a search without a result did not use, so that the error can say what to do with it: logins of
//! gcloud itself, variables of other tools, identities of other clouds.

use ee_token::internal::is_unsafe_for_display;

use crate::Environment;
use crate::input::content::{self, is_refresh_token};
use crate::input::quote::clipped;
use crate::input::restored::restored;
use crate::kinds::oauth_clients::GCLOUD_LOGIN;

/// Something that could have been meant as credentials.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unused {
    pub(crate) fact: String,
    pub(crate) advice: String,
    pub(crate) command: Option<String>,
}

/// Variables with an access token of an hour, or with the path of one.
pub const ACCESS_TOKENS: [&str; 6] = [
    "CLOUDSDK_AUTH_ACCESS_TOKEN",
    "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE",
    "GOOGLE_OAUTH_ACCESS_TOKEN",
    "GOOGLE_ACCESS_TOKEN",
    "GCLOUD_ACCESS_TOKEN",
    "GCP_ACCESS_TOKEN",
];

/// Variables of other tools with a credential or the path of one, and misspelled names.
#[rustfmt::skip]
pub const CREDENTIALS: [&str; 32] = [
    // Terraform
    "GOOGLE_CREDENTIALS", "GOOGLE_CLOUD_KEYFILE_JSON", "GCLOUD_KEYFILE_JSON",
    // gcloud, and Google's action for GitHub
    "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE", "GOOGLE_GHA_CREDS_PATH",
    // Google's libraries for Ruby and other languages
    "GOOGLE_CLOUD_CREDENTIALS", "GOOGLE_CLOUD_CREDENTIALS_JSON", "GOOGLE_CLOUD_KEYFILE",
    "GOOGLE_CREDENTIALS_JSON", "GOOGLE_KEYFILE", "GOOGLE_KEYFILE_JSON",
    "GOOGLE_APPLICATION_CREDENTIALS_JSON", "GOOGLE_APPLICATION_CREDENTIALS_BASE64",
    // object_store and others
    "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_SERVICE_ACCOUNT_JSON", "GCP_CREDENTIALS", "GCP_SA_KEY", "GCP_SERVICE_ACCOUNT_KEY",
    "EARTHENGINE_CREDENTIALS", "EARTHENGINE_REFRESH_TOKEN", "EE_CREDENTIALS", "EE_TOKEN",
    "EE_SERVICE_ACCOUNT_KEY", "GEE_CREDENTIALS", "GEE_TOKEN", "GEE_SERVICE_ACCOUNT_KEY",
    "EARTH_ENGINE_TOKEN", "GOOGLE_APPLICATION_CREDENTIAL", "GOOGLE_APP_CREDENTIALS",
    "GOOGLE_DEFAULT_CREDENTIALS",
];

/// Variables of the identities that other clouds give to a machine.
#[rustfmt::skip]
const OTHER_CLOUDS: [(&str, &[&str]); 4] = [
    ("AWS", &["AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_ACCESS_KEY_ID", "AWS_PROFILE"]),
    ("Azure", &["AZURE_FEDERATED_TOKEN_FILE", "IDENTITY_ENDPOINT", "MSI_ENDPOINT", "AZURE_CLIENT_ID"]),
    ("GitHub Actions", &["ACTIONS_ID_TOKEN_REQUEST_URL"]),
    ("GitLab", &["CI_JOB_JWT_V2"]),
];

/// Returns what the search did not use. Reads gcloud's configuration.
pub(crate) fn unused(environment: &Environment) -> Vec<Unused> {
    let is_set = |name: &&&str| environment.is_set(name);
    let mut all: Vec<_> = gcloud_login(environment).into_iter().collect();
    let tokens = ACCESS_TOKENS.iter().filter(is_set);
    all.extend(tokens.map(|name| access_token(name)));
    let credentials = CREDENTIALS.iter().filter(is_set);
    all.extend(credentials.filter_map(|name| credential(name, environment.var(name)?)));
    all.extend(OTHER_CLOUDS.iter().filter_map(|(cloud, names)| {
        let name = names.iter().find(is_set)?;
        Some(other_cloud(cloud, name))
    }));
    all.extend(environment.var("SUDO_USER").map(sudo));
    all
}

fn gcloud_login(environment: &Environment) -> Option<Unused> {
    let configured = || {
        let found = environment.gcloud_core_property("account", &mut Vec::new());
        found.ok().flatten()
    };
    let variable = environment.var("CLOUDSDK_CORE_ACCOUNT").map(str::to_owned);
    let account = variable
        .or_else(configured)
        .or_else(|| first_login(environment))
        .filter(|account| account.contains('@') && !account.contains(is_unsafe_for_display))?;
    let account = clipped(&account);
    let is_robot = account.ends_with(".gserviceaccount.com");
    Some(Unused {
        fact: format!(
            "gcloud is logged in as {account}, but without Application Default Credentials"
        ),
        advice: match is_robot {
            true => "Programs do not use gcloud's own login: set GOOGLE_APPLICATION_CREDENTIALS to the key file of the service account.".to_owned(),
            false => "Programs do not use gcloud's own login: log in for Application Default Credentials as well.".to_owned(),
        },
        command: (!is_robot).then(|| GCLOUD_LOGIN.to_owned()),
    })
}

/// Returns an account that gcloud has a login of.
fn first_login(environment: &Environment) -> Option<String> {
    let dir = environment.gcloud_config_dir().ok()??;
    let logins = std::fs::read_dir(dir.join("legacy_credentials")).ok()?;
    let names = logins.filter_map(|login| login.ok()?.file_name().into_string().ok());
    names.min()
}

fn access_token(name: &str) -> Unused {
    Unused {
        fact: format!("{name} is set, but not used"),
        advice: format!(
            "An access token, as in {name}, expires within an hour: use a login or a service account key. A program can pass the token with Credentials::from_token."
        ),
        command: None,
    }
}

fn credential(name: &str, value: &str) -> Option<Unused> {
    let text = restored(value);
    let is_text = text.starts_with('{') || is_refresh_token(&text);
    // An email address is no credential.
    if !is_text && (text.contains('@') || content::identify(&text).is_some()) {
        return None;
    }
    let variable = match is_text {
        true => "EARTHENGINE_TOKEN",
        false => "GOOGLE_APPLICATION_CREDENTIALS",
    };
    Some(Unused {
        fact: format!("{name} is set, but not used"),
        advice: format!("To use {name}, set {variable} to its value."),
        command: Some(match cfg!(windows) {
            true => format!("set {variable}=%{name}%"),
            false => format!("export {variable}=\"${name}\""),
        }),
    })
}

fn other_cloud(cloud: &str, name: &str) -> Unused {
    Unused {
        fact: format!("{name} shows an identity of {cloud}, which no file links to Google Cloud"),
        advice: format!(
            "To use the identity of {cloud}, create a credential configuration of workload identity federation (gcloud iam workload-identity-pools create-cred-config), and set GOOGLE_APPLICATION_CREDENTIALS to its path."
        ),
        command: None,
    }
}

fn sudo(user: &str) -> Unused {
    Unused {
        fact: format!(
            "the program runs with sudo, where logins of {} are not found",
            clipped(user)
        ),
        advice: "Run it without sudo, or keep the home directory (sudo --preserve-env=HOME)."
            .to_owned(),
        command: None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::Platform;

    const KEY: &str = r#"{"type": "service_account", "private_key": "canary"}"#;

    fn facts(environment: &Environment) -> Vec<String> {
        let all = unused(environment);
        let shown = format!("{all:?}");
        assert!(!shown.contains("canary"), "{shown}");
        all.into_iter().map(|unused| unused.fact).collect()
    }

    #[test]
    fn variables_of_other_tools_are_named() {
        for (name, value, used) in [
            ("CLOUDSDK_AUTH_ACCESS_TOKEN", "ya29.canary", None),
            ("GOOGLE_OAUTH_ACCESS_TOKEN", "ya29.canary", None),
            ("GOOGLE_CREDENTIALS", KEY, Some("EARTHENGINE_TOKEN")),
            (
                "GOOGLE_CREDENTIALS",
                "/k.json",
                Some("GOOGLE_APPLICATION_CREDENTIALS"),
            ),
            ("GOOGLE_CLOUD_KEYFILE_JSON", KEY, Some("EARTHENGINE_TOKEN")),
            ("EE_TOKEN", "1//canary", Some("EARTHENGINE_TOKEN")),
            ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r", None),
            ("AZURE_FEDERATED_TOKEN_FILE", "/var/run/token", None),
            ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://x", None),
        ] {
            let environment = Environment::empty().with_var(name, value);
            assert_eq!(facts(&environment).len(), 1, "{name}");
            let unused = unused(&environment).remove(0);
            assert!(unused.fact.starts_with(name), "{unused:?}");
            assert!(unused.advice.len() > 20, "{unused:?}");
            let expected = used
                .filter(|_| !cfg!(windows))
                .map(|variable| format!("export {variable}=\"${name}\""));
            assert_eq!(unused.command.filter(|_| !cfg!(windows)), expected);
        }
        for (name, value) in [
            ("GOOGLE_SERVICE_ACCOUNT", "robot@p.iam.gserviceaccount.com"),
            ("GOOGLE_CREDENTIALS", " "),
        ] {
            let environment = Environment::empty().with_var(name, value);
            assert_eq!(facts(&environment), [""; 0], "{name}");
        }
    }

    #[test]
    fn login_of_gcloud_alone_is_named() {
        const ROBOT: &str = "robot@p.iam.gserviceaccount.com";
        const CONFIG: &str = "configurations/config_default";
        const OF_JANE: &str = "[core]\naccount = jane@example.com\n";
        for (file, contents, account) in [
            (CONFIG, OF_JANE, Some("jane@example.com")),
            (CONFIG, "[core]\naccount = canary\n", None),
            ("configurations/config_other", OF_JANE, None),
            (
                "legacy_credentials/jane@example.com/adc.json",
                "{}",
                Some("jane@example.com"),
            ),
            (
                &format!("legacy_credentials/{ROBOT}/adc.json"),
                "{}",
                Some(ROBOT),
            ),
            ("credentials.db", "", None),
        ] {
            let home = tempfile::tempdir().unwrap();
            let path = home.path().join(".config/gcloud").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
            let environment = Environment::empty()
                .with_os(Platform::Linux)
                .with_home(home.path());
            let found = unused(&environment);
            assert_eq!(
                found.len(),
                usize::from(account.is_some()),
                "{file}: {found:?}"
            );
            if let Some(account) = account {
                assert!(found[0].fact.contains(account), "{found:?}");
                assert_eq!(found[0].command.is_some(), account != ROBOT);
            }
        }
        let environment =
            Environment::empty().with_var("CLOUDSDK_CORE_ACCOUNT", "jane@example.com");
        assert!(facts(&environment)[0].contains("jane@example.com"));
    }
}
