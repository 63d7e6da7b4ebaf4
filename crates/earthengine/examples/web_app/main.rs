//! A web application in which each user signs in with Google in a popup, chooses one of their Cloud
//! projects, computes a value with it and looks at a map.
//!
//! Requires an OAuth client of the type "web application", with the redirect URI
//! `http://localhost:3000/callback`:
//!
//! ```text
//! EE_WEB_CLIENT_ID=… EE_WEB_CLIENT_SECRET=… EE_WEB_SESSIONS=DIRECTORY \
//!     cargo run -p earthengine --features login --example web_app
//! ```
//!
//! Users stay signed in when the server restarts if `EE_WEB_SESSIONS` names a directory for their
//! sessions. `PORT` sets another port (0 for a free one), and `BASE_URL` the URL that browsers use.
//!
//! `eectl emulator --config crates/earthengine/examples/web_app/emulator.toml` stands in for Google.

#![allow(clippy::print_stdout, reason = "prints the URL of the server")]

mod handlers;
mod session;
mod store;
mod visitor;

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use earthengine::credentials::CredentialOptions;
use earthengine::credentials::login::WebFlow;
use earthengine::token::HttpClient;
use earthengine::{Environment, Scopes};
use session::{Cookies, Session, Sessions, User};
use store::{Saved, Store};
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use visitor::log;

/// The requested scopes: to compute, and to list projects.
const SCOPES: [&str; 2] = ["earthengine", "cloud-platform.read-only"];

#[derive(Clone)]
struct App(Arc<AppState>);

struct AppState {
    flow: WebFlow,
    http: HttpClient,
    sessions: Sessions,
    store: Option<Store>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let port = std::env::var("PORT").unwrap_or_else(|_| "3000".into());
    let listener = TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
    let base_url = std::env::var("BASE_URL").or_else(|_| {
        Ok::<_, std::io::Error>(format!(
            "http://localhost:{}",
            listener.local_addr()?.port()
        ))
    })?;
    let http = HttpClient::new(Environment::current().endpoints()?);
    let options = CredentialOptions::new(http.clone()).scopes(Scopes::new(SCOPES));
    let flow = WebFlow::new(
        variable("EE_WEB_CLIENT_ID")?,
        variable("EE_WEB_CLIENT_SECRET")?,
        &format!("{base_url}/callback"),
        options,
    )?;
    let store = match std::env::var_os("EE_WEB_SESSIONS") {
        Some(dir) => Some(spawn_blocking(|| Store::open(dir)).await??),
        None => None,
    };
    let app = App(Arc::new(AppState {
        flow,
        http,
        sessions: Sessions::new(Cookies::for_site(&base_url)),
        store,
    }));
    println!("{base_url}");
    axum::serve(listener, router(app)).await?;
    Ok(())
}

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| {
        format!("{name} is not set; create an OAuth client of the type \"web application\" at https://console.cloud.google.com/apis/credentials")
    })
}

fn router(app: App) -> Router {
    let page = |html: &'static str| get(async move || Html(html));
    let style = || get(async || file("text/css", include_str!("style.css")));
    let script = |text: &'static str| get(async move || file("text/javascript", text));
    Router::new()
        .route("/session", get(handlers::session))
        .route("/login", get(handlers::login))
        .route("/callback", get(handlers::callback))
        .route("/projects", get(handlers::projects))
        .route("/project", post(handlers::choose_project))
        .route("/compute", post(handlers::compute))
        .route("/map", post(handlers::map))
        .route("/tiles/{z}/{x}/{y}", get(handlers::tile))
        .route("/logout", post(handlers::logout))
        .layer(middleware::from_fn_with_state(app.clone(), restore))
        .route("/", page(include_str!("page.html")))
        .route("/popup", page(include_str!("popup.html")))
        .route("/style.css", style())
        .route("/app.js", script(include_str!("app.js")))
        .route("/map.js", script(include_str!("map.js")))
        .route("/popup.js", script(include_str!("popup.js")))
        .layer(middleware::from_fn(guard))
        .with_state(app)
}

fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind)], text)
}

/// Prevents cross-site requests, framing and caching.
async fn guard(request: Request, next: Next) -> Response {
    let has_side_effects = request.method() != "GET";
    if has_side_effects && !request.headers().contains_key("x-requested-with") {
        return StatusCode::FORBIDDEN.into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; frame-ancestors 'none'",
        ),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Map tiles may be cached by the browser.
    let cached = headers.entry(header::CACHE_CONTROL);
    cached.or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Restores the session of the request if it was saved before the server started.
async fn restore(State(app): State<App>, request: Request, next: Next) -> Response {
    let AppState {
        flow,
        sessions,
        store,
        ..
    } = &*app.0;
    let is_known = sessions.with(request.headers(), |_| ()).is_some();
    if let (false, Some(store), Some(id)) = (is_known, store, sessions.id(request.headers())) {
        let (store, id) = (store.clone(), id.to_owned());
        let loaded = spawn_blocking(move || Ok((store.load(&id)?, id))).await;
        match flatten(loaded) {
            Ok((Some(saved), id)) => {
                let user = User {
                    credentials: flow.restore(saved.refresh_token.clone()),
                    missing: saved.missing.clone(),
                    refresh_token: Some(saved.refresh_token.clone()),
                };
                let mut session = Session::new(Some(user));
                session.since = saved.since();
                session.project.clone_from(&saved.project);
                if session.is_current() {
                    sessions.insert(id, session);
                }
            }
            Ok((None, _)) => {}
            Err(problem) => log(&format_args!("a session could not be read: {problem}")),
        }
    }
    next.run(request).await
}

impl App {
    /// Saves a session. A failure is logged: the user stays signed in until the server restarts.
    async fn save(&self, id: &str, user: &User, since: SystemTime, project: Option<String>) {
        let (Some(store), Some(token)) = (&self.0.store, &user.refresh_token) else {
            return;
        };
        let saved = Saved::new(since, token.clone(), user.missing.clone(), project);
        let (store, id) = (store.clone(), id.to_owned());
        let result = spawn_blocking(move || store.save(&id, &saved)).await;
        if let Err(problem) = flatten(result) {
            log(&format_args!("a session could not be saved: {problem}"));
        }
    }

    /// Removes a saved session.
    async fn forget(&self, id: &str) {
        let Some(store) = self.0.store.clone() else {
            return;
        };
        let id = id.to_owned();
        if let Err(problem) = flatten(spawn_blocking(move || store.remove(&id)).await) {
            log(&format_args!("a session could not be removed: {problem}"));
        }
    }
}

fn flatten<T>(result: Result<std::io::Result<T>, tokio::task::JoinError>) -> std::io::Result<T> {
    result.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}
