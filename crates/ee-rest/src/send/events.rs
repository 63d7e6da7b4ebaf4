//! Client events: what the server reports in headers, and what the client does on its own.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::Error;
use crate::error::redactor::Secrets;
use crate::send::admission::Admission;

pub(crate) const QUOTA_STATUS: HeaderName = HeaderName::from_static("x-earth-engine-quota-status");
pub(crate) const INIT_MESSAGE: HeaderName = HeaderName::from_static("x-earth-engine-init-message");
pub(crate) const PROFILE: HeaderName =
    HeaderName::from_static("x-earth-engine-computation-profile");
/// The request header that asks for a profile.
pub(crate) const PROFILING: HeaderName =
    HeaderName::from_static("x-earth-engine-computation-profiling");

const RESTRICTED: &str = "parallelism_restricted=true";

/// An event of a client, passed to the callback of
/// [`ClientBuilder::on_event`](crate::ClientBuilder::on_event).
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientEvent<'a> {
    /// The project's quota status was received for the first time, or changed.
    #[non_exhaustive]
    QuotaStatus {
        /// Whether the project exceeded its noncommercial quota and is in restricted mode.
        restricted: bool,
        /// The status, as sent by the server.
        text: &'a str,
    },
    /// The server sent a message to the user.
    InitMessage(&'a str),
    /// A computation was profiled, successful or not.
    #[non_exhaustive]
    Profile {
        /// The ID by which the profile can be fetched.
        id: &'a str,
        /// The path of the request, including the version.
        path: &'a str,
    },
    /// A request failed and will be retried.
    #[non_exhaustive]
    Retry {
        /// The error of the attempt.
        error: &'a Error,
        /// The time until the retry.
        wait: Duration,
    },
    /// Most requests fail, because the server is down or cannot be reached. Requests are held,
    /// within their deadlines, until one that is sent from time to time succeeds.
    #[non_exhaustive]
    Outage {
        /// The error of the last request.
        error: &'a Error,
    },
    /// The concurrency limit was lowered, by a 429 or by restricted mode.
    #[non_exhaustive]
    ConcurrencyReduced {
        /// The new limit.
        limit: usize,
    },
}

pub(crate) type Listener = Arc<dyn Fn(&ClientEvent<'_>) + Send + Sync>;

/// The callback of a client and its clones, and the last values reported to it.
#[derive(Default)]
pub(crate) struct Events {
    listener: Option<Listener>,
    last: Mutex<Last>,
    warned: AtomicBool,
}

#[derive(Default)]
struct Last {
    quota_status: Option<HeaderValue>,
    init_message: Option<HeaderValue>,
}

impl Events {
    pub(crate) fn new(listener: Option<Listener>) -> Self {
        Self {
            listener,
            ..Self::default()
        }
    }

    pub(crate) fn emit(&self, event: &ClientEvent<'_>) {
        if let Some(listener) = &self.listener {
            listener(event);
        }
    }

    /// Processes the headers of any response, successful or not.
    pub(crate) fn observe(
        &self,
        headers: &HeaderMap,
        path: &str,
        admission: &Admission,
        secrets: &Secrets,
    ) {
        // Most responses have none of these headers, and one scan is faster than three lookups.
        let ours = |name: &HeaderName| name.as_str().starts_with("x-earth-engine-");
        if !headers.keys().any(ours) {
            return;
        }
        if let Some(value) = headers.get(PROFILE) {
            self.emit(&ClientEvent::Profile {
                id: &secrets.sanitize_header(value),
                path,
            });
        }
        if let Some(value) = headers.get(QUOTA_STATUS)
            && self.is_new(value, |last| &mut last.quota_status)
        {
            self.quota_status(&secrets.sanitize_header(value), admission);
        }
        if let Some(value) = headers.get(INIT_MESSAGE)
            && self.is_new(value, |last| &mut last.init_message)
        {
            let text = secrets.sanitize_header(value);
            tracing::info!(message_of_the_server = %text, "Earth Engine sent a message");
            self.emit(&ClientEvent::InitMessage(&text));
        }
    }

    fn quota_status(&self, text: &str, admission: &Admission) {
        let restricted = is_in_restricted_mode(text);
        if restricted && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the project exceeded its noncommercial quota and is in restricted mode; see \
                 https://developers.google.com/earth-engine/guides/noncommercial_tiers#restricted_mode"
            );
        }
        self.emit(&ClientEvent::QuotaStatus { restricted, text });
        if let Some(limit) = admission.set_restricted(restricted) {
            self.emit(&ClientEvent::ConcurrencyReduced { limit });
        }
    }

    /// Returns whether the project is in restricted mode, if the server has sent a quota status.
    pub(crate) fn is_in_restricted_mode(&self) -> Option<bool> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let status = last.quota_status.as_ref()?;
        Some(is_in_restricted_mode(
            &Secrets::default().sanitize_header(status),
        ))
    }

    fn is_new(
        &self,
        value: &HeaderValue,
        which: impl FnOnce(&mut Last) -> &mut Option<HeaderValue>,
    ) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let last = which(&mut last);
        let new = last.as_ref() != Some(value);
        if new {
            *last = Some(value.clone());
        }
        new
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

fn is_in_restricted_mode(status: &str) -> bool {
    status.contains(RESTRICTED)
}
