//! `code.earthengine.google.com/client-auth`: the page by which people log in from a notebook,
//! where no browser can be sent back to.
//!
//! The notebook makes three random texts: a request id and two verifiers. The page gets the id
//! and the verifiers' challenges, and shows a code in the end. Whoever has the second verifier
//! fetches the OAuth client that the code is for; whoever has the first can exchange the code.

use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::accounts::{OUT_OF_BAND, error_page};
use super::code_grant::answers;
use crate::oauth_client::EARTHENGINE_CLIENT_ID;
use crate::reply::Reply;
use crate::request::Request;
use crate::scopes;
use crate::server::Shared;
use crate::state::Notebook;

pub(super) fn answer(shared: &Shared, request: &Request) -> Reply {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/client-auth") => match page(shared, request) {
            Ok(reply) | Err(reply) => reply,
        },
        ("POST", "/client-auth/fetch") => match fetch(shared, request) {
            Ok(reply) | Err(reply) => reply,
        },
        (_, "/client-auth" | "/client-auth/fetch") => Reply::text(405, "Method Not Allowed\n"),
        _ => Reply::no_such_page(&request.path),
    }
}

/// Remembers the login, and sends the browser on to the consent page.
fn page(shared: &Shared, request: &Request) -> Result<Reply, Reply> {
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
    // Opening the page twice is fine; taking over somebody else's login is not.
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
    let mut consent = Url::parse(&consent).map_err(|_| invalid("No address.".to_owned()))?;
    consent.set_query(Some(&query.finish()));
    Ok(Reply::redirect(consent.as_str()))
}

/// Hands out the OAuth client to whoever has the verifier. A refusal has status 200, too.
fn fetch(shared: &Shared, request: &Request) -> Result<Reply, Reply> {
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
        return Err(Reply::text(415, "Unsupported Media Type\n"));
    }
    let body: Body =
        serde_json::from_slice(&request.body).map_err(|_| Reply::text(400, "Bad Request\n"))?;
    let refuse = |why: &str| Reply::json(200, &json!({"error": why}));
    let state = shared.state();
    let Some(notebook) = state.notebooks.get(&body.request_id) else {
        return Err(refuse("Unknown request_id."));
    };
    if !answers(&body.client_verifier, &notebook.client_challenge) {
        return Err(refuse("Invalid client_verifier."));
    }
    let client = state
        .client(EARTHENGINE_CLIENT_ID)
        .ok_or_else(|| refuse("There is no OAuth client."))?;
    Ok(Reply::json(
        200,
        &json!({
            "client_id": client.id,
            "client_secret": client.secret,
            "scopes": notebook.scopes,
        }),
    ))
}
