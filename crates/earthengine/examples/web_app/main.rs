//! A web application in which each user signs in with Google in a popup, chooses one of their Cloud
//! projects and computes a value with it.
//!
//! Requires an OAuth client of the type "web application", with the redirect URI
//! `http://localhost:3000/callback`:
//!
//! ```text
//! EE_WEB_CLIENT_ID=… EE_WEB_CLIENT_SECRET=… cargo run -p earthengine --features login --example web_app
//! ```
//!
//! `PORT` sets another port (0 for a free one), and `BASE_URL` the URL that browsers use.

#![allow(clippy::print_stdout, reason = "prints the URL of the server")]

mod session;

use std::error::Error as StdError;
use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use earthengine::credentials::CredentialOptions;
use earthengine::credentials::login::WebFlow;
use earthengine::token::HttpClient;
use earthengine::{EarthEngine, EarthEngineBuilder, Endpoints, Environment, Remedy, Scopes};
use serde::Deserialize;
use serde_json::{Value, json};
use session::Sessions;
use tokio::net::TcpListener;
use url::form_urlencoded;

/// The requested scopes: to compute, and to list projects.
const SCOPES: [&str; 2] = ["earthengine", "cloud-platform.read-only"];

#[derive(Clone)]
struct App(Arc<AppState>);

struct AppState {
    flow: WebFlow,
    endpoints: Endpoints,
    sessions: Sessions,
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
    let endpoints = Environment::current().endpoints()?;
    let options =
        CredentialOptions::new(HttpClient::new(endpoints.clone())).scopes(Scopes::new(SCOPES));
    let flow = WebFlow::new(
        variable("EE_WEB_CLIENT_ID")?,
        variable("EE_WEB_CLIENT_SECRET")?,
        &format!("{base_url}/callback"),
        options,
    )?;
    let app = App(Arc::new(AppState {
        flow,
        endpoints,
        sessions: Sessions::default(),
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
    Router::new()
        .route("/", get(async || Html(include_str!("page.html"))))
        .route(
            "/style.css",
            get(async || file("text/css", include_str!("style.css"))),
        )
        .route(
            "/app.js",
            get(async || file("text/javascript", include_str!("app.js"))),
        )
        .route("/popup", get(async || Html(include_str!("popup.html"))))
        .route(
            "/popup.js",
            get(async || file("text/javascript", include_str!("popup.js"))),
        )
        .route("/login", get(login))
        .route("/callback", get(callback))
        .route("/session", get(session))
        .route("/projects", get(projects))
        .route("/project", post(choose_project))
        .route("/compute", post(compute))
        .route("/logout", post(logout))
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
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Starts a login in the session and redirects the popup to Google's consent page.
async fn login(State(app): State<App>, headers: HeaderMap) -> Result<Response, AppError> {
    let (url, pending) = app.0.flow.begin()?;
    let mut response = Redirect::to(url.as_str()).into_response();
    let mut pending = Some(pending);
    let known = app
        .0
        .sessions
        .with(&headers, |session| session.pending = pending.take());
    if known.is_none() {
        let cookie = app.0.sessions.begin(|session| session.pending = pending)?;
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Handles Google's redirect, and redirects again because the URL contains the code.
async fn callback(
    State(app): State<App>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, AppError> {
    let sessions = &app.0.sessions;
    let Some(pending) = sessions
        .with(&headers, |session| session.pending.take())
        .flatten()
    else {
        return Ok(popup(
            "There is no pending login in this browser. Close this window and sign in again.",
        )
        .into_response());
    };
    match app.0.flow.finish(pending, &query.unwrap_or_default()).await {
        Ok(login) => {
            // A new session id prevents session fixation.
            sessions.end(&headers);
            let cookie = sessions.begin(|session| session.login = Some(login))?;
            let mut response = Redirect::to("/popup").into_response();
            response.headers_mut().insert(header::SET_COOKIE, cookie);
            Ok(response)
        }
        Err(error) => Ok(popup(&error.to_string()).into_response()),
    }
}

fn popup(error: &str) -> Redirect {
    let query: String = form_urlencoded::Serializer::new(String::new())
        .append_pair("error", error)
        .finish();
    Redirect::to(&format!("/popup?{query}"))
}

async fn session(State(app): State<App>, headers: HeaderMap) -> Json<Value> {
    let known = app.0.sessions.with(&headers, |session| {
        let missing: Vec<_> = session
            .login
            .iter()
            .flat_map(|login| login.missing.iter().map(str::to_owned))
            .collect();
        json!({
            "signed_in": session.login.is_some(),
            "missing": missing,
            "project": session.ee.as_ref().map(|ee| ee.project().id.clone()),
            "registration": session.ee.as_ref().map(|ee| ee.registration().to_string()),
        })
    });
    Json(known.unwrap_or_else(|| json!({"signed_in": false})))
}

async fn projects(State(app): State<App>, headers: HeaderMap) -> Result<Json<Value>, AppError> {
    let projects: Vec<_> = app
        .builder(&headers)?
        .list_projects()
        .await?
        .into_iter()
        .map(|project| json!({"ready": project.is_ready(), "id": project.id, "name": project.name}))
        .collect();
    Ok(Json(json!({"projects": projects})))
}

#[derive(Deserialize)]
struct Choice {
    project: String,
}

/// Connects to Earth Engine with this session's user and project.
async fn choose_project(
    State(app): State<App>,
    headers: HeaderMap,
    Json(choice): Json<Choice>,
) -> Result<Json<Value>, AppError> {
    let ee = app
        .builder(&headers)?
        .project(choice.project)
        .connect()
        .await?;
    app.0
        .sessions
        .with(&headers, |session| session.ee = Some(ee));
    Ok(Json(json!({})))
}

async fn compute(State(app): State<App>, headers: HeaderMap) -> Result<Json<Value>, AppError> {
    let ee = app
        .0
        .sessions
        .with(&headers, |session| session.ee.clone())
        .flatten();
    let ee = ee.ok_or(AppError::from("Choose a project first."))?;
    let value: f64 = ee.compute(&circle_area()).await?;
    Ok(Json(json!({"value": value})))
}

/// Returns the expression `ee.Number(1000).pow(2).multiply(Math.PI)`.
fn circle_area() -> Value {
    let call = |name: &str, left: Value, right: Value| json!({"functionInvocationValue": {"functionName": name, "arguments": {"left": left, "right": right}}});
    let constant = |value: f64| json!({"constantValue": value});
    let square = call("Number.pow", constant(1000.0), constant(2.0));
    let area = call("Number.multiply", square, constant(std::f64::consts::PI));
    json!({"result": "0", "values": {"0": area}})
}

async fn logout(State(app): State<App>, headers: HeaderMap) -> Json<Value> {
    app.0.sessions.end(&headers);
    Json(json!({}))
}

impl App {
    /// Returns a builder with the session's credentials, isolated from those of this machine.
    fn builder(&self, headers: &HeaderMap) -> Result<EarthEngineBuilder, AppError> {
        let login = self
            .0
            .sessions
            .with(headers, |session| session.login.clone());
        let login = login.flatten().ok_or(AppError::from("Sign in first."))?;
        Ok(EarthEngine::builder()
            .isolated()
            .endpoints(self.0.endpoints.clone())
            .credentials(login.credentials))
    }
}

/// An error response with a message and a remedy.
struct AppError {
    message: String,
    remedy: Option<Remedy>,
}

impl From<&str> for AppError {
    fn from(message: &str) -> Self {
        Self {
            message: message.into(),
            remedy: None,
        }
    }
}

impl From<earthengine::Error> for AppError {
    fn from(error: earthengine::Error) -> Self {
        Self {
            message: error.to_string(),
            remedy: Some(error.remedy().clone()),
        }
    }
}

impl From<earthengine::credentials::Error> for AppError {
    fn from(error: earthengine::credentials::Error) -> Self {
        Self {
            message: error.to_string(),
            remedy: Some(error.remedy().clone()),
        }
    }
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        let remedy = self.remedy.map(|remedy| remedy.to_string());
        let body = Json(json!({"message": self.message, "remedy": remedy}));
        (StatusCode::BAD_REQUEST, body).into_response()
    }
}
