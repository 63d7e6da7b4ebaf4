//! Batches: many calls in one request.

pub(crate) mod multipart;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use ee_token::AccessToken;
use ee_token::internal::Quoted;
use http::Method;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use url::Url;

use crate::batch::multipart::{PartResponse, parse};
use crate::client::Inner;
use crate::error::explain::explain;
use crate::request::body_fields::add_fields;
use crate::request::finite::to_vec;
use crate::request::name::RequestName;
use crate::request::path::{BATCH, Route};
use crate::send::error_body::MAX_ERROR_BODY;
use crate::{ApiError, Client, Error, RequestBuilder, Response};

/// The maximum number of calls that Google's front ends accept in one batch.
const MAX_CALLS: usize = 1000;

/// Separates the calls. It cannot occur in a body: no line of JSON starts like this.
const BOUNDARY: &str = "batch_ee_rust_7d1c0a54f2";

/// A batch of calls, sent in one request and answered individually. Created by [`Client::batch`].
///
/// Each call has an ID chosen by the caller. An invalid call is reported by [`send`](Self::send)
/// before anything is sent.
///
/// A failed call does not affect the others and is not retried; only the batch as a whole is
/// retried, if all of its calls may be. The exception are calls whose token was rejected (401),
/// which are resent once, in a second batch with a new token.
///
/// The [client's workload tag](Client::with_workload_tag) is added to each call that supports one.
#[must_use = "a batch does nothing until it is sent"]
pub struct Batch {
    client: Client,
    calls: Vec<Call>,
    configure: Vec<Box<dyn FnOnce(RequestBuilder) -> RequestBuilder + Send>>,
    error: Option<Error>,
}

struct Call {
    id: String,
    name: RequestName,
    query: Vec<(String, String)>,
    body: Option<Bytes>,
    idempotent: bool,
}

impl Client {
    /// Starts a batch of calls.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// let mut batch = client.batch();
    /// for id in ["ABC", "DEF"] {
    ///     batch = batch.get(id, format!("operations/{id}"));
    /// }
    /// let response = batch.send().await?;
    /// match response.json::<ee_rest::Operation>("ABC") {
    ///     Ok(operation) => println!("{}", operation.state()),
    ///     Err(error) => eprintln!("{error}"),
    /// }
    /// # Ok(()) }
    /// ```
    pub fn batch(&self) -> Batch {
        Batch {
            client: self.clone(),
            calls: Vec::new(),
            configure: Vec::new(),
            error: None,
        }
    }
}

impl Batch {
    /// Adds a GET request.
    pub fn get(self, id: impl Into<String>, path: impl Into<String>) -> Self {
        self.call(id, Method::GET, path, &[], None::<&()>)
    }

    /// Adds a POST request with a JSON body.
    pub fn post(
        self,
        id: impl Into<String>,
        path: impl Into<String>,
        body: &(impl Serialize + ?Sized),
    ) -> Self {
        self.call(id, Method::POST, path, &[], Some(body))
    }

    /// Adds a DELETE request.
    pub fn delete(self, id: impl Into<String>, path: impl Into<String>) -> Self {
        self.call(id, Method::DELETE, path, &[], None::<&()>)
    }

    /// Adds a request. The path is resolved as by [`Client::request`].
    pub fn call(
        mut self,
        id: impl Into<String>,
        method: Method,
        path: impl Into<String>,
        query: &[(&str, &str)],
        body: Option<&(impl Serialize + ?Sized)>,
    ) -> Self {
        match self.check(id.into(), method, path.into(), query, body) {
            Ok(call) => self.calls.push(call),
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
        self
    }

    /// Configures the request that carries the batch, for example its timeout or retry policy.
    pub fn configure_request(
        mut self,
        f: impl FnOnce(RequestBuilder) -> RequestBuilder + Send + 'static,
    ) -> Self {
        self.configure.push(Box::new(f));
        self
    }

    fn check(
        &self,
        id: String,
        method: Method,
        path: String,
        query: &[(&str, &str)],
        body: Option<&(impl Serialize + ?Sized)>,
    ) -> Result<Call, Error> {
        let shown = Quoted(&id);
        let invalid = |why: &str| {
            Err(Error::invalid_request(
                format!("{shown} is not a valid call ID: {why}"),
                "Use a unique ID of 1 to 200 visible ASCII characters.",
            ))
        };
        // The ID is sent and returned in a header, in angle brackets.
        let plain = |b: u8| b.is_ascii_graphic() && !b"<>".contains(&b);
        if id.is_empty() || id.len() > 200 || !id.bytes().all(plain) {
            return invalid("it must be 1 to 200 visible ASCII characters without < and >");
        }
        if self.calls.iter().any(|call| call.id == id) {
            return invalid("another call of the batch has it");
        }
        let route = Route::new(path, self.client.project())?;
        if route.is_batch() {
            return Err(Error::invalid_request(
                format!("the call {shown} is itself a batch"),
                "Add its calls to this batch directly.",
            ));
        }
        let mut body = match body {
            None => None,
            Some(body) => {
                let what = format!("the body of the call {shown}");
                Some(Bytes::from(to_vec(&what, body)?))
            }
        };
        let mut query = query
            .iter()
            .map(|(n, v)| ((*n).into(), (*v).into()))
            .collect();
        let tag = self.client.workload_tag();
        let idempotent = add_fields(&method, &route, tag, &mut query, body.as_mut());
        Ok(Call {
            id,
            name: RequestName { method, route },
            query,
            body,
            idempotent,
        })
    }

    /// Sends the calls and reads their responses. An empty batch sends nothing.
    ///
    /// # Errors
    /// See [`RequestBuilder::send`]. Returns
    /// [`ErrorKind::InvalidResponse`](crate::ErrorKind::InvalidResponse) if the response is not a
    /// batch response. Errors of individual calls are in the [`BatchResponse`].
    pub async fn send(self) -> Result<BatchResponse, Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if self.calls.len() > MAX_CALLS {
            return Err(Error::invalid_request(
                format!(
                    "a batch of {} calls is too large: the maximum is {MAX_CALLS}",
                    self.calls.len()
                ),
                "Split the calls into several batches.",
            ));
        }
        if self.calls.is_empty() {
            return Ok(BatchResponse(CallResults::new()));
        }
        let request = self
            .client
            .request(Method::POST, BATCH)
            .idempotent(self.calls.iter().all(|call| call.idempotent));
        let request = self
            .configure
            .into_iter()
            .fold(request, |request, f| f(request));
        let until = request.total_deadline();
        let until = until.and_then(|time| Instant::now().checked_add(time));
        let client = &*self.client.0;
        let resend = request.copy();
        let response = with_calls(request, &self.calls)?.send().await?;
        let (attempts, used) = (response.attempts, response.secrets.token.clone());
        let mut spent = response.secrets.rejected.clone();
        let mut results = read(client, response, &self.calls)?;

        let mut rejected = self.calls;
        rejected.retain(|call| {
            let result = results.get(&call.id);
            result.is_some_and(|result| result.as_ref().is_err_and(Error::is_unauthorized))
        });
        if let Some(used) = used
            && !rejected.is_empty()
            // If the renewal failed, resending the calls reports the error.
            && client.options.auth.renew(&used, until).await.unwrap_or(true)
        {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let resend = match left {
                Some(Duration::ZERO) => return Ok(BatchResponse(results)),
                Some(left) => resend.deadline(left),
                None => resend,
            };
            spent.push(used);
            let resend = with_calls(resend, &rejected)?;
            results.extend(resend_rejected(client, resend, rejected, attempts, spent).await);
        }
        Ok(BatchResponse(results))
    }
}

#[cfg(fuzzing)]
impl Batch {
    /// Reads the responses to the calls.
    pub(crate) fn read_responses(self, response: Response) -> Result<BatchResponse, Error> {
        match self.error {
            Some(error) => Err(error),
            None => read(&self.client.0, response, &self.calls).map(BatchResponse),
        }
    }
}

/// Resends the calls whose token was rejected, after `attempts` attempts with the `spent` tokens.
/// Returns no responses if the deadline passed before they were sent.
async fn resend_rejected(
    client: &Inner,
    request: RequestBuilder,
    calls: Vec<Call>,
    attempts: u32,
    spent: Vec<AccessToken>,
) -> CallResults {
    let results = request.send().await.and_then(|mut response| {
        response.attempts += attempts;
        response.secrets.rejected.extend(spent);
        read(client, response, &calls)
    });
    match results {
        Ok(results) => results,
        Err(error) if error.is_own_timeout() && error.attempts() == 0 => CallResults::new(),
        Err(error) => {
            let failed = calls.into_iter().map(|call| (call.id, Err(error.clone())));
            failed.collect()
        }
    }
}

fn with_calls(request: RequestBuilder, calls: &[Call]) -> Result<RequestBuilder, Error> {
    let content_type = format!("multipart/mixed; boundary={BOUNDARY}");
    Ok(request.body(encode(calls)?, &content_type))
}

fn encode(calls: &[Call]) -> Result<Vec<u8>, Error> {
    // Only the path matters: all calls go to the host of the batch.
    let base = Url::parse("https://earthengine.googleapis.com/").map_err(|error| {
        Error::invalid_request(
            "the calls have no valid URL",
            "Check the paths of the calls.",
        )
        .with_source(error)
    })?;
    let mut encoded = Vec::new();
    for call in calls {
        let mut url = call.name.route.url(&base)?;
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let query = url
            .query()
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        let head = format!(
            "--{BOUNDARY}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\
             Content-ID: <{}>\r\n\r\n{} {}{query} HTTP/1.1\r\n",
            call.id,
            call.name.method,
            url.path(),
        );
        encoded.extend_from_slice(head.as_bytes());
        let body: &[u8] = call.body.as_deref().unwrap_or_default();
        if call.body.is_some() {
            let headers = format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            );
            encoded.extend_from_slice(headers.as_bytes());
        }
        encoded.extend_from_slice(b"\r\n");
        encoded.extend_from_slice(body);
        encoded.extend_from_slice(b"\r\n");
    }
    encoded.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    Ok(encoded)
}

/// The responses by call ID.
type CallResults = BTreeMap<String, Result<Response, Error>>;

fn read(client: &Inner, response: Response, calls: &[Call]) -> Result<CallResults, Error> {
    let content_type = response.headers.get(CONTENT_TYPE);
    let content_type = content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let parts = parse(content_type, &response.body, calls.len()).map_err(|why| {
        Error::invalid_response(
            response.attempts,
            format!(
                "the response to {} is not a batch response: {why}",
                response.name
            ),
        )
    })?;
    let mut found = BTreeMap::new();
    for part in parts {
        match found.entry(part.id) {
            Entry::Vacant(entry) => {
                entry.insert(part.response);
            }
            // It is unknown which of the two is the right one.
            Entry::Occupied(mut entry) => {
                *entry.get_mut() = Err("it is duplicated");
            }
        }
    }
    let results = calls.iter().map(|call| {
        let result = match found.remove(&call.id) {
            Some(Ok(part)) => read_call(client, &response, &call.name, part),
            Some(Err(why)) => Err(invalid_response(&response, &call.name, why)),
            None => Err(invalid_response(&response, &call.name, "it is missing")),
        };
        (call.id.clone(), result)
    });
    let results: CallResults = results.collect();
    let is_accepted = |result: &Result<_, _>| match result {
        Ok(_) => true,
        Err(error) => Error::api(error).is_some() && !error.is_unauthorized(),
    };
    if results.values().any(is_accepted) {
        client
            .options
            .auth
            .accepted(response.secrets.token.as_ref());
    }
    Ok(results)
}

fn read_call(
    client: &Inner,
    response: &Response,
    name: &RequestName,
    part: PartResponse<'_>,
) -> Result<Response, Error> {
    let shared = &client.shared;
    let (path, admission) = (name.route.as_str(), &shared.admission);
    let events = &shared.events;
    events.observe(&part.headers, path, admission, &response.secrets);
    if !part.status.is_success() {
        // The same limit as for a single error response.
        let body = &part.body[..part.body.len().min(MAX_ERROR_BODY)];
        let api = ApiError::read(part.status, body, &response.secrets);
        return Err(explain(name, api, client.caller(None)).with_attempts(response.attempts));
    }
    Ok(Response {
        status: part.status,
        headers: part.headers,
        // Shares the batch's buffer instead of copying.
        body: response.body.slice_ref(part.body),
        attempts: response.attempts,
        name: name.clone(),
        secrets: response.secrets.clone(),
    })
}

fn invalid_response(response: &Response, name: &RequestName, why: &str) -> Error {
    Error::invalid_response(
        response.attempts,
        format!("the response to {name} in the batch is invalid: {why}"),
    )
}

/// The responses to the calls of a [`Batch`].
#[derive(Debug)]
pub struct BatchResponse(CallResults);

impl BatchResponse {
    /// Returns the response to the call with this ID, or `None` if there was no such call.
    pub fn get(&self, id: &str) -> Option<&Result<Response, Error>> {
        self.0.get(id)
    }

    /// Deserializes the JSON response to the call with this ID.
    ///
    /// # Errors
    /// Returns the error of the call, or
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) if there was no such call.
    pub fn json<T: DeserializeOwned>(&self, id: &str) -> Result<T, Error> {
        match self.0.get(id) {
            Some(Ok(response)) => response.json(),
            Some(Err(error)) => Err(error.clone()),
            None => Err(Error::invalid_request(
                format!("the batch had no call with the ID {}", Quoted(id)),
                "Use the ID that the call was added with.",
            )),
        }
    }

    /// Returns all responses, ordered by call ID.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Result<Response, Error>)> {
        self.0.iter().map(|(id, result)| (id.as_str(), result))
    }

    /// Returns the calls that failed.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &Error)> {
        self.iter()
            .filter_map(|(id, result)| Some((id, result.as_ref().err()?)))
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("calls", &self.calls.len())
            .finish_non_exhaustive()
    }
}
