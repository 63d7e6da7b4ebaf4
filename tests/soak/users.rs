//! The tasks that make calls, and the one that lets identities come and go.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::time::{Duration, Instant};

use earthengine::{init, rest, token};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::PROJECT;
use crate::identities::{Client, Identities};
use crate::ledger::{Failure, Ledger, Symptom};
use crate::random::Random;

/// A call that has not ended by then never will: its own time is a minute, and its client's
/// connection may have been waited for before.
pub(crate) const LOST_AFTER: Duration = Duration::from_secs(240);

pub(crate) struct Users {
    identities: Identities,
    ledger: Arc<Ledger>,
    /// Each call asks for a number of its own.
    last_number: AtomicI64,
}

/// How a call failed.
struct Failed {
    symptom: Symptom,
    message: String,
}

type Outcome = Result<(), Failed>;

impl Users {
    pub(crate) fn new(identities: Identities, ledger: Arc<Ledger>) -> Self {
        Self {
            identities,
            ledger,
            last_number: AtomicI64::new(0),
        }
    }

    /// One task: a call, a pause, a call.
    pub(crate) async fn work(self: Arc<Self>, mut random: Random, stop: Arc<AtomicBool>) {
        while !stop.load(Relaxed) {
            sleep(random.millis(100..2500)).await;
            let slot = random.index(self.identities.slots.len());
            let started = Instant::now();
            let result = match timeout(LOST_AFTER, self.call(slot, &mut random)).await {
                Ok(result) => result,
                Err(_) => Err(Failed {
                    symptom: Symptom::Strange,
                    message: format!("it did not end within {} s", LOST_AFTER.as_secs()),
                }),
            };
            match result {
                Ok(()) => self.ledger.succeeded(),
                Err(failed) => self.ledger.failed(Failure {
                    slot,
                    started,
                    ended: Instant::now(),
                    symptom: failed.symptom,
                    message: failed.message,
                }),
            }
        }
    }

    /// Lets go of one client after the other; the next call with its identity makes a new one.
    pub(crate) async fn come_and_go(self: Arc<Self>, mut random: Random, stop: Arc<AtomicBool>) {
        while !stop.load(Relaxed) {
            sleep(random.millis(100..700)).await;
            let slot = random.index(self.identities.slots.len());
            self.retire(slot).await;
        }
    }

    pub(crate) async fn retire_all(&self) {
        for slot in 0..self.identities.slots.len() {
            self.retire(slot).await;
        }
    }

    async fn retire(&self, slot: usize) {
        let slot = &self.identities.slots[slot];
        if let Err(message) = self.identities.retire(slot).await {
            self.ledger.violation(message);
        }
    }

    async fn call(&self, slot: usize, random: &mut Random) -> Outcome {
        let client = self.identities.client(&self.identities.slots[slot]).await?;
        let number = self.last_number.fetch_add(1, Relaxed);
        match random.below(100) {
            0..5 => make_once(&client, slot, number).await,
            5..15 => client
                .ee
                .credentials()
                .token()
                .await
                .map(drop)
                .map_err(Failed::from),
            // Somebody who loses patience, perhaps while the token comes for others too.
            15..20 => {
                let patience = random.millis(0..50);
                if let Ok(result) = timeout(patience, compute(&client, number)).await {
                    return result;
                }
                self.ledger.cancelled();
                Ok(())
            }
            _ => compute(&client, number).await,
        }
    }
}

async fn compute(client: &Client, number: i64) -> Outcome {
    let expression = json!({"result": "0", "values": {"0": {"constantValue": number}}});
    let answer: i64 = client.ee.client().compute(&expression).await?;
    if answer == number {
        return Ok(());
    }
    Err(Failed {
        symptom: Symptom::Strange,
        message: format!("the answer to {number} was {answer}"),
    })
}

/// Makes something that must not be made twice, and takes it away.
async fn make_once(client: &Client, slot: usize, number: i64) -> Outcome {
    let name = format!("projects/{PROJECT}/assets/soak-{slot}-{number}");
    let assets = client.ee.assets();
    let made = assets.create(&name, "FOLDER").await.map(drop);
    match assets.delete(&name).await {
        // The attempt before may have taken it away, and its answer got lost; or it was never made.
        Err(error) if error.api().is_some_and(|api| api.status.as_u16() == 404) => {}
        deleted => deleted?,
    }
    made.map_err(Failed::from)
}

impl From<rest::Error> for Failed {
    fn from(error: rest::Error) -> Self {
        let symptom = match (error.kind(), error.api(), error.token_error()) {
            (rest::ErrorKind::Token, _, Some(token)) => of_token(token),
            (rest::ErrorKind::Api, Some(api), _) => match api.status.as_u16() {
                401 => Symptom::Unauthorized,
                503 => Symptom::Server,
                _ => Symptom::Strange,
            },
            (rest::ErrorKind::Network, ..) => Symptom::Network,
            (rest::ErrorKind::Timeout, ..) => Symptom::Timeout,
            (rest::ErrorKind::InvalidResponse, ..) => Symptom::Server,
            _ => Symptom::Strange,
        };
        Self {
            symptom,
            message: error.to_string(),
        }
    }
}

impl From<init::Error> for Failed {
    fn from(error: init::Error) -> Self {
        let mut cause = error.source();
        while let Some(beneath) = cause.filter(|cause| !cause.is::<token::Error>()) {
            cause = beneath.source();
        }
        let token = cause.and_then(|cause| cause.downcast_ref::<token::Error>());
        let symptom = match error.kind() {
            // A refused credential; a refused token is no error of the token layer.
            _ if token.is_some_and(|token| token.kind().is_rejection()) => Symptom::Strange,
            init::ErrorKind::Network => Symptom::Network,
            init::ErrorKind::Timeout => Symptom::Timeout,
            init::ErrorKind::ServerError => Symptom::Server,
            init::ErrorKind::CredentialsRejected => Symptom::Unauthorized,
            _ => Symptom::Strange,
        };
        Self {
            symptom,
            message: format!("connecting: {error}"),
        }
    }
}

impl From<token::Error> for Failed {
    fn from(error: token::Error) -> Self {
        Self {
            symptom: of_token(&error),
            message: error.to_string(),
        }
    }
}

fn of_token(error: &token::Error) -> Symptom {
    match error.kind() {
        token::ErrorKind::Network => Symptom::Network,
        token::ErrorKind::Timeout => Symptom::Timeout,
        token::ErrorKind::Server | token::ErrorKind::InvalidResponse => Symptom::Server,
        _ => Symptom::Strange,
    }
}
