//! URLs inside credential files: where secrets may be sent.

use ee_token::{Remedy, is_loopback};
use url::{Host, Url};

use crate::place::{Place, is_plain_word};
use crate::{Error, ErrorKind, Options};

/// The longest name that the DNS has (RFC 1035 §2.3.4), in characters.
const LONGEST_HOST: usize = 253;

/// Checks a URL that a credential names: HTTPS to a host of Google's or to one that the
/// caller allowed, or anything on this machine.
///
/// A file that names another host would make this program sign for, or hand a secret to,
/// whoever wrote the file.
pub(crate) fn check(
    url: &str,
    field: &str,
    place: &Place,
    allowed: &[String],
) -> Result<Url, Error> {
    let url = Url::parse(url).map_err(|_| place.invalid_field(field, "is not a URL"))?;
    let Some(host) = url.host_str().map(str::to_owned) else {
        return Err(place.invalid_field(field, "is a URL without a host"));
    };
    if host.len() > LONGEST_HOST {
        return Err(place.invalid_field(field, "names a host with a longer name than there can be"));
    }
    let refused = |why: String| {
        Error::new(
            ErrorKind::RefusedHost,
            format!("{place}: the field `{field}` {why}"),
        )
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            refused(format!("names {host} with a user name or a password")).with_remedy(
                Remedy::new("Download or create the credential again, and use it unchanged."),
            ),
        );
    }
    if is_loopback(&url) && matches!(url.scheme(), "http" | "https") {
        return Ok(url);
    }
    if url.scheme() != "https" {
        return Err(refused(format!("names {host} without HTTPS"))
            .with_remedy(Remedy::new("Use an https:// URL.")));
    }
    let port = url.port_or_known_default().unwrap_or(443);
    let is_allowed = allowed.iter().any(|allowed| {
        let allowed = allowed.trim();
        allowed.eq_ignore_ascii_case(&host)
            || allowed.eq_ignore_ascii_case(&format!("{host}:{port}"))
    });
    if is_google(&url) || is_allowed {
        return Ok(url);
    }
    // A URL's host may have characters that mean something to a shell.
    let shown = if is_plain_word(&host) { &host } else { "HOST" };
    Err(refused(format!(
        "names {host}, which is not a host of Google's: nothing was sent there"
    ))
    .with_remedy(
        Remedy::new("If you know this host and trust it, allow it: with .allow_host(…) in a program, or on the command line.")
            .command(format!("eectl --allow-host {shown} …")),
    ))
}

fn is_google(url: &Url) -> bool {
    let Some(Host::Domain(name)) = url.host() else {
        return false;
    };
    name == "accounts.google.com" || name.ends_with(".googleapis.com")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn googles_hosts_and_this_machine_are_fine_and_others_need_leave() {
        let allowed = ["Tokens.example.com".to_owned(), "b.example:8443".to_owned()];
        let verdict = |url: &str| {
            check(url, "token_uri", &Place::file("/k.json"), &allowed).map_err(|e| e.kind())
        };
        for url in [
            "https://oauth2.googleapis.com/token",
            "https://accounts.google.com/o/oauth2/token",
            "https://www.googleapis.com/oauth2/v4/token",
            "https://SUB.P.GOOGLEAPIS.COM/x",
            "http://127.0.0.1:8090/oauth2.googleapis.com/token",
            "http://[::1]/x",
            "http://localhost:1/x",
            "https://tokens.example.com/x",
            "https://b.example:8443/x",
        ] {
            assert!(verdict(url).is_ok(), "{url}");
        }
        for url in [
            "https://evil.example/token",
            "https://googleapis.com.evil.example/token",
            "https://evilgoogleapis.com/token",
            "https://google.com/token",
            "http://oauth2.googleapis.com/token",
            "https://b.example/x",
            "https://user:canary@oauth2.googleapis.com/",
            "ftp://127.0.0.1/",
            "https://142.250.0.1/token",
        ] {
            assert_eq!(verdict(url), Err(ErrorKind::RefusedHost), "{url}");
        }
        for url in ["", "token", "data:text/plain,x"] {
            assert_eq!(verdict(url), Err(ErrorKind::InvalidFile), "{url}");
        }
    }

    #[test]
    fn a_host_that_a_shell_would_run_does_not_get_into_a_command() {
        let url = "https://a$(id).example/";
        let error = check(url, "token_uri", &Place::Text, &[]).unwrap_err();
        assert!(error.to_string().contains("a$(id).example"), "{error}");
        let command = error.remedy().unwrap().command.clone().unwrap();
        assert_eq!(command, "eectl --allow-host HOST …");
    }

    #[test]
    fn a_host_longer_than_there_can_be_is_not_quoted() {
        let url = format!("https://{}.example/", "a".repeat(300));
        let error = check(&url, "token_uri", &Place::Text, &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidFile);
        assert!(!error.to_string().contains("aaa"), "{error}");
    }

    #[test]
    fn a_refusal_names_file_field_and_host_and_says_how_to_allow_it() {
        let error = check(
            "https://evil.example/a?s=canary",
            "token_uri",
            &Place::file("/k.json"),
            &[],
        )
        .unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("/k.json")
                && message.contains("token_uri")
                && message.contains("evil.example"),
            "{message}"
        );
        assert!(!message.contains("canary"));
        let remedy = error.remedy().unwrap().to_string();
        assert!(remedy.contains("--allow-host evil.example") && remedy.contains(".allow_host("));
    }
}
