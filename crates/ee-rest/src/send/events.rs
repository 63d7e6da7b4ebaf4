//! What the server says beside its answers, and what the client does about it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::error::redactor::Secrets;
use crate::send::concurrency::Limiter;
use crate::{Client, Error};

pub(crate) const QUOTA_STATUS: HeaderName = HeaderName::from_static("x-earth-engine-quota-status");
pub(crate) const INIT_MESSAGE: HeaderName = HeaderName::from_static("x-earth-engine-init-message");
pub(crate) const PROFILE: HeaderName =
    HeaderName::from_static("x-earth-engine-computation-profile");
/// Asks for a profile of the computation.
pub(crate) const PROFILING: HeaderName =
    HeaderName::from_static("x-earth-engine-computation-profiling");

const RESTRICTED: &str = "parallelism_restricted=true";

/// Something that happened beside the answers; [`ClientBuilder::on_event`](crate::ClientBuilder::on_event)
/// gets it.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientEvent<'a> {
    /// The project's quota status is told for the first time, or is another than before.
    #[non_exhaustive]
    QuotaStatus {
        /// Whether the project is over its noncommercial quota, and runs restricted.
        restricted: bool,
        /// The status in the server's words.
        text: &'a str,
    },
    /// The server has something to say to whoever starts the program.
    InitMessage(&'a str),
    /// A computation was profiled, even if it failed.
    #[non_exhaustive]
    Profile {
        /// What the profile is fetched by.
        id: &'a str,
        /// The path of the request, from the version on.
        path: &'a str,
    },
    /// A request failed, and will be sent again.
    #[non_exhaustive]
    Retry {
        /// How it failed.
        error: &'a Error,
        /// How long from now.
        wait: Duration,
    },
    /// A request failed, and is not sent again because too many fail.
    #[non_exhaustive]
    RetryBudgetExhausted {
        /// How it failed.
        error: &'a Error,
    },
    /// The concurrency limit was lowered, by a 429 or by restricted mode.
    #[non_exhaustive]
    ConcurrencyReduced {
        /// The limit from now on.
        limit: usize,
    },
}

pub(crate) type Listener = Arc<dyn Fn(&ClientEvent<'_>) + Send + Sync>;

/// What one client and its clones were told so far.
#[derive(Default)]
pub(crate) struct Signals {
    listener: Option<Listener>,
    last: Mutex<Last>,
    warned: AtomicBool,
}

#[derive(Default)]
struct Last {
    quota_status: Option<HeaderValue>,
    init_message: Option<HeaderValue>,
}

impl Signals {
    pub(crate) fn new(listener: Option<Listener>) -> Self {
        Self {
            listener,
            ..Self::default()
        }
    }

    pub(crate) fn emit(&self, signal: &ClientEvent<'_>) {
        if let Some(listener) = &self.listener {
            listener(signal);
        }
    }

    /// Looks at the headers of an answer, be it a refusal or not.
    pub(crate) fn observe(
        &self,
        headers: &HeaderMap,
        path: &str,
        limiter: Option<&Limiter>,
        secrets: &Secrets,
    ) {
        // Most answers have none of them, and are looked through faster than asked three times.
        let ours = |name: &HeaderName| name.as_str().starts_with("x-earth-engine-");
        if !headers.keys().any(ours) {
            return;
        }
        if let Some(value) = headers.get(PROFILE) {
            self.emit(&ClientEvent::Profile {
                id: &secrets.clean_header(value),
                path,
            });
        }
        if let Some(value) = headers.get(QUOTA_STATUS)
            && self.is_new(value, |last| &mut last.quota_status)
        {
            self.quota_status(&secrets.clean_header(value), limiter);
        }
        if let Some(value) = headers.get(INIT_MESSAGE)
            && self.is_new(value, |last| &mut last.init_message)
        {
            let text = secrets.clean_header(value);
            tracing::info!(message_of_the_server = %text, "Earth Engine has a message");
            self.emit(&ClientEvent::InitMessage(&text));
        }
    }

    fn quota_status(&self, text: &str, limiter: Option<&Limiter>) {
        let restricted = is_in_restricted_mode(text);
        if restricted && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the project has exceeded its noncommercial quota and runs in restricted mode; see \
                 https://developers.google.com/earth-engine/guides/noncommercial_tiers#restricted_mode"
            );
        }
        self.emit(&ClientEvent::QuotaStatus { restricted, text });
        if let Some(limit) = limiter.and_then(|limiter| limiter.restrict(restricted)) {
            self.emit(&ClientEvent::ConcurrencyReduced { limit });
        }
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

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").finish_non_exhaustive()
    }
}

impl Client {
    /// Whether the server last said that the project runs in restricted mode; none if it said
    /// nothing of its quota yet.
    pub fn is_in_restricted_mode(&self) -> Option<bool> {
        let last = &self.0.shared.signals.last;
        let last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let status = last.quota_status.as_ref()?;
        Some(is_in_restricted_mode(
            &Secrets::default().clean_header(status),
        ))
    }
}

fn is_in_restricted_mode(status: &str) -> bool {
    status.contains(RESTRICTED)
}
