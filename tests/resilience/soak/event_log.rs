//! The log of requests and calls. Every failure must be explained by faults, every token request by
//! a rule, and nothing may be done twice that must be done once.
//!
//! Requests are matched with their purpose: a computation by its constant, an asset by its name, a
//! client by its user agent, a token by its account. The rules are in `invariants`.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use earthengine::token::AccessToken;
use ee_emulator::RecordedRequest;

use crate::fault_schedule::Cause;
use crate::identities::token_request_account;
use crate::print;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
mod tests;

/// Older entries explain nothing: the longest call, the longest backoff before it, and the delay of
/// the check.
pub(crate) const RETENTION: Duration = Duration::from_secs(180);
/// The number of recorded violations.
const MAX_VIOLATIONS: usize = 50;

/// The purpose of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// A value with this constant.
    Compute(i64),
    /// An asset whose name ends with this number.
    Create(i64),
    Delete(i64),
    /// The client with this number.
    Connect(u64),
    /// A token of any account.
    Token,
}

impl Purpose {
    /// Returns whether a request that may have arrived is retried.
    pub(crate) fn may_repeat(self) -> bool {
        !matches!(self, Self::Create(_))
    }

    /// Returns the purpose of a request to Earth Engine.
    fn of(request: &RecordedRequest) -> Option<Self> {
        let number = |name: &str| name.rsplit('-').next()?.parse().ok();
        match request.method.as_str() {
            "GET" if request.path.ends_with("/config") => {
                Some(Self::Connect(client_of(request)?.1))
            }
            "POST" if request.path.ends_with("/value:compute") => {
                let constant = &request.json()["expression"]["values"]["0"]["constantValue"];
                Some(Self::Compute(constant.as_i64()?))
            }
            "POST" => {
                let name = request.query_parameters().remove("assetId")?;
                Some(Self::Create(number(&name)?))
            }
            "DELETE" => Some(Self::Delete(number(&request.path)?)),
            _ => None,
        }
    }
}

/// The kind of a failure, as far as faults can explain it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Symptom {
    Network,
    Timeout,
    /// Status 503.
    Unavailable,
    /// An invalid response.
    Invalid,
    /// Status 401.
    Unauthorized,
    /// A failure that no fault causes.
    Unexpected,
}

/// A call that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) identity: u64,
    /// The step that failed.
    pub(crate) purpose: Purpose,
    /// The number of attempts, according to the error.
    pub(crate) attempts: u32,
    pub(crate) started: Instant,
    pub(crate) ended: Instant,
    pub(crate) symptom: Symptom,
    pub(crate) message: String,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    /// Failed while the process was stalled, and therefore not checked.
    pub(crate) excused: u64,
    pub(crate) cancelled: u64,
    pub(crate) identities: u64,
    pub(crate) clients: u64,
    pub(crate) token_requests: u64,
    /// The allowed number for the identities that have been checked.
    pub(crate) allowed: u64,
    pub(crate) faults: u64,
    pub(crate) created_once: u64,
    /// Checked quiet periods.
    pub(crate) quiet_periods: u64,
}

/// The log, shared by all tasks.
#[derive(Default)]
pub(crate) struct EventLog(Mutex<Records>);

#[derive(Default)]
pub(crate) struct Records {
    pub(crate) counts: Counts,
    pub(crate) identities: HashMap<u64, Identity>,
    /// Identity and account, by the name in token requests.
    account_names: HashMap<String, (u64, usize)>,
    pub(crate) purposes: HashMap<Purpose, Vec<Attempt>>,
    pub(crate) network_faults: VecDeque<Span>,
    /// When the servers' clock was changed.
    pub(crate) clock_changes: VecDeque<Instant>,
    /// Whether it is behind, so that signatures are from the future.
    behind: bool,
    pub(crate) failures: VecDeque<Failure>,
    /// Attempts to create assets, and whether success was reported.
    pub(crate) creations: VecDeque<Creation>,
    pub(crate) tokens: HashMap<u64, SeenToken>,
    hasher: RandomState,
    pub(crate) stalled: Vec<Span>,
    /// Times without faults, and how many of them have been checked.
    pub(crate) quiet_periods: Vec<Span>,
    pub(crate) checked_quiet_periods: usize,
    pub(crate) longest_recovery: Duration,
    violations: Vec<String>,
}

/// An interval, or one that has not ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) from: Instant,
    pub(crate) to: Option<Instant>,
}

impl Span {
    /// Returns whether the intervals overlap.
    pub(crate) fn overlaps(&self, from: Instant, to: Instant) -> bool {
        self.from <= to && self.to.is_none_or(|end| end >= from)
    }

    /// Returns the length of the overlap.
    pub(crate) fn overlap(&self, from: Instant, to: Instant) -> Duration {
        let end = self.to.map_or(to, |end| end.min(to));
        end.saturating_duration_since(self.from.max(from))
    }
}

/// An identity, its clients and its token requests.
pub(crate) struct Identity {
    /// Whether all clients get the same token, repeatedly.
    pub(crate) shares_tokens: bool,
    pub(crate) clients: HashMap<u64, Span>,
    pub(crate) accounts: Vec<Account>,
    /// Responses with 401; only the first for each token, unless tokens are shared.
    pub(crate) rejections: u64,
    rejected: HashSet<u64>,
    pub(crate) disruptions: Disruptions,
    pub(crate) ended: Option<Instant>,
}

/// Events that allow one more request for each client: a rotated key, a changed clock, a dropped
/// runtime.
#[derive(Default)]
pub(crate) struct Disruptions {
    pub(crate) total: u64,
    recent: VecDeque<(Instant, u64)>,
}

/// The token requests of one account.
pub(crate) struct Account {
    account_names: String,
    /// The minimal interval between two successful requests.
    pub(crate) pause: Duration,
    pub(crate) requests: u64,
    pub(crate) faulty: u64,
    /// Requests whose response may have been lost in a network fault.
    pub(crate) interrupted: u64,
    /// The allowed requests of forgotten clients.
    pub(crate) ended_clients: u64,
    pub(crate) recent: VecDeque<Attempt>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) at: Instant,
    pub(crate) status: Option<u16>,
    pub(crate) cause: Option<Cause>,
}

pub(crate) struct Creation {
    pub(crate) number: i64,
    pub(crate) at: Instant,
    pub(crate) reported: bool,
}

/// A token that a client had.
pub(crate) struct SeenToken {
    pub(crate) since: Instant,
    pub(crate) ends: DateTime<Utc>,
}

impl EventLog {
    pub(crate) fn records(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers an identity with the names of its token requests and their minimal intervals.
    pub(crate) fn open(&self, identity: u64, shares_tokens: bool, accounts: &[(String, Duration)]) {
        let mut records = self.records();
        records.counts.identities += 1;
        for (index, (account_names, _)) in accounts.iter().enumerate() {
            records
                .account_names
                .insert(account_names.clone(), (identity, index));
        }
        let accounts = accounts.iter().map(|(account_names, pause)| Account {
            account_names: account_names.clone(),
            pause: *pause,
            requests: 0,
            faulty: 0,
            interrupted: 0,
            ended_clients: 0,
            recent: VecDeque::new(),
        });
        let opened = Identity {
            shares_tokens,
            clients: HashMap::new(),
            accounts: accounts.collect(),
            rejections: 0,
            rejected: HashSet::new(),
            disruptions: Disruptions::default(),
            ended: None,
        };
        records.identities.insert(identity, opened);
    }

    pub(crate) fn identity_ended(&self, identity: u64) {
        if let Some(identity) = self.records().identities.get_mut(&identity) {
            identity.ended = Some(Instant::now());
        }
    }

    pub(crate) fn client_started(&self, identity: u64, client: u64) {
        let mut records = self.records();
        records.counts.clients += 1;
        let behind = records.behind;
        if let Some(identity) = records.identities.get_mut(&identity) {
            let (from, to) = (Instant::now(), None);
            identity.clients.insert(client, Span { from, to });
            // Each client discovers the clock skew itself.
            identity.disrupt_clients(u64::from(behind));
        }
    }

    pub(crate) fn client_ended(&self, identity: u64, client: u64) {
        if let Some(identity) = self.records().identities.get_mut(&identity)
            && let Some(life) = identity.clients.get_mut(&client)
        {
            life.to = Some(Instant::now());
        }
    }

    /// Allows each client of an identity one more request: its key was rotated, or a runtime was
    /// dropped during a request.
    pub(crate) fn disrupted(&self, identity: u64) {
        if let Some(identity) = self.records().identities.get_mut(&identity) {
            identity.disrupt();
        }
    }

    /// Records a change of the servers' clock.
    pub(crate) fn clock_changed(&self, behind: bool) {
        let mut records = self.records();
        records.behind = behind;
        records.clock_changes.push_back(Instant::now());
        records.counts.faults += 1;
        records.identities.values_mut().for_each(Identity::disrupt);
    }

    /// Records that all connections were reset.
    pub(crate) fn connections_reset(&self) {
        let now = Instant::now();
        self.records().add_network_fault(now, Some(now));
    }

    /// Records that the network fails from now on.
    pub(crate) fn outage_begins(&self) {
        self.records().add_network_fault(Instant::now(), None);
    }

    pub(crate) fn outage_ends(&self) {
        for network_fault in &mut self.records().network_faults {
            network_fault.to.get_or_insert_with(Instant::now);
        }
    }

    pub(crate) fn faults_begin(&self) {
        if let Some(quiet) = self.records().quiet_periods.last_mut() {
            quiet.to = Some(Instant::now());
        }
    }

    pub(crate) fn quiet_begins(&self) {
        let (from, to) = (Instant::now(), None);
        self.records().quiet_periods.push(Span { from, to });
    }

    /// Records a token of a client.
    pub(crate) fn saw_token(&self, token: &AccessToken) {
        let Some(ends) = token.expires_at() else {
            return;
        };
        let mut records = self.records();
        let known = records.hasher.hash_one(token.secret());
        let since = Instant::now();
        // After a change of its clock, a metadata server returns the same token with another
        // expiry.
        let token = records.tokens.entry(known);
        let known = token.or_insert(SeenToken { since, ends });
        known.ends = known.ends.max(ends);
    }

    pub(crate) fn succeeded(&self) {
        self.records().counts.succeeded += 1;
    }

    pub(crate) fn cancelled(&self) {
        self.records().counts.cancelled += 1;
    }

    pub(crate) fn failed(&self, failure: Failure) {
        let mut records = self.records();
        if let Some(quiet) = records.quiet_periods.last().copied()
            && quiet.to.is_none()
            && failure.started >= quiet.from
        {
            let recovery = failure.ended.duration_since(quiet.from);
            records.longest_recovery = records.longest_recovery.max(recovery);
        }
        records.counts.failed += 1;
        records.failures.push_back(failure);
    }

    /// Records the reported result of creating an asset.
    pub(crate) fn record_creation(&self, number: i64, reported: bool) {
        self.records().creations.push_back(Creation {
            number,
            at: Instant::now(),
            reported,
        });
    }

    pub(crate) fn stalled(&self, from: Instant, to: Instant) {
        let to = Some(to);
        self.records().stalled.push(Span { from, to });
    }

    pub(crate) fn violation(&self, text: String) {
        self.records().violation(text);
    }

    /// Records the requests to the emulator.
    pub(crate) fn count(&self, requests: Vec<RecordedRequest>) {
        let mut records = self.records();
        for request in requests {
            records.count(&request);
        }
    }

    /// Checks entries that are old enough, or all.
    pub(crate) fn check(&self, everything: bool) {
        let mut records = self.records();
        records.check(everything);
        records.forget();
    }

    /// Checks that few calls were left unchecked.
    pub(crate) fn check_excused(&self) {
        self.records().check_excused();
    }

    pub(crate) fn counts(&self) -> Counts {
        self.records().counts
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.records().violations.clone()
    }

    /// Returns the approximate memory of the log.
    pub(crate) fn bytes(&self) -> usize {
        let records = self.records();
        let attempts = records.purposes.values().map(Vec::capacity);
        let messages = records.failures.iter().map(|one| one.message.capacity());
        let identities = records.identities.values().map(Identity::bytes);
        table_of(&records.purposes)
            + table_of(&records.tokens)
            + table_of(&records.identities)
            + table_of(&records.account_names)
            + records.failures.capacity() * size_of::<Failure>()
            + records.creations.capacity() * size_of::<Creation>()
            + attempts.sum::<usize>() * size_of::<Attempt>()
            + messages.sum::<usize>()
            + identities.sum::<usize>()
    }

    /// Releases everything except the counts and the violations.
    pub(crate) fn close(&self) {
        let mut records = self.records();
        *records = Records {
            counts: records.counts,
            violations: std::mem::take(&mut records.violations),
            ..Records::default()
        };
    }
}

/// Returns the size of a map's table: an eighth larger than its contents, and a byte for each slot.
fn table_of<K, V>(map: &HashMap<K, V>) -> usize {
    map.capacity() * 8 / 7 * (size_of::<(K, V)>() + 1)
}

impl Identity {
    fn bytes(&self) -> usize {
        let recent = self.accounts.iter().map(|account| {
            size_of::<Account>()
                + account.recent.capacity() * size_of::<Attempt>()
                + 2 * account.account_names.capacity()
        });
        recent.sum::<usize>()
            + table_of(&self.clients)
            + self.rejected.capacity() * size_of::<u64>()
    }

    fn disrupt(&mut self) {
        let living = self.clients.values().filter(|life| life.to.is_none());
        self.disrupt_clients(living.count() as u64);
    }

    fn disrupt_clients(&mut self, clients: u64) {
        self.disruptions.total += clients;
        self.disruptions.recent.push_back((Instant::now(), clients));
    }

    pub(crate) fn disruptions_between(&self, from: Instant, to: Instant) -> u64 {
        let recent = self.disruptions.recent.iter();
        let of_then = recent.filter(|(at, _)| *at >= from && *at <= to);
        of_then.map(|(_, clients)| clients).sum()
    }

    /// Records a rejected token by its hash.
    fn rejected_token(&mut self, token: u64) {
        if self.rejected.insert(token) || self.shares_tokens {
            self.rejections += 1;
        }
    }
}

impl Records {
    pub(crate) fn violation(&mut self, text: String) {
        if self.violations.len() < MAX_VIOLATIONS {
            print(&format!("violation: {text}"));
            self.violations.push(text);
        }
    }

    fn add_network_fault(&mut self, from: Instant, to: Option<Instant>) {
        self.counts.faults += 1;
        self.network_faults.push_back(Span { from, to });
    }

    fn count(&mut self, request: &RecordedRequest) {
        let attempt = Attempt {
            at: request.received,
            status: request.status,
            cause: request.fault.as_deref().and_then(Cause::of),
        };
        self.counts.faults += u64::from(attempt.cause.is_some());
        let identity = match token_request_account(request) {
            Some(account_names) => self.count_token_request(&account_names, attempt),
            None => client_of(request).map(|(identity, _)| identity),
        };
        if request.host == "earthengine.googleapis.com"
            && let Some(purpose) = Purpose::of(request)
        {
            self.purposes.entry(purpose).or_default().push(attempt);
        }
        if request.status == Some(401)
            && let Some(bearer) = request.bearer()
        {
            let token = self.hasher.hash_one(bearer);
            self.check_rejection(identity, token, attempt);
            let identity = identity.and_then(|number| self.identities.get_mut(&number));
            if let Some(identity) = identity {
                identity.rejected_token(token);
            }
        }
    }

    fn count_token_request(&mut self, account_names: &str, attempt: Attempt) -> Option<u64> {
        let interrupted = self.was_interrupted(&attempt);
        let Some(&(number, index)) = self.account_names.get(account_names) else {
            self.violation("token request of an unknown account".to_owned());
            return None;
        };
        self.counts.token_requests += 1;
        let account = self.identities.get_mut(&number)?.accounts.get_mut(index)?;
        account.requests += 1;
        // Without a status there was no response: the connection was gone.
        if attempt.cause.is_some() || attempt.status.is_none() {
            account.faulty += 1;
        } else if interrupted {
            account.interrupted += 1;
        }
        account.recent.push_back(attempt);
        Some(number)
    }

    /// Drops entries that explain nothing any more.
    fn forget(&mut self) {
        let is_old = |at: Instant| at.elapsed() > RETENTION;
        self.purposes
            .retain(|_, attempts| attempts.iter().any(|attempt| !is_old(attempt.at)));
        self.tokens
            .retain(|_, known| !is_old(known.since) || known.ends > Utc::now());
        self.clock_changes.retain(|at| !is_old(*at));
        self.network_faults
            .retain(|span| !span.to.is_some_and(is_old));
        for identity in self.identities.values_mut() {
            identity.forget(is_old);
        }
        let is_over = |identity: &Identity| identity.ended.is_some_and(is_old);
        let over: Vec<_> = self
            .identities
            .extract_if(|_, identity| is_over(identity))
            .collect();
        for (number, identity) in over {
            for account in &identity.accounts {
                self.account_names.remove(&account.account_names);
            }
            self.check_token_requests(number, &identity);
        }
    }
}

impl Identity {
    /// Adds up the allowed requests of clients that ended long ago.
    fn forget(&mut self, is_old: impl Fn(Instant) -> bool) {
        let gone = self
            .clients
            .extract_if(|_, life| life.to.is_some_and(&is_old));
        for (_, life) in gone {
            for account in &mut self.accounts {
                account.ended_clients += account.allowed_to(&life);
            }
        }
        self.disruptions.recent.retain(|(at, _)| !is_old(*at));
        for account in &mut self.accounts {
            account.recent.retain(|attempt| !is_old(attempt.at));
        }
    }
}

/// Returns the identity and the client of a request to Earth Engine, from its user agent.
fn client_of(request: &RecordedRequest) -> Option<(u64, u64)> {
    let agent = request.header("user-agent")?;
    let word = agent
        .split_whitespace()
        .find_map(|word| word.strip_prefix("soak-"))?;
    let (identity, client) = word.split_once('-')?;
    Some((identity.parse().ok()?, client.parse().ok()?))
}
