//! Credentials of every kind, each with a server that sends malformed responses.

use std::sync::Arc;

use earthengine::Credentials;
use earthengine::credentials::Search;
use ee_test_support::canaries::{Canaries, Leak};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::captured_output::{CapturedOutput, log_text, start_log};
use crate::credential_kinds::{Keys, Made, make};
use crate::hostile_server::{Fault, FaultyHosts, HostileServer};

/// A credential and its server.
pub(crate) struct Case {
    pub(crate) kind: &'static str,
    pub(crate) fault: Fault,
    pub(crate) hosts: FaultyHosts,
    pub(crate) name: String,
    pub(crate) dir: TempDir,
    pub(crate) server: HostileServer,
    pub(crate) made: Made,
    pub(crate) output: CapturedOutput,
}

impl Case {
    async fn new(kind: &'static str, fault: Fault, hosts: FaultyHosts, keys: &Keys) -> Self {
        let name = format!("{kind}, {fault:?} {hosts:?}");
        let dir = tempfile::tempdir().unwrap();
        let server = HostileServer::start(&name, fault, hosts).await;
        let made = make(kind, &name, keys, dir.path());
        let mut output = CapturedOutput::default();
        output.canaries.extend(made.canaries.clone());
        Self {
            kind,
            fault,
            hosts,
            name,
            dir,
            server,
            made,
            output,
        }
    }

    /// Returns the credentials, or `None` if a search does not find them.
    pub(crate) async fn credentials(&mut self) -> Option<Credentials> {
        let (name, output) = (&self.name, &mut self.output);
        let options = self.made.options(self.kind, self.server.address);
        output.debug(name, &options);
        if let Some(credentials) = self.made.credentials(&options) {
            return Some(credentials.unwrap_or_else(|error| panic!("{name}: {error}")));
        }
        let search = Search::new(self.made.environment(), options);
        let found = output.result(name, search.find().await)?;
        Some(found.credentials)
    }
}

/// The sums of all cases.
#[derive(Default)]
pub(crate) struct Results {
    /// The leaks, also those in the log.
    pub(crate) leaks: Vec<(String, Leak)>,
    pub(crate) failures: usize,
    pub(crate) echoes: usize,
    /// The tokens that the cases counted.
    pub(crate) tokens: usize,
    pub(crate) canaries: Canaries,
}

/// Runs all cases. `run` returns its case, and a number of tokens.
pub(crate) async fn run_all<F>(
    cases: Vec<(&'static str, Fault, FaultyHosts)>,
    run: fn(Case) -> F,
) -> Results
where
    F: Future<Output = (Case, usize)> + Send + 'static,
{
    start_log();
    let keys = Arc::new(Keys::new().await);
    // A thousand cases at once would time out on a busy machine.
    let permits = Arc::new(Semaphore::new(32));
    let mut running = JoinSet::new();
    for (kind, fault, hosts) in cases {
        let (permits, keys) = (Arc::clone(&permits), Arc::clone(&keys));
        running.spawn(async move {
            let _permit = permits.acquire().await.unwrap();
            let (case, tokens) = run(Case::new(kind, fault, hosts, &keys).await).await;
            let mut output = case.output;
            output.canaries.extend(case.server.canaries());
            let mut leaks = output.leaks(&[]);
            leaks.extend(output.leaks_of(&keys.finder, &[]));
            (output, leaks, tokens)
        });
    }
    let mut results = Results {
        canaries: keys.canaries.clone(),
        ..Results::default()
    };
    while let Some(case) = running.join_next().await {
        let (output, leaks, tokens) = case.unwrap();
        results.leaks.extend(leaks);
        results.failures += output.failures;
        results.echoes += usize::from(output.contains("[redacted]"));
        results.tokens += tokens;
        results.canaries.extend(output.canaries);
    }
    for leak in results.canaries.finder_of_every(4).find(&log_text()) {
        results.leaks.push(("the log".to_owned(), leak));
    }
    results
}
