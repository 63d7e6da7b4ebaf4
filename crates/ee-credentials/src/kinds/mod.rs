//! The kinds of credential files: the types of Application Default Credentials, and Earth Engine's
//! login file, which has no type.
//!
//! Each module has the structure of its file, validates it, and gets tokens with it. One kind
//! contains another: `impersonated` calls [`load_object`].

pub(crate) mod account_name;
pub(crate) mod authorized_user;
pub(crate) mod credential;
pub(crate) mod earth_engine_file;
pub(crate) mod external_account;
pub(crate) mod external_account_authorized_user;
pub(crate) mod gdch_service_account;
pub(crate) mod id_token;
pub(crate) mod identity;
pub(crate) mod impersonated;
pub(crate) mod metadata_server;
pub(crate) mod oauth_clients;
pub(crate) mod service_account;
pub(crate) mod user_login;

use ee_token::Remedy;

use crate::input::json::JsonObject;
use crate::input::location::Location;
use crate::input::quote::clipped;
use crate::input::restored::restored;
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
    load_object(&JsonObject::parse(&restored(text), location)?, options)
}

/// Reads a credential of any kind.
///
/// A `#[serde(tag = "type")]` enum would buffer the fields in memory that is not wiped.
pub(crate) fn load_object(
    object: &JsonObject<'_>,
    options: &CredentialOptions,
) -> Result<Credential, Error> {
    let location = &object.location;
    match object.kind()?.as_deref() {
        Some("service_account") => {
            service_account::load(ServiceAccountKey::from_object(object)?, options)
        }
        Some("authorized_user") => authorized_user::load(object, options),
        Some("external_account_authorized_user") => {
            external_account_authorized_user::load(object, options)
        }
        Some("impersonated_service_account") => impersonated::file::load(object, options),
        Some("gdch_service_account") => gdch_service_account::load(object, options),
        Some("external_account") => external_account::load(object, options),
        Some(other) => Err(unknown_type(location, other)),
        // google-auth reads a key without its type, too.
        None if object.has("private_key") && object.has("client_email") => {
            service_account::load(ServiceAccountKey::from_object(object)?, options)
        }
        None if is_earth_engine_file(object) => {
            EarthEngineFile::from_object(object)?.load(location, options)
        }
        None => Err(missing_type(object)),
    }
}

/// Earth Engine's file has no type, and any subset of its fields. SEPAL writes a token with its date.
fn is_earth_engine_file(object: &JsonObject<'_>) -> bool {
    let has_account = object.has("account") && object.has("private_key");
    let has_field = object.has("refresh_token") || object.has("project") || has_account;
    match object.has("access_token") {
        true => object.has(earth_engine_file::TOKEN_EXPIRY),
        false => has_field,
    }
}

fn unknown_type(location: &Location, kind: &str) -> Error {
    location
        .invalid(format_args!(
            "the field `type` is {:?}, and must be service_account, authorized_user, external_account, external_account_authorized_user, impersonated_service_account or gdch_service_account",
            clipped(kind)
        ))
        .with_remedy(Remedy::new(
            "Use a service account's JSON key, or a file that a login has written.",
        ))
}

/// The error for an object without a type. Says what the object is, if its fields tell.
fn missing_type(object: &JsonObject<'_>) -> Error {
    let (why, remedy) = if object.has("installed") || object.has("web") {
        (
            "it is an OAuth client (client_secret….json), not a credential",
            "Log in with the client and use the file that the login writes, or use a service account's JSON key.",
        )
    } else if object.has("private_key") {
        (
            "the field `type` is missing; the other fields are those of a service account key",
            "Use the key file as the Cloud console created it, with \"type\": \"service_account\".",
        )
    } else if object.has("access_token") {
        (
            "it is the response of a token endpoint, whose token expires within an hour",
            "Use a credential that does not expire: a login's file or a service account key.",
        )
    } else {
        (
            "the field `type` is missing",
            "Use a service account's JSON key, or a file that a login has written.",
        )
    };
    object
        .location
        .invalid(why)
        .with_remedy(Remedy::new(remedy))
}

#[cfg(test)]
mod rejection_tests;
#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn error_of(text: &str) -> Error {
        let options = CredentialOptions::default();
        load(text, &Location::file("/x/odd.json"), &options)
            .err()
            .unwrap()
    }

    #[test]
    fn text_that_is_not_a_credential_is_identified() {
        for (text, noun) in [
            (r#"{"installed": {"client_id": "a"}}"#, "OAuth client"),
            (r#"{"web": {"client_secret": "canary"}}"#, "OAuth client"),
            (r#"{"private_key": "canary"}"#, "service account key"),
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
                "must be service_account",
            ),
        ] {
            let error = error_of(text);
            assert_eq!(error.kind(), ErrorKind::InvalidFile, "{text}");
            let message = error.to_string();
            assert!(
                message.starts_with("/x/odd.json: ") && message.contains(noun),
                "{message}"
            );
            assert!(!format!("{error:?}").contains("canary"));
            assert!(!error.remedy().text.is_empty());
        }
    }

    #[test]
    fn other_universe_is_rejected() {
        let error = error_of(r#"{"type": "authorized_user", "universe_domain": "example.net"}"#);
        assert_eq!(error.kind(), ErrorKind::UnsupportedUniverse);
        assert!(error.to_string().contains("example.net"));
    }

    #[test]
    fn overlong_type_is_shortened() {
        let error = error_of(&format!(r#"{{"type": "{}"}}"#, "x".repeat(10_000)));
        assert!(error.to_string().len() < 400);
    }
}
