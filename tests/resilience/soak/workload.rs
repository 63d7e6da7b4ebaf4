//! The tasks that make calls, also on runtimes of their own, and the task that replaces identities.

use std::collections::VecDeque;
use std::error::Error as _;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use earthengine::{init, rest, token};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::PROJECT;
use crate::event_log::{EventLog, Failure, Purpose, Symptom};
use crate::identities::{Client, ConnectError, Identities};
use crate::random::Random;

/// A call that takes longer never ends: its own limit is a minute, after waiting for the connection
/// of its client.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(240);
/// The options of every client.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(8);
pub(crate) const MAX_RETRIES: u32 = 5;
pub(crate) const RETRIES_TOTAL: Duration = Duration::from_secs(60);
/// The last time at which a retry can start, because its backoff must end within the limit of the
/// call.
pub(crate) const RETRIES_END: Duration = Duration::from_secs(56);

pub(crate) struct Workload {
    identities: Identities,
    log: Arc<EventLog>,
    /// Each call has a number of its own.
    last_number: AtomicI64,
    /// Assets that could not be deleted, and when.
    leftovers: Mutex<VecDeque<(Instant, String)>>,
}

type Outcome = Result<(), Failure>;

impl Workload {
    pub(crate) fn new(identities: Identities, log: Arc<EventLog>) -> Self {
        Self {
            identities,
            log,
            last_number: AtomicI64::new(0),
            leftovers: Mutex::default(),
        }
    }

    /// Makes calls with pauses.
    pub(crate) async fn work(self: Arc<Self>, mut random: Random, stop: Arc<AtomicBool>) {
        while !stop.load(Relaxed) {
            sleep(random.millis(100..2500)).await;
            match timeout(CALL_TIMEOUT, self.call(&mut random, |_| ())).await {
                Ok(outcome) => self.record(outcome),
                Err(_) => self.log.violation(format!(
                    "a call did not end within {} s",
                    CALL_TIMEOUT.as_secs()
                )),
            }
        }
    }

    fn record(&self, outcome: Outcome) {
        match outcome {
            Ok(()) => self.log.succeeded(),
            Err(failure) => self.log.failed(failure),
        }
    }

    /// Makes calls on runtimes that are dropped soon, perhaps during a call or a refresh that
    /// others await.
    pub(crate) fn run_on_short_lived_runtimes(
        self: Arc<Self>,
        mut random: Random,
        stop: &AtomicBool,
    ) {
        while !stop.load(Relaxed) {
            std::thread::sleep(random.millis(200..1200));
            let Ok(runtime) = crate::runtime(1, "visitor") else {
                self.log
                    .violation("another runtime could not be created".to_owned());
                return;
            };
            let caller = Arc::new(AtomicU64::new(0));
            let (workload, identity) = (Arc::clone(&self), Arc::clone(&caller));
            let mut choices = random.fork();
            let call = runtime.spawn(async move {
                let note = |of: &Client| identity.store(of.identity(), Relaxed);
                let outcome = workload.call(&mut choices, note).await;
                workload.record(outcome);
            });
            std::thread::sleep(random.millis(0..300));
            // The call or its background refresh, which can outlast the call, may be abandoned and
            // started again by others.
            self.log.disrupted(caller.load(Relaxed));
            if !call.is_finished() {
                self.log.cancelled();
            }
            runtime.shutdown_timeout(CALL_TIMEOUT);
        }
    }

    /// Drops clients one after the other, mostly together with their identities, which the next
    /// call creates again. Sometimes rotates a key.
    pub(crate) async fn replace_clients(
        self: Arc<Self>,
        mut random: Random,
        stop: Arc<AtomicBool>,
    ) {
        while !stop.load(Relaxed) {
            sleep(random.millis(100..700)).await;
            let slot = &self.identities.slots[random.index(self.identities.slots.len())];
            let done = match random.below(4) {
                0 => self.identities.rotate(slot).await,
                choice => self.identities.retire(slot, choice == 1).await,
            };
            if let Err(message) = done {
                self.log.violation(message);
            }
        }
    }

    pub(crate) async fn retire_all(&self) {
        self.identities.retire_all().await;
    }

    /// Makes a random call, after passing its client to `note`.
    async fn call(&self, random: &mut Random, note: impl Fn(&Client)) -> Outcome {
        let slot = &self.identities.slots[random.index(self.identities.slots.len())];
        let client = self.identities.client(slot).await.map_err(not_connected)?;
        note(&client);
        let number = self.last_number.fetch_add(1, Relaxed);
        let result = match random.below(100) {
            0..5 => self.create_once(&client, number).await,
            5..15 => token(&client).await,
            // A caller that gives up, perhaps while others await the same token.
            15..20 => {
                let patience = random.millis(0..50);
                match timeout(patience, self.compute(&client, number)).await {
                    Ok(result) => result,
                    Err(_) => {
                        self.log.cancelled();
                        Ok(())
                    }
                }
            }
            _ => self.compute(&client, number).await,
        };
        self.see_token(&client);
        result
    }

    fn see_token(&self, client: &Client) {
        let cache = client.ee.credentials().token_cache();
        if let Some(token) = cache.and_then(token::TokenCache::cached) {
            self.log.saw_token(&token);
        }
    }

    async fn compute(&self, client: &Client, number: i64) -> Outcome {
        self.see_token(client);
        let started = Instant::now();
        let purpose = Purpose::Compute(number);
        let expression = json!({"result": "0", "values": {"0": {"constantValue": number}}});
        let value: Result<i64, _> = client.ee.client().compute(&expression).await;
        let value = value.map_err(|error| failed(client, purpose, &error, started))?;
        if value == number {
            return Ok(());
        }
        Err(Failure {
            identity: client.identity(),
            purpose,
            attempts: 1,
            started,
            ended: Instant::now(),
            symptom: Symptom::Unexpected,
            message: format!("the result for {number} was {value}"),
        })
    }

    /// Creates an asset, which must happen only once, and deletes it.
    async fn create_once(&self, client: &Client, number: i64) -> Outcome {
        let name = format!("projects/{PROJECT}/assets/soak-{number}");
        let assets = client.ee.assets();
        let started = Instant::now();
        let created = assets.create(&name, "FOLDER").await;
        self.log.record_creation(number, created.is_ok());
        let created = created
            .map(drop)
            .map_err(|error| failed(client, Purpose::Create(number), &error, started));
        let started = Instant::now();
        match assets.delete(&name).await {
            // A previous attempt may have deleted it and lost the response, or it was never
            // created.
            Err(error) if error.api().is_some_and(|api| api.status.as_u16() == 404) => {}
            Err(error) => {
                self.leftovers().push_back((Instant::now(), name));
                return Err(failed(client, Purpose::Delete(number), &error, started));
            }
            Ok(_) => {}
        }
        self.delete_leftovers(client).await;
        created
    }

    /// Deletes a leftover asset, so that they do not accumulate.
    async fn delete_leftovers(&self, client: &Client) {
        let is_old = |(at, _): &(Instant, String)| at.elapsed() > TIMEOUT;
        let name = {
            let mut leftovers = self.leftovers();
            let first = leftovers.front().is_some_and(is_old);
            first.then(|| leftovers.pop_front()).flatten()
        };
        let Some((_, name)) = name else {
            return;
        };
        match client.ee.assets().delete(&name).await {
            Err(error) if error.api().is_some_and(|api| api.status.as_u16() == 404) => {}
            Err(_) => self.leftovers().push_back((Instant::now(), name)),
            Ok(_) => {}
        }
    }

    fn leftovers(&self) -> MutexGuard<'_, VecDeque<(Instant, String)>> {
        self.leftovers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

async fn token(client: &Client) -> Outcome {
    let started = Instant::now();
    let token = client.ee.credentials().token().await;
    token.map(drop).map_err(|error| Failure {
        identity: client.identity(),
        purpose: Purpose::Token,
        attempts: 0,
        started,
        ended: Instant::now(),
        symptom: of_token(&error),
        message: error.to_string(),
    })
}

fn failed(client: &Client, purpose: Purpose, error: &rest::Error, started: Instant) -> Failure {
    let (purpose, symptom) = of_request(purpose, error);
    Failure {
        identity: client.identity(),
        purpose,
        attempts: error.attempts(),
        started,
        ended: Instant::now(),
        symptom,
        message: error.to_string(),
    }
}

fn not_connected(failed: ConnectError) -> Failure {
    let ConnectError {
        identity,
        client,
        started,
        error,
    } = failed;
    let purpose = Purpose::Connect(client);
    let mut cause = error.source();
    let (mut purpose, mut symptom, mut attempts) = (purpose, of_connecting(&error), 0);
    while let Some(beneath) = cause {
        if let Some(request) = beneath.downcast_ref::<rest::Error>() {
            (purpose, symptom) = of_request(purpose, request);
            attempts = request.attempts();
            break;
        }
        if let Some(token) = beneath.downcast_ref::<token::Error>() {
            (purpose, symptom) = (Purpose::Token, of_token(token));
            break;
        }
        cause = beneath.source();
    }
    Failure {
        identity,
        purpose,
        attempts,
        started,
        ended: Instant::now(),
        symptom,
        message: format!("connecting: {error}"),
    }
}

/// Classifies a failed connection without a more specific source.
fn of_connecting(error: &init::Error) -> Symptom {
    match error.kind() {
        init::ErrorKind::CredentialsRejected => Symptom::Unauthorized,
        _ => Symptom::Unexpected,
    }
}

/// Returns the failed step of a request, and its symptom.
fn of_request(purpose: Purpose, error: &rest::Error) -> (Purpose, Symptom) {
    let symptom = match (error.kind(), error.api(), error.token_error()) {
        (_, _, Some(token)) => return (Purpose::Token, of_token(token)),
        (_, Some(api), _) => match api.status.as_u16() {
            401 => Symptom::Unauthorized,
            503 => Symptom::Unavailable,
            _ => Symptom::Unexpected,
        },
        (rest::ErrorKind::Network, ..) => Symptom::Network,
        (rest::ErrorKind::Timeout, ..) => Symptom::Timeout,
        (rest::ErrorKind::InvalidResponse, ..) => Symptom::Invalid,
        _ => Symptom::Unexpected,
    };
    (purpose, symptom)
}

fn of_token(error: &token::Error) -> Symptom {
    match error.kind() {
        token::ErrorKind::Network => Symptom::Network,
        token::ErrorKind::Timeout => Symptom::Timeout,
        token::ErrorKind::Server => Symptom::Unavailable,
        token::ErrorKind::InvalidResponse => Symptom::Invalid,
        _ => Symptom::Unexpected,
    }
}
