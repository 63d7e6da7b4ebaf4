//! Many calls in one request.

pub(crate) mod multipart;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use ee_token::AccessToken;
use http::Method;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use url::Url;

use crate::batch::multipart::{Answer, parse};
use crate::client::Inner;
use crate::request::Name;
use crate::request::body_fields::add_fields;
use crate::request::path::{BATCH, Route};
use crate::send::error_body::MAX_REFUSAL;
use crate::{ApiError, Client, Error, ErrorKind, RequestBuilder, Response};

/// The most calls that Google's front ends take in one request.
const MOST_CALLS: usize = 1000;

/// Separates the calls. No body can hold it: JSON has no line that begins like this.
const BOUNDARY: &str = "batch_ee_rust_7d1c0a54f2";

/// Many calls in one request, which are answered each for itself; made by [`Client::batch`].
///
/// Each call has an id of the caller's. What is wrong with a call is reported by
/// [`send`](Self::send), before anything is sent.
///
/// A call that is refused leaves the others alone, and is not sent again: only the request as
/// a whole is, if each of its calls may be. The exception are calls whose token is not taken
/// (401): they are sent once more by themselves, with a new one.
///
/// The workload tag of the [client](Client::with_workload_tag) goes into each call that takes
/// one.
#[must_use = "a batch does nothing until it is sent"]
pub struct Batch {
    client: Client,
    calls: Vec<Call>,
    adjust: Vec<Box<dyn FnOnce(RequestBuilder) -> RequestBuilder + Send>>,
    mistake: Option<Error>,
}

struct Call {
    id: String,
    name: Name,
    query: Vec<(String, String)>,
    body: Option<Bytes>,
    idempotent: bool,
}

impl Client {
    /// Starts a batch: many calls in one request.
    ///
    /// ```no_run
    /// # async fn f(client: ee_rest::Client) -> Result<(), ee_rest::Error> {
    /// let mut batch = client.batch();
    /// for id in ["ABC", "DEF"] {
    ///     batch = batch.get(id, format!("operations/{id}"));
    /// }
    /// let reply = batch.send().await?;
    /// match reply.json::<ee_rest::Operation>("ABC") {
    ///     Ok(operation) => println!("{}", operation.state()),
    ///     Err(error) => eprintln!("{error}"),
    /// }
    /// # Ok(()) }
    /// ```
    pub fn batch(&self) -> Batch {
        Batch {
            client: self.clone(),
            calls: Vec::new(),
            adjust: Vec::new(),
            mistake: None,
        }
    }
}

impl Batch {
    /// Adds a GET.
    pub fn get(self, id: impl Into<String>, path: impl Into<String>) -> Self {
        self.call(id, Method::GET, path, &[], None::<&()>)
    }

    /// Adds a POST of JSON.
    pub fn post(
        self,
        id: impl Into<String>,
        path: impl Into<String>,
        body: &(impl Serialize + ?Sized),
    ) -> Self {
        self.call(id, Method::POST, path, &[], Some(body))
    }

    /// Adds a DELETE.
    pub fn delete(self, id: impl Into<String>, path: impl Into<String>) -> Self {
        self.call(id, Method::DELETE, path, &[], None::<&()>)
    }

    /// Adds any call. The path is completed as by [`Client::request`].
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
                self.mistake.get_or_insert(error);
            }
        }
        self
    }

    /// Sets options of the one request that carries the calls: its timeout, its retries, ….
    pub fn with(
        mut self,
        f: impl FnOnce(RequestBuilder) -> RequestBuilder + Send + 'static,
    ) -> Self {
        self.adjust.push(Box::new(f));
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
        let shown: String = id.chars().take(80).collect();
        let refused = |why: &str| {
            let message = format!("{shown:?} cannot be the id of a call: {why}");
            Err(Error::new(ErrorKind::InvalidRequest, message))
        };
        // Each id stands in a header between angle brackets, both ways.
        let plain = |b: u8| b.is_ascii_graphic() && !b"<>".contains(&b);
        if id.is_empty() || id.len() > 200 || !id.bytes().all(plain) {
            return refused("it must be 1 to 200 visible ASCII characters without < and >");
        }
        if self.calls.iter().any(|call| call.id == id) {
            return refused("another call has it");
        }
        let route = Route::new(path, self.client.project())?;
        if route.as_str() == "batch" {
            return refused("a batch cannot hold a batch");
        }
        let mut body = match body {
            None => None,
            Some(body) => Some(Bytes::from(serde_json::to_vec(body).map_err(|error| {
                let message = format!("the body of the call {shown:?} cannot be written as JSON");
                Error::new(ErrorKind::InvalidRequest, message).with_source(error)
            })?)),
        };
        let mut query = query
            .iter()
            .map(|(n, v)| ((*n).into(), (*v).into()))
            .collect();
        let tag = self.client.workload_tag();
        let idempotent = add_fields(&method, &route, tag, &mut query, body.as_mut());
        Ok(Call {
            id,
            name: Name { method, route },
            query,
            body,
            idempotent,
        })
    }

    /// Sends all calls and reads all answers. Without calls, nothing is sent.
    ///
    /// # Errors
    /// For what concerns all calls: as [`RequestBuilder::send`], and
    /// [`ErrorKind::InvalidResponse`] for a reply that is no batch's. What concerns one call is
    /// in the [`BatchResponse`].
    pub async fn send(self) -> Result<BatchResponse, Error> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        if self.calls.len() > MOST_CALLS {
            return Err(Error::new(
                ErrorKind::InvalidRequest,
                format!(
                    "{} calls are too many for one batch: the most are {MOST_CALLS}",
                    self.calls.len()
                ),
            ));
        }
        if self.calls.is_empty() {
            return Ok(BatchResponse(Answers::new()));
        }
        let request = self
            .client
            .request(Method::POST, BATCH)
            .idempotent(self.calls.iter().all(|call| call.idempotent));
        let request = self
            .adjust
            .into_iter()
            .fold(request, |request, f| f(request));
        let until = request.time_in_all();
        let until = until.and_then(|time| Instant::now().checked_add(time));
        let client = &*self.client.0;
        let once_more = request.copy();
        let reply = carry(request, &self.calls)?.send().await?;
        let (attempts, used) = (reply.attempts, reply.secrets.token.clone());
        let mut spent = reply.secrets.refused.clone();
        let mut answers = read(client, reply, &self.calls)?;

        let mut refused = self.calls;
        refused.retain(|call| {
            let answer = answers.get(&call.id);
            answer.is_some_and(|answer| answer.as_ref().is_err_and(Error::is_unauthorized))
        });
        if let Some(used) = used
            && !refused.is_empty()
            // Where there is none, whoever sends the calls once more says why.
            && client.options.auth.renew(&used, until).await.unwrap_or(true)
        {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let once_more = match left {
                Some(Duration::ZERO) => return Ok(BatchResponse(answers)),
                Some(left) => once_more.deadline(left),
                None => once_more,
            };
            spent.push(used);
            let once_more = carry(once_more, &refused)?;
            answers.extend(again(client, once_more, refused, attempts, spent).await);
        }
        Ok(BatchResponse(answers))
    }
}

#[cfg(fuzzing)]
impl Batch {
    /// The answers to its calls in this reply.
    pub(crate) fn answered_by(self, reply: Response) -> Result<BatchResponse, Error> {
        match self.mistake {
            Some(mistake) => Err(mistake),
            None => read(&self.client.0, reply, &self.calls).map(BatchResponse),
        }
    }
}

/// What becomes of calls whose token was not taken, after so many attempts with these tokens.
/// Nothing new if there was no time to send them.
async fn again(
    client: &Inner,
    request: RequestBuilder,
    calls: Vec<Call>,
    attempts: u32,
    spent: Vec<AccessToken>,
) -> Answers {
    let answers = request.send().await.and_then(|mut reply| {
        reply.attempts += attempts;
        reply.secrets.refused.extend(spent);
        let renewed = reply.secrets.token.clone();
        let answers = read(client, reply, &calls)?;
        let is_rejected =
            |answer: &Result<_, _>| answer.as_ref().is_err_and(Error::is_unauthorized);
        if !answers.values().all(is_rejected) {
            client.options.auth.accepted(renewed.as_ref());
        }
        Ok(answers)
    });
    match answers {
        Ok(answers) => answers,
        Err(error) if error.kind() == ErrorKind::Timeout && error.attempts() == 0 => Answers::new(),
        Err(error) => {
            let failed = calls.into_iter().map(|call| (call.id, Err(error.clone())));
            failed.collect()
        }
    }
}

fn carry(request: RequestBuilder, calls: &[Call]) -> Result<RequestBuilder, Error> {
    let content_type = format!("multipart/mixed; boundary={BOUNDARY}");
    Ok(request.body(write(calls)?, &content_type))
}

fn write(calls: &[Call]) -> Result<Vec<u8>, Error> {
    // The calls go to the host that the batch goes to; what counts is the path.
    let base = Url::parse("https://earthengine.googleapis.com/").map_err(|error| {
        Error::new(ErrorKind::InvalidRequest, "the calls have no address").with_source(error)
    })?;
    let mut whole = Vec::new();
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
        whole.extend_from_slice(head.as_bytes());
        let body: &[u8] = call.body.as_deref().unwrap_or_default();
        if call.body.is_some() {
            let about = format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            );
            whole.extend_from_slice(about.as_bytes());
        }
        whole.extend_from_slice(b"\r\n");
        whole.extend_from_slice(body);
        whole.extend_from_slice(b"\r\n");
    }
    whole.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    Ok(whole)
}

/// The answers by the ids of the calls.
type Answers = BTreeMap<String, Result<Response, Error>>;

fn read(client: &Inner, reply: Response, calls: &[Call]) -> Result<Answers, Error> {
    let content_type = reply.headers.get(CONTENT_TYPE);
    let content_type = content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let parts = parse(content_type, &reply.body, calls.len()).map_err(|why| {
        Error::after(
            reply.attempts,
            ErrorKind::InvalidResponse,
            format!("the answer to {} is not a batch's: {why}", reply.name),
        )
    })?;
    let mut found = BTreeMap::new();
    for part in parts {
        match found.entry(part.id) {
            Entry::Vacant(free) => {
                free.insert(part.answer);
            }
            // Which of the two it is, nobody knows.
            Entry::Occupied(mut taken) => {
                *taken.get_mut() = Err("it is there twice");
            }
        }
    }
    let answers = calls.iter().map(|call| {
        let answer = match found.remove(&call.id) {
            Some(Ok(answer)) => judge(client, &reply, &call.name, answer),
            Some(Err(why)) => Err(unusable(&reply, &call.name, why)),
            None => Err(unusable(&reply, &call.name, "it is missing")),
        };
        (call.id.clone(), answer)
    });
    Ok(answers.collect())
}

fn judge(
    client: &Inner,
    reply: &Response,
    name: &Name,
    answer: Answer<'_>,
) -> Result<Response, Error> {
    let shared = &client.shared;
    let (path, limiter) = (name.route.as_str(), shared.limiter.as_deref());
    let signals = &shared.signals;
    signals.observe(&answer.headers, path, limiter, &reply.secrets);
    if !answer.status.is_success() {
        // No more of it than of a refusal that comes alone.
        let body = &answer.body[..answer.body.len().min(MAX_REFUSAL)];
        let api = ApiError::read(answer.status, body, &reply.secrets);
        return Err(Error::of_api(reply.attempts, name, api));
    }
    Ok(Response {
        status: answer.status,
        headers: answer.headers,
        // The rest of the reply is kept alive by it: better than a copy.
        body: reply.body.slice_ref(answer.body),
        attempts: reply.attempts,
        name: name.clone(),
        secrets: reply.secrets.clone(),
    })
}

fn unusable(reply: &Response, name: &Name, why: &str) -> Error {
    Error::after(
        reply.attempts,
        ErrorKind::InvalidResponse,
        format!("the answer to {name} in the batch cannot be used: {why}"),
    )
}

/// The answers to a [`Batch`], each for itself.
#[derive(Debug)]
pub struct BatchResponse(Answers);

impl BatchResponse {
    /// The answer to the call with this id; none if there was no such call.
    pub fn get(&self, id: &str) -> Option<&Result<Response, Error>> {
        self.0.get(id)
    }

    /// The JSON of the answer to the call with this id.
    ///
    /// # Errors
    /// The call's own; [`ErrorKind::InvalidRequest`] if there was no such call.
    pub fn json<T: DeserializeOwned>(&self, id: &str) -> Result<T, Error> {
        match self.0.get(id) {
            Some(Ok(response)) => response.json(),
            Some(Err(error)) => Err(error.clone()),
            None => Err(Error::new(
                ErrorKind::InvalidRequest,
                "the batch had no call with this id",
            )),
        }
    }

    /// All answers, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Result<Response, Error>)> {
        self.0.iter().map(|(id, answer)| (id.as_str(), answer))
    }

    /// The calls that failed.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &Error)> {
        self.iter()
            .filter_map(|(id, answer)| Some((id, answer.as_ref().err()?)))
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("calls", &self.calls.len())
            .finish_non_exhaustive()
    }
}
