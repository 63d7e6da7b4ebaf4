//! Scenarios of impersonation, and of two rare file types: workforce users and GDCH service
//! accounts.

use std::time::Duration;

use earthengine::Credentials;
use earthengine::credentials::CredentialOptions;
use serde_json::{Value, json};

use crate::scenario::{IMPERSONATE, Machine, PROJECT, Reference, Scenario};
use crate::scenarios::{BOTH, EE, READ_ONLY, key, login, plain, with};

const IAM: &str = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts";

fn account(name: &str) -> String {
    format!("{name}@{PROJECT}.iam.gserviceaccount.com")
}

/// Returns a file for the account `target`, which the source with this principal may impersonate,
/// through `delegates`.
fn file(m: &Machine, source: &str, principal: &str, delegates: &[&str]) -> String {
    let mut from = principal.to_owned();
    for name in delegates.iter().chain(&["target"]) {
        let to = account(name);
        m.emulator.create_service_account(&to, PROJECT);
        m.emulator.allow_impersonation(&from, &to);
        from = to;
    }
    let delegates: Vec<String> = delegates
        .iter()
        .map(|name| format!("projects/-/serviceAccounts/{}", account(name)))
        .collect();
    let source: Value = serde_json::from_str(source).unwrap();
    json!({
        "type": "impersonated_service_account",
        "service_account_impersonation_url":
            format!("{IAM}/{}:generateAccessToken", account("target")),
        "delegates": delegates,
        "source_credentials": source,
    })
    .to_string()
}

fn of_key(m: &Machine) -> String {
    file(m, &key(m), m.robot.email(), &[])
}

fn of_login(m: &Machine) -> String {
    file(m, &login(m), m.user.email(), &[])
}

/// Reads `EE_TESTS_IMPERSONATE` on this workspace's side.
pub(crate) fn act_as(
    source: &Credentials,
    wish: &Value,
    options: &CredentialOptions,
) -> Credentials {
    let delegates = wish["delegates"].as_array().unwrap();
    source
        .impersonate(wish["target"].as_str().unwrap())
        .delegates(delegates.iter().map(|name| name.as_str().unwrap()))
        .lifetime(Duration::from_secs(wish["lifetime"].as_u64().unwrap()))
        .build(options)
        .unwrap()
}

/// Impersonates `target` with the credentials that are found.
fn wish(m: &mut Machine, principal: &str, delegates: &[&str], lifetime: u64) {
    let file: Value = serde_json::from_str(&file(m, "{}", principal, delegates)).unwrap();
    let wish = json!({
        "target": account("target"), "delegates": file["delegates"], "lifetime": lifetime,
    });
    m.set(IMPERSONATE, wish.to_string());
}

/// Returns a user of a workforce pool, whose refresh token differs on each side.
fn workforce(m: &mut Machine) -> (String, String) {
    let user = m.emulator.create_workforce_user("jane");
    m.drawn
        .push((user.refresh_token().to_owned(), "the refresh token"));
    (user.json(), user.principal().to_owned())
}

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = files();
    all.extend(found_credentials());
    all.extend(workforce_users());
    all.extend(service_identities());
    all
}

fn files() -> Vec<Scenario> {
    vec![
        plain("impersonation: a key acts as the account", BOTH, |m| {
            m.credentials(&of_key(m))
        }),
        plain("impersonation: a login acts as the account", BOTH, |m| {
            m.credentials(&of_login(m))
        }),
        plain("impersonation: the login's quota project", BOTH, |m| {
            let login = m.user.authorized_user_json_with_quota_project(PROJECT);
            m.credentials(&file(m, &login, m.user.email(), &[]));
        }),
        plain("impersonation: the file's quota project", BOTH, |m| {
            m.credentials(&with(&of_key(m), "quota_project_id", json!("pays-for-it")))
        }),
        plain(
            "impersonation: a quota project in the environment",
            BOTH,
            |m| {
                m.credentials(&of_login(m));
                m.set("GOOGLE_CLOUD_QUOTA_PROJECT", "env-quota-project");
            },
        ),
        plain("impersonation: delegates", BOTH, |m| {
            m.credentials(&file(m, &key(m), m.robot.email(), &["one", "two"]))
        }),
        plain(
            "impersonation: one scope",
            Reference::GoogleAuth(&[READ_ONLY]),
            |m| m.credentials(&of_key(m)),
        ),
        plain(
            "impersonation: scopes in the file alone",
            Reference::GoogleAuth(&[]),
            |m| m.credentials(&with(&of_key(m), "scopes", json!([READ_ONLY, EE]))),
        ),
        plain(
            "impersonation: scopes in the file and asked for",
            BOTH,
            |m| m.credentials(&with(&of_key(m), "scopes", json!([READ_ONLY]))),
        ),
        plain("impersonation: nested", BOTH, |m| {
            let inner = file(m, &key(m), m.robot.email(), &[]);
            let inner = inner.replace(&account("target"), &account("middle"));
            m.emulator
                .create_service_account(&account("middle"), PROJECT);
            m.emulator
                .allow_impersonation(m.robot.email(), &account("middle"));
            m.credentials(&file(m, &inner, &account("middle"), &[]));
        }),
        plain("impersonation: a workforce user", BOTH, |m| {
            let (json, principal) = workforce(m);
            m.credentials(&file(m, &json, &principal, &[]));
        }),
        plain("impersonation: without the role", BOTH, |m| {
            m.credentials(&file(m, &key(m), "unknown@other.example", &[]))
        }),
        plain("impersonation: no source", BOTH, |m| {
            m.credentials(&with(&of_key(m), "source_credentials", json!(null)))
        }),
        plain("impersonation: a URL without an account", BOTH, |m| {
            m.credentials(&with(
                &of_key(m),
                "service_account_impersonation_url",
                json!(IAM),
            ))
        }),
    ]
}

fn found_credentials() -> Vec<Scenario> {
    vec![
        plain("impersonation: of a key that was found", BOTH, |m| {
            m.credentials(&key(m));
            let robot = m.robot.email().to_owned();
            wish(m, &robot, &[], 600);
        }),
        plain("impersonation: of a login that was found", BOTH, |m| {
            m.credentials(&login(m));
            let jane = m.user.email().to_owned();
            wish(m, &jane, &["one"], 3600);
        }),
    ]
}

fn workforce_users() -> Vec<Scenario> {
    vec![
        plain("workforce user: as gcloud writes it", BOTH, |m| {
            let (json, _) = workforce(m);
            m.credentials(&json);
        }),
        plain("workforce user: a quota project in the file", BOTH, |m| {
            let (json, _) = workforce(m);
            m.credentials(&with(&json, "quota_project_id", json!("pays-for-it")));
        }),
        plain("workforce user: a made-up refresh token", BOTH, |m| {
            let (json, _) = workforce(m);
            m.credentials(&with(&json, "refresh_token", json!("made-up")));
        }),
        plain("workforce user: no refresh token", BOTH, |m| {
            let (json, _) = workforce(m);
            m.credentials(&with(&json, "refresh_token", json!(null)));
        }),
    ]
}

fn service_identities() -> Vec<Scenario> {
    fn identity(m: &mut Machine) -> String {
        let identity = m.emulator.create_service_identity("my-project", "my-robot");
        m.drawn
            .push((format!("\"{}\"", identity.key_id()), "the key's id"));
        m.set("EE_TESTS_GDCH_AUDIENCE", "https://service.gdch.test");
        m.options = |options| {
            options
                .allow_host("service-identity.gdch.test")
                .gdch_audience("https://service.gdch.test")
        };
        identity.json()
    }
    vec![
        plain(
            "service identity: an audience",
            Reference::GoogleAuth(&[]),
            |m| {
                let json = identity(m);
                m.credentials(&json);
            },
        ),
        plain(
            "service identity: another format",
            Reference::GoogleAuth(&[]),
            |m| {
                let json = identity(m);
                m.credentials(&with(&json, "format_version", json!("2")));
            },
        ),
    ]
}
