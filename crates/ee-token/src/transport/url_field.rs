//! The URLs that a credential file may name without the caller's permission.
//!
//! A file decides where its secrets, the user's files and the machine's tokens are sent. A domain
//! such as `googleapis.com` is not a trust boundary: Cloud Storage and other services below it let
//! any tenant receive data. Each field has its own hosts, and each host its paths.

use url::{Url, form_urlencoded};

use UrlField::{AwsMetadata, AwsVerification, GdchTokenUri, Impersonation, TokenUri, TokenUrl};

/// A field of a credential file that names where a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlField {
    /// `token_uri` of a service account key: receives signed assertions.
    TokenUri,
    /// `token_uri` of a Google Distributed Cloud identity: each installation has its own.
    GdchTokenUri,
    /// `token_url` of a federated credential: receives subject tokens or refresh tokens.
    TokenUrl,
    /// `service_account_impersonation_url`: receives access tokens.
    Impersonation,
    /// `regional_cred_verification_url`: the signed AWS request is valid there.
    AwsVerification,
    /// `url`, `region_url` and `imdsv2_session_token_url` of an AWS source: return AWS keys.
    AwsMetadata,
}

/// The result of comparing a URL with the URLs that a field may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlMatch {
    /// The host, path and query are listed.
    Listed,
    /// The host is listed with other paths, or with another query.
    OtherPath,
    /// The host, its port or the scheme is not listed.
    OtherHost,
}

struct Row {
    field: UrlField,
    hosts: &'static [&'static str],
    paths: &'static [&'static str],
    /// The query parameter that must occur exactly once. Without one, the URL must have no query.
    parameter: Option<(&'static str, &'static str)>,
}

/// The URLs that a field may name. A word in capitals stands for:
///
/// - `LOCATION`: a Google Cloud region or multi-region ([`is_location`])
/// - `ENDPOINT`: the name of a Private Service Connect endpoint
/// - `REGION`: an AWS region
/// - `ACCOUNT`: a service account's email address or unique ID
/// - `REST`: the rest of the path
///
/// None of the first four contains a dot or a slash that could lead to another host or path:
/// `sts.storage.googleapis.com` is the bucket `sts`, and `storage` is not a location.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    row(TokenUri, &["oauth2.googleapis.com", "oauth2.mtls.googleapis.com"], &["/token"]),
    row(TokenUri, &["accounts.google.com"], &["/o/oauth2/token"]),
    row(TokenUri, &["www.googleapis.com"], &["/oauth2/v3/token", "/oauth2/v4/token"]),
    row(TokenUrl, &[
        "sts.googleapis.com",
        "sts.mtls.googleapis.com",
        "sts.LOCATION.rep.googleapis.com",
        "sts.LOCATION.p.rep.googleapis.com",
        "sts.LOCATION.googleapis.com",
        "LOCATION.sts.googleapis.com",
        "LOCATION-sts.googleapis.com",
        "sts-ENDPOINT.p.googleapis.com",
    ], &["/v1/token", "/v1/oauthtoken", "/v1beta/token"]),
    row(Impersonation, &[
        "iamcredentials.googleapis.com",
        "iamcredentials.mtls.googleapis.com",
        "iamcredentials.LOCATION.rep.googleapis.com",
        "iamcredentials.LOCATION.p.rep.googleapis.com",
        "iamcredentials.LOCATION.googleapis.com",
        "LOCATION.iamcredentials.googleapis.com",
        "LOCATION-iamcredentials.googleapis.com",
        "iamcredentials-ENDPOINT.p.googleapis.com",
    ], &["/v1/projects/-/serviceAccounts/ACCOUNT:generateAccessToken"]),
    Row { parameter: Some(("Action", "GetCallerIdentity")), ..row(AwsVerification, &[
        "sts.amazonaws.com",
        "sts.REGION.amazonaws.com",
        "sts-fips.REGION.amazonaws.com",
        "sts.REGION.amazonaws.com.cn",
        "sts.REGION.api.aws",
        "sts-fips.REGION.api.aws",
    ], &["/"]) },
    row(AwsMetadata, &["169.254.169.254", "[fd00:ec2::254]"], &["/latest/REST"]),
];

const fn row(
    field: UrlField,
    hosts: &'static [&'static str],
    paths: &'static [&'static str],
) -> Row {
    Row {
        field,
        hosts,
        paths,
        parameter: None,
    }
}

/// A word in capitals and the predicate of the texts that it stands for.
type Placeholder = (&'static str, fn(&str) -> bool);

const PLACEHOLDERS: [Placeholder; 5] = [
    ("LOCATION", is_location),
    ("ENDPOINT", is_endpoint),
    ("REGION", is_region),
    ("ACCOUNT", is_account),
    ("REST", |_| true),
];

impl UrlField {
    /// Compares a URL with those that the field may name.
    pub fn compare(self, url: &Url) -> UrlMatch {
        let scheme = match self {
            AwsMetadata => ["http", "https"].contains(&url.scheme()),
            _ => url.scheme() == "https",
        };
        let is_plain = url.username().is_empty() && url.password().is_none();
        if !scheme || !is_plain || url.port().is_some() {
            return UrlMatch::OtherHost;
        }
        let mut rows = self.rows(url).peekable();
        if rows.peek().is_none() {
            return UrlMatch::OtherHost;
        }
        let is_listed = |row: &Row| {
            let mut paths = row.paths.iter();
            paths.any(|path| fits(path, url.path())) && has_query(url, row.parameter)
        };
        if url.fragment().is_none() && rows.any(is_listed) {
            UrlMatch::Listed
        } else {
            UrlMatch::OtherPath
        }
    }

    /// Returns the service whose hosts the field may name.
    pub fn service(self) -> &'static str {
        match self {
            TokenUri => "Google's OAuth token endpoint",
            GdchTokenUri => "a known token server",
            TokenUrl => "Google's Security Token Service",
            Impersonation => "Google's IAM Credentials API",
            AwsVerification => "AWS's Security Token Service",
            AwsMetadata => "AWS's instance metadata service",
        }
    }

    /// Returns the paths that are listed for this URL's host.
    pub fn paths(self, url: &Url) -> impl Iterator<Item = &'static str> {
        self.rows(url).flat_map(|row| row.paths.iter().copied())
    }

    fn rows(self, url: &Url) -> impl Iterator<Item = &'static Row> {
        let host = url.host_str().unwrap_or_default();
        let has_host = |row: &&Row| row.hosts.iter().any(|pattern| fits(pattern, host));
        let rows = TABLE.iter().filter(move |row| row.field == self);
        rows.filter(has_host)
    }
}

/// Returns whether a host or path matches the pattern, which has at most one word in capitals.
fn fits(pattern: &str, text: &str) -> bool {
    for (word, is_valid) in PLACEHOLDERS {
        if let Some((start, end)) = pattern.split_once(word) {
            let rest = text.strip_prefix(start);
            return rest
                .and_then(|rest| rest.strip_suffix(end))
                .is_some_and(is_valid);
        }
    }
    pattern == text
}

fn has_query(url: &Url, parameter: Option<(&str, &str)>) -> bool {
    match (parameter, url.query()) {
        (None, query) => query.is_none(),
        (Some(_), None) => false,
        (Some((name, value)), Some(query)) => {
            let pairs = form_urlencoded::parse(query.as_bytes());
            let mut values = pairs.filter(|pair| pair.0 == name).map(|pair| pair.1);
            values.next().is_some_and(|first| first == value) && values.next().is_none()
        }
    }
}

/// Returns whether the text is a Google Cloud location: `us-central1`, also written `us-central-1`,
/// or a multi-region. Other labels before `.googleapis.com` are services with their own tenants.
fn is_location(text: &str) -> bool {
    const MULTI_REGIONS: [&str; 4] = ["global", "us", "eu", "in"];
    const CONTINENTS: [&str; 9] = [
        "africa",
        "asia",
        "australia",
        "europe",
        "me",
        "northamerica",
        "southamerica",
        "us",
        "antarctica",
    ];
    let is_region = |(continent, rest): (&str, &str)| {
        let area = rest.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = rest.len() - area.len();
        let area = area.strip_suffix('-').unwrap_or(area);
        let is_area = !area.is_empty() && area.bytes().all(|b| b.is_ascii_lowercase());
        CONTINENTS.contains(&continent) && is_area && (1..=2).contains(&digits)
    };
    MULTI_REGIONS.contains(&text) || text.split_once('-').is_some_and(is_region)
}

fn is_endpoint(text: &str) -> bool {
    let is_label = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(is_label)
}

/// Returns whether the text is an AWS region: `us-east-1`, `us-gov-west-1`. `s3` and
/// `s3-us-west-2` are not, because buckets have host names below them.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [partition, areas @ .., number] = parts.as_slice() else {
        return false;
    };
    let is_word = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    partition.len() == 2
        && is_word(partition)
        && (1..=2).contains(&areas.len())
        && areas.iter().all(is_word)
        && (1..=2).contains(&number.len())
        && number.bytes().all(|b| b.is_ascii_digit())
}

fn is_account(text: &str) -> bool {
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || b"@._-".contains(&b);
    !text.is_empty() && text.replace("%40", "@").bytes().all(is_letter)
}

#[cfg(test)]
mod tests;
