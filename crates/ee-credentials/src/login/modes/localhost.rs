//! A login with a browser on this machine, which the consent page sends back here
//! (RFC 8252 §7.3).

use ee_token::SecretString;

use crate::Error;
use crate::login::authorization::{Answer, Client, Code, Question, refused};
use crate::login::flow::{LoginFlow, SavedLogin};
use crate::login::loopback::{DONE, FAILED, Loopback, Port};
use crate::login::pkce::nonce;
use crate::login::{Browser, LoginMode, Terminal};

/// What the Python client listens on, and what some firewalls and containers are set up for.
const USUAL_PORT: u16 = 8085;

pub(crate) async fn run(
    flow: &LoginFlow,
    port: Option<u16>,
    terminal: &dyn Terminal,
    browser: &dyn Browser,
) -> Result<SavedLogin, Error> {
    let listener = match port {
        Some(number) => Loopback::bind(Port::Named(number)).await?,
        None => Loopback::bind(Port::Preferred(USUAL_PORT)).await?,
    };
    let (state, verifier) = (nonce()?, nonce()?);
    let client = Client::earth_engine();
    let (number, redirect_uri) = (listener.port(), listener.redirect_uri());
    let url = Question {
        client_id: &client.id,
        redirect_uri: &redirect_uri,
        scopes: &flow.asked(),
        verifier: &verifier,
        state: state.expose_secret(),
        more: &[],
    }
    .url(flow.http.endpoints())?;
    // Before the page is shown: whoever is quick finds somebody there.
    let mut waiting = listener.serve(&state);
    let opened = !flow.quiet && browser.is_available() && browser.open(&url);
    terminal.show_url(&url, &advice(opened, number));

    let (answer, page) = flow.wait(waiting.answer()).await?;
    let saved = finish(flow, port, answer, &client, &redirect_uri, &verifier).await;
    page.show(if saved.is_ok() { DONE } else { FAILED }).await;
    saved
}

fn advice(opened: bool, port: u16) -> String {
    if opened {
        "Log in on the page that opens in your browser; if none does, open the address. Waiting for the browser …".into()
    } else {
        format!(
            "Open the address in a browser on this machine, and log in. If the browser is on another machine, lead its port here first (ssh -L {port}:localhost:{port}), or use --mode=notebook. Waiting for the browser …"
        )
    }
}

async fn finish(
    flow: &LoginFlow,
    port: Option<u16>,
    answer: Answer,
    client: &Client,
    redirect_uri: &str,
    verifier: &SecretString,
) -> Result<SavedLogin, Error> {
    let code = match answer {
        Answer::Code(code) => code,
        Answer::Refused(reason) => return Err(refused(&reason)),
    };
    let asked = flow.asked();
    let granted = Code {
        code: &code,
        client,
        redirect_uri,
        verifier,
        asked: &asked,
    }
    .exchange(&flow.http)
    .await?;
    let mode = LoginMode::Localhost { port };
    let redirect_uri = Some(redirect_uri.to_owned());
    flow.save(mode, granted, &asked, client, redirect_uri).await
}
