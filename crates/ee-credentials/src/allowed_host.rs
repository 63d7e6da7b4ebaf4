//! URLs inside credential files: where secrets may be sent.

use ee_token::{Endpoint, Endpoints, Remedy, is_loopback};
use url::{Host, Url};

use crate::place::{Place, is_plain_word};
use crate::{Error, ErrorKind, Options};

/// The longest name that the DNS has (RFC 1035 §2.3.4), in characters.
const LONGEST_HOST: usize = 253;

/// Checks a URL that a credential names: HTTPS to a host of Google's or to one that the
/// caller allowed. On this machine it need not be HTTPS; and where the caller's own endpoints
/// are there too, as in a test, nothing on it needs leave.
///
/// A file that names another host would make this program sign for, or hand a secret to,
/// whoever wrote the file. Other users of this machine can listen on it.
pub(crate) fn check(
    url: &str,
    field: &str,
    place: &Place,
    options: &Options,
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
    let is_here = is_loopback(&url);
    if url.scheme() != "https" && !(is_here && url.scheme() == "http") {
        return Err(refused(format!("names {host} without HTTPS"))
            .with_remedy(Remedy::new("Use an https:// URL.")));
    }
    let is_test = is_here && is_on_this_machine(options.http.endpoints());
    if is_google(&url) || is_test || is_allowed(&url, &options.allowed_hosts) {
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

/// Whether the caller named the URL's host, as `HOST` or `HOST:PORT`.
pub(crate) fn is_allowed(url: &Url, allowed: &[String]) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let port = url.port_or_known_default().unwrap_or(443);
    allowed.iter().any(|allowed| {
        let allowed = allowed.trim();
        allowed.eq_ignore_ascii_case(host)
            || allowed.eq_ignore_ascii_case(&format!("{host}:{port}"))
    })
}

/// Whether what stands in for Google's token hosts is on this machine.
fn is_on_this_machine(endpoints: &Endpoints) -> bool {
    endpoints.emulator_address().is_some()
        || [Endpoint::Token, Endpoint::Sts, Endpoint::IamCredentials]
            .into_iter()
            .any(|endpoint| is_loopback(endpoints.url(endpoint)))
}

fn is_google(url: &Url) -> bool {
    let Some(Host::Domain(name)) = url.host() else {
        return false;
    };
    name == "accounts.google.com" || name.ends_with(".googleapis.com")
}

#[cfg(test)]
mod tests {
    use ee_token::HttpClient;

    use super::*;

    #[test]
    fn googles_hosts_are_fine_and_others_need_leave_this_machine_too() {
        let options = Options::google();
        let options = options
            .allow_host("Tokens.example.com")
            .allow_host("b.example:8443")
            .allow_host("127.0.0.1:8090");
        let verdict = |url: &str| {
            check(url, "token_uri", &Place::file("/k.json"), &options).map_err(|e| e.kind())
        };
        for url in [
            "https://oauth2.googleapis.com/token",
            "https://accounts.google.com/o/oauth2/token",
            "https://www.googleapis.com/oauth2/v4/token",
            "https://SUB.P.GOOGLEAPIS.COM/x",
            "http://127.0.0.1:8090/oauth2.googleapis.com/token",
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
            "ftp://127.0.0.1:8090/",
            "http://127.0.0.1:6666/",
            "https://localhost/",
            "https://142.250.0.1/token",
        ] {
            assert_eq!(verdict(url), Err(ErrorKind::RefusedHost), "{url}");
        }
        for url in ["", "token", "data:text/plain,x"] {
            assert_eq!(verdict(url), Err(ErrorKind::InvalidFile), "{url}");
        }
    }

    #[test]
    fn nothing_on_this_machine_needs_leave_where_a_tests_endpoints_are() {
        let token = "http://127.0.0.1:1/token".parse().unwrap();
        let of_a_test = Endpoints::google().with_url(Endpoint::Token, token);
        let emulator = Endpoints::emulator("127.0.0.1:8090".parse().unwrap()).unwrap();
        for endpoints in [of_a_test, emulator] {
            let options = Options::new(HttpClient::new(endpoints));
            for url in [
                "http://[::1]/x",
                "http://localhost:1/x",
                "https://127.0.0.1/x",
            ] {
                check(url, "token_uri", &Place::Text, &options).unwrap();
            }
            check("http://10.0.0.1/x", "token_uri", &Place::Text, &options).unwrap_err();
        }
    }

    #[test]
    fn a_host_that_a_shell_would_run_does_not_get_into_a_command() {
        let url = "https://a$(id).example/";
        let error = check(url, "token_uri", &Place::Text, &Options::google()).unwrap_err();
        assert!(error.to_string().contains("a$(id).example"), "{error}");
        let command = error.remedy().unwrap().command.clone().unwrap();
        assert_eq!(command, "eectl --allow-host HOST …");
    }

    #[test]
    fn a_host_longer_than_there_can_be_is_not_quoted() {
        let url = format!("https://{}.example/", "a".repeat(300));
        let error = check(&url, "token_uri", &Place::Text, &Options::google()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidFile);
        assert!(!error.to_string().contains("aaa"), "{error}");
    }

    #[test]
    fn a_refusal_names_file_field_and_host_and_says_how_to_allow_it() {
        let error = check(
            "https://evil.example/a?s=canary",
            "token_uri",
            &Place::file("/k.json"),
            &Options::google(),
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
