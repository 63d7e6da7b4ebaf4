//! Which kind of credential a text is: the types that Application Default Credentials know,
//! and Earth Engine's own file, which has no type.

pub(crate) mod authorized_user;
pub(crate) mod credential;
pub(crate) mod earth_engine_file;
pub(crate) mod external_account;
pub(crate) mod external_account_authorized_user;
pub(crate) mod gdch_service_account;
pub(crate) mod identity;
pub(crate) mod impersonated;
pub(crate) mod metadata_server;
pub(crate) mod service_account;
pub(crate) mod user_login;

use ee_token::Remedy;

use crate::input::json::Document;
use crate::input::location::Location;
use crate::input::quote::clipped;
use crate::kinds::credential::Credential;
use crate::kinds::earth_engine_file::EarthEngineFile;
use crate::kinds::service_account::ServiceAccountKey;
use crate::{CredentialOptions, Error};

/// Reads a credential of any kind.
pub(crate) fn load(
    text: &str,
    location: &Location,
    options: &CredentialOptions,
) -> Result<Credential, Error> {
    load_document(&Document::parse(text, location)?, options)
}

/// What to do with each type: the one place that knows them all.
pub(crate) fn load_document(
    document: &Document,
    options: &CredentialOptions,
) -> Result<Credential, Error> {
    let location = &document.location;
    match document.text("type")? {
        Some("service_account") => {
            service_account::load(ServiceAccountKey::from_document(document)?, options)
        }
        Some("authorized_user") => authorized_user::load(document, options),
        Some("external_account_authorized_user") => {
            external_account_authorized_user::load(document, options)
        }
        Some("impersonated_service_account") => impersonated::load(document, options),
        Some("gdch_service_account") => gdch_service_account::load(document, options),
        Some("external_account") => external_account::load(document, options),
        Some(other) => Err(unknown(location, other)),
        None if is_earth_engine_file(document) => {
            EarthEngineFile::from_document(document)?.load(location, options)
        }
        None => Err(untyped(document)),
    }
}

/// Earth Engine's file has no type, and any subset of its keys.
fn is_earth_engine_file(document: &Document) -> bool {
    ["refresh_token", "project"]
        .iter()
        .any(|name| document.has(name))
        && !document.has("access_token")
}

fn unknown(location: &Location, kind: &str) -> Error {
    location
        .invalid(format_args!(
            "the field `type` is {:?}, which is no type of credential; known are service_account, authorized_user, external_account, external_account_authorized_user, impersonated_service_account and gdch_service_account",
            clipped(kind)
        ))
        .with_remedy(Remedy::new(
            "Use a service account's JSON key, or a file that a login has written.",
        ))
}

/// An object that is no credential: names what it is, where it can be told.
fn untyped(document: &Document) -> Error {
    let location = &document.location;
    let (what, advice) = if document.has("installed") || document.has("web") {
        (
            "it describes an OAuth client (client_secret….json), and is no credential of anybody",
            "Log in with it first, and use the file that the login writes; or use a service account's JSON key.",
        )
    } else if document.has("private_key") {
        (
            "the field `type` is missing; otherwise it looks like a service account's key",
            "Use the key file as the Cloud console made it, with \"type\": \"service_account\".",
        )
    } else if document.has("access_token") {
        (
            "it is the answer of a token endpoint, and the token in it ends within the hour",
            "Use a credential that lasts: a login's file or a service account's key.",
        )
    } else {
        (
            "the field `type` is missing, so it is no credential",
            "Use a service account's JSON key, or a file that a login has written.",
        )
    };
    location.invalid(what).with_remedy(Remedy::new(advice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn refusal(text: &str) -> Error {
        let options = CredentialOptions::google();
        load(text, &Location::file("/x/odd.json"), &options)
            .err()
            .unwrap()
    }

    #[test]
    fn what_is_no_credential_is_named_for_what_it_is() {
        for (text, noun) in [
            (r#"{"installed": {"client_id": "a"}}"#, "OAuth client"),
            (r#"{"web": {"client_secret": "canary"}}"#, "OAuth client"),
            (r#"{"private_key": "canary"}"#, "service account's key"),
            (
                r#"{"access_token": "canary", "refresh_token": "1//canary"}"#,
                "token endpoint",
            ),
            ("{}", "`type` is missing"),
            (r#"{"type": null}"#, "`type` is missing"),
            (r#"{"type": 7}"#, "`type` is a number"),
            (r#"{"type": "wizard"}"#, "\"wizard\""),
            (
                r#"{"type": "FeatureCollection", "features": []}"#,
                "known are service_account",
            ),
        ] {
            let error = refusal(text);
            assert_eq!(error.kind(), ErrorKind::InvalidFile, "{text}");
            let message = error.to_string();
            assert!(
                message.starts_with("/x/odd.json: ") && message.contains(noun),
                "{message}"
            );
            assert!(!format!("{error:?}").contains("canary"));
            assert!(error.remedy().is_some());
        }
    }

    #[test]
    fn a_foreign_universe_is_refused() {
        let error = refusal(r#"{"type": "authorized_user", "universe_domain": "example.net"}"#);
        assert_eq!(error.kind(), ErrorKind::UnsupportedUniverse);
        assert!(error.to_string().contains("example.net"));
    }

    #[test]
    fn a_type_as_long_as_a_book_is_not_quoted_whole() {
        let error = refusal(&format!(r#"{{"type": "{}"}}"#, "x".repeat(10_000)));
        assert!(error.to_string().len() < 400);
    }
}
