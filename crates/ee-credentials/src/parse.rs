//! From a text to a credential: which kind it is, told by its shape.

use std::sync::Arc;

use ee_token::{Remedy, TokenSource};

use crate::authorized_user::{AuthorizedUser, Login};
use crate::document::{Document, invalid};
use crate::service_account::{ServiceAccount, ServiceAccountKey, ServiceAccountOptions};
use crate::{Error, ErrorKind, Kind, Options, earthengine_file};

/// Kinds that Google's clients know and this version does not.
const NOT_YET: [&str; 4] = [
    "external_account",
    "external_account_authorized_user",
    "impersonated_service_account",
    "gdch_service_account",
];

/// A credential, and what its text says of it.
#[derive(Debug, Clone)]
pub(crate) struct Parsed {
    pub(crate) kind: Kind,
    pub(crate) source: Arc<dyn TokenSource>,
    pub(crate) principal: Option<String>,
    pub(crate) quota_project: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) client_project: Option<String>,
    /// Tells one identity from another, where the principal is not known.
    pub(crate) client_id: Option<String>,
}

/// Reads a credential of any kind. `place` is the path or variable that errors name.
pub(crate) fn parse(text: &str, place: &str, options: &Options) -> Result<Parsed, Error> {
    let document = Document::parse(text, place)?;
    match document.optional("type")? {
        Some("service_account") => service_account(&document, options),
        Some("authorized_user") => {
            let login = Login::read(&document)?;
            let quota_project = document.optional("quota_project_id")?.map(str::to_owned);
            Ok(person(Kind::AuthorizedUser, login, quota_project, options))
        }
        Some(kind) if NOT_YET.contains(&kind) => Err(Error::new(
            ErrorKind::Unsupported,
            format!("{place} is a credential of the type {kind}, which this version cannot use yet"),
        )
        .with_remedy(Remedy::new(
            "Use a service account's key or a person's login; or get a token by other means, and give a closure that returns it.",
        ))),
        Some(kind) => Err(unknown_type(place, kind)),
        None => untyped(&document, options),
    }
}

/// Earth Engine's own file has no type; some other files that people put here have none either.
fn untyped(document: &Document, options: &Options) -> Result<Parsed, Error> {
    if let Some(login) = earthengine_file::read(document)? {
        return Ok(person(Kind::EarthEngineFile, login, None, options));
    }
    let place = document.place();
    Err(if document.has("installed") || document.has("web") {
        invalid(
            place,
            "is an OAuth client's file, not a credential: log in with that client, and use the file that this makes",
        )
    } else if document.has("private_key") {
        document.invalid(
            "type",
            "is missing; a service account's key has \"service_account\" there",
        )
    } else if document.has("project") {
        invalid(place, "names a project, and holds no credential")
    } else {
        document.invalid("type", "is missing")
    })
}

fn unknown_type(place: &str, kind: &str) -> Error {
    let shown: String = kind.chars().filter(|c| !c.is_control()).take(40).collect();
    invalid(
        place,
        &format!(
            "cannot be used: its field type is \"{shown}\", which is none of service_account, authorized_user, {}",
            NOT_YET.join(", ")
        ),
    )
}

fn service_account(document: &Document, options: &Options) -> Result<Parsed, Error> {
    let key = ServiceAccountKey::read(document, &options.allowed_hosts)?;
    Ok(of_key(key, options))
}

pub(crate) fn of_key(key: ServiceAccountKey, options: &Options) -> Parsed {
    let how = ServiceAccountOptions {
        scopes: options.scopes.clone(),
        subject: options.subject.clone(),
        self_signed: options.self_signed,
    };
    Parsed {
        kind: Kind::ServiceAccount,
        principal: Some(key.client_email.clone()),
        quota_project: key.quota_project_id.clone(),
        project: key.project_id.clone(),
        client_project: None,
        client_id: None,
        source: Arc::new(ServiceAccount::new(key, how, options.http.clone())),
    }
}

pub(crate) fn person(
    kind: Kind,
    login: Login,
    quota_project: Option<String>,
    options: &Options,
) -> Parsed {
    Parsed {
        kind,
        principal: login.account.clone(),
        quota_project,
        project: None,
        client_project: login.client_project(),
        client_id: Some(login.client_id.clone()),
        source: Arc::new(AuthorizedUser::new(
            login,
            options.scopes.clone(),
            options.http.clone(),
        )),
    }
}
