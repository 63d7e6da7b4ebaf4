//! What happened, and whether it may have: every failure has its faults, every token request its
//! reason, and nothing is done twice that must be done once.
//!
//! Requests are matched with what they were sent for: a computation by its constant, an asset by
//! its name, a client by its user agent, a token by whose it is. `judging` has the rules.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use earthengine::token::AccessToken;
use ee_emulator::RecordedRequest;

use crate::identities::asks_for_token;
use crate::say;
use crate::weather::Cause;

/// What is older explains nothing any more: the longest call, the longest wait before it, and
/// the time until it is judged.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(180);
/// Violations that are kept; the first few tell the story.
const MOST_VIOLATIONS: usize = 50;

/// What requests are sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Errand {
    /// A value with this constant.
    Compute(i64),
    /// An asset whose name ends with this number.
    Create(i64),
    Delete(i64),
    /// The client with this number.
    Connect(u64),
    /// A token, of whoever it is.
    Token,
}

impl Errand {
    /// Whether what may have arrived is sent again.
    pub(crate) fn may_repeat(self) -> bool {
        !matches!(self, Self::Create(_))
    }

    /// What a request to Earth Engine is for.
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

/// How a call failed, as far as a fault can explain it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Symptom {
    Network,
    Timeout,
    /// 503.
    Unavailable,
    /// An answer that is no answer.
    Invalid,
    /// 401.
    Unauthorized,
    /// Nothing that a fault brings about.
    Strange,
}

/// A call that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) identity: u64,
    /// What failed in the end.
    pub(crate) errand: Errand,
    /// As often as the program says that it was sent.
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
    /// Failed while the process stood still, so that nothing can be said of them.
    pub(crate) excused: u64,
    pub(crate) cancelled: u64,
    pub(crate) identities: u64,
    pub(crate) clients: u64,
    pub(crate) token_requests: u64,
    /// As many as the rules allowed those identities that are judged.
    pub(crate) allowed: u64,
    pub(crate) faults: u64,
    pub(crate) made_once: u64,
    /// Calm times that were judged.
    pub(crate) calms: u64,
}

/// The whole book, shared by everybody.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<Books>);

#[derive(Default)]
pub(crate) struct Books {
    pub(crate) counts: Counts,
    pub(crate) identities: HashMap<u64, Identity>,
    /// By what their token requests are known.
    known_by: HashMap<String, (u64, usize)>,
    pub(crate) errands: HashMap<Errand, Vec<Attempt>>,
    pub(crate) breakdowns: VecDeque<Span>,
    /// When the servers' clock was set.
    pub(crate) steps: VecDeque<Instant>,
    /// Whether it is behind, so that a signature is from the future.
    behind: bool,
    pub(crate) failures: VecDeque<Failure>,
    /// Assets that are to be made, and whether the program was told that they are.
    pub(crate) creations: VecDeque<Creation>,
    pub(crate) tokens: HashMap<u64, Known>,
    hasher: RandomState,
    pub(crate) stood_still: Vec<Span>,
    /// Times without faults, and how many of them need no more judging.
    pub(crate) calms: Vec<Span>,
    pub(crate) judged_calms: usize,
    pub(crate) spent_budgets: VecDeque<(u64, Instant)>,
    pub(crate) longest_recovery: Duration,
    violations: Vec<String>,
}

/// A time from one moment to another, or until now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) from: Instant,
    pub(crate) to: Option<Instant>,
}

impl Span {
    /// Whether any of it is between these two.
    pub(crate) fn touches(&self, from: Instant, to: Instant) -> bool {
        self.from <= to && self.to.is_none_or(|end| end >= from)
    }

    /// How long both last at once.
    pub(crate) fn shared_with(&self, from: Instant, to: Instant) -> Duration {
        let end = self.to.map_or(to, |end| end.min(to));
        end.saturating_duration_since(self.from.max(from))
    }
}

/// An identity, its clients and its token requests.
pub(crate) struct Identity {
    /// One that has the same token for all its clients, and hands it out again.
    pub(crate) shares_tokens: bool,
    pub(crate) clients: HashMap<u64, Span>,
    pub(crate) accounts: Vec<Account>,
    /// 401s; of a token that goes for good, the first.
    pub(crate) rejections: u64,
    rejected: HashSet<u64>,
    pub(crate) disturbances: Disturbances,
    pub(crate) ended: Option<Instant>,
}

/// What allows one request more for each client: a key was changed, the clock set, a runtime
/// dropped.
#[derive(Default)]
pub(crate) struct Disturbances {
    pub(crate) total: u64,
    recent: VecDeque<(Instant, u64)>,
}

/// The token requests under one name.
pub(crate) struct Account {
    known_by: String,
    /// The least time between two requests for tokens that were good.
    pub(crate) pause: Duration,
    pub(crate) requests: u64,
    pub(crate) faulty: u64,
    /// Those whose answer was perhaps on the wire when that broke.
    pub(crate) cut_off: u64,
    /// What clients that are forgotten were allowed.
    pub(crate) past_lives: u64,
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
    pub(crate) said_made: bool,
}

/// A token that the program was seen to have.
pub(crate) struct Known {
    pub(crate) since: Instant,
    pub(crate) ends: DateTime<Utc>,
}

impl Ledger {
    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is an identity, whose token requests are known by these names, and are so far apart
    /// at least.
    pub(crate) fn open(&self, identity: u64, shares_tokens: bool, accounts: &[(String, Duration)]) {
        let mut books = self.books();
        books.counts.identities += 1;
        for (index, (known_by, _)) in accounts.iter().enumerate() {
            books.known_by.insert(known_by.clone(), (identity, index));
        }
        let accounts = accounts.iter().map(|(known_by, pause)| Account {
            known_by: known_by.clone(),
            pause: *pause,
            requests: 0,
            faulty: 0,
            cut_off: 0,
            past_lives: 0,
            recent: VecDeque::new(),
        });
        let opened = Identity {
            shares_tokens,
            clients: HashMap::new(),
            accounts: accounts.collect(),
            rejections: 0,
            rejected: HashSet::new(),
            disturbances: Disturbances::default(),
            ended: None,
        };
        books.identities.insert(identity, opened);
    }

    pub(crate) fn identity_ended(&self, identity: u64) {
        if let Some(identity) = self.books().identities.get_mut(&identity) {
            identity.ended = Some(Instant::now());
        }
    }

    pub(crate) fn client_born(&self, identity: u64, client: u64) {
        let mut books = self.books();
        books.counts.clients += 1;
        let behind = books.behind;
        if let Some(identity) = books.identities.get_mut(&identity) {
            let (from, to) = (Instant::now(), None);
            identity.clients.insert(client, Span { from, to });
            // Each client finds out by itself that its signatures are from the future.
            identity.disturb_clients(u64::from(behind));
        }
    }

    pub(crate) fn client_ended(&self, identity: u64, client: u64) {
        if let Some(identity) = self.books().identities.get_mut(&identity)
            && let Some(life) = identity.clients.get_mut(&client)
        {
            life.to = Some(Instant::now());
        }
    }

    /// Its key was changed, or a runtime was dropped that may have asked for its token: each of
    /// its clients may ask once more.
    pub(crate) fn disturbed(&self, identity: u64) {
        if let Some(identity) = self.books().identities.get_mut(&identity) {
            identity.disturb();
        }
    }

    /// The servers' clock is set, and is behind then or not.
    pub(crate) fn clock_steps(&self, behind: bool) {
        let mut books = self.books();
        books.behind = behind;
        books.steps.push_back(Instant::now());
        books.counts.faults += 1;
        books.identities.values_mut().for_each(Identity::disturb);
    }

    /// All connections are cut.
    pub(crate) fn wire_cut(&self) {
        let now = Instant::now();
        self.books().break_down(now, Some(now));
    }

    /// Nothing comes through from now on.
    pub(crate) fn wire_breaks(&self) {
        self.books().break_down(Instant::now(), None);
    }

    pub(crate) fn wire_mended(&self) {
        for breakdown in &mut self.books().breakdowns {
            breakdown.to.get_or_insert_with(Instant::now);
        }
    }

    pub(crate) fn storm_begins(&self) {
        if let Some(calm) = self.books().calms.last_mut() {
            calm.to = Some(Instant::now());
        }
    }

    pub(crate) fn calm_begins(&self) {
        let (from, to) = (Instant::now(), None);
        self.books().calms.push(Span { from, to });
    }

    /// A client gives up sending again, because too much fails.
    pub(crate) fn budget_spent(&self, identity: u64) {
        let spent = (identity, Instant::now());
        self.books().spent_budgets.push_back(spent);
    }

    /// The program has this token.
    pub(crate) fn saw_token(&self, token: &AccessToken) {
        let Some(ends) = token.expires_at() else {
            return;
        };
        let mut books = self.books();
        let known = books.hasher.hash_one(token.secret());
        let since = Instant::now();
        // A metadata server hands out the same token with another end, if its clock was set.
        let token = books.tokens.entry(known);
        let known = token.or_insert(Known { since, ends });
        known.ends = known.ends.max(ends);
    }

    pub(crate) fn succeeded(&self) {
        self.books().counts.succeeded += 1;
    }

    pub(crate) fn cancelled(&self) {
        self.books().counts.cancelled += 1;
    }

    pub(crate) fn failed(&self, failure: Failure) {
        let mut books = self.books();
        if let Some(calm) = books.calms.last().copied()
            && calm.to.is_none()
            && failure.started >= calm.from
        {
            let recovery = failure.ended.duration_since(calm.from);
            books.longest_recovery = books.longest_recovery.max(recovery);
        }
        books.counts.failed += 1;
        books.failures.push_back(failure);
    }

    /// The program was told that this asset is made, or that it is perhaps not.
    pub(crate) fn made(&self, number: i64, said_made: bool) {
        self.books().creations.push_back(Creation {
            number,
            at: Instant::now(),
            said_made,
        });
    }

    pub(crate) fn stood_still(&self, from: Instant, to: Instant) {
        let to = Some(to);
        self.books().stood_still.push(Span { from, to });
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
        books.judge(everything);
        books.forget();
    }

    /// Once everything is judged: whether too little of it could be.
    pub(crate) fn judge_excuses(&self) {
        self.books().judge_excuses();
    }

    pub(crate) fn counts(&self) -> Counts {
        self.books().counts
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.books().violations.clone()
    }

    /// What it holds, as nearly as its tables tell.
    pub(crate) fn bytes(&self) -> usize {
        let books = self.books();
        let attempts = books.errands.values().map(Vec::capacity);
        let messages = books.failures.iter().map(|one| one.message.capacity());
        let identities = books.identities.values().map(Identity::bytes);
        table_of(&books.errands)
            + table_of(&books.tokens)
            + table_of(&books.identities)
            + table_of(&books.known_by)
            + books.failures.capacity() * size_of::<Failure>()
            + books.creations.capacity() * size_of::<Creation>()
            + attempts.sum::<usize>() * size_of::<Attempt>()
            + messages.sum::<usize>()
            + identities.sum::<usize>()
    }

    /// Gives back what it holds but for the counts and the violations.
    pub(crate) fn close(&self) {
        let mut books = self.books();
        *books = Books {
            counts: books.counts,
            violations: std::mem::take(&mut books.violations),
            ..Books::default()
        };
    }
}

/// The size of a map's table, which is larger than what is in it by an eighth, and has a byte
/// for each place.
fn table_of<K, V>(map: &HashMap<K, V>) -> usize {
    map.capacity() * 8 / 7 * (size_of::<(K, V)>() + 1)
}

impl Identity {
    fn bytes(&self) -> usize {
        let recent = self.accounts.iter().map(|account| {
            size_of::<Account>()
                + account.recent.capacity() * size_of::<Attempt>()
                + 2 * account.known_by.capacity()
        });
        recent.sum::<usize>()
            + table_of(&self.clients)
            + self.rejected.capacity() * size_of::<u64>()
    }

    fn disturb(&mut self) {
        let living = self.clients.values().filter(|life| life.to.is_none());
        self.disturb_clients(living.count() as u64);
    }

    fn disturb_clients(&mut self, clients: u64) {
        self.disturbances.total += clients;
        self.disturbances
            .recent
            .push_back((Instant::now(), clients));
    }

    pub(crate) fn disturbances_between(&self, from: Instant, to: Instant) -> u64 {
        let recent = self.disturbances.recent.iter();
        let of_then = recent.filter(|(at, _)| *at >= from && *at <= to);
        of_then.map(|(_, clients)| clients).sum()
    }

    /// Notes that a token was refused, by its hash.
    fn refused(&mut self, token: u64) {
        if self.rejected.insert(token) || self.shares_tokens {
            self.rejections += 1;
        }
    }
}

impl Books {
    pub(crate) fn violation(&mut self, text: String) {
        if self.violations.len() < MOST_VIOLATIONS {
            say(&format!("violated: {text}"));
            self.violations.push(text);
        }
    }

    fn break_down(&mut self, from: Instant, to: Option<Instant>) {
        self.counts.faults += 1;
        self.breakdowns.push_back(Span { from, to });
    }

    fn count(&mut self, request: &RecordedRequest) {
        let attempt = Attempt {
            at: request.received,
            status: request.status,
            cause: request.fault.as_deref().and_then(Cause::of),
        };
        self.counts.faults += u64::from(attempt.cause.is_some());
        let identity = match asks_for_token(request) {
            Some(known_by) => self.count_token_request(&known_by, attempt),
            None => client_of(request).map(|(identity, _)| identity),
        };
        if request.host == "earthengine.googleapis.com"
            && let Some(errand) = Errand::of(request)
        {
            self.errands.entry(errand).or_default().push(attempt);
        }
        if request.status == Some(401)
            && let Some(bearer) = request.bearer()
        {
            let token = self.hasher.hash_one(bearer);
            self.judge_refusal(identity, token, attempt);
            let identity = identity.and_then(|number| self.identities.get_mut(&number));
            if let Some(identity) = identity {
                identity.refused(token);
            }
        }
    }

    fn count_token_request(&mut self, known_by: &str, attempt: Attempt) -> Option<u64> {
        let cut_off = self.was_cut_off(&attempt);
        let Some(&(number, index)) = self.known_by.get(known_by) else {
            self.violation("a token was asked for by nobody who is known".to_owned());
            return None;
        };
        self.counts.token_requests += 1;
        let account = self.identities.get_mut(&number)?.accounts.get_mut(index)?;
        account.requests += 1;
        // Without a status nobody was answered: the connection was gone.
        if attempt.cause.is_some() || attempt.status.is_none() {
            account.faulty += 1;
        } else if cut_off {
            account.cut_off += 1;
        }
        account.recent.push_back(attempt);
        Some(number)
    }

    /// Drops what explains nothing any more.
    fn forget(&mut self) {
        let is_old = |at: Instant| at.elapsed() > REMEMBERED;
        self.errands
            .retain(|_, attempts| attempts.iter().any(|attempt| !is_old(attempt.at)));
        self.tokens
            .retain(|_, known| !is_old(known.since) || known.ends > Utc::now());
        self.steps.retain(|at| !is_old(*at));
        self.breakdowns.retain(|span| !span.to.is_some_and(is_old));
        self.spent_budgets.retain(|(_, at)| !is_old(*at));
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
                self.known_by.remove(&account.known_by);
            }
            self.judge_token_requests(number, &identity);
        }
    }
}

impl Identity {
    /// Keeps of clients that ended long ago what they were allowed.
    fn forget(&mut self, is_old: impl Fn(Instant) -> bool) {
        let gone = self
            .clients
            .extract_if(|_, life| life.to.is_some_and(&is_old));
        for (_, life) in gone {
            for account in &mut self.accounts {
                account.past_lives += account.allowed_to(&life);
            }
        }
        self.disturbances.recent.retain(|(at, _)| !is_old(*at));
        for account in &mut self.accounts {
            account.recent.retain(|attempt| !is_old(attempt.at));
        }
    }
}

/// Whose request to Earth Engine it is: each client says so in its user agent.
fn client_of(request: &RecordedRequest) -> Option<(u64, u64)> {
    let agent = request.header("user-agent")?;
    let word = agent
        .split_whitespace()
        .find_map(|word| word.strip_prefix("soak-"))?;
    let (identity, client) = word.split_once('-')?;
    Some((identity.parse().ok()?, client.parse().ok()?))
}
