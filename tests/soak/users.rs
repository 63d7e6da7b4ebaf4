//! The tasks that make calls, those that come from runtimes of their own, and the one that lets
//! identities come and go.

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
use crate::identities::{Client, Identities, NotConnected};
use crate::ledger::{Errand, Failure, Ledger, Symptom};
use crate::random::Random;

/// A call that has not ended by then never will: its own time is a minute, and its client's
/// connection may have been waited for before.
pub(crate) const LOST_AFTER: Duration = Duration::from_secs(240);
/// The settings of every client.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(8);
pub(crate) const MAX_RETRIES: u32 = 5;
pub(crate) const RETRIES_TOTAL: Duration = Duration::from_secs(60);
/// No retry begins later, since its wait would end after the time of the whole call.
pub(crate) const RETRIES_END: Duration = Duration::from_secs(56);

pub(crate) struct Users {
    identities: Identities,
    ledger: Arc<Ledger>,
    /// Each call asks for a number of its own.
    last_number: AtomicI64,
    /// Assets that could not be taken away, and when.
    left: Mutex<VecDeque<(Instant, String)>>,
}

type Outcome = Result<(), Failure>;

impl Users {
    pub(crate) fn new(identities: Identities, ledger: Arc<Ledger>) -> Self {
        Self {
            identities,
            ledger,
            last_number: AtomicI64::new(0),
            left: Mutex::default(),
        }
    }

    /// One task: a call, a pause, a call.
    pub(crate) async fn work(self: Arc<Self>, mut random: Random, stop: Arc<AtomicBool>) {
        while !stop.load(Relaxed) {
            sleep(random.millis(100..2500)).await;
            match timeout(LOST_AFTER, self.call(&mut random, |_| ())).await {
                Ok(outcome) => self.tell(outcome),
                Err(_) => self.ledger.violation(format!(
                    "a call did not end within {} s",
                    LOST_AFTER.as_secs()
                )),
            }
        }
    }

    fn tell(&self, outcome: Outcome) {
        match outcome {
            Ok(()) => self.ledger.succeeded(),
            Err(failure) => self.ledger.failed(failure),
        }
    }

    /// Calls on runtimes that are dropped soon, perhaps in the middle of a call and of a refresh
    /// that others wait for.
    pub(crate) fn visit(self: Arc<Self>, mut random: Random, stop: &AtomicBool) {
        while !stop.load(Relaxed) {
            std::thread::sleep(random.millis(200..1200));
            let Ok(runtime) = crate::runtime(1, "visitor") else {
                self.ledger
                    .violation("there is no other runtime".to_owned());
                return;
            };
            let caller = Arc::new(AtomicU64::new(0));
            let (users, identity) = (Arc::clone(&self), Arc::clone(&caller));
            let mut choices = random.fork();
            let call = runtime.spawn(async move {
                let note = |of: &Client| identity.store(of.identity(), Relaxed);
                let outcome = users.call(&mut choices, note).await;
                users.tell(outcome);
            });
            std::thread::sleep(random.millis(0..300));
            // Whoever waits for what it has begun begins anew: the call, or the refresh behind it,
            // which may be under way when the call is over.
            self.ledger.disturbed(caller.load(Relaxed));
            if !call.is_finished() {
                self.ledger.cancelled();
            }
            runtime.shutdown_timeout(LOST_AFTER);
        }
    }

    /// Lets go of one client after the other, mostly together with its identity; the next call makes
    /// new ones. Now and then a key is changed.
    pub(crate) async fn come_and_go(self: Arc<Self>, mut random: Random, stop: Arc<AtomicBool>) {
        while !stop.load(Relaxed) {
            sleep(random.millis(100..700)).await;
            let slot = &self.identities.slots[random.index(self.identities.slots.len())];
            let done = match random.below(4) {
                0 => self.identities.rotate(slot).await,
                choice => self.identities.retire(slot, choice == 1).await,
            };
            if let Err(message) = done {
                self.ledger.violation(message);
            }
        }
    }

    pub(crate) async fn retire_all(&self) {
        self.identities.retire_all().await;
    }

    /// A call of any sort, by anybody, who is noted before.
    async fn call(&self, random: &mut Random, note: impl Fn(&Client)) -> Outcome {
        let slot = &self.identities.slots[random.index(self.identities.slots.len())];
        let client = self.identities.client(slot).await.map_err(not_connected)?;
        note(&client);
        let number = self.last_number.fetch_add(1, Relaxed);
        let result = match random.below(100) {
            0..5 => self.make_once(&client, number).await,
            5..15 => token(&client).await,
            // Somebody who loses patience, perhaps while the token comes for others too.
            15..20 => {
                let patience = random.millis(0..50);
                match timeout(patience, self.compute(&client, number)).await {
                    Ok(result) => result,
                    Err(_) => {
                        self.ledger.cancelled();
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
            self.ledger.saw_token(&token);
        }
    }

    async fn compute(&self, client: &Client, number: i64) -> Outcome {
        self.see_token(client);
        let started = Instant::now();
        let errand = Errand::Compute(number);
        let expression = json!({"result": "0", "values": {"0": {"constantValue": number}}});
        let answer: Result<i64, _> = client.ee.client().compute(&expression).await;
        let answer = answer.map_err(|error| failed(client, errand, &error, started))?;
        if answer == number {
            return Ok(());
        }
        Err(Failure {
            identity: client.identity(),
            errand,
            attempts: 1,
            started,
            ended: Instant::now(),
            symptom: Symptom::Strange,
            message: format!("the answer to {number} was {answer}"),
        })
    }

    /// Makes something that must not be made twice, and takes it away.
    async fn make_once(&self, client: &Client, number: i64) -> Outcome {
        let name = format!("projects/{PROJECT}/assets/soak-{number}");
        let assets = client.ee.assets();
        let started = Instant::now();
        let made = assets.create(&name, "FOLDER").await;
        self.ledger.made(number, made.is_ok());
        let made = made
            .map(drop)
            .map_err(|error| failed(client, Errand::Create(number), &error, started));
        let started = Instant::now();
        match assets.delete(&name).await {
            // The attempt before may have taken it away, and its answer got lost; or it was never
            // made.
            Err(error) if error.api().is_some_and(|api| api.status.as_u16() == 404) => {}
            Err(error) => {
                self.left().push_back((Instant::now(), name));
                return Err(failed(client, Errand::Delete(number), &error, started));
            }
            Ok(_) => {}
        }
        self.tidy_up(client).await;
        made
    }

    /// Takes away what was left some time ago, so that there is not more and more of it.
    async fn tidy_up(&self, client: &Client) {
        let is_old = |(at, _): &(Instant, String)| at.elapsed() > TIMEOUT;
        let name = {
            let mut left = self.left();
            let first = left.front().is_some_and(is_old);
            first.then(|| left.pop_front()).flatten()
        };
        let Some((_, name)) = name else {
            return;
        };
        match client.ee.assets().delete(&name).await {
            Err(error) if error.api().is_some_and(|api| api.status.as_u16() == 404) => {}
            Err(_) => self.left().push_back((Instant::now(), name)),
            Ok(_) => {}
        }
    }

    fn left(&self) -> MutexGuard<'_, VecDeque<(Instant, String)>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn token(client: &Client) -> Outcome {
    let started = Instant::now();
    let token = client.ee.credentials().token().await;
    token.map(drop).map_err(|error| Failure {
        identity: client.identity(),
        errand: Errand::Token,
        attempts: 0,
        started,
        ended: Instant::now(),
        symptom: of_token(&error),
        message: error.to_string(),
    })
}

fn failed(client: &Client, errand: Errand, error: &rest::Error, started: Instant) -> Failure {
    let (errand, symptom) = of_request(errand, error);
    Failure {
        identity: client.identity(),
        errand,
        attempts: error.attempts(),
        started,
        ended: Instant::now(),
        symptom,
        message: error.to_string(),
    }
}

fn not_connected(failed: NotConnected) -> Failure {
    let NotConnected {
        identity,
        client,
        started,
        error,
    } = failed;
    let errand = Errand::Connect(client);
    let mut cause = error.source();
    let (mut errand, mut symptom, mut attempts) = (errand, of_connecting(&error), 0);
    while let Some(beneath) = cause {
        if let Some(request) = beneath.downcast_ref::<rest::Error>() {
            (errand, symptom) = of_request(errand, request);
            attempts = request.attempts();
            break;
        }
        if let Some(token) = beneath.downcast_ref::<token::Error>() {
            (errand, symptom) = (Errand::Token, of_token(token));
            break;
        }
        cause = beneath.source();
    }
    Failure {
        identity,
        errand,
        attempts,
        started,
        ended: Instant::now(),
        symptom,
        message: format!("connecting: {error}"),
    }
}

/// What is known of a connection that failed, where nothing beneath says more.
fn of_connecting(error: &init::Error) -> Symptom {
    match error.kind() {
        init::ErrorKind::CredentialsRejected => Symptom::Unauthorized,
        _ => Symptom::Strange,
    }
}

/// What failed at the bottom of a request, and how.
fn of_request(errand: Errand, error: &rest::Error) -> (Errand, Symptom) {
    let symptom = match (error.kind(), error.api(), error.token_error()) {
        (rest::ErrorKind::Token(_), _, Some(token)) => return (Errand::Token, of_token(token)),
        (_, Some(api), _) => match api.status.as_u16() {
            401 => Symptom::Unauthorized,
            503 => Symptom::Unavailable,
            _ => Symptom::Strange,
        },
        (rest::ErrorKind::Network, ..) => Symptom::Network,
        (rest::ErrorKind::Timeout, ..) => Symptom::Timeout,
        (rest::ErrorKind::InvalidResponse, ..) => Symptom::Invalid,
        _ => Symptom::Strange,
    };
    (errand, symptom)
}

fn of_token(error: &token::Error) -> Symptom {
    match error.kind() {
        token::ErrorKind::Network => Symptom::Network,
        token::ErrorKind::Timeout => Symptom::Timeout,
        token::ErrorKind::Server => Symptom::Unavailable,
        token::ErrorKind::InvalidResponse => Symptom::Invalid,
        _ => Symptom::Strange,
    }
}
