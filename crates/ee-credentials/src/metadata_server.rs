//! The service account of a machine in Google's cloud, which its metadata server speaks for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use ee_token::{
    AccessToken, ErrorKind as Token, ExposeSecret as _, HttpClient, Remedy, RetryPolicy, Scopes,
    SecretString, TokenFuture, TokenSource, read_bounded,
};
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::time::Instant;
use url::Url;

use crate::adc::Loaded;
use crate::{Environment, Error, ErrorKind, Kind, Options};

const FLAVOR: &str = "Metadata-Flavor";
const GOOGLE: &str = "Google";
/// What detection asks: a name would have to be resolved first, which can take long.
const ADDRESS: &str = "169.254.169.254";
const MAX_REPLY: usize = 1 << 20;
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// A new pod's metadata server may need a while.
const PATIENCE: Duration = Duration::from_secs(30);

/// A metadata server that is there.
pub(crate) struct MetadataServer {
    http: HttpClient,
    /// `http://HOST/computeMetadata/v1/`.
    base: Url,
    scopes: Scopes,
    retry: RetryPolicy,
}

/// What came of looking for one.
pub(crate) enum Detected {
    Server(MetadataServer),
    No(String),
}

/// Looks for a metadata server: the one that a variable names, the one that answers, or one
/// that must be there since the firmware says that this is Google's.
///
/// On other machines this takes as long as `GCE_METADATA_TIMEOUT` allows at most, and no
/// time at all with `NO_GCE_CHECK=true`.
pub(crate) async fn detect(
    environment: &Environment,
    options: &Options,
) -> Result<Detected, Error> {
    if environment.var("NO_GCE_CHECK") == Some("true") {
        return Ok(Detected::No(
            "not looked for, as NO_GCE_CHECK=true says".into(),
        ));
    }
    let host = match environment.try_var("GCE_METADATA_HOST")? {
        Some(host) => Some(host),
        None => environment.try_var("GCE_METADATA_ROOT")?,
    };
    let address = environment.try_var("GCE_METADATA_IP")?;
    let timeout = number(environment, "GCE_METADATA_TIMEOUT", 3.0, 300.0)?;
    let attempts = number(environment, "GCE_METADATA_DETECT_RETRIES", 3.0, 100.0)?;
    let is_google = environment
        .product_name()
        .is_some_and(|name| name.starts_with(GOOGLE));
    let there = if host.is_some() && address.is_none() {
        // Named outright: if it does not answer, that is the error to show.
        true
    } else if address.is_none() && !environment.probes_network() {
        return Ok(Detected::No("not looked for in this environment".into()));
    } else {
        if Handle::try_current().is_err() {
            return Err(ee_token::Error::new(
                Token::Runtime,
                "there is no tokio runtime to look for a metadata server on",
            )
            .into());
        }
        let url = url("GCE_METADATA_IP", address.unwrap_or(ADDRESS), "/")?;
        let ping = ping(&options.http, &url, attempts as u32);
        let answered = tokio::time::timeout(Duration::from_secs_f64(timeout), ping).await;
        answered.unwrap_or(false) || is_google
    };
    if !there {
        return Ok(Detected::No("this is no machine in Google's cloud".into()));
    }
    let base = match host {
        Some(host) => url("GCE_METADATA_HOST", host, "/computeMetadata/v1/")?,
        None => options
            .http
            .endpoints()
            .metadata
            .join("computeMetadata/v1/")
            .map_err(|_| {
                Error::new(
                    ErrorKind::InvalidEnvironment,
                    "the metadata server's URL cannot be used",
                )
            })?,
    };
    let patience = if is_google { PATIENCE } else { PATIENCE / 3 };
    Ok(Detected::Server(MetadataServer {
        http: client_for(&options.http, &base)?,
        base,
        scopes: options.scopes.clone().unwrap_or_default(),
        retry: RetryPolicy {
            max_retries: 100,
            initial_wait: Duration::from_millis(200),
            max_wait: Duration::from_secs(2),
            total: patience,
        },
    }))
}

fn number(environment: &Environment, name: &str, default: f64, max: f64) -> Result<f64, Error> {
    let Some(text) = environment.try_var(name)? else {
        return Ok(default);
    };
    text.parse()
        .ok()
        .filter(|n: &f64| *n >= 0.0 && *n <= max)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidEnvironment,
                format!("{name} is {text:?}, and must be a number from 0 to {max}"),
            )
            .with_remedy(
                Remedy::new("Set it to a number, or unset it.").command(format!("unset {name}")),
            )
        })
}

fn url(variable: &str, host: &str, path: &str) -> Result<Url, Error> {
    let invalid = || {
        Error::new(
            ErrorKind::InvalidEnvironment,
            format!("{variable} is {host:?}, and must be HOST or HOST:PORT"),
        )
        .with_remedy(
            Remedy::new("Set it to a host, or unset it.").command(format!("unset {variable}")),
        )
    };
    if host.contains(['/', '@', '?', '#']) {
        return Err(invalid());
    }
    Url::parse(&format!("http://{host}{path}")).map_err(|_| invalid())
}

/// A client that may talk to this metadata server in clear text, past any proxy.
pub(crate) fn client_for(http: &HttpClient, url: &Url) -> Result<HttpClient, Error> {
    if http.endpoints().resolve(url).is_ok() {
        return Ok(http.clone());
    }
    let mut endpoints = http.endpoints().clone();
    endpoints.metadata = url.clone();
    Ok(HttpClient::new(endpoints)?)
}

/// Whether a metadata server answers at this address.
async fn ping(http: &HttpClient, url: &Url, attempts: u32) -> bool {
    let Ok(http) = client_for(http, url) else {
        return false;
    };
    for _ in 0..attempts.max(1) {
        let Ok(request) = http
            .request(Method::GET, url)
            .header(FLAVOR, GOOGLE)
            .build()
        else {
            return false;
        };
        match http.send(request).await {
            Ok(reply) => return reply.status() == StatusCode::OK && has_flavor(reply.headers()),
            Err(error) => tracing::debug!(%error, "no metadata server"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

/// Anybody can answer at that address; Google's servers say who they are.
fn has_flavor(headers: &HeaderMap) -> bool {
    headers.get(FLAVOR).is_some_and(|flavor| flavor == GOOGLE)
}

#[derive(Deserialize)]
struct Reply {
    access_token: SecretString,
    expires_in: f64,
}

impl MetadataServer {
    pub(crate) fn load(server: &Arc<Self>) -> Loaded {
        Loaded {
            kind: Kind::MetadataServer,
            source: server.clone(),
            identity: None,
            principal: None,
            quota_project: None,
            project: None,
            oauth_client_id: None,
            scopes: Some(server.scopes.clone()),
        }
    }

    /// The project that the machine belongs to.
    pub(crate) async fn project(&self) -> Result<Option<String>, ee_token::Error> {
        let Some(body) = self.get("project/project-id", None).await? else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&body).unwrap_or_default().trim();
        Ok((!text.is_empty() && text.len() < 100).then(|| text.to_owned()))
    }

    async fn token(&self) -> Result<AccessToken, ee_token::Error> {
        let asked_at = Utc::now();
        // Compute Engine passes over the scopes; Cloud Run and App Engine heed them.
        let scopes = self.scopes.iter().collect::<Vec<_>>().join(",");
        let path = "instance/service-accounts/default/token";
        let Some(body) = self.get(path, Some(&scopes)).await? else {
            return Err(self
                .error(Token::Rejected, "this machine has no service account")
                .with_remedy(Remedy::new(
                    "Attach a service account to the machine, or use other credentials.",
                )));
        };
        let invalid = |why| self.error(Token::InvalidResponse, why);
        // serde's own message could quote the token.
        let reply: Reply =
            serde_json::from_slice(&body).map_err(|_| invalid("its answer is not a token"))?;
        if !(reply.expires_in > 0.0 && reply.expires_in < 1e9) {
            return Err(invalid("its token's expires_in makes no sense"));
        }
        let life = TimeDelta::milliseconds((reply.expires_in * 1000.0) as i64);
        Ok(AccessToken::new(reply.access_token.expose_secret())?.with_expiry(asked_at + life))
    }

    /// What is at a path; `None` if there is nothing.
    async fn get(
        &self,
        path: &str,
        scopes: Option<&str>,
    ) -> Result<Option<Vec<u8>>, ee_token::Error> {
        let started = Instant::now();
        let mut retry = 0;
        loop {
            let (error, again) = match self.attempt(path, scopes).await {
                Ok(body) => return Ok(body),
                Err(failure) => failure,
            };
            let wait = self.retry.wait(retry);
            if !again
                || retry >= self.retry.max_retries
                || started.elapsed() + wait > self.retry.total
            {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
            retry += 1;
        }
    }

    /// One request. The error comes with whether another may help.
    async fn attempt(
        &self,
        path: &str,
        scopes: Option<&str>,
    ) -> Result<Option<Vec<u8>>, (ee_token::Error, bool)> {
        let mut url = self.base.join(path).map_err(|_| {
            (
                self.error(Token::RefusedUrl, "its URL cannot be used"),
                false,
            )
        })?;
        if let Some(scopes) = scopes {
            url.query_pairs_mut().append_pair("scopes", scopes);
        }
        let request = self
            .http
            .request(Method::GET, &url)
            .header(FLAVOR, GOOGLE)
            .timeout(ATTEMPT_TIMEOUT)
            .build()
            .map_err(|_| {
                (
                    self.error(Token::RefusedUrl, "the request cannot be built"),
                    false,
                )
            })?;
        let transient = |error: ee_token::Error| {
            let again = error.is_transient();
            (error, again)
        };
        let reply = self.http.send(request).await.map_err(transient)?;
        let status = reply.status();
        let flavored = has_flavor(reply.headers());
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            let why = format!("it answered with status {}", status.as_u16());
            return Err((self.error(Token::Server, &why), true));
        }
        if !flavored {
            let why = "its answer lacks the header Metadata-Flavor: Google, so it is none";
            return Err((self.error(Token::InvalidResponse, why), false));
        }
        match status {
            StatusCode::OK => {
                let body = read_bounded(reply, MAX_REPLY).await.map_err(transient)?;
                Ok(Some(body.to_vec()))
            }
            StatusCode::NOT_FOUND => Ok(None),
            _ => {
                let why = format!("it refused with status {}", status.as_u16());
                Err((self.error(Token::Rejected, &why), false))
            }
        }
    }

    fn error(&self, kind: Token, why: &str) -> ee_token::Error {
        let host = self.base.host_str().unwrap_or_default();
        ee_token::Error::new(kind, format!("the metadata server {host}: {why}"))
    }
}

impl TokenSource for MetadataServer {
    fn mint(&self) -> TokenFuture<'_> {
        Box::pin(self.token())
    }
}

impl fmt::Debug for MetadataServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetadataServer")
            .field("host", &self.base.host_str())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use ee_emulator::{Emulator, Fault};
    use ee_token::Endpoints;
    use serde_json::json;

    use super::*;
    use crate::Credentials;

    const ROBOT: &str = "vm@ee-demo-project.iam.gserviceaccount.com";

    async fn machine() -> (Emulator, Options) {
        let emulator = Emulator::builder()
            .metadata_server(ROBOT, "ee-demo-project", &["cloud-platform"])
            .start()
            .await
            .unwrap();
        let options = options(&emulator);
        (emulator, options)
    }

    fn options(emulator: &Emulator) -> Options {
        let endpoints = Endpoints::emulator(emulator.address()).unwrap();
        Options::new(HttpClient::new(endpoints).unwrap())
    }

    fn outside() -> Environment {
        Environment::empty().with_network_probe(true)
    }

    async fn server(environment: &Environment, options: &Options) -> Option<Credentials> {
        match detect(environment, options).await.unwrap() {
            Detected::Server(server) => Some(Credentials::of_machine(server, options)),
            Detected::No(_) => None,
        }
    }

    #[tokio::test]
    async fn a_server_that_answers_is_asked_for_a_token_and_the_project() {
        let (emulator, options) = machine().await;
        let credentials = server(&outside(), &options).await.unwrap();
        assert_eq!(credentials.kind(), Kind::MetadataServer);
        assert_eq!(credentials.origin().as_str(), "metadata_server");
        let token = credentials.token().await.unwrap();
        assert!(token.expires_at().unwrap() > Utc::now() + TimeDelta::minutes(30));
        let project = credentials.metadata_project().await.unwrap();
        assert_eq!(project.as_deref(), Some("ee-demo-project"));

        let requests = emulator.requests();
        let seen: Vec<_> = requests
            .iter()
            .map(|r| format!("{}{}", r.host, r.path))
            .collect();
        assert_eq!(
            seen,
            [
                "169.254.169.254/",
                "metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token",
                "metadata.google.internal/computeMetadata/v1/project/project-id",
            ]
        );
        assert!(
            requests
                .iter()
                .all(|r| r.header("metadata-flavor") == Some("Google"))
        );
        assert_eq!(
            requests[1].query_parameters()["scopes"],
            "https://www.googleapis.com/auth/earthengine,https://www.googleapis.com/auth/cloud-platform"
        );
    }

    #[tokio::test]
    async fn nothing_is_asked_where_it_was_forbidden_or_no_network_is_to_be_probed() {
        let (emulator, options) = machine().await;
        let forbidden = outside().with_var("NO_GCE_CHECK", "true");
        assert!(server(&forbidden, &options).await.is_none());
        assert!(server(&Environment::empty(), &options).await.is_none());
        assert!(emulator.requests().is_empty());
        // Exactly so, and nothing else that may mean yes.
        assert!(
            server(&outside().with_var("NO_GCE_CHECK", "1"), &options)
                .await
                .is_some()
        );
    }

    #[tokio::test]
    async fn a_machine_elsewhere_is_told_by_silence_and_a_google_one_by_its_firmware() {
        let emulator = Emulator::start().await.unwrap();
        let options = options(&emulator);
        assert!(server(&outside(), &options).await.is_none());
        assert_eq!(emulator.requests().len(), 3);
        let google = outside().with_product_name("Google Compute Engine");
        assert!(server(&google, &options).await.is_some());
    }

    #[tokio::test]
    async fn a_silent_address_costs_what_the_time_out_allows() {
        let (emulator, options) = machine().await;
        emulator.fault(ADDRESS, Fault::delay(Duration::from_secs(20)));
        let started = Instant::now();
        let hasty = outside().with_var("GCE_METADATA_TIMEOUT", "0.2");
        assert!(server(&hasty, &options).await.is_none());
        assert!(started.elapsed() < Duration::from_secs(2));
    }

    #[tokio::test]
    async fn a_server_that_a_variable_names_is_there() {
        let (emulator, _) = machine().await;
        let google = Options::google().unwrap();
        let host = format!("{}", emulator.address());
        let environment = Environment::empty().with_var("GCE_METADATA_HOST", host.as_str());
        assert!(server(&environment, &google).await.is_some());
        assert!(emulator.requests().is_empty());
        for bad in ["http://x/", "a b", "u@h"] {
            let environment = Environment::empty().with_var("GCE_METADATA_HOST", bad);
            let error = detect(&environment, &google).await.err().unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidEnvironment);
            assert!(error.to_string().contains("GCE_METADATA_HOST"));
        }
        for bad in ["soon", "-1", "inf"] {
            let environment = outside().with_var("GCE_METADATA_TIMEOUT", bad);
            let error = detect(&environment, &google).await.err().unwrap();
            assert!(
                error.to_string().contains("GCE_METADATA_TIMEOUT"),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn an_answer_without_its_flavor_is_refused() {
        let (emulator, options) = machine().await;
        let credentials = server(&outside(), &options).await.unwrap();
        emulator.fault(
            "metadata.google.internal",
            Fault::status(200).json(&json!({"access_token": "ya29.canary", "expires_in": 3600})),
        );
        let error = credentials.token().await.unwrap_err();
        assert!(error.to_string().contains("Metadata-Flavor"), "{error}");
        assert!(!format!("{error:?}").contains("canary"));
    }

    #[tokio::test]
    async fn a_server_that_is_busy_or_not_ready_yet_is_asked_again() {
        let (emulator, options) = machine().await;
        let credentials = server(&outside(), &options).await.unwrap();
        emulator.fault("metadata.google.internal", Fault::status(503).times(2));
        emulator.fault("metadata.google.internal", Fault::disconnect());
        credentials.token().await.unwrap();
        assert_eq!(emulator.requests_to("metadata.google.internal").len(), 4);
    }

    #[tokio::test]
    async fn an_answer_that_is_no_token_is_an_error() {
        for body in [
            "",
            "<html>",
            r#"{"access_token": "ya29.canary"}"#,
            r#"{"access_token": "ya29.canary", "expires_in": -1}"#,
        ] {
            let (emulator, options) = machine().await;
            let credentials = server(&outside(), &options).await.unwrap();
            let reply = Fault::respond(200, "application/json", body).header(FLAVOR, GOOGLE);
            emulator.fault("metadata.google.internal", reply);
            let error = credentials.token().await.unwrap_err();
            assert_eq!(error.kind(), Token::InvalidResponse, "{body}");
            assert!(!format!("{error:?}").contains("canary"));
        }
    }
}
