//! The mode `localhost`: a browser that is redirected to a loopback port (RFC 8252 §7.3). If the
//! browser is on another machine, the user pastes the address of the page that it cannot load.

use std::future::pending;

use ee_token::SecretString;

use crate::login::authorization::{
    AuthorizationRequest, AuthorizationResponse, Client, CodeExchange, denied, is_wrong_code,
};
use crate::login::loopback::{DONE, FAILED, Loopback, Port};
use crate::login::pkce::nonce;
use crate::login::session::{SavedLogin, Session};
use crate::login::{Browser, LoginMode, Terminal};
use crate::{Error, ErrorKind};

/// The port of the Python client, which firewalls and containers may be configured for.
const DEFAULT_PORT: u16 = 8085;

/// How many lines are read that are not the address of the page. Input without an end would never
/// be one.
const MAX_PASTES: u32 = 20;
/// How many codes are tried.
const MAX_CODES: u32 = 3;

pub(crate) async fn run(
    session: &Session,
    port: Option<u16>,
    terminal: &dyn Terminal,
    browser: &dyn Browser,
) -> Result<SavedLogin, Error> {
    let listener = match port {
        Some(number) => Loopback::bind(Port::Fixed(number)).await?,
        None => Loopback::bind(Port::Preferred(DEFAULT_PORT)).await?,
    };
    let (state, verifier) = (nonce()?, nonce()?);
    let client = Client::earth_engine();
    let (number, redirect_uri) = (listener.port(), listener.redirect_uri());
    let url = AuthorizationRequest {
        client_id: &client.id,
        redirect_uri: &redirect_uri,
        scopes: &session.requested_scopes(),
        verifier: &verifier,
        state: state.expose_secret(),
        more: &[],
    }
    .url(session.http.endpoints())?;
    // The server runs before the URL is shown, so that no callback can arrive too early.
    let mut callback = listener.serve(&state);
    let opened = !session.quiet && browser.is_available() && browser.open(&url);
    let prompts = !opened && !session.quiet;
    terminal.show_url(&url, &advice(opened, prompts, number));

    for attempts in (0..MAX_CODES).rev() {
        let received = async {
            tokio::select! {
                received = callback.response() => received.map(|(response, page)| (response, Some(page))),
                response = pasted(terminal, &state, &redirect_uri), if prompts => Ok((response, None)),
            }
        };
        let (response, page) = session.wait(received).await?;
        let was_pasted = page.is_none();
        let saved = finish(session, port, response, &client, &redirect_uri, &verifier).await;
        if let Some(page) = page {
            page.show(if saved.is_ok() { DONE } else { FAILED }).await;
        }
        match saved {
            Err(error)
                if was_pasted
                    && attempts > 0
                    && terminal.is_interactive()
                    && is_wrong_code(&error) =>
            {
                terminal.print(&format!(
                    "{error}\nCopy the whole address of the page, and paste it again. If it is rejected again, open the URL above and log in again."
                ));
            }
            saved => return saved,
        }
    }
    // The last attempt returns.
    Err(Error::new(ErrorKind::LoginFailed, "no code was accepted"))
}

fn advice(opened: bool, prompts: bool, port: u16) -> String {
    if opened {
        "Log in on the page that opens in your browser. If no page opens, open the URL yourself. Waiting for the browser …".into()
    } else if !prompts {
        format!(
            "Open the URL in a browser on this machine and log in. If the browser runs on another machine, forward the port first (ssh -L {port}:localhost:{port}). Waiting for the browser …"
        )
    } else {
        format!(
            "Open the URL in a browser and log in. If the browser runs on another machine, it then shows a page that it cannot load, at localhost:{port}: copy the address of that page, paste it here, and press Enter."
        )
    }
}

/// Returns the response in the address that the user pastes. Waits for the browser if there is no
/// input.
async fn pasted(
    terminal: &dyn Terminal,
    state: &SecretString,
    redirect_uri: &str,
) -> AuthorizationResponse {
    for _ in 0..MAX_PASTES {
        let Ok(Some(line)) = terminal.prompt("Address of the page: ").await else {
            break;
        };
        let address = line.expose_secret().trim();
        if address.is_empty() {
            continue;
        }
        let query = address.split_once('?').map_or(address, |(_, query)| query);
        let query = query.split('#').next().unwrap_or_default();
        match AuthorizationResponse::parse(query, state.expose_secret()) {
            Ok(response) => return response,
            Err(_) => terminal.print(&format!(
                "This is not the address of this login's last page. It starts with {redirect_uri}/?state=, and contains code=."
            )),
        }
    }
    pending().await
}

async fn finish(
    session: &Session,
    port: Option<u16>,
    response: AuthorizationResponse,
    client: &Client,
    redirect_uri: &str,
    verifier: &SecretString,
) -> Result<SavedLogin, Error> {
    let code = match response {
        AuthorizationResponse::Code(code) => code,
        AuthorizationResponse::Denied(reason) => return Err(denied(&reason)),
    };
    let requested = session.requested_scopes();
    let granted = CodeExchange {
        code: &code,
        client,
        redirect_uri,
        verifier,
        requested: &requested,
    }
    .exchange(&session.http)
    .await?;
    let mode = LoginMode::Localhost { port };
    let redirect_uri = Some(redirect_uri.to_owned());
    session
        .save(mode, granted, &requested, client, redirect_uri)
        .await
}
