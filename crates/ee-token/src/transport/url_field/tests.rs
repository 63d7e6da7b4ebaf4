use super::*;

const FIELDS: [UrlField; 6] = [
    TokenUri,
    GdchTokenUri,
    TokenUrl,
    Impersonation,
    AwsVerification,
    AwsMetadata,
];
const IAM_PATH: &str =
    "/v1/projects/-/serviceAccounts/robot@p-1234.iam.gserviceaccount.com:generateAccessToken";
const AWS_QUERY: &str = "/?Action=GetCallerIdentity&Version=2011-06-15";

/// Hosts at which others than Google itself store, log or run what they receive.
const TENANTS: &[&str] = &[
    "storage.googleapis.com",
    "my-bucket.storage.googleapis.com",
    // Buckets with the names of services.
    "sts.storage.googleapis.com",
    "iamcredentials.storage.googleapis.com",
    "oauth2.storage.googleapis.com",
    "sts.us-east1.storage.googleapis.com",
    "us-east1-sts.storage.googleapis.com",
    "sts.commondatastorage.googleapis.com",
    "sts.storage-download.googleapis.com",
    "commondatastorage.googleapis.com",
    "storage.mtls.googleapis.com",
    "sts.storage.mtls.googleapis.com",
    "storage.us-east1.rep.googleapis.com",
    "sts.storage.us-east1.rep.googleapis.com",
    "content-storage.googleapis.com",
    "content-sts.googleapis.com",
    "firebasestorage.googleapis.com",
    "firestore.googleapis.com",
    "fcm.googleapis.com",
    "bigquery.googleapis.com",
    "logging.googleapis.com",
    "pubsub.googleapis.com",
    "sheets.googleapis.com",
    "script.googleapis.com",
    "cloudfunctions.googleapis.com",
    "www.googleapis.com",
    "content.googleapis.com",
    "ajax.googleapis.com",
    "googleapis.com",
    "private.googleapis.com",
    "restricted.googleapis.com",
    "storage-evil.p.googleapis.com",
    "evil.p.googleapis.com",
    "p.googleapis.com",
    "evil-sts.p.googleapis.com",
    "sts.evil.p.googleapis.com",
    "sts-evil.us.p.googleapis.com",
    "sts-.p.googleapis.com",
    "sts.p.googleapis.com",
    "sts.evil.googleapis.com",
    "sts.rep.googleapis.com",
    "evil.sts.googleapis.com",
    "evil-sts.googleapis.com",
    "-sts.googleapis.com",
    ".sts.googleapis.com",
    "sts..googleapis.com",
    "sts.us-east1.evil.rep.googleapis.com",
    "my-app.firebaseio.com",
    "my-app.web.app",
    "my-app.firebaseapp.com",
    "my-app-abcdef-uc.a.run.app",
    "us-central1-my-project.cloudfunctions.net",
    "my-app.appspot.com",
    "script.google.com",
    "sites.google.com",
    "docs.google.com",
    "drive.google.com",
    "google.com",
    "www.google.com",
    "myaccount.google.com",
    "accounts.google.com.evil.example",
    "sts.googleapis.com.evil.example",
    "sts.googleapis.com.",
    "stsgoogleapis.com",
    "sts.googleapis.com.co",
    "sts.goog1eapis.com",
    "bucket.s3.amazonaws.com",
    "sts.s3.amazonaws.com",
    "sts.s3-us-west-2.amazonaws.com",
    "sts.s3.us-west-2.amazonaws.com",
    "sts.s3-website-us-east-1.amazonaws.com",
    "s3.us-east-1.amazonaws.com",
    "abc.execute-api.us-east-1.amazonaws.com",
    "abc.lambda-url.us-east-1.on.aws",
    "sts.abc.us-east-1.amazonaws.com",
    "sts.us-east-1.elb.amazonaws.com",
    "sts.us-east-1.evil.example",
    "evil.api.aws",
    "169.254.169.253",
    "127.0.0.1",
    "[::1]",
    "[fd20:ce::254]",
    "metadata.google.internal",
];

/// Paths that field's own hosts have, and those at which other services accept uploads.
const PATHS: &[&str] = &[
    "/",
    "/token",
    "/v1/token",
    "/v1/oauthtoken",
    "/o/oauth2/token",
    "/oauth2/v4/token",
    IAM_PATH,
    AWS_QUERY,
    "/latest/api/token",
    "/upload/storage/v1/b/bucket/o?uploadType=media&name=x",
    "/upload/drive/v3/files?uploadType=media",
    "/macros/s/x/exec",
];

fn compare(field: UrlField, url: &str) -> UrlMatch {
    field.compare(&Url::parse(url).unwrap())
}

#[test]
fn hosts_of_tenants_are_not_listed_for_any_field() {
    let mut seen = 0;
    for host in TENANTS {
        for path in PATHS {
            for scheme in ["https", "http"] {
                let Ok(url) = Url::parse(&format!("{scheme}://{host}{path}")) else {
                    continue;
                };
                for field in FIELDS {
                    // The one of them that also exchanges tokens, at its own paths.
                    let is_old_token_uri = field == TokenUri
                        && *host == "www.googleapis.com"
                        && *path == "/oauth2/v4/token"
                        && scheme == "https";
                    let listed = field.compare(&url) == UrlMatch::Listed;
                    assert_eq!(listed, is_old_token_uri, "{field:?}: {url}");
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 5000, "{seen}");
}

#[test]
fn urls_of_googles_token_services_are_listed() {
    let hosts = |service: &str| {
        [
            "SERVICE.googleapis.com",
            "SERVICE.mtls.googleapis.com",
            "SERVICE.us-central1.rep.googleapis.com",
            "SERVICE.europe-west12.rep.googleapis.com",
            "SERVICE.us.rep.googleapis.com",
            "SERVICE.eu.rep.googleapis.com",
            "SERVICE.me-central2.p.rep.googleapis.com",
            "SERVICE.northamerica-northeast1.googleapis.com",
            "us-east-1.SERVICE.googleapis.com",
            "us-east1-SERVICE.googleapis.com",
            "US-WEST-1-SERVICE.googleapis.com",
            "SERVICE-xyz.p.googleapis.com",
            "SERVICE-us-east-1.p.googleapis.com",
        ]
        .map(|host| host.replace("SERVICE", service))
    };
    for host in hosts("sts") {
        for path in ["/v1/token", "/v1/oauthtoken", "/v1beta/token"] {
            let url = format!("https://{host}{path}");
            assert_eq!(compare(TokenUrl, &url), UrlMatch::Listed, "{url}");
            assert_eq!(compare(Impersonation, &url), UrlMatch::OtherHost, "{url}");
        }
    }
    for host in hosts("iamcredentials") {
        for account in [
            "robot@p-1234.iam.gserviceaccount.com",
            "robot%40p.example",
            "112233445566778899001",
        ] {
            let url = format!(
                "https://{host}/v1/projects/-/serviceAccounts/{account}:generateAccessToken"
            );
            assert_eq!(compare(Impersonation, &url), UrlMatch::Listed, "{url}");
            assert_eq!(compare(TokenUrl, &url), UrlMatch::OtherHost, "{url}");
        }
    }
    for url in [
        "https://oauth2.googleapis.com/token",
        "https://OAUTH2.googleapis.com:443/token",
        "https://oauth2.mtls.googleapis.com/token",
        "https://accounts.google.com/o/oauth2/token",
        "https://www.googleapis.com/oauth2/v3/token",
        "https://www.googleapis.com/oauth2/v4/token",
    ] {
        assert_eq!(compare(TokenUri, url), UrlMatch::Listed, "{url}");
    }
    for host in [
        "sts.amazonaws.com",
        "sts.us-east-1.amazonaws.com",
        "sts.us-gov-west-1.amazonaws.com",
        "sts.ap-southeast-2.amazonaws.com",
        "sts-fips.us-east-2.amazonaws.com",
        "sts.cn-north-1.amazonaws.com.cn",
        "sts.eu-west-1.api.aws",
    ] {
        for query in [
            AWS_QUERY,
            "?Action=GetCallerIdentity&Version=2011-06-15&x=%20",
        ] {
            let url = format!("https://{host}{query}");
            assert_eq!(compare(AwsVerification, &url), UrlMatch::Listed, "{url}");
        }
    }
    for url in [
        "http://169.254.169.254/latest/api/token",
        "http://[fd00:ec2::254]/latest/meta-data/iam/security-credentials",
        "https://169.254.169.254/latest/meta-data/placement/availability-zone",
    ] {
        assert_eq!(compare(AwsMetadata, url), UrlMatch::Listed, "{url}");
    }
}

#[test]
fn other_paths_queries_and_ports_of_listed_hosts_are_not_listed() {
    for path in [
        "",
        "/v1/token/",
        "/v1/token/../introspect",
        "/v1//token",
        "/v1/%74oken",
        "/v1/token?x",
        "/v1/token?",
        "/v1/token#x",
        "/v1/introspect",
        "/v1/token;x",
        "/V1/TOKEN",
    ] {
        let url = format!("https://sts.googleapis.com{path}");
        assert_eq!(compare(TokenUrl, &url), UrlMatch::OtherPath, "{url}");
    }
    for path in [
        "/v1/projects/-/serviceAccounts/a@b.example:signJwt",
        "/v1/projects/-/serviceAccounts/a@b.example:generateAccessToken/x",
        "/v1/projects/p/serviceAccounts/a@b.example:generateAccessToken",
        "/v1/projects/-/serviceAccounts/:generateAccessToken",
        "/v1/projects/-/serviceAccounts/a%2fb@c.example:generateAccessToken",
        "/v1/projects/-/serviceAccounts/a/b@c.example:generateAccessToken",
        "/v1/projects/-/serviceAccounts/%2e%2e/x:generateAccessToken",
        "/v1/projects/-/serviceAccounts/a@b.example:generateAccessToken?x",
        "/v2/projects/-/serviceAccounts/a@b.example:generateAccessToken",
    ] {
        let url = format!("https://iamcredentials.googleapis.com{path}");
        assert_eq!(compare(Impersonation, &url), UrlMatch::OtherPath, "{url}");
    }
    for url in [
        "https://www.googleapis.com/upload/storage/v1/b/x/o",
        "https://www.googleapis.com/token",
        "https://accounts.google.com/token",
        "https://oauth2.googleapis.com/o/oauth2/token",
        "https://oauth2.googleapis.com/revoke",
    ] {
        assert_eq!(compare(TokenUri, url), UrlMatch::OtherPath, "{url}");
    }
    for query in [
        "",
        "/?Version=2011-06-15",
        "/?Action=AssumeRole",
        "/?Action=GetCallerIdentity&Action=AssumeRole",
        "/?Action=GetCallerIdentity&%41ction=AssumeRole",
        "/x?Action=GetCallerIdentity",
    ] {
        let url = format!("https://sts.us-east-1.amazonaws.com{query}");
        assert_eq!(compare(AwsVerification, &url), UrlMatch::OtherPath, "{url}");
    }
    for path in [
        "/computeMetadata/v1/x",
        "/latest/../computeMetadata/v1/x",
        "/latest",
    ] {
        let url = format!("http://169.254.169.254{path}");
        assert_eq!(compare(AwsMetadata, &url), UrlMatch::OtherPath, "{url}");
    }
    for url in [
        "https://sts.googleapis.com:8443/v1/token",
        "http://sts.googleapis.com/v1/token",
        "https://me@sts.googleapis.com/v1/token",
        "https://:pw@sts.googleapis.com/v1/token",
        "https://sts.googleapis.com@evil.example/v1/token",
        "https://evil.example/sts.googleapis.com/v1/token",
        "ftp://sts.googleapis.com/v1/token",
        "data:text/plain,sts.googleapis.com/v1/token",
    ] {
        assert_eq!(compare(TokenUrl, url), UrlMatch::OtherHost, "{url}");
    }
}

#[test]
fn each_pattern_has_one_placeholder_at_most() {
    for row in TABLE {
        for pattern in row.hosts.iter().chain(row.paths) {
            let words = PLACEHOLDERS
                .iter()
                .map(|(word, _)| pattern.matches(word).count());
            assert!(words.sum::<usize>() <= 1, "{pattern}");
        }
    }
}

#[test]
fn every_pattern_is_on_the_page() {
    let page = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/src/credentials/hosts.md"
    );
    let page = std::fs::read_to_string(page).unwrap();
    for pattern in TABLE
        .iter()
        .flat_map(|row| row.hosts.iter().chain(row.paths))
    {
        assert!(page.contains(&format!("`{pattern}`")), "{pattern}");
    }
}

proptest::proptest! {
    /// What is listed is Google's or Amazon's own, by a rule written in another way: the labels.
    #[test]
    fn listed_hosts_are_those_of_token_services(
        labels in proptest::collection::vec(
            "sts|iamcredentials|oauth2|storage|mtls|rep|p|us-east1|us-east-1|s3|sts-[a-z]{1,5}|us-east1-sts|[a-z0-9-]{1,8}",
            0..4,
        ),
        domain in "googleapis\\.com|amazonaws\\.com|google\\.com|evil\\.example|[a-z]{1,5}\\.googleapis\\.com",
        path in proptest::sample::select(PATHS),
        field in proptest::sample::select(FIELDS.to_vec()),
    ) {
        let host = [labels.join("."), domain].join(if labels.is_empty() { "" } else { "." });
        if let Ok(url) = Url::parse(&format!("https://{host}{path}"))
            && field.compare(&url) == UrlMatch::Listed
        {
            let host = url.host_str().unwrap();
            let names: &[&str] = match field {
                TokenUri => &["oauth2", "accounts", "www"],
                TokenUrl | AwsVerification => &["sts"],
                Impersonation => &["iamcredentials"],
                AwsMetadata => &["169"],
                GdchTokenUri => &[],
            };
            let is_service = |label: &str| names.iter().any(|name| {
                label == *name
                    || label.strip_suffix(name).is_some_and(|rest| rest.ends_with('-'))
                    || label.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'))
            });
            assert!(host.split('.').take(2).any(is_service), "{host}");
            assert!(!host.contains("storage") && !host.contains("s3."), "{host}");
        }
    }
}
