//! `code.earthengine.google.com/client-auth`: the login page for notebooks, to which no redirect is
//! possible.
//!
//! The notebook generates a random request id and two verifiers, `tc` and `cc`. The page receives
//! the id and the verifiers' challenges, and finally shows a code. The verifier of `cc` is
//! required to fetch the OAuth client that the code was issued to, and that of `tc` to exchange
//! the code.

use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::accounts::{OUT_OF_BAND, error_page};
use super::code_grant::matches_challenge;
use crate::oauth_client::EARTHENGINE_CLIENT_ID;
use crate::request::Request;
use crate::response::Response;
use crate::scopes;
use crate::state::{Notebook, Shared};

pub(super) fn handle(shared: &Shared, request: &Request) -> Response {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/client-auth") => page(shared, request).unwrap_or_else(|error| error),
        ("POST", "/client-auth/fetch") => fetch(shared, request).unwrap_or_else(|error| error),
        (_, "/client-auth" | "/client-auth/fetch") => Response::text(405, "Method Not Allowed\n"),
        _ => Response::page_not_found(&request.path),
    }
}

/// Stores the login and redirects the browser to the consent page.
fn page(shared: &Shared, request: &Request) -> Result<Response, Response> {
    let invalid = |why: String| error_page(400, "invalid_request", &why);
    let need = |name: &str| {
        request
            .query(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| invalid(format!("Missing required parameter: {name}")))
    };
    let nonce = |name: &str| {
        let value = need(name)?;
        let is_nonce = value.len() == 43
            && value
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        is_nonce
            .then_some(value)
            .ok_or_else(|| invalid(format!("{name} is not 32 bytes in base64url.")))
    };
    let id = nonce("request_id")?;
    let notebook = Notebook {
        token_challenge: nonce("tc")?,
        client_challenge: nonce("cc")?,
        scopes: scopes::split(&need("scopes")?),
    };
    if let Some(unknown) = notebook.scopes.iter().find(|s| !scopes::is_known(s)) {
        return Err(invalid(format!(
            "Some requested scopes were invalid: {unknown}"
        )));
    }
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs([
        ("client_id", EARTHENGINE_CLIENT_ID),
        ("redirect_uri", OUT_OF_BAND),
        ("response_type", "code"),
        ("scope", &notebook.scopes.join(" ")),
        ("code_challenge", &notebook.token_challenge),
        ("code_challenge_method", "S256"),
    ]);
    let mut state = shared.state();
    // The page may be opened twice, but not to take over another login.
    let known = state
        .notebooks
        .entry(id)
        .or_insert_with(|| notebook.clone());
    if *known != notebook {
        return Err(invalid("request_id has been used.".to_owned()));
    }
    let consent = format!(
        "http://{}/accounts.google.com/o/oauth2/auth",
        shared.address
    );
    let mut consent = Url::parse(&consent).map_err(|_| invalid("Invalid URL.".to_owned()))?;
    consent.set_query(Some(&query.finish()));
    Ok(Response::redirect(consent.as_str()))
}

/// Returns the OAuth client if the verifier is correct. Errors have status 200 as well.
fn fetch(shared: &Shared, request: &Request) -> Result<Response, Response> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        request_id: String,
        client_verifier: String,
    }
    let is_json = request
        .header(CONTENT_TYPE.as_str())
        .is_some_and(|content_type| content_type.starts_with("application/json"));
    if !is_json {
        return Err(Response::text(415, "Unsupported Media Type\n"));
    }
    let body: Body =
        serde_json::from_slice(&request.body).map_err(|_| Response::text(400, "Bad Request\n"))?;
    let error = |why: &str| Response::json(200, &json!({"error": why}));
    let state = shared.state();
    let Some(notebook) = state.notebooks.get(&body.request_id) else {
        return Err(error("Unknown request_id."));
    };
    if !matches_challenge(&body.client_verifier, &notebook.client_challenge) {
        return Err(error("Invalid client_verifier."));
    }
    let client = state
        .client(EARTHENGINE_CLIENT_ID)
        .ok_or_else(|| error("The OAuth client does not exist."))?;
    Ok(Response::json(
        200,
        &json!({
            "client_id": client.id,
            "client_secret": client.secret,
            "scopes": notebook.scopes,
        }),
    ))
}
