//! Earth Engine's own credentials file, shared with its Python client.

use ee_token::{Remedy, SecretString};

use crate::Error;
use crate::authorized_user::Login;
use crate::document::Document;

/// Earth Engine's public desktop OAuth client, which stands in every copy of its Python
/// client: neither is a secret (RFC 8252 §8.5).
const CLIENT_ID: &str = "517222506229-vsmmajv00ul0bs7p89v5m89qs8eb9359.apps.googleusercontent.com";
const CLIENT_SECRET: &str = "RUP0RZ6e0pPhDzsqIJ7KlNd1";

/// The login in such a file; `None` for one that holds only a project, which is legal.
/// `token_uri` is never read.
pub(crate) fn read(document: &Document) -> Result<Option<Login>, Error> {
    let Some(refresh_token) = document.optional("refresh_token")? else {
        return Ok(None);
    };
    let or = |field: &str, default: &str| {
        Ok::<_, Error>(document.optional(field)?.unwrap_or(default).to_owned())
    };
    Ok(Some(Login {
        refresh_token: refresh_token.into(),
        client_id: or("client_id", CLIENT_ID)?,
        client_secret: or("client_secret", CLIENT_SECRET)?.into(),
        rapt: None,
        account: document.optional("account")?.map(str::to_owned),
        remedy: log_in_again(),
    }))
}

/// The login of a bare refresh token, which belongs to Earth Engine's own client.
pub(crate) fn bare(refresh_token: &str) -> Login {
    Login {
        refresh_token: SecretString::from(refresh_token),
        client_id: CLIENT_ID.to_owned(),
        client_secret: CLIENT_SECRET.into(),
        rapt: None,
        account: None,
        remedy: log_in_again(),
    }
}

/// The project in such a file; an empty one counts as absent.
pub(crate) fn project(text: &str, place: &str) -> Result<Option<String>, Error> {
    let document = Document::parse(text, place)?;
    Ok(document.optional("project")?.map(str::to_owned))
}

fn log_in_again() -> Remedy {
    Remedy::new("Log in again. A login that was made in a notebook lasts 7 days.")
        .command("earthengine authenticate --force")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ee_token::ExposeSecret as _;

    fn login(text: &str) -> Option<Login> {
        read(&Document::parse(text, "f").unwrap()).unwrap()
    }

    #[test]
    fn the_client_is_earth_engines_unless_the_file_names_another() {
        let own = login(r#"{"refresh_token": "r", "token_uri": "https://evil.example/"}"#).unwrap();
        assert_eq!(own.client_id, CLIENT_ID);
        assert_eq!(own.client_project().as_deref(), Some("517222506229"));
        let other = login(
            r#"{"refresh_token": "r", "client_id": "42-x", "client_secret": "s", "new": [1]}"#,
        )
        .unwrap();
        assert_eq!(other.client_id, "42-x");
        assert_eq!(other.client_secret.expose_secret(), "s");
    }

    #[test]
    fn a_file_with_a_project_alone_is_no_login() {
        assert!(login(r#"{"project": "my-project"}"#).is_none());
        assert!(login(r#"{"refresh_token": ""}"#).is_none());
        assert_eq!(
            project(r#"{"project": "my-project"}"#, "f")
                .unwrap()
                .as_deref(),
            Some("my-project")
        );
        assert_eq!(project(r#"{"project": ""}"#, "f").unwrap(), None);
        assert!(project(r#"{"project": 7}"#, "f").is_err());
    }
}
