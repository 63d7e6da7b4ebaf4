//! Requests over real sockets to a faulty server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

mod batches;
mod events;
mod faults;
mod load;
mod memory;
mod streams;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ee_emulator::{Emulator, Project};
use ee_rest::{Auth, Client, ClientBuilder};
use ee_token::{AccessToken, Endpoints, HttpClient, RetryPolicy, TokenCache, source_fn};
use serde_json::{Value, json};

const PROJECT: &str = "ee-demo-project";
const ROBOT: &str = "robot@ee-demo-project.iam.gserviceaccount.com";
const EARTHENGINE: &str = "earthengine.googleapis.com";

/// An emulator, and clients whose tokens come directly from it.
struct Setup {
    emulator: Arc<Emulator>,
    /// The number of tokens issued.
    tokens: Arc<AtomicUsize>,
}

impl Setup {
    async fn new() -> Self {
        let emulator = Emulator::builder().project(Project::new(PROJECT));
        let emulator = emulator.start().await.unwrap();
        emulator.create_service_account(ROBOT, PROJECT);
        Self {
            emulator: Arc::new(emulator),
            tokens: Arc::default(),
        }
    }

    /// Returns a client builder with millisecond backoffs.
    fn client(&self) -> ClientBuilder {
        let (emulator, tokens) = (self.emulator.clone(), self.tokens.clone());
        let source = source_fn(move || {
            tokens.fetch_add(1, Ordering::SeqCst);
            let token = emulator.issue_token(ROBOT, &["earthengine"], Duration::from_secs(3600));
            async move { AccessToken::new(&token) }
        });
        let endpoints = Endpoints::emulator(self.emulator.address()).unwrap();
        let auth = Auth::token_cache(TokenCache::new(source));
        Client::builder(auth, HttpClient::new(endpoints))
            .project(PROJECT)
            .retry_policy(quick())
    }

    fn fault(&self, fault: ee_emulator::Fault) {
        self.emulator.fault(EARTHENGINE, fault);
    }

    fn requests(&self) -> usize {
        self.emulator.requests_to(EARTHENGINE).len()
    }
}

fn quick() -> RetryPolicy {
    RetryPolicy {
        initial_backoff: Duration::from_millis(4),
        max_backoff: Duration::from_millis(50),
        ..RetryPolicy::default()
    }
}

fn constant(value: usize) -> Value {
    json!({"result": "0", "values": {"0": {"constantValue": value}}})
}

/// The path of image exports, as used by faults.
fn export_path() -> String {
    format!("/v1/projects/{PROJECT}/image:export")
}
