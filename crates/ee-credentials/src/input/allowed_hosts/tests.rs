use ee_token::HttpClient;

use super::*;

const TOKEN_URI: (&str, UrlField) = ("token_uri", UrlField::TokenUri);
const GDCH_TOKEN_URI: (&str, UrlField) = ("token_uri", UrlField::GdchTokenUri);
const TOKEN_URL: (&str, UrlField) = ("token_url", UrlField::TokenUrl);
const IMPERSONATION: (&str, UrlField) =
    ("service_account_impersonation_url", UrlField::Impersonation);

/// Checks a URL with default options.
fn check_by_default(url: &str, field: (&'static str, UrlField)) -> Result<Url, Error> {
    check(
        url,
        field,
        &Location::InMemory,
        &CredentialOptions::default(),
    )
}

#[test]
fn unlisted_hosts_need_permission_even_on_loopback() {
    let options = CredentialOptions::default();
    let options = options
        .allow_host("Tokens.example.com")
        .allow_host("b.example:8443")
        .allow_host("127.0.0.1:8090");
    for field in [TOKEN_URI, TOKEN_URL, IMPERSONATION, GDCH_TOKEN_URI] {
        let checked = |url: &str| {
            check(url, field, &Location::file("/k.json"), &options).map_err(|e| e.kind())
        };
        for url in [
            "http://127.0.0.1:8090/oauth2.googleapis.com/token",
            "https://tokens.example.com/x?y",
            "https://b.example:8443/x",
        ] {
            assert!(checked(url).is_ok(), "{url}");
        }
        for url in [
            "https://evil.example/token",
            "https://storage.googleapis.com/upload/storage/v1/b/b/o?uploadType=media&name=x",
            "https://bucket.storage.googleapis.com/token",
            "https://googleapis.com.evil.example/token",
            "https://evilgoogleapis.com/token",
            "https://google.com/token",
            "http://oauth2.googleapis.com/token",
            "https://oauth2.googleapis.com:8443/token",
            "https://b.example/x",
            "https://user:canary@oauth2.googleapis.com/",
            "https://oauth2.googleapis.com@evil.example/",
            "ftp://127.0.0.1:8090/",
            "http://127.0.0.1:6666/",
            "https://localhost/",
            "https://142.250.0.1/token",
        ] {
            assert_eq!(checked(url), Err(ErrorKind::DisallowedHost), "{url}");
        }
        for url in ["", "token", "data:text/plain,x"] {
            assert_eq!(checked(url), Err(ErrorKind::InvalidFile), "{url}");
        }
    }
}

#[test]
fn plain_http_needs_a_near_host_or_permission_for_it() {
    for (url, allowed, is_allowed) in [
        ("http://127.0.0.1:1/x", "", true),
        ("http://localhost/x", "", true),
        ("http://169.254.169.254/x", "", true),
        ("http://169.254.129.2:8081/x", "", true),
        ("http://[fe80::1]:1/x", "", true),
        ("http://[fd00:ec2::23]/x", "", true),
        ("http://[fd00:ec3::23]/x", "", false),
        ("http://169.255.0.1/x", "", false),
        ("http://10.0.0.1/x", "", false),
        ("https://10.0.0.1/x", "", true),
        ("ftp://127.0.0.1/x", "ftp://127.0.0.1", false),
        ("http://tokens.svc:8080/x", "tokens.svc", false),
        ("http://tokens.svc:8080/x", "tokens.svc:8080", true),
        ("http://tokens.svc:8080/x", "tokens.svc:80", false),
        ("http://tokens.svc/x", "tokens.svc:80", true),
        ("http://tokens.svc/x", "http://tokens.svc:80", true),
        ("http://tokens.svc:8080/x", " HTTP://Tokens.svc/ ", true),
        ("http://tokens.svc:8080/x", "http://tokens.svc:8080", true),
        ("http://tokens.svc:8080/x", "http://tokens.svc:9090", false),
        ("http://tokens.svc:8080/x", "https://tokens.svc:8080", false),
        ("http://tokens.svc/x", "http://other.svc", false),
        (
            "http://tokens.svc.evil.example/x",
            "http://tokens.svc",
            false,
        ),
    ] {
        let url = Url::parse(url).unwrap();
        let allowed = [allowed.to_owned()];
        let checked = check_scheme(&url, "the field `url`", &allowed);
        assert_eq!(checked.is_ok(), is_allowed, "{url} {allowed:?}");
        let Err(error) = checked else { continue };
        assert_eq!(error.kind(), ErrorKind::DisallowedHost);
        // Following the remedy is enough.
        if let Some(command) = error.remedy().command.clone() {
            let allowed = command.split(' ').nth(2).unwrap();
            if allowed != "HOST" {
                check_scheme(&url, "x", &[allowed.to_owned()]).unwrap();
            }
        }
    }
}

#[test]
fn each_field_accepts_only_its_own_service() {
    const LISTED: [(UrlField, &str); 4] = [
        (UrlField::TokenUri, "https://oauth2.googleapis.com/token"),
        (
            UrlField::TokenUri,
            "https://www.googleapis.com/oauth2/v4/token",
        ),
        (UrlField::TokenUrl, "https://sts.googleapis.com/v1/token"),
        (
            UrlField::Impersonation,
            "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@b.example:generateAccessToken",
        ),
    ];
    for (_, url) in LISTED {
        for field in [TOKEN_URI, TOKEN_URL, IMPERSONATION, GDCH_TOKEN_URI] {
            let result = check_by_default(url, field);
            let is_its_own = LISTED.contains(&(field.1, url));
            assert_eq!(result.is_ok(), is_its_own, "{field:?}: {url}");
        }
    }
}

#[test]
fn loopback_needs_no_permission_with_test_endpoints() {
    let token = "http://127.0.0.1:1/token".parse().unwrap();
    let test_endpoints = Endpoints::google().with_url(Endpoint::Token, token);
    let emulator = Endpoints::emulator("127.0.0.1:8090".parse().unwrap()).unwrap();
    for endpoints in [test_endpoints, emulator] {
        let options = CredentialOptions::new(HttpClient::new(endpoints));
        for url in [
            "http://[::1]/x",
            "http://localhost:1/x",
            "https://127.0.0.1/x",
        ] {
            check(url, TOKEN_URI, &Location::InMemory, &options).unwrap();
        }
        for url in ["http://10.0.0.1/x", "http://localhost.example.com/x"] {
            check(url, TOKEN_URI, &Location::InMemory, &options).unwrap_err();
        }
    }
}

#[test]
fn unsafe_host_stays_out_of_commands() {
    let error = check_by_default("https://a$(id).example/", TOKEN_URI).unwrap_err();
    assert!(error.to_string().contains("a$(id).example"), "{error}");
    let command = error.remedy().command.clone().unwrap();
    assert_eq!(command, "eectl --allow-host HOST …");
}

#[test]
fn overlong_host_is_not_quoted() {
    let url = format!("https://{}.example/", "a".repeat(300));
    let error = check_by_default(&url, TOKEN_URI).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidFile);
    assert!(!error.to_string().contains("aaa"), "{error}");
}

#[test]
fn disallowed_host_is_named_with_file_field_and_remedy() {
    for (url, named, allowed) in [
        (
            "https://evil.example/a?s=canary",
            "evil.example",
            "evil.example",
        ),
        (
            "https://sts.googleapis.com:8443/v1/token?s=canary",
            "sts.googleapis.com:8443",
            "sts.googleapis.com:8443",
        ),
        (
            "https://sts.googleapis.com/v1/upload?s=canary",
            "sts.googleapis.com with the path \"/v1/upload\" and a query",
            "sts.googleapis.com",
        ),
    ] {
        let file = Location::file("/k.json");
        let error = check(url, TOKEN_URL, &file, &CredentialOptions::default()).unwrap_err();
        let message = error.to_string();
        for part in [
            "/k.json",
            "`token_url`",
            named,
            "Google's Security Token Service",
        ] {
            assert!(message.contains(part), "{message}");
        }
        assert!(!message.contains("canary"));
        let remedy = error.remedy();
        let command = format!("eectl --allow-host {allowed} …");
        assert_eq!(remedy.command, Some(command));
        assert!(remedy.text.contains(".allow_host(") && remedy.url.is_some());
        // Following the remedy is enough.
        let allowing = CredentialOptions::default().allow_host(allowed);
        check(url, TOKEN_URL, &file, &allowing).unwrap();
    }
}

proptest::proptest! {
    #[test]
    fn accepted_urls_are_listed_or_allowed(url in any_url(), n in 0_usize..4) {
        let field = [TOKEN_URI, TOKEN_URL, IMPERSONATION, GDCH_TOKEN_URI][n];
        let options = CredentialOptions::default().allow_host("tokens.example.com");
        if let Ok(url) = check(&url, field, &Location::InMemory, &options) {
            let is_listed = field.1.compare(&url) == UrlMatch::Listed;
            let is_allowed = url.host_str() == Some("tokens.example.com");
            assert!(url.scheme() == "https" && (is_listed || is_allowed), "{url}");
        }
    }
}

/// Generates URLs close to accepted ones.
fn any_url() -> impl proptest::strategy::Strategy<Value = String> {
    "https?://(me@|:x@)?(sts|iamcredentials|oauth2|storage|www|tokens|[a-z%.@]{1,4})(\\.|-|@|%2e|\\\\|/){1}(us-east1|googleapis|example|mtls|p)?(\\.rep)?(\\.googleapis)?\\.com(:[0-9]{2,4})?(/v1/token|/token|/oauth2/v4/token|/x)?([?#/.][a-z]?)?"
}
