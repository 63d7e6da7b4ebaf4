//! What happened, and whether it may have: every failure has its fault, every token request its
//! reason, and nothing is done twice that must be done once.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ee_emulator::RecordedRequest;

use crate::identities::asks_for_token;
use crate::say;
use crate::weather::Cause;

/// How long a failed token request can be the reason why calls fail: its own deadline, and the
/// longest wait before the next.
const SPEAKS_FOR: Duration = Duration::from_secs(100);
/// A failure is judged when the requests of its time have surely been counted.
const JUDGED_AFTER: Duration = Duration::from_secs(40);
/// How long an answer is under way at most, unless a fault holds it up for longer.
const IN_FLIGHT: Duration = Duration::from_secs(3);
/// Violations that are kept; the first few tell the story.
const MOST_VIOLATIONS: usize = 50;

/// How a call failed, as far as a fault can explain it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Symptom {
    Network,
    Timeout,
    /// 5xx, or an answer that is no answer.
    Server,
    /// 401.
    Unauthorized,
    /// Nothing that a fault brings about.
    Strange,
}

impl Symptom {
    fn may_come_from(self, cause: Cause) -> bool {
        match self {
            Self::Network => matches!(cause, Cause::Closed | Cause::Cut | Cause::Wire),
            // A token that lives for seconds can be over when it arrives late.
            Self::Server => matches!(
                cause,
                Cause::Unavailable | Cause::Html | Cause::Cut | Cause::Slow | Cause::Late
            ),
            // A token can expire while a request is held up.
            Self::Unauthorized => {
                matches!(cause, Cause::Unauthorized | Cause::Slow | Cause::Late)
            }
            // The time of a call is used up by failed attempts as well as by slow ones.
            Self::Timeout => true,
            Self::Strange => false,
        }
    }
}

/// A call that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) slot: usize,
    pub(crate) started: Instant,
    pub(crate) ended: Instant,
    pub(crate) symptom: Symptom,
    pub(crate) message: String,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    /// Failed while the process stood still, so that nothing can be said of them.
    pub(crate) excused: u64,
    pub(crate) cancelled: u64,
    pub(crate) clients: u64,
    pub(crate) token_requests: u64,
    pub(crate) faults: u64,
    pub(crate) made_once: u64,
}

/// The whole book, shared by everybody.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<Books>);

#[derive(Default)]
struct Books {
    counts: Counts,
    /// By what their token requests are known.
    accounts: HashMap<String, Account>,
    /// 401s, by slot.
    rejections: HashMap<usize, u64>,
    faults: VecDeque<Struck>,
    wire_events: VecDeque<Instant>,
    failures: VecDeque<Failure>,
    /// Requests that must be executed once, by the name of what they make.
    creations: HashMap<String, Vec<Attempt>>,
    stood_still: Vec<(Instant, Instant)>,
    calm_since: Option<Instant>,
    longest_recovery: Duration,
    violations: Vec<String>,
}

/// The token requests of one identity, and what they may be.
struct Account {
    slot: usize,
    /// The least time between two requests for tokens that were good.
    pause: Duration,
    requests: u64,
    faulty: u64,
    /// Those whose answer was perhaps on the wire when that was cut.
    cut_off: u64,
    last: Option<Instant>,
    /// One for each client, and one for each pause in its life.
    lives: u64,
}

struct Struck {
    at: Instant,
    /// None is everybody.
    slot: Option<usize>,
    cause: Cause,
}

#[derive(Clone, Copy)]
struct Attempt {
    at: Instant,
    status: Option<u16>,
    cause: Option<Cause>,
}

impl Ledger {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn open(&self, slot: usize, known_by: &str, pause: Duration) {
        let account = Account {
            slot,
            pause,
            requests: 0,
            faulty: 0,
            cut_off: 0,
            last: None,
            lives: 0,
        };
        self.books().accounts.insert(known_by.to_owned(), account);
    }

    pub(crate) fn client_ended(&self, slot: usize, age: Duration) {
        let mut books = self.books();
        books.counts.clients += 1;
        let accounts = books.accounts.values_mut();
        for account in accounts.filter(|account| account.slot == slot) {
            account.lives += 1 + (age.as_millis() / account.pause.as_millis().max(1)) as u64;
        }
    }

    pub(crate) fn wire_event(&self) {
        let mut books = self.books();
        let now = Instant::now();
        for account in books.accounts.values_mut() {
            // Later ones are looked at when they are counted.
            if account.last.is_some_and(|last| now - last < IN_FLIGHT) {
                account.cut_off += 1;
            }
        }
        books.wire_events.push_back(now);
        books.strike(now, None, Cause::Wire);
    }

    /// A storm has ended.
    pub(crate) fn calm(&self) {
        self.books().calm_since = Some(Instant::now());
    }

    pub(crate) fn succeeded(&self) {
        self.books().counts.succeeded += 1;
    }

    pub(crate) fn cancelled(&self) {
        self.books().counts.cancelled += 1;
    }

    pub(crate) fn failed(&self, failure: Failure) {
        let mut books = self.books();
        if let Some(calm) = books.calm_since
            && failure.started >= calm
        {
            let recovery = failure.ended.duration_since(calm);
            books.longest_recovery = books.longest_recovery.max(recovery);
        }
        books.counts.failed += 1;
        books.failures.push_back(failure);
    }

    pub(crate) fn stood_still(&self, from: Instant, to: Instant) {
        self.books().stood_still.push((from, to));
    }

    pub(crate) fn violation(&self, text: String) {
        self.books().violation(text);
    }

    /// Counts what the emulator was asked.
    pub(crate) fn count(&self, requests: Vec<RecordedRequest>) {
        let mut books = self.books();
        for request in requests {
            books.count(&request);
        }
    }

    /// Judges what is long enough ago; everything at the end.
    pub(crate) fn judge(&self, everything: bool) {
        let mut books = self.books();
        let due = |at: Instant| everything || at.elapsed() > JUDGED_AFTER;
        while books
            .failures
            .front()
            .is_some_and(|failure| due(failure.ended))
        {
            if let Some(failure) = books.failures.pop_front() {
                books.judge_failure(&failure);
            }
        }
        let is_due = |attempts: &Vec<Attempt>| {
            attempts
                .iter()
                .all(|attempt| everything || attempt.at.elapsed() > SPEAKS_FOR)
        };
        let done: Vec<_> = books
            .creations
            .extract_if(|_, attempts| is_due(attempts))
            .collect();
        for (name, attempts) in done {
            books.judge_creation(&name, &attempts);
        }
        let long_ago = |event: &Instant| event.elapsed() > SPEAKS_FOR;
        while books.wire_events.front().is_some_and(long_ago) {
            books.wire_events.pop_front();
        }
        let old = |fault: &Struck| fault.at.elapsed() > 3 * SPEAKS_FOR;
        while books.faults.front().is_some_and(old) {
            books.faults.pop_front();
        }
    }

    /// Once all clients have ended: whether anybody asked for more tokens than the rules allow.
    /// Returns how many they may have been.
    pub(crate) fn judge_token_requests(&self) -> u64 {
        let mut books = self.books();
        let mut all = 0;
        let mut violations = Vec::new();
        for account in books.accounts.values() {
            let rejections = books.rejections.get(&account.slot).copied().unwrap_or(0);
            let allowed = account.lives + account.faulty + rejections + account.cut_off;
            all += allowed;
            if account.requests > allowed {
                violations.push(format!(
                    "identity {} sent {} token requests; {allowed} are allowed: {} for lives of tokens, {} for faults, {rejections} for tokens that were refused, {} for the wire",
                    account.slot, account.requests, account.lives, account.faulty, account.cut_off,
                ));
            }
        }
        for violation in violations {
            books.violation(violation);
        }
        all
    }

    pub(crate) fn counts(&self) -> Counts {
        self.books().counts
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.books().violations.clone()
    }

    /// How long after a storm the last call failed that had begun after it.
    pub(crate) fn longest_recovery(&self) -> Duration {
        self.books().longest_recovery
    }

    pub(crate) fn pauses(&self) -> Vec<Duration> {
        let books = self.books();
        books
            .stood_still
            .iter()
            .map(|(from, to)| *to - *from)
            .collect()
    }
}

impl Books {
    fn violation(&mut self, text: String) {
        if self.violations.len() < MOST_VIOLATIONS {
            say(&format!("violated: {text}"));
            self.violations.push(text);
        }
    }

    fn strike(&mut self, at: Instant, slot: Option<usize>, cause: Cause) {
        self.counts.faults += 1;
        // The emulator notes requests in the order of their beginnings, which is near enough.
        self.faults.push_back(Struck { at, slot, cause });
    }

    fn count(&mut self, request: &RecordedRequest) {
        let cause = request.fault.as_deref().and_then(Cause::of);
        let slot = if let Some(known_by) = asks_for_token(request) {
            let Some(account) = self.accounts.get_mut(&known_by) else {
                self.violation("a token was asked for by nobody who is known".to_owned());
                return;
            };
            account.requests += 1;
            // Without a status nobody was answered: the connection was gone.
            account.faulty += u64::from(cause.is_some() || request.status.is_none());
            let cut = |event: &&Instant| {
                **event >= request.received && **event - request.received < IN_FLIGHT
            };
            account.cut_off += self.wire_events.iter().filter(cut).count() as u64;
            account.last = Some(request.received);
            self.counts.token_requests += 1;
            Some(account.slot)
        } else {
            slot_of(request)
        };
        if let Some(cause) = cause {
            self.strike(request.received, slot, cause);
        }
        if request.host != "earthengine.googleapis.com" {
            return;
        }
        if let (Some(slot), Some(401)) = (slot, request.status) {
            *self.rejections.entry(slot).or_default() += 1;
        }
        if let Some(name) = request.query_parameters().remove("assetId") {
            let attempt = Attempt {
                at: request.received,
                status: request.status,
                cause,
            };
            self.creations.entry(name).or_default().push(attempt);
        }
    }

    fn judge_failure(&mut self, failure: &Failure) {
        let from = failure
            .started
            .checked_sub(SPEAKS_FOR)
            .unwrap_or(failure.started);
        let still = |(a, b): &(Instant, Instant)| *a < failure.ended && *b > from;
        if self.stood_still.iter().any(still) {
            self.counts.failed -= 1;
            self.counts.excused += 1;
            return;
        }
        let explains = |fault: &Struck| {
            fault.slot.is_none_or(|slot| slot == failure.slot)
                && fault.at >= from
                && fault.at <= failure.ended
                && failure.symptom.may_come_from(fault.cause)
        };
        if !self.faults.iter().any(explains) {
            self.violation(format!(
                "a call of identity {} failed, and no fault explains it: {}",
                failure.slot, failure.message
            ));
        }
    }

    fn judge_creation(&mut self, name: &str, attempts: &[Attempt]) {
        let executed = |attempt: &&Attempt| {
            attempt.status != Some(401) && attempt.cause.is_none_or(Cause::was_executed)
        };
        let times = attempts.iter().filter(executed).count();
        self.counts.made_once += u64::from(times == 1);
        if times > 1 {
            self.violation(format!("{name} was made {times} times"));
        }
        // Only a token that was not taken says that nothing was done.
        if let [before @ .., _] = attempts
            && before.iter().any(|attempt| attempt.status != Some(401))
        {
            self.violation(format!(
                "the request that makes {name} was sent again after it may have been executed"
            ));
        }
    }
}

/// Whose request to Earth Engine it is: each client says so in its user agent.
fn slot_of(request: &RecordedRequest) -> Option<usize> {
    let agent = request.header("user-agent")?;
    let word = agent
        .split_whitespace()
        .find_map(|word| word.strip_prefix("soak-"))?;
    word.parse().ok()
}
