//! `accounts.google.com`: the page on which people consent.

use chrono::TimeDelta;
use url::{Host, Url};

use crate::random;
use crate::reply::{Reply, escape};
use crate::request::Request;
use crate::scopes;
use crate::server::Shared;
use crate::state::{Code, Consent, State};

/// Where clients without a redirect address have the code shown instead.
pub(super) const OUT_OF_BAND: &str = "urn:ietf:wg:oauth:2.0:oob";

/// The parameter by which a button of the consent page says who pressed it; empty for "no".
const PRESSED: &str = "emulator_user";

/// The parameter by which the page's form says which scopes are ticked; without any it is as if
/// all were, unless [`CHOSEN`] is there.
const TICKED: &str = "emulator_scope";

/// The parameter by which the form says that it was a form.
const CHOSEN: &str = "emulator_chosen";

/// How long an authorization code is good for.
const CODE_LIFETIME: TimeDelta = TimeDelta::minutes(10);

pub(super) fn answer(shared: &Shared, request: &Request) -> Reply {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/o/oauth2/auth" | "/o/oauth2/v2/auth") => match consent(shared, request) {
            Ok(reply) | Err(reply) => reply,
        },
        _ => Reply::no_such_page(&request.path),
    }
}

/// A valid authorization request (RFC 6749 section 4.1.1, RFC 7636 section 4.3).
struct Asked {
    client_id: String,
    redirect_uri: String,
    scopes: Vec<String>,
    challenge: String,
    state: Option<String>,
    /// Whether a refresh token is wanted. Installed applications always get one.
    offline: bool,
    /// Whether what was granted to this client before is to be granted again.
    include_granted: bool,
}

fn consent(shared: &Shared, request: &Request) -> Result<Reply, Reply> {
    let mut state = shared.state();
    let asked = asked(&state, request)?;
    let pressed = request.query(PRESSED).map(|email| match email.as_str() {
        "" => Consent::Deny,
        _ => Consent::Grant {
            email,
            only: ticked(request),
        },
    });
    let hinted = request
        .query("login_hint")
        .filter(|email| state.users.contains(email))
        .map(|email| Consent::Grant { email, only: None });
    let consent = match (pressed, &state.consent) {
        (Some(pressed), _) => pressed,
        (None, Consent::Ask) => hinted.unwrap_or(Consent::Ask),
        (None, decided) => decided.clone(),
    };
    Ok(match consent {
        Consent::Ask => page(&state, request, &asked),
        Consent::Deny => send_back(&asked, &[("error", "access_denied")]),
        Consent::Grant { email, only } => {
            let granted: Vec<String> = asked
                .scopes
                .iter()
                .filter(|scope| only.as_ref().is_none_or(|only| only.contains(scope)))
                .cloned()
                .collect();
            if granted.is_empty() {
                return Ok(send_back(&asked, &[("error", "access_denied")]));
            }
            let granted = match asked.include_granted {
                true => with_earlier(&state, &email, &asked.client_id, granted),
                false => granted,
            };
            let scope = granted.join(" ");
            let code = format!("4/0emulator-{}", random::url_safe(32));
            let expires_at = shared.clock.now() + CODE_LIFETIME;
            state.users.insert(email.clone());
            state.codes.insert(
                code.clone(),
                Code {
                    email,
                    client_id: asked.client_id.clone(),
                    redirect_uri: asked.redirect_uri.clone(),
                    challenge: asked.challenge.clone(),
                    scopes: granted,
                    offline: asked.offline,
                    expires_at,
                    used: false,
                },
            );
            send_back(&asked, &[("code", &code), ("scope", &scope)])
        }
    })
}

/// Checks the request. What is wrong is shown, and never sent to an unchecked address.
fn asked(state: &State, request: &Request) -> Result<Asked, Reply> {
    let parameter = |name: &str| request.query(name).filter(|value| !value.is_empty());
    let invalid = |why: &str| error_page(400, "invalid_request", why);
    let need = |name: &str| {
        parameter(name).ok_or_else(|| invalid(&format!("Missing required parameter: {name}")))
    };

    let client_id = need("client_id")?;
    let client = state
        .client(&client_id)
        .ok_or_else(|| error_page(401, "invalid_client", "The OAuth client was not found."))?;
    let redirect_uri = need("redirect_uri")?;
    if !may_return_to(&redirect_uri) && !client.redirect_uris.contains(&redirect_uri) {
        return Err(error_page(
            400,
            "redirect_uri_mismatch",
            &format!("The redirect URI {redirect_uri} is not registered for the client."),
        ));
    }
    if need("response_type")? != "code" {
        return Err(error_page(
            400,
            "unsupported_response_type",
            "The emulator knows response_type=code only.",
        ));
    }
    let challenge = need("code_challenge")?;
    if need("code_challenge_method")? != "S256" {
        return Err(invalid("code_challenge_method must be S256."));
    }
    if challenge.len() != 43 || challenge.contains(['+', '/', '=']) {
        return Err(invalid("code_challenge is no base64url SHA-256 hash."));
    }
    let scopes = scopes::split(&need("scope")?);
    if let Some(unknown) = scopes.iter().find(|scope| !scopes::is_known(scope)) {
        return Err(error_page(
            400,
            "invalid_scope",
            &format!("Some requested scopes were invalid: {unknown}"),
        ));
    }
    Ok(Asked {
        client_id,
        redirect_uri,
        scopes,
        challenge,
        state: request.query("state"),
        offline: client.redirect_uris.is_empty()
            || parameter("access_type").as_deref() == Some("offline"),
        include_granted: parameter("include_granted_scopes").as_deref() == Some("true"),
    })
}

/// The scopes that are ticked on the page's form, if it was the form.
fn ticked(request: &Request) -> Option<Vec<String>> {
    request.query(CHOSEN)?;
    let ticked = url::form_urlencoded::parse(request.query.as_bytes())
        .filter(|(name, _)| name == TICKED)
        .map(|(_, scope)| scope.into_owned());
    Some(ticked.collect())
}

/// Incremental authorization: what this client was granted before comes along.
fn with_earlier(
    state: &State,
    email: &str,
    client_id: &str,
    mut granted: Vec<String>,
) -> Vec<String> {
    let earlier = state
        .grants
        .values()
        .filter(|grant| grant.email == email && grant.client_id == client_id && !grant.revoked);
    for scope in earlier.flat_map(|grant| &grant.scopes) {
        if !granted.contains(scope) {
            granted.push(scope.clone());
        }
    }
    granted
}

/// Installed applications may have people sent back to this machine, on any port
/// (RFC 8252 section 7.3).
fn may_return_to(redirect_uri: &str) -> bool {
    if redirect_uri == OUT_OF_BAND {
        return true;
    }
    let Ok(url) = Url::parse(redirect_uri) else {
        return false;
    };
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    loopback && url.scheme() == "http" && url.fragment().is_none() && url.username().is_empty()
}

fn send_back(asked: &Asked, answer: &[(&str, &str)]) -> Reply {
    if asked.redirect_uri == OUT_OF_BAND {
        let shown: Vec<String> = answer
            .iter()
            .map(|(name, value)| {
                format!("<p>{name}: <code id=\"{name}\">{}</code>\n", escape(value))
            })
            .collect();
        return document(200, "Sign in", &shown.concat());
    }
    let Ok(mut url) = Url::parse(&asked.redirect_uri) else {
        return error_page(400, "invalid_request", "Invalid redirect_uri.");
    };
    if let Some(state) = &asked.state {
        url.query_pairs_mut().append_pair("state", state);
    }
    url.query_pairs_mut().extend_pairs(answer);
    Reply::redirect(url.as_str())
}

/// The page with a button for each user. A button is the same request again with the answer.
fn page(state: &State, request: &Request, asked: &Asked) -> Reply {
    let link = |email: &str| {
        let pressed: String = url::form_urlencoded::byte_serialize(email.as_bytes()).collect();
        // Relative to the page, so that it works behind whatever name the browser used.
        let name = request.path.rsplit('/').next().unwrap_or_default();
        escape(&format!("{name}?{}&{PRESSED}={pressed}", request.query))
    };
    let scopes: String = asked
        .scopes
        .iter()
        .map(|scope| {
            let scope = escape(scope);
            format!(
                "<li><label><input type=\"checkbox\" name=\"{TICKED}\" value=\"{scope}\" checked> \
                 <code>{scope}</code></label>\n"
            )
        })
        .collect();
    let buttons: String = state
        .users
        .iter()
        .map(|email| {
            format!(
                "<p><a class=\"allow\" href=\"{}\">Continue as {email}</a>\n\
                 <button class=\"allow-ticked\" name=\"{PRESSED}\" value=\"{email}\">\
                 Continue with what is ticked</button>\n",
                link(email),
                email = escape(email)
            )
        })
        .collect();
    // A form's own fields take the place of its address's query.
    let again: String = url::form_urlencoded::parse(request.query.as_bytes())
        .map(|(name, value)| {
            format!(
                "<input type=\"hidden\" name=\"{}\" value=\"{}\">\n",
                escape(&name),
                escape(&value)
            )
        })
        .collect();
    let body = format!(
        "<form method=\"get\">\n{again}<input type=\"hidden\" name=\"{CHOSEN}\" value=\"1\">\n\
         <p><code>{}</code> wants to:\n<ul>\n{scopes}</ul>\n{buttons}</form>\n\
         <p><a class=\"deny\" href=\"{}\">Cancel</a>\n",
        escape(&asked.client_id),
        link("")
    );
    document(200, "Sign in (emulated)", &body)
}

pub(super) fn error_page(status: u16, error: &str, why: &str) -> Reply {
    let body = format!(
        "<p>Error {status}: <code id=\"error\">{error}</code>\n<p>{}\n",
        escape(why)
    );
    document(status, "Access blocked: Authorization Error", &body)
}

fn document(status: u16, title: &str, body: &str) -> Reply {
    Reply::html(
        status,
        format!(
            "<!DOCTYPE html>\n<html lang=en>\n<meta charset=utf-8>\n<title>{title}</title>\n\
             <h1>{title}</h1>\n{body}"
        ),
    )
}
