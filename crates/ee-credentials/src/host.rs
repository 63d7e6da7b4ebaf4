//! Hosts that a credential file names: secrets go to Google, or where the caller allowed it.

use ee_token::{Remedy, is_loopback};
use url::Url;

use crate::document::Document;
use crate::{Error, ErrorKind};

/// Checks a URL in a file before a secret is sent there.
pub(crate) fn check_host(
    document: &Document,
    field: &str,
    text: &str,
    allowed: &[String],
) -> Result<Url, Error> {
    let url = Url::parse(text).map_err(|_| document.invalid(field, "is not a URL"))?;
    let host = url.host_str().unwrap_or_default();
    if is_loopback(&url) && matches!(url.scheme(), "http" | "https") {
        return Ok(url);
    }
    if url.scheme() != "https" {
        return Err(document.invalid(field, "is not an HTTPS URL"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(document.invalid(field, "carries a user name or a password"));
    }
    let is_google = host.ends_with(".googleapis.com") || host == "accounts.google.com";
    if is_google
        || allowed
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(host))
    {
        return Ok(url);
    }
    Err(Error::new(
        ErrorKind::RefusedHost,
        format!("{}: its field {field} names the host {host}, which is not Google's", document.place()),
    )
    .with_remedy(
        Remedy::new("If you trust this host with the credential's secret, allow it by name, with .allow_host(…) or --allow-host.")
            .command(format!("eectl init --allow-host {host}")),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn google_loopback_and_what_was_allowed_pass() {
        let document = Document::parse("{}", "f").unwrap();
        let kind = |text: &str, allowed: &[&str]| {
            let allowed: Vec<_> = allowed.iter().map(|s| s.to_string()).collect();
            check_host(&document, "token_uri", text, &allowed)
                .err()
                .map(|e| e.kind())
        };
        assert_eq!(kind("https://oauth2.googleapis.com/token", &[]), None);
        assert_eq!(
            kind("https://accounts.google.com/o/oauth2/token", &[]),
            None
        );
        assert_eq!(kind("http://127.0.0.1:1/x", &[]), None);
        assert_eq!(kind("https://sso.example/token", &["SSO.example"]), None);
        assert_eq!(
            kind("https://sso.example/token", &[]),
            Some(ErrorKind::RefusedHost)
        );
        assert_eq!(
            kind("https://evilgoogleapis.com/token", &[]),
            Some(ErrorKind::RefusedHost)
        );
        assert_eq!(
            kind("https://googleapis.com.evil.example/", &[]),
            Some(ErrorKind::RefusedHost)
        );
        assert_eq!(
            kind("http://oauth2.googleapis.com/token", &[]),
            Some(ErrorKind::InvalidFile)
        );
        assert_eq!(
            kind("https://a:b@oauth2.googleapis.com/", &[]),
            Some(ErrorKind::InvalidFile)
        );
        assert_eq!(kind("nonsense", &[]), Some(ErrorKind::InvalidFile));
    }
}
