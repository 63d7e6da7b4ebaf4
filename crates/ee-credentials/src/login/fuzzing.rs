#![allow(missing_docs)]

use ee_token::{Scopes, SecretString};
use tokio::sync::mpsc;

use crate::login::authorization::{Answer, refused};
use crate::login::detect;
use crate::login::loopback::Door;
use crate::login::loopback::http::{Bad, Request};
use crate::login::modes::notebook::{self, Verifier};
use crate::{Environment, Error};

/// What a browser's request to the loopback address came to.
#[derive(Debug)]
pub enum Loopback {
    Code(SecretString),
    Refused(String),
    /// The status of the page that it gets.
    Page(&'static str),
    /// It is no request: nothing is looked at.
    NoRequest,
}

pub async fn loopback(bytes: &[u8], state: &str, port: u16) -> Loopback {
    let request = match Request::read(&mut &*bytes).await {
        Ok(request) => request,
        Err(Bad::Silent | Bad::Malformed | Bad::TooLong) => return Loopback::NoRequest,
    };
    let (sender, _receiver) = mpsc::channel(1);
    match Door::new(&state.into(), port, sender).judge(&request) {
        Ok(Answer::Code(code)) => Loopback::Code(code),
        Ok(Answer::Refused(reason)) => Loopback::Refused(reason),
        Err(page) => Loopback::Page(page.status),
    }
}

/// The answer in a query: the code, or what is told of a refusal.
pub fn callback(query: &str, state: &str) -> Option<Result<SecretString, Error>> {
    match Answer::parse(query, state) {
        Ok(Answer::Code(code)) => Some(Ok(code)),
        Ok(Answer::Refused(reason)) => Some(Err(refused(&reason))),
        Err(_) => None,
    }
}

/// The OAuth client, its secret and the scopes that the notebook page's server names.
pub fn notebook_response(
    body: &[u8],
    verifier: &SecretString,
) -> Result<(String, SecretString, Option<Scopes>), Error> {
    let (client, scopes) = notebook::read(body, verifier, "code.earthengine.google.com")?;
    Ok((client.id, client.secret, scopes))
}

/// The verifier of the token in what somebody pasted.
pub fn notebook_verifier(text: &str) -> Result<SecretString, Error> {
    let verifier = Verifier::parse(&text.into())?;
    Ok(verifier.token.expose_secret().into())
}

/// What opens a page; the word `%s` stands for its address.
pub fn browser_command(environment: &Environment) -> Option<Vec<String>> {
    detect::browser_command(environment)
}
