#![allow(missing_docs)]

use ee_token::{Scopes, SecretString};
use tokio::sync::mpsc;

use crate::login::authorization::{AuthorizationResponse, denied};
use crate::login::detect;
use crate::login::loopback::CallbackHandler;
use crate::login::loopback::http::{Request, RequestError};
use crate::login::modes::notebook::{self, Verifier};
use crate::{Environment, Error};

/// The outcome of a browser's request to the loopback address.
#[derive(Debug)]
pub enum Loopback {
    Code(SecretString),
    Denied(String),
    /// The status of the page in the response.
    Page(&'static str),
    /// The bytes are not a valid request.
    NoRequest,
}

pub async fn loopback(bytes: &[u8], state: &str, port: u16) -> Loopback {
    let request = match Request::read(&mut &*bytes).await {
        Ok(request) => request,
        Err(RequestError::Disconnected | RequestError::Malformed | RequestError::TooLong) => {
            return Loopback::NoRequest;
        }
    };
    let (sender, _receiver) = mpsc::channel(1);
    match CallbackHandler::new(&state.into(), port, sender).handle(&request) {
        Ok(AuthorizationResponse::Code(code)) => Loopback::Code(code),
        Ok(AuthorizationResponse::Denied(reason)) => Loopback::Denied(reason),
        Err(page) => Loopback::Page(page.status),
    }
}

/// Parses the query of a callback: the code, or the error for a denial.
pub fn callback(query: &str, state: &str) -> Option<Result<SecretString, Error>> {
    match AuthorizationResponse::parse(query, state) {
        Ok(AuthorizationResponse::Code(code)) => Some(Ok(code)),
        Ok(AuthorizationResponse::Denied(reason)) => Some(Err(denied(&reason))),
        Err(_) => None,
    }
}

/// Parses the notebook page's response: the OAuth client, its secret and the scopes.
pub fn notebook_response(
    body: &[u8],
    verifier: &SecretString,
) -> Result<(String, SecretString, Option<Scopes>), Error> {
    let (client, scopes) = notebook::read(body, verifier, "code.earthengine.google.com")?;
    Ok((client.id, client.secret, scopes))
}

/// Parses a code verifier and returns the token verifier in it.
pub fn notebook_verifier(text: &str) -> Result<SecretString, Error> {
    let verifier = Verifier::parse(&text.into())?;
    Ok(verifier.token.expose_secret().into())
}

/// Returns the command that opens a page, with `%s` in place of the URL.
pub fn browser_command(environment: &Environment) -> Option<Vec<String>> {
    detect::browser_command(environment)
}
