//! The scenarios, by credential kind.

use serde_json::{Value, json};

use crate::external_account;
use crate::scenario::{Machine, PROJECT, Reference, Scenario};
use crate::{impersonation, metadata};

pub(crate) const EE: &str = "https://www.googleapis.com/auth/earthengine";
pub(crate) const CLOUD: &str = "https://www.googleapis.com/auth/cloud-platform";
pub(crate) const READ_ONLY: &str = "https://www.googleapis.com/auth/earthengine.readonly";
pub(crate) const BOTH: Reference = Reference::GoogleAuth(&[EE, CLOUD]);
pub(crate) const NONE: Reference = Reference::GoogleAuth(&[]);

pub(crate) fn plain(
    name: &'static str,
    reference: Reference,
    machine: fn(&mut Machine),
) -> Scenario {
    Scenario {
        name,
        reference,
        emulator: |b| b,
        machine,
    }
}

fn on_compute_engine(
    name: &'static str,
    reference: Reference,
    machine: fn(&mut Machine),
) -> Scenario {
    Scenario {
        name,
        reference,
        emulator: |b| {
            b.metadata_server(
                "vm@ee-demo-project.iam.gserviceaccount.com",
                PROJECT,
                &[EE, CLOUD],
            )
        },
        machine,
    }
}

/// Returns a JSON text with one field changed, or removed if the value is null.
pub(crate) fn with(text: &str, field: &str, value: Value) -> String {
    let mut document: Value = serde_json::from_str(text).unwrap();
    document[field] = value;
    if document[field].is_null() {
        document.as_object_mut().unwrap().remove(field);
    }
    document.to_string()
}

pub(crate) fn key(m: &Machine) -> String {
    m.robot.json_key()
}

pub(crate) fn login(m: &Machine) -> String {
    m.user.authorized_user_json()
}

/// Names a service account key with a field changed.
fn key_with(m: &mut Machine, field: &str, value: Value) {
    m.credentials(&with(&key(m), field, value));
}

/// Names a user's login with a field changed.
fn login_with(m: &mut Machine, field: &str, value: Value) {
    m.credentials(&with(&login(m), field, value));
}

pub(crate) const ADC: &str = ".config/gcloud/application_default_credentials.json";
const EE_FILE: &str = ".config/earthengine/credentials";

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = service_accounts();
    all.extend(users());
    all.extend(machines());
    all.extend(searches());
    all.extend(earth_engine_files());
    all.extend(external_account::all());
    all.extend(impersonation::all());
    all.extend(metadata::all());
    all
}

fn service_accounts() -> Vec<Scenario> {
    vec![
        plain("service account: two scopes", BOTH, |m| {
            m.credentials(&key(m))
        }),
        plain(
            "service account: one scope",
            Reference::GoogleAuth(&[READ_ONLY]),
            |m| m.credentials(&key(m)),
        ),
        plain(
            "service account: scopes in another order",
            Reference::GoogleAuth(&[CLOUD, EE]),
            |m| m.credentials(&key(m)),
        ),
        plain("service account: a key without an id", BOTH, |m| {
            key_with(m, "private_key_id", Value::Null)
        }),
        plain("service account: a key without a project", BOTH, |m| {
            key_with(m, "project_id", Value::Null)
        }),
        plain("service account: a quota project in the key", BOTH, |m| {
            key_with(m, "quota_project_id", json!("quota-project"))
        }),
        plain(
            "service account: a quota project in the environment",
            BOTH,
            |m| {
                m.credentials(&key(m));
                m.set("GOOGLE_CLOUD_QUOTA_PROJECT", "quota-project");
            },
        ),
        plain("service account: an older token endpoint", BOTH, |m| {
            key_with(
                m,
                "token_uri",
                json!("https://accounts.google.com/o/oauth2/token"),
            )
        }),
        plain("service account: unknown fields", BOTH, |m| {
            key_with(m, "comment", json!({"a": [1]}))
        }),
        plain("service account: a project in the environment", BOTH, |m| {
            m.credentials(&key(m));
            m.set("GOOGLE_CLOUD_PROJECT", "env-project");
        }),
        plain("service account: an older project variable", BOTH, |m| {
            m.credentials(&key(m));
            m.set("GCLOUD_PROJECT", "env-project");
        }),
        plain("service account: a PKCS#1 key", BOTH, |m| {
            let pem = m.robot.pkcs1_pem().to_owned();
            m.credentials(&with(&key(m), "private_key", json!(pem)));
        }),
        plain("service account: no e-mail address", BOTH, |m| {
            key_with(m, "client_email", Value::Null)
        }),
        plain("service account: no key", BOTH, |m| {
            key_with(m, "private_key", Value::Null)
        }),
        plain("service account: a broken key", BOTH, |m| {
            key_with(
                m,
                "private_key",
                json!("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
            )
        }),
        plain("service account: no token endpoint", BOTH, |m| {
            key_with(m, "token_uri", Value::Null)
        }),
        plain("service account: an account that is gone", BOTH, |m| {
            key_with(
                m,
                "client_email",
                json!("gone@ee-demo-project.iam.gserviceaccount.com"),
            )
        }),
    ]
}

fn users() -> Vec<Scenario> {
    vec![
        plain("authorized user: as gcloud writes it", NONE, |m| {
            m.credentials(&login(m))
        }),
        plain(
            "authorized user: narrowed",
            Reference::GoogleAuth(&[CLOUD]),
            |m| m.credentials(&login(m)),
        ),
        plain("authorized user: a quota project in the file", NONE, |m| {
            let text = m
                .user
                .authorized_user_json_with_quota_project("quota-project");
            m.credentials(&text);
        }),
        plain(
            "authorized user: a quota project in the environment beats the file",
            NONE,
            |m| {
                let text = m
                    .user
                    .authorized_user_json_with_quota_project("quota-project");
                m.credentials(&text);
                m.set("GOOGLE_CLOUD_QUOTA_PROJECT", "env-quota-project");
            },
        ),
        plain(
            "authorized user: a token endpoint that it does not choose",
            NONE,
            |m| login_with(m, "token_uri", json!("https://evil.example/token")),
        ),
        plain("authorized user: a proof of re-authentication", NONE, |m| {
            login_with(m, "rapt_token", json!("rapt"))
        }),
        plain("authorized user: no refresh token", NONE, |m| {
            login_with(m, "refresh_token", Value::Null)
        }),
        plain("authorized user: no client id", NONE, |m| {
            login_with(m, "client_id", Value::Null)
        }),
        plain("authorized user: no client secret", NONE, |m| {
            login_with(m, "client_secret", Value::Null)
        }),
        plain("authorized user: a wrong client secret", NONE, |m| {
            login_with(m, "client_secret", json!("wrong"))
        }),
        plain("authorized user: a made-up refresh token", NONE, |m| {
            login_with(m, "refresh_token", json!("1//made-up"))
        }),
    ]
}

fn machines() -> Vec<Scenario> {
    vec![
        on_compute_engine("metadata server: Compute Engine", NONE, |_| {}),
        on_compute_engine("metadata server: a project in the environment", NONE, |m| {
            m.set("GOOGLE_CLOUD_PROJECT", "env-project")
        }),
        on_compute_engine(
            "metadata server: a quota project in the environment",
            NONE,
            |m| m.set("GOOGLE_CLOUD_QUOTA_PROJECT", "quota-project"),
        ),
        on_compute_engine("metadata server: scopes asked for", BOTH, |_| {}),
        on_compute_engine("metadata server: not asked", NONE, |m| {
            m.set("NO_GCE_CHECK", "true")
        }),
        on_compute_engine("metadata server: a file comes first", NONE, |m| {
            m.file(ADC, &login(m));
        }),
    ]
}

fn searches() -> Vec<Scenario> {
    vec![
        plain("search: nothing anywhere", NONE, |m| {
            m.set("NO_GCE_CHECK", "true")
        }),
        plain("search: gcloud's file", NONE, |m| {
            m.file(ADC, &login(m));
        }),
        plain("search: gcloud's folder elsewhere", NONE, |m| {
            let path = m.file("elsewhere/application_default_credentials.json", &login(m));
            m.set(
                "CLOUDSDK_CONFIG",
                path.parent().unwrap().display().to_string(),
            );
        }),
        plain("search: the variable before gcloud's file", BOTH, |m| {
            m.file(ADC, &login(m));
            m.credentials(&key(m));
        }),
        plain("search: a variable that points nowhere", NONE, |m| {
            m.file(ADC, &login(m));
            m.set("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/at/all.json");
        }),
        plain("search: an empty variable", NONE, |m| {
            m.file(ADC, &login(m));
            m.set("GOOGLE_APPLICATION_CREDENTIALS", "");
        }),
        plain("search: a variable that names a folder", NONE, |m| {
            let dir = m.home.path().display().to_string();
            m.set("GOOGLE_APPLICATION_CREDENTIALS", dir);
        }),
        plain("search: a service account in gcloud's place", BOTH, |m| {
            m.file(ADC, &key(m));
        }),
        plain("search: an unknown type", NONE, |m| {
            m.credentials(r#"{"type": "wizard"}"#)
        }),
        plain("search: no type", NONE, |m| m.credentials("{}")),
        plain("search: half a JSON", NONE, |m| {
            m.credentials("{\"type\": \"serv")
        }),
        plain("search: an OAuth client's file", NONE, |m| {
            m.credentials(r#"{"installed": {"client_id": "x", "client_secret": "y"}}"#)
        }),
        plain("search: gcloud's file is broken", NONE, |m| {
            m.file(ADC, "{");
        }),
        plain(
            "search: a proxy is set and loopback goes past it",
            BOTH,
            |m| {
                m.credentials(&key(m));
                m.set("HTTPS_PROXY", "http://127.0.0.1:9");
            },
        ),
    ]
}

fn earth_engine_files() -> Vec<Scenario> {
    let plain = |name, machine| plain(name, Reference::EarthEngine, machine);
    vec![
        plain("earth engine file: as the Python client writes it", |m| {
            m.file(EE_FILE, &m.user.earthengine_file_json(None));
        }),
        plain("earth engine file: before the variable", |m| {
            m.file(EE_FILE, &m.user.earthengine_file_json(None));
            m.credentials(&key(m));
        }),
        plain(
            "earth engine file: only a project, then gcloud's file",
            |m| {
                m.file(EE_FILE, r#"{"project": "my-project"}"#);
                m.file(ADC, &login(m));
            },
        ),
        plain(
            "earth engine file: only a project, then the variable",
            |m| {
                m.file(EE_FILE, r#"{"project": "my-project"}"#);
                m.credentials(&login(m));
            },
        ),
        plain("earth engine file: none, then gcloud's file", |m| {
            m.file(ADC, &login(m));
        }),
        plain("earth engine file: a client of one's own", |m| {
            let login: Value = serde_json::from_str(&login(m)).unwrap();
            let own = json!({
                "refresh_token": login["refresh_token"], "client_id": login["client_id"],
                "client_secret": login["client_secret"], "scopes": [CLOUD],
            });
            m.file(EE_FILE, &own.to_string());
        }),
        plain("earth engine file: a made-up refresh token", |m| {
            m.file(EE_FILE, r#"{"refresh_token": "1//made-up"}"#);
        }),
    ]
}
