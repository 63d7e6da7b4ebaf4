//! The mode `notebook`: Earth Engine's own page, opened in a browser on any machine, shows a code to
//! paste. The login can take two steps in two processes.

use bytes::Bytes;
use ee_token::internal::Exchange;
use ee_token::{Endpoint, Remedy, Request, Scopes, SecretString};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use crate::login::authorization::{Client, CodeExchange, TokenGrant, is_wrong_code};
use crate::login::pkce::{challenge, nonce};
use crate::login::session::{SavedLogin, Session, is_blank};
use crate::login::{Browser, LoginMode, Terminal};
use crate::{Error, ErrorKind};

/// The redirect URI of clients that have the code shown instead.
const OUT_OF_BAND: &str = "urn:ietf:wg:oauth:2.0:oob";
/// How often to prompt for the code.
const MAX_PROMPTS: usize = 3;
/// How many codes are tried.
const MAX_CODES: u32 = 3;

/// A notebook login that awaits its code.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NotebookLogin {
    /// The page to open.
    pub url: Url,
    /// The verifier to pass to [`LoginFlow::finish_notebook`] together with the code. A secret until
    /// then, in the Python client's format `REQUEST_ID:TOKEN_VERIFIER:CLIENT_VERIFIER`.
    ///
    /// [`LoginFlow::finish_notebook`]: crate::login::LoginFlow::finish_notebook
    pub code_verifier: SecretString,
}

pub(crate) async fn run(
    session: &Session,
    login: &NotebookLogin,
    terminal: &dyn Terminal,
    browser: &dyn Browser,
) -> Result<SavedLogin, Error> {
    if browser.is_available() {
        browser.open(&login.url);
    }
    terminal.show_url(
        &login.url,
        "Open the URL in a browser on any machine, log in, and paste the code that the page shows. The login expires after 7 days.",
    );
    let verifier = Verifier::parse(&login.code_verifier)?;
    let mut client = None;
    let mut rejected: Option<Error> = None;
    for attempts in (0..MAX_CODES).rev() {
        let code = match session.wait(prompt_for_code(terminal)).await {
            Ok(code) => code,
            // The input has ended after a wrong code.
            Err(error) if error.kind() == ErrorKind::LoginUnavailable => {
                return Err(rejected.unwrap_or(error));
            }
            Err(error) => return Err(error),
        };
        let error = match exchange(session, &verifier, &mut client, &code).await {
            Ok(granted) => return save(session, granted).await,
            Err(error) => error,
        };
        // The page has not created the client yet if the user pasted something else.
        let may_be_wrong = client.is_none() && error.kind() == ErrorKind::LoginFailed;
        if attempts == 0 || !terminal.is_interactive() || !(may_be_wrong || is_wrong_code(&error)) {
            return Err(error);
        }
        terminal.print(&format!(
            "{error}\nCopy the whole code that the page shows, and paste it again."
        ));
        rejected = Some(error);
    }
    Err(rejected.unwrap_or_else(no_input))
}

pub(crate) fn begin(session: &Session) -> Result<NotebookLogin, Error> {
    let (id, token, client) = (nonce()?, nonce()?, nonce()?);
    let endpoints = session.http.endpoints();
    let mut url = endpoints.url(Endpoint::NotebookAuth).clone();
    url.query_pairs_mut()
        .append_pair("scopes", &session.requested_scopes().to_string())
        .append_pair("request_id", id.expose_secret())
        .append_pair("tc", &challenge(&token))
        .append_pair("cc", &challenge(&client));
    let parts = [&id, &token, &client].map(|part| part.expose_secret());
    Ok(NotebookLogin {
        url: endpoints.resolve(&url)?,
        code_verifier: parts.join(":").into(),
    })
}

async fn prompt_for_code(terminal: &dyn Terminal) -> Result<SecretString, Error> {
    for _ in 0..MAX_PROMPTS {
        match terminal.prompt("Code: ").await {
            Ok(Some(code)) if is_blank(&code) => {}
            Ok(Some(code)) => return Ok(code),
            Ok(None) => break,
            Err(error) => {
                return Err(no_input().with_source(error));
            }
        }
    }
    Err(no_input())
}

fn no_input() -> Error {
    Error::new(
        ErrorKind::LoginUnavailable,
        "no code was entered, because there is no terminal or its input has ended",
    )
    .with_remedy(
        Remedy::new("Log in on a terminal, or in two steps.")
            .command("eectl auth login --mode=notebook --quiet"),
    )
}

/// A parsed code verifier.
pub(crate) struct Verifier {
    pub(crate) token: SecretString,
    /// The request ID and the verifier with which the OAuth client is fetched. Without them, the
    /// client is Earth Engine's own.
    fetch: Option<(String, SecretString)>,
}

impl Verifier {
    pub(crate) fn parse(text: &SecretString) -> Result<Self, Error> {
        let parts: Vec<&str> = text.expose_secret().trim().split(':').collect();
        let is_nonce = |part: &&str| {
            !part.is_empty()
                && part.len() <= 128
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
        };
        match parts.as_slice() {
            parts if !parts.iter().all(is_nonce) => {}
            [token] => {
                return Ok(Self {
                    token: (*token).into(),
                    fetch: None,
                });
            }
            [id, token, client] => {
                return Ok(Self {
                    token: (*token).into(),
                    fetch: Some(((*id).to_owned(), (*client).into())),
                });
            }
            _ => {}
        }
        Err(Error::new(
            ErrorKind::InvalidOptions,
            "invalid code verifier: expected REQUEST_ID:TOKEN_VERIFIER:CLIENT_VERIFIER",
        )
        .with_remedy(
            Remedy::new("Start the login again and use the complete verifier that it prints.")
                .command("eectl auth login --mode=notebook --quiet"),
        ))
    }
}

pub(crate) async fn finish(
    session: &Session,
    verifier: &SecretString,
    code: &SecretString,
) -> Result<SavedLogin, Error> {
    let verifier = Verifier::parse(verifier)?;
    if is_blank(code) {
        return Err(
            Error::new(ErrorKind::InvalidOptions, "the authorization code is empty")
                .with_remedy(Remedy::new("Enter the code that the page shows.")),
        );
    }
    let granted = exchange(session, &verifier, &mut None, code).await?;
    save(session, granted).await
}

/// An OAuth client, and the scopes if the user changed them on the page.
type FetchedClient = (Client, Option<Scopes>);

/// What a code was exchanged for, the scopes that it was requested with, and its client.
type Granted = (TokenGrant, Scopes, Client);

/// Exchanges a code. The client is fetched unless an earlier attempt has done so.
async fn exchange(
    session: &Session,
    verifier: &Verifier,
    fetched: &mut Option<FetchedClient>,
    code: &SecretString,
) -> Result<Granted, Error> {
    let (client, scopes) = match (&*fetched, &verifier.fetch) {
        (Some(fetched), _) => fetched.clone(),
        (None, Some((id, client_verifier))) => fetch(session, id, client_verifier).await?,
        (None, None) => (Client::earth_engine(), None),
    };
    *fetched = Some((client.clone(), scopes.clone()));
    let requested = scopes.unwrap_or_else(|| session.requested_scopes());
    let granted = CodeExchange {
        code: &code.expose_secret().trim().into(),
        client: &client,
        redirect_uri: OUT_OF_BAND,
        verifier: &verifier.token,
        requested: &requested,
    }
    .exchange(&session.http)
    .await?;
    Ok((granted, requested, client))
}

async fn save(session: &Session, granted: Granted) -> Result<SavedLogin, Error> {
    let (granted, requested, client) = granted;
    session
        .save(LoginMode::Notebook, granted, &requested, &client, None)
        .await
}

/// Fetches the OAuth client of the code, and the scopes if the user changed them on the page.
async fn fetch(
    session: &Session,
    request_id: &str,
    client_verifier: &SecretString,
) -> Result<FetchedClient, Error> {
    let mut url = session.http.endpoints().url(Endpoint::NotebookAuth).clone();
    let path = format!("{}/fetch", url.path());
    url.set_path(&path);
    let host = url.host_str().unwrap_or_default().to_owned();
    // Both consist of characters that JSON does not escape.
    let client_verifier_text = client_verifier.expose_secret();
    // Allocated at its final size, because growing would leave copies in memory.
    let body = [
        r#"{"request_id":""#,
        request_id,
        r#"","client_verifier":""#,
        client_verifier_text,
        r#""}"#,
    ];
    let body = Zeroizing::new(body.concat().into_bytes());
    let mut request = Request::new(Method::POST, url);
    request.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=UTF-8"),
    );
    *request.body_mut() = Some(Bytes::from_owner(body).into());
    let received = Exchange::new(&session.http).send(request).await?;
    if received.status != StatusCode::OK {
        return Err(no_client(&format!(
            "{host} returned status {}",
            received.status.as_u16()
        )));
    }
    read(&received.body, client_verifier, &host)
}

/// Parses the OAuth client and the scopes, if any, of a response.
pub(crate) fn read(
    body: &[u8],
    client_verifier: &SecretString,
    host: &str,
) -> Result<FetchedClient, Error> {
    let invalid = || no_client(&format!("the response of {host} is invalid"));
    // serde's own message could quote the client's secret.
    let response: FetchResponse = serde_json::from_slice(body).map_err(|_| invalid())?;
    match response {
        FetchResponse {
            error: Some(error), ..
        } => {
            let message =
                ee_token::internal::sanitize_message(&error, &[client_verifier.expose_secret()]);
            Err(no_client(&format!("{host} returned \"{message}\"")))
        }
        FetchResponse {
            client_id: Some(id),
            client_secret: Some(secret),
            scopes,
            ..
        } => {
            let scopes = scopes.map(Scopes::new).filter(|scopes| !scopes.is_empty());
            Ok((Client { id, secret }, scopes))
        }
        _ => Err(invalid()),
    }
}

#[derive(Deserialize)]
struct FetchResponse {
    client_id: Option<String>,
    client_secret: Option<SecretString>,
    scopes: Option<Vec<String>>,
    error: Option<String>,
}

fn no_client(reason: &str) -> Error {
    Error::new(
        ErrorKind::LoginFailed,
        format!("cannot fetch the OAuth client of the code: {reason}"),
    )
    .with_remedy(
        Remedy::new("Start the login again and finish it within a few minutes.")
            .command("eectl auth login --mode=notebook"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verifier_has_three_parts_or_one() {
        let parse = |text: &str| Verifier::parse(&text.into());
        let three = parse(" id:token:client\n").unwrap();
        assert_eq!(three.token.expose_secret(), "token");
        let (id, client) = three.fetch.unwrap();
        assert_eq!((&*id, client.expose_secret()), ("id", "client"));
        assert!(parse("token").unwrap().fetch.is_none());
        for bad in ["", "a:b", "a:b:c:d", "a::c", "a:b c:d", "PLACE:\"x\":y"] {
            let error = parse(bad).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidOptions, "{bad}");
        }
    }

    #[test]
    fn echoed_verifier_is_redacted_in_errors() {
        for echo in [
            "client-verifier",
            "client\u{7f}-verifier",
            "client\u{200b}-veri\u{1}fier",
        ] {
            let body = serde_json::json!({ "error": format!("no {echo} here") }).to_string();
            let error = read(body.as_bytes(), &"client-verifier".into(), "host").unwrap_err();
            let shown = format!("{error:?} {error}");
            assert!(shown.contains("no [redacted] here"), "{shown}");
            assert!(!shown.contains("verifier"), "{shown}");
        }
    }
}
