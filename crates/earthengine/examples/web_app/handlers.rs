//! What the pages request.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Redirect, Response};
use earthengine::credentials::ErrorKind as LoginError;
use earthengine::{EarthEngine, ImageFormat, token};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::App;
use crate::session::{Session, User};
use crate::visitor::{VisitorError, log};

type Reply<T> = Result<T, VisitorError>;

/// Starts a login in the session and redirects the popup to Google's consent page.
pub(crate) async fn login(State(app): State<App>, headers: HeaderMap) -> Reply<Response> {
    let sessions = &app.0.sessions;
    let (url, pending) = app.0.flow.begin().map_err(earthengine::Error::from)?;
    let mut response = Redirect::to(url.as_str()).into_response();
    let mut pending = Some(pending);
    let known = sessions.with(&headers, |session| session.pending = pending.take());
    if known.is_none() {
        let mut session = Session::new(None);
        session.pending = pending;
        let (_, cookie) = sessions.begin(session)?;
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Handles Google's redirect, and redirects again because the URL contains the code.
pub(crate) async fn callback(
    State(app): State<App>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Reply<Response> {
    let sessions = &app.0.sessions;
    let pending = sessions.with(&headers, |session| session.pending.take());
    let Some(pending) = pending.flatten() else {
        return Ok(Redirect::to("/popup?problem=no_login").into_response());
    };
    match app.0.flow.finish(pending, &query.unwrap_or_default()).await {
        Ok(login) => {
            let user = User::from(login);
            // A new session ID prevents session fixation.
            if let (Some(_), Some(id)) = (sessions.end(&headers), sessions.id(&headers)) {
                app.forget(id).await;
            }
            let session = Session::new(Some(user.clone()));
            let since = session.since;
            let (id, cookie) = sessions.begin(session)?;
            app.save(&id, &user, since, None).await;
            let mut response = Redirect::to("/popup").into_response();
            response.headers_mut().insert(header::SET_COOKIE, cookie);
            Ok(response)
        }
        Err(error) => {
            log(&format_args!("{error:?}"));
            let problem = match error.kind() {
                LoginError::LoginDenied => "denied",
                LoginError::LoginTimeout => "timeout",
                _ => "failed",
            };
            Ok(Redirect::to(&format!("/popup?problem={problem}")).into_response())
        }
    }
}

/// Returns what the page shows first.
pub(crate) async fn session(State(app): State<App>, headers: HeaderMap) -> Json<Value> {
    let state = app.0.sessions.with(&headers, |session| {
        let user = session.user.as_ref()?;
        Some((user.missing.clone(), session.project.clone()))
    });
    let Some((missing, project)) = state.flatten() else {
        return Json(json!({"signed_in": false}));
    };
    let mut state = json!({"signed_in": true, "missing": missing});
    if project.is_some() {
        match app.earth_engine(&headers).await {
            Ok(ee) => {
                state["project"] = json!(ee.project().id);
                state["registration"] = json!(ee.registration().to_string());
            }
            // The grant was revoked since the session was saved.
            Err(problem) if problem.is_signed_out() => {
                return Json(json!({"signed_in": false, "problem": problem.json()}));
            }
            Err(problem) => state["problem"] = problem.json(),
        }
    }
    Json(state)
}

pub(crate) async fn projects(State(app): State<App>, headers: HeaderMap) -> Reply<Json<Value>> {
    let projects = app.builder(&headers)?.list_projects().await?;
    let projects: Vec<_> = projects
        .into_iter()
        .map(|project| json!({"ready": project.is_ready(), "id": project.id, "name": project.name}))
        .collect();
    Ok(Json(json!({"projects": projects})))
}

#[derive(Deserialize)]
pub(crate) struct Choice {
    project: String,
}

/// Connects to Earth Engine with this session's user and project.
pub(crate) async fn choose_project(
    State(app): State<App>,
    headers: HeaderMap,
    Json(choice): Json<Choice>,
) -> Reply<Json<Value>> {
    let builder = app.builder(&headers)?.project(&choice.project);
    let ee = builder.connect().await?;
    let sessions = &app.0.sessions;
    let signed_in = sessions.with(&headers, |session| {
        session.project = Some(choice.project.clone());
        session.ee = Some(ee);
        session.map = None;
        Some((session.user.clone()?, session.since))
    });
    if let (Some((user, since)), Some(id)) = (signed_in.flatten(), sessions.id(&headers)) {
        app.save(id, &user, since, Some(choice.project)).await;
    }
    Ok(Json(json!({})))
}

pub(crate) async fn compute(State(app): State<App>, headers: HeaderMap) -> Reply<Json<Value>> {
    let ee = app.earth_engine(&headers).await?;
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

/// Creates the map layer of this session: the world's elevation.
pub(crate) async fn map(State(app): State<App>, headers: HeaderMap) -> Reply<Json<Value>> {
    let ee = app.earth_engine(&headers).await?;
    // In Python: ee.Image("CGIAR/SRTM90_V4")
    let elevation = json!({"result": "0", "values": {"0": {"functionInvocationValue": {
        "functionName": "Image.load",
        "arguments": {"id": {"constantValue": "CGIAR/SRTM90_V4"}},
    }}}});
    let layer = ee.client().map(&elevation).format(ImageFormat::Png);
    let layer = layer.visualization(json!({
        "ranges": [{"min": 0, "max": 4000}],
        "paletteColors": ["#006600", "#ffffcc", "#664400", "#ffffff"],
    }));
    let map = layer.create().await.map_err(earthengine::Error::from)?;
    let set = |session: &mut Session| session.map = Some(map);
    app.0.sessions.with(&headers, set);
    Ok(Json(json!({})))
}

/// Returns a tile of the map layer. Earth Engine requires the user's token for it, which stays here.
pub(crate) async fn tile(
    State(app): State<App>,
    Path((z, x, y)): Path<(u8, i64, i64)>,
    headers: HeaderMap,
) -> Reply<Response> {
    let map = app.0.sessions.with(&headers, |session| session.map.clone());
    let map = map.flatten();
    let map = map.ok_or_else(|| VisitorError::invalid("Show the map first."))?;
    let tile = map.tile(z, x, y).map_err(earthengine::Error::from)?;
    let png = tile.bytes().await.map_err(earthengine::Error::from)?;
    let headers = [
        (header::CONTENT_TYPE, "image/png"),
        (header::CACHE_CONTROL, "private, max-age=3600"),
    ];
    Ok((headers, png).into_response())
}

#[derive(Deserialize)]
pub(crate) struct Logout {
    /// Whether the user also withdraws this site's access to their account.
    revoke: bool,
}

/// Ends the session, also on disk.
pub(crate) async fn logout(
    State(app): State<App>,
    headers: HeaderMap,
    Json(logout): Json<Logout>,
) -> Reply<Json<Value>> {
    let user = app
        .0
        .sessions
        .end(&headers)
        .and_then(|session| session.user);
    if let Some(id) = app.0.sessions.id(&headers) {
        app.forget(id).await;
    }
    if let (true, Some(token)) = (logout.revoke, user.and_then(|user| user.refresh_token)) {
        // Google revokes the user's whole grant to this site, with the sessions in other browsers.
        if let Err(error) = token::revoke(&app.0.http, &token).await {
            log(&format_args!("{error:?}"));
            return Err(VisitorError::not_revoked());
        }
    }
    Ok(Json(json!({})))
}

impl App {
    /// Returns a builder with the session's credentials, isolated from those of this machine.
    fn builder(&self, headers: &HeaderMap) -> Reply<earthengine::EarthEngineBuilder> {
        let user = self
            .0
            .sessions
            .with(headers, |session| session.user.clone());
        let user = user.flatten().ok_or_else(VisitorError::signed_out)?;
        Ok(EarthEngine::builder()
            .isolated()
            .endpoints(self.0.http.endpoints().clone())
            .credentials(user.credentials))
    }

    /// Returns the client for the session's project, and connects first if the session was restored.
    async fn earth_engine(&self, headers: &HeaderMap) -> Reply<EarthEngine> {
        let sessions = &self.0.sessions;
        let known = sessions.with(headers, |session| {
            (session.ee.clone(), session.project.clone())
        });
        match known {
            None => Err(VisitorError::signed_out()),
            Some((Some(ee), _)) => Ok(ee),
            Some((None, None)) => Err(VisitorError::invalid("Choose a project first.")),
            Some((None, Some(project))) => {
                let ee = self.builder(headers)?.project(project).connect().await?;
                sessions.with(headers, |session| session.ee = Some(ee.clone()));
                Ok(ee)
            }
        }
    }
}
