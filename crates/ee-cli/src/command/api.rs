//! `eectl api`: sends a request.

mod fields;
mod pages;
mod target;

use std::fmt::Display;
use std::path::Path;

use earthengine::rest::{RequestBuilder, Response};
use earthengine::token::internal::display_path;
use earthengine::{EarthEngine, Error, Method, VerifyLevel, rest};
use serde_json::{Map, Value, json};

use crate::cli::{Api, Global};
use crate::command::asset::size::human;
use crate::command::read_input;
use crate::error::CliError;
use crate::output::{path_json, print, print_json, print_response, print_status};
use crate::waiting::Progress;
use pages::Pages;
use target::Target;

const METHODS: [Method; 5] = [
    Method::GET,
    Method::POST,
    Method::PATCH,
    Method::PUT,
    Method::DELETE,
];

/// The request that the command line describes.
struct Call<'a> {
    method: Method,
    target: Target,
    query: Vec<(String, String)>,
    headers: &'a [(String, String)],
    body: Option<Vec<u8>>,
}

pub(crate) async fn run(global: &Global, api: &Api) -> Result<(), CliError> {
    let call = Call::new(api)?;
    let is_high_volume = call.target.is_high_volume;
    // The call itself reports project errors, so the project is not verified first.
    let ee = super::builder(global)
        .verify(VerifyLevel::Skip)
        .configure_client(move |client| client.high_volume(is_high_volume))
        .connect()
        .await
        .map_err(CliError::init)?;
    if api.paginate {
        return print_response(call.all_pages(&ee).await?.as_bytes());
    }
    if let Some(file) = &api.output {
        return save(global, &call, &ee, api.include, file).await;
    }
    let response = call.send(&ee).await?;
    if api.include {
        print(render_head(response.status(), response.headers()))?;
    }
    print_response(response.bytes())
}

/// Saves the response body in a file.
async fn save(
    global: &Global,
    call: &Call<'_>,
    ee: &EarthEngine,
    is_head_shown: bool,
    file: &Path,
) -> Result<(), CliError> {
    let response = call.request(ee)?.send_streaming().await;
    let response = response.map_err(|error| call.error(ee, error))?;
    if is_head_shown {
        print(render_head(response.status(), response.headers()))?;
    }
    let saved = response.save(file).await;
    let bytes = saved.map_err(|error| call.error(ee, error))?;
    if global.json {
        return print_json(&json!({"path": path_json(file), "bytes": bytes}));
    }
    if !global.quiet {
        print_status(&format!("saved {} in {}", human(bytes), display_path(file)));
    }
    Ok(())
}

impl<'a> Call<'a> {
    fn new(api: &'a Api) -> Result<Self, CliError> {
        let (method, path) = method_and_path(api)?;
        let mut target = Target::parse(path)?;
        let mut query = std::mem::take(&mut target.query);
        query.extend_from_slice(&api.query);
        let mut call = Self {
            query,
            headers: &api.header,
            body: api.input.as_deref().map(read_input).transpose()?,
            method,
            target,
        };
        let mut values: Vec<(&str, Value)> = Vec::new();
        for field in &api.fields.0 {
            let value = match field.is_typed {
                true => fields::parse_typed(&field.text)?,
                false => Value::String(field.text.clone()),
            };
            values.push((&field.key, value));
        }
        if values.is_empty() {
            return Ok(call);
        }
        if call.method == Method::GET || call.body.is_some() {
            let query = values
                .iter()
                .map(|(k, v)| ((*k).to_owned(), fields::query_value(v)));
            call.query.extend(query);
            return Ok(call);
        }
        let mut body = Map::new();
        for (key, value) in values {
            fields::insert(&mut body, key, value)?;
        }
        call.body = Some(Value::Object(body).to_string().into_bytes());
        Ok(call)
    }

    fn request(&self, ee: &EarthEngine) -> Result<RequestBuilder, CliError> {
        let mut request: RequestBuilder = ee.request(self.method.clone(), &self.target.path);
        for (key, value) in &self.query {
            request = request.query(key, value);
        }
        if let Some(body) = &self.body {
            request = request.body(body.clone(), "application/json");
        }
        for (name, value) in self.headers {
            let name = name
                .parse()
                .map_err(|_| CliError::usage(&format!("invalid header name {name:?}")))?;
            request = request.header(name, value);
        }
        Ok(request)
    }

    async fn send(&self, ee: &EarthEngine) -> Result<Response, CliError> {
        let response = self.request(ee)?.send().await;
        response.map_err(|error| self.error(ee, error))
    }

    fn error(&self, ee: &EarthEngine, error: rest::Error) -> CliError {
        let is_of_file = error.kind() == rest::ErrorKind::File;
        let error = Error::from(error);
        // Failures of the network and unexplained responses already name the request.
        let text = error.to_string();
        if is_of_file || text.starts_with(&format!("{} ", self.method)) {
            return CliError::call(&error, ee.project());
        }
        let message = format!("{} {}: {text}", self.method, self.target.path);
        CliError::call(&error.context(message), ee.project())
    }

    async fn all_pages(mut self, ee: &EarthEngine) -> Result<String, CliError> {
        let mut pages = Pages::default();
        let progress = Progress::new("fetching items");
        while let Some(token) = pages.add(self.send(ee).await?.bytes())? {
            self.set_page_token(token)?;
            progress.set(pages.count());
        }
        Ok(pages.into_text())
    }

    /// Sets the page token: in the body of a POST request, in the query otherwise.
    fn set_page_token(&mut self, token: String) -> Result<(), CliError> {
        const NAME: &str = "pageToken";
        if let (true, Some(body)) = (self.method == Method::POST, &self.body) {
            let mut body: Map<String, Value> = serde_json::from_slice(body).map_err(|_| {
                CliError::usage(&"--paginate needs a JSON object as the request body")
            })?;
            body.insert(NAME.into(), token.into());
            self.body = Some(Value::Object(body).to_string().into_bytes());
        } else {
            self.query.retain(|(key, _)| key != NAME);
            self.query.push((NAME.to_owned(), token));
        }
        Ok(())
    }
}

/// Formats the status and the headers of a response.
fn render_head<N: Display, V: AsRef<[u8]>>(
    status: impl Display,
    headers: impl IntoIterator<Item = (N, V)>,
) -> String {
    let mut text = format!("HTTP {status}\n");
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_ref());
        text += &format!("{name}: {}\n", crate::output::strip_unsafe_chars(&value));
    }
    text + "\n"
}

fn method_and_path(api: &Api) -> Result<(Method, &str), CliError> {
    let (positional, path) = match api.words.as_slice() {
        [path] => (None, path),
        [method, path] => (Some(method), path),
        _ => return Err(CliError::usage(&"missing path")),
    };
    let method = match (positional, &api.method) {
        (Some(_), Some(_)) => {
            return Err(CliError::usage(
                &"the method is given both before the path and with -X",
            ));
        }
        (positional, option) => positional.or(option.as_ref()),
    };
    let Some(method) = method else {
        let has_body = api.input.is_some() || !api.fields.0.is_empty();
        return Ok((if has_body { Method::POST } else { Method::GET }, path));
    };
    METHODS
        .into_iter()
        .find(|known| known.as_str().eq_ignore_ascii_case(method))
        .map(|method| (method, path.as_str()))
        .ok_or_else(|| {
            CliError::usage(&format!(
                "unsupported method \"{method}\": use GET, POST, PATCH, PUT or DELETE"
            ))
        })
}
