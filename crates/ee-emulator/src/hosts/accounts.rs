//! `accounts.google.com`: the consent page.

use chrono::TimeDelta;
use url::{Host, Url};

use crate::random;
use crate::request::Request;
use crate::response::{Response, escape};
use crate::scopes;
use crate::state::{AuthorizationCode, Consent, Shared, State};

/// The redirect URI with which the page shows the code instead of redirecting.
pub(super) const OUT_OF_BAND: &str = "urn:ietf:wg:oauth:2.0:oob";

/// The parameter of the consent page's buttons with the user's email address. Empty for "Cancel".
const USER_PARAMETER: &str = "emulator_user";

/// The repeated parameter of the form with the selected scopes. Ignored without [`FORM_PARAMETER`].
const SCOPE_PARAMETER: &str = "emulator_scope";

/// The parameter that marks a submitted form.
const FORM_PARAMETER: &str = "emulator_chosen";

const STYLE: &str = "body{font:16px/1.5 sans-serif;max-width:34rem;margin:2rem auto;padding:0 1rem;\
overflow-wrap:anywhere}ul{list-style:none;padding:0}button{font:inherit}";

/// The lifetime of an authorization code.
const CODE_LIFETIME: TimeDelta = TimeDelta::minutes(10);

pub(super) fn handle(shared: &Shared, request: &Request) -> Response {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/o/oauth2/auth" | "/o/oauth2/v2/auth") => {
            consent(shared, request).unwrap_or_else(|error| error)
        }
        _ => Response::page_not_found(&request.path),
    }
}

/// A valid authorization request (RFC 6749 section 4.1.1, RFC 7636 section 4.3).
struct AuthorizationRequest {
    client_id: String,
    redirect_uri: String,
    scopes: Vec<String>,
    challenge: String,
    state: Option<String>,
    /// Whether a refresh token is requested. Installed applications always receive one.
    offline: bool,
    /// Whether scopes granted to this client earlier are included.
    include_granted: bool,
}

fn consent(shared: &Shared, request: &Request) -> Result<Response, Response> {
    let mut state = shared.state();
    let authorization = validate(&state, request)?;
    let chosen = request
        .query(USER_PARAMETER)
        .map(|email| match email.as_str() {
            "" => Consent::Deny,
            _ => Consent::Grant {
                email,
                only: selected_scopes(request),
            },
        });
    let hinted = request
        .query("login_hint")
        .filter(|email| state.users.contains(email))
        .map(|email| Consent::Grant { email, only: None });
    let consent = match (chosen, &state.consent) {
        (Some(chosen), _) => chosen,
        (None, Consent::Ask) => hinted.unwrap_or(Consent::Ask),
        (None, configured) => configured.clone(),
    };
    Ok(match consent {
        Consent::Ask => page(&state, request, &authorization),
        Consent::Deny => redirect(&authorization, &[("error", "access_denied")]),
        Consent::Grant { email, only } => {
            let granted: Vec<String> = authorization
                .scopes
                .iter()
                .filter(|scope| only.as_ref().is_none_or(|only| only.contains(scope)))
                .cloned()
                .collect();
            if granted.is_empty() {
                return Ok(redirect(&authorization, &[("error", "access_denied")]));
            }
            let granted = match authorization.include_granted {
                true => with_granted_scopes(&state, &email, &authorization.client_id, granted),
                false => granted,
            };
            let scope = granted.join(" ");
            let code = format!("4/0emulator-{}", random::url_safe(32));
            let expires_at = shared.clock.now() + CODE_LIFETIME;
            state.users.insert(email.clone());
            state.codes.insert(
                code.clone(),
                AuthorizationCode {
                    email,
                    client_id: authorization.client_id.clone(),
                    redirect_uri: authorization.redirect_uri.clone(),
                    challenge: authorization.challenge.clone(),
                    scopes: granted,
                    offline: authorization.offline,
                    expires_at,
                    used: false,
                },
            );
            redirect(&authorization, &[("code", &code), ("scope", &scope)])
        }
    })
}

/// Validates the request. Errors are shown on a page and never sent to an unvalidated redirect URI.
fn validate(state: &State, request: &Request) -> Result<AuthorizationRequest, Response> {
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
    if !is_installed_app_redirect(&redirect_uri) && !client.redirect_uris.contains(&redirect_uri) {
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
            "The emulator supports only response_type=code.",
        ));
    }
    let challenge = need("code_challenge")?;
    if need("code_challenge_method")? != "S256" {
        return Err(invalid("code_challenge_method must be S256."));
    }
    if challenge.len() != 43 || challenge.contains(['+', '/', '=']) {
        return Err(invalid("code_challenge is not a base64url SHA-256 hash."));
    }
    let scopes = scopes::split(&need("scope")?);
    if let Some(unknown) = scopes.iter().find(|scope| !scopes::is_known(scope)) {
        return Err(error_page(
            400,
            "invalid_scope",
            &format!("Some requested scopes were invalid: {unknown}"),
        ));
    }
    Ok(AuthorizationRequest {
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

/// Returns the scopes selected in the form, if it was submitted.
fn selected_scopes(request: &Request) -> Option<Vec<String>> {
    request.query(FORM_PARAMETER)?;
    let selected = url::form_urlencoded::parse(request.query.as_bytes())
        .filter(|(name, _)| name == SCOPE_PARAMETER)
        .map(|(_, scope)| scope.into_owned());
    Some(selected.collect())
}

/// Adds the scopes granted to this client earlier (incremental authorization).
fn with_granted_scopes(
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

/// Returns whether an installed application may use this redirect URI: the out-of-band URI, or a
/// loopback address with any port (RFC 8252 section 7.3).
fn is_installed_app_redirect(redirect_uri: &str) -> bool {
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

fn redirect(authorization: &AuthorizationRequest, parameters: &[(&str, &str)]) -> Response {
    if authorization.redirect_uri == OUT_OF_BAND {
        let shown: Vec<String> = parameters
            .iter()
            .map(|(name, value)| {
                format!("<p>{name}: <code id=\"{name}\">{}</code>\n", escape(value))
            })
            .collect();
        return document(200, "Sign in", &shown.concat());
    }
    let Ok(mut url) = Url::parse(&authorization.redirect_uri) else {
        return error_page(400, "invalid_request", "Invalid redirect_uri.");
    };
    if let Some(state) = &authorization.state {
        url.query_pairs_mut().append_pair("state", state);
    }
    url.query_pairs_mut().extend_pairs(parameters);
    Response::redirect(url.as_str())
}

/// Returns the page with a button for each user. A button repeats the request with the choice.
fn page(state: &State, request: &Request, authorization: &AuthorizationRequest) -> Response {
    let link = |email: &str| {
        let user: String = url::form_urlencoded::byte_serialize(email.as_bytes()).collect();
        // Relative to the page, so that it works with any host name in the browser.
        let name = request.path.rsplit('/').next().unwrap_or_default();
        escape(&format!("{name}?{}&{USER_PARAMETER}={user}", request.query))
    };
    let scopes: String = authorization
        .scopes
        .iter()
        .map(|scope| {
            let scope = escape(scope);
            format!(
                "<li><label><input type=\"checkbox\" name=\"{SCOPE_PARAMETER}\" value=\"{scope}\" checked> \
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
                 <button class=\"allow-ticked\" name=\"{USER_PARAMETER}\" value=\"{email}\">\
                 Continue with selected scopes</button>\n",
                link(email),
                email = escape(email)
            )
        })
        .collect();
    // A form's fields replace the query of its URL, so the query is repeated as hidden fields.
    let hidden_fields: String = url::form_urlencoded::parse(request.query.as_bytes())
        .map(|(name, value)| {
            format!(
                "<input type=\"hidden\" name=\"{}\" value=\"{}\">\n",
                escape(&name),
                escape(&value)
            )
        })
        .collect();
    let body = format!(
        "<form method=\"get\">\n{hidden_fields}<input type=\"hidden\" name=\"{FORM_PARAMETER}\" value=\"1\">\n\
         <p><code>{}</code> wants to:\n<ul>\n{scopes}</ul>\n{buttons}</form>\n\
         <p><a class=\"deny\" href=\"{}\">Cancel</a>\n",
        escape(&authorization.client_id),
        link("")
    );
    document(200, "Sign in (emulated)", &body)
}

pub(super) fn error_page(status: u16, error: &str, why: &str) -> Response {
    let body = format!(
        "<p>Error {status}: <code id=\"error\">{error}</code>\n<p>{}\n",
        escape(why)
    );
    document(status, "Access blocked: Authorization Error", &body)
}

fn document(status: u16, title: &str, body: &str) -> Response {
    Response::html(
        status,
        format!(
            "<!DOCTYPE html>\n<html lang=en>\n<meta charset=utf-8>\n\
             <meta name=viewport content=\"width=device-width\">\n<title>{title}</title>\n\
             <style>{STYLE}</style>\n<h1>{title}</h1>\n{body}"
        ),
    )
}
