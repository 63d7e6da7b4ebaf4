//! The rules of the event log.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use crate::STALL_THRESHOLD;
use crate::event_log::{
    Account, Attempt, Creation, Failure, Identity, Purpose, Records, Span, Symptom,
};
use crate::fault_schedule::Cause;
use crate::workload::{MAX_RETRIES, RETRIES_END, TIMEOUT};

/// A failure is checked once the requests of its time have been counted.
const CHECK_DELAY: Duration = Duration::from_secs(40);
/// The maximal time between a failed token request and a call with the same error: the longest
/// backoff, and the time of the request with its retries.
const TOKEN_FAILURE_REACH: Duration = Duration::from_secs(36 + 32);
/// The attempts of a token request that is retried.
const TOKEN_ATTEMPTS: usize = 3;
/// The maximal time between a network fault and a call that fails because of it, if there were few
/// other failures.
const NETWORK_FAULT_REACH: Duration = Duration::from_secs(15);
/// The time of a response in transit, and the precision of network faults.
const TRANSIT_TIME: Duration = Duration::from_millis(500);
/// A call that starts so long after the last fault must not fail: the longest backoff of token
/// requests has ended.
pub(crate) const SETTLED: Duration = Duration::from_secs(40);
/// A token may expire in a request that takes this long: a shorter stall of the process goes
/// undetected.
const DELIVERY_TIME: Duration = STALL_THRESHOLD;
/// The limit of unchecked calls in a thousand.
const MAX_EXCUSED_PER_THOUSAND: u64 = 10;
/// A quiet period is checked if at least this much follows its settling time.
const MIN_QUIET_PERIOD: Duration = Duration::from_secs(10);

/// Returns the signed number of seconds between two times.
fn seconds_between(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64()
        - from.saturating_duration_since(to).as_secs_f64()
}

impl Attempt {
    /// Returns whether the host itself caused a failure.
    fn was_faulty(&self) -> bool {
        match self.cause {
            // A slow response arrives in time, unless the token has expired by then.
            Some(Cause::Slow) => self.status != Some(200),
            Some(_) => true,
            None => self.status.is_none_or(|status| status == 401),
        }
    }

    fn was_executed(&self) -> bool {
        self.status == Some(200) && self.cause.is_none_or(Cause::was_executed)
    }
}

impl Symptom {
    fn matches(self, attempt: &Attempt) -> bool {
        match self {
            Self::Network => matches!(attempt.cause, Some(Cause::Closed | Cause::Cut)),
            Self::Timeout => attempt.cause == Some(Cause::Late),
            Self::Unavailable => attempt.cause == Some(Cause::Unavailable),
            Self::Invalid => attempt.cause == Some(Cause::Html),
            Self::Unauthorized => attempt.status == Some(401),
            Self::Unexpected => false,
        }
    }

    /// Returns whether a network fault can cause it.
    fn may_be_a_network_fault(self) -> bool {
        matches!(self, Self::Network | Self::Timeout)
    }
}

impl Account {
    /// Returns how many requests a client is allowed: one at once, and one for each interval.
    pub(crate) fn allowed_to(&self, lifetime: &Span) -> u64 {
        let age = lifetime.overlap(lifetime.from, Instant::now());
        self.allowed_in(age)
    }

    fn allowed_in(&self, time: Duration) -> u64 {
        1 + (time.as_millis() / self.pause.as_millis().max(1)) as u64
    }
}

impl Records {
    pub(crate) fn check(&mut self, everything: bool) {
        let due = |at: Instant| everything || at.elapsed() > CHECK_DELAY;
        while self.failures.front().is_some_and(|one| due(one.ended)) {
            if let Some(failure) = self.failures.pop_front() {
                self.check_failure(&failure);
            }
        }
        while self.creations.front().is_some_and(|one| due(one.at)) {
            if let Some(creation) = self.creations.pop_front() {
                self.check_creation(&creation);
            }
        }
        for index in self.checked_quiet_periods..self.quiet_periods.len() {
            let quiet = self.quiet_periods[index];
            let Some(end) = quiet.to.filter(|end| due(*end)) else {
                break;
            };
            self.checked_quiet_periods = index + 1;
            self.check_quiet_period(quiet.from + SETTLED, end);
        }
        if everything {
            let numbers: Vec<_> = self.identities.keys().copied().collect();
            for number in numbers {
                if let Some(identity) = self.identities.remove(&number) {
                    self.check_token_requests(number, &identity);
                }
            }
        }
    }

    fn check_failure(&mut self, failure: &Failure) {
        let in_a_quiet_period = self.quiet_periods.iter().any(|quiet| {
            let settled = quiet.from + SETTLED;
            failure.started >= settled && quiet.to.is_none_or(|end| failure.ended <= end)
        });
        if self.stalled(before(failure.started, SETTLED), failure.ended) {
            self.counts.failed -= 1;
            self.counts.excused += 1;
            return;
        }
        let why = match failure.purpose {
            _ if in_a_quiet_period => {
                Some("in a quiet period, long after the last fault".to_owned())
            }
            Purpose::Token => self.explain_token_failure(failure),
            _ => self.explain_request_failure(failure),
        };
        if let Some(why) = why {
            self.violation(format!(
                "a call of identity {} was lost, {why}: {:?} failed with {:?} after {} attempts and {:.1} s: {}",
                failure.identity,
                failure.purpose,
                failure.symptom,
                failure.attempts,
                (failure.ended - failure.started).as_secs_f64(),
                failure.message
            ));
        }
    }

    /// Returns why no fault explains the failure of a request to Earth Engine, if none does.
    fn explain_request_failure(&self, failure: &Failure) -> Option<String> {
        let attempts = self.purposes.get(&failure.purpose).into_iter().flatten();
        // A leftover asset may be deleted later.
        let attempts: Vec<_> = attempts
            .filter(|attempt| attempt.at <= failure.ended + TRANSIT_TIME)
            .copied()
            .collect();
        let took = failure.ended - failure.started;
        let in_time = took < RETRIES_END;
        // The limit of the call can end during the last attempt.
        let whole = match attempts.split_last() {
            Some((_, before)) if !in_time => before,
            _ => &attempts,
        };
        let good = whole.iter().position(|attempt| {
            !attempt.was_faulty() && !self.network_failed(attempt.at, attempt.at + TIMEOUT)
        });
        if let Some(good) = good {
            return Some(format!("although attempt {} met no fault", good + 1));
        }
        let unseen = (failure.attempts as usize).saturating_sub(attempts.len());
        if unseen > 0 && !self.network_failed(failure.started, failure.ended) {
            return Some(format!("and {unseen} attempts did not arrive"));
        }
        let fits = attempts.last().is_some_and(|last| {
            failure.symptom.matches(last)
                || failure.symptom.may_be_a_network_fault()
                    && self.network_failed(last.at, last.at + TIMEOUT)
        }) || unseen > 0
            && failure.symptom.may_be_a_network_fault()
            && self.network_failed(before(failure.ended, TIMEOUT), failure.ended)
            || !in_time && failure.symptom == Symptom::Timeout;
        if !fits {
            return Some("and its last attempt met no such fault".to_owned());
        }
        let rejected_token = attempts.iter().filter(|a| a.status == Some(401)).count();
        let is_final = match failure.symptom {
            // A request is retried once after 401, unless the new token is the same, or one was
            // refreshed just before and has not been accepted since.
            Symptom::Invalid | Symptom::Unauthorized => true,
            _ => !failure.purpose.may_repeat(),
        };
        let renewed = u32::from(rejected_token > 0);
        let used_up = failure.attempts > MAX_RETRIES + renewed || !in_time;
        (!is_final && !used_up).then(|| "before its attempts or its time were exhausted".to_owned())
    }

    /// Returns why no fault explains the failure of a token request, if none does.
    fn explain_token_failure(&self, failure: &Failure) -> Option<String> {
        let from = before(failure.started, NETWORK_FAULT_REACH);
        let clock_changed = |at: &Instant| (from..=failure.ended).contains(at);
        if failure.symptom == Symptom::Unexpected && self.clock_changes.iter().any(clock_changed) {
            // After a change of the clock, a source token can expire on its way to IAM.
            return None;
        }
        if failure.symptom == Symptom::Unexpected {
            return Some("with an error that no fault causes".to_owned());
        }
        let Some(identity) = self.identities.get(&failure.identity) else {
            return Some("and its identity is unknown".to_owned());
        };
        let from = before(failure.started, TOKEN_FAILURE_REACH);
        let explained = identity.accounts.iter().any(|account| {
            let of_then = account.recent.iter();
            let of_then: Vec<_> = of_then
                .filter(|attempt| attempt.at >= from && attempt.at <= failure.ended)
                .collect();
            let is_final = of_then.iter().any(|attempt| match attempt.cause {
                // The late token had expired on arrival.
                Some(Cause::Slow) => failure.symptom == Symptom::Invalid,
                // Another server responds in place of the metadata server.
                Some(Cause::Html) => identity.shares_tokens,
                _ => false,
            });
            let faulty_count = of_then
                .iter()
                .filter(|a| a.was_faulty() || self.was_interrupted(a));
            let late = of_then.iter().any(|a| a.cause == Some(Cause::Late));
            let faulty_count = faulty_count.count();
            // Two attempts that time out take the time of three.
            let enough = TOKEN_ATTEMPTS - usize::from(late);
            // After many failures the backoff is longer.
            let reach = if faulty_count > TOKEN_ATTEMPTS {
                SETTLED
            } else {
                NETWORK_FAULT_REACH
            };
            // The expiry of a metadata server's token counts from before all its attempts.
            let is_over = identity.shares_tokens && failure.symptom == Symptom::Invalid;
            // Attempts during an outage did not arrive.
            let relay = before(failure.started, reach);
            let is_network_fault = self.network_was_down(relay, failure.ended)
                && (failure.symptom.may_be_a_network_fault() || is_over || faulty_count > 0)
                || self.network_failed(relay, failure.ended) && faulty_count + 1 >= enough;
            is_final || faulty_count >= enough || is_over && faulty_count > 0 || is_network_fault
        });
        (!explained).then(|| "without enough token requests that met a fault".to_owned())
    }

    /// Returns whether there was a network fault.
    fn network_failed(&self, from: Instant, to: Instant) -> bool {
        let from = before(from, TRANSIT_TIME);
        self.network_faults
            .iter()
            .any(|span| span.overlaps(from, to + TRANSIT_TIME))
    }

    /// Returns whether there was a network outage, rather than a reset.
    fn network_was_down(&self, from: Instant, to: Instant) -> bool {
        self.network_faults
            .iter()
            .any(|span| span.to != Some(span.from) && span.overlaps(from, to))
    }

    /// Returns whether the response may have been lost in a network fault.
    pub(crate) fn was_interrupted(&self, attempt: &Attempt) -> bool {
        self.network_failed(attempt.at, attempt.at)
    }

    /// Checks that a rejected token was valid when it was sent.
    pub(crate) fn check_rejection(&mut self, identity: Option<u64>, token: u64, attempt: Attempt) {
        let known = self.tokens.get(&token);
        // An abandoned request can outlive its identity.
        let is_orphaned = identity
            .and_then(|number| self.identities.get(&number))
            .is_none_or(|identity| identity.ended.is_some());
        let (None, Some(known), false) = (attempt.cause, known, is_orphaned) else {
            return;
        };
        // A delay before sending or after arrival is a delay of this machine.
        let sent = before(attempt.at, DELIVERY_TIME + TRANSIT_TIME);
        if self.stalled(sent, attempt.at + TRANSIT_TIME) {
            return;
        }
        let arrived = wall(attempt.at);
        let clock_changed = |at: &Instant| *at <= attempt.at + TRANSIT_TIME;
        if arrived > known.ends + DELIVERY_TIME {
            let late = (arrived - known.ends).num_milliseconds();
            self.violation(format!("a token was sent {late} ms after its expiry"));
        } else if arrived < known.ends && !self.clock_changes.iter().any(clock_changed) {
            self.violation("a valid token was rejected although no clock was changed".to_owned());
        }
    }

    fn check_creation(&mut self, creation: &Creation) {
        let Creation {
            number, reported, ..
        } = *creation;
        let attempts = self.purposes.get(&Purpose::Create(number)).cloned();
        let attempts = attempts.unwrap_or_default();
        let times = attempts.iter().filter(|one| one.was_executed()).count();
        self.counts.created_once += u64::from(times == 1);
        if times > 1 {
            self.violation(format!("asset {number} was created {times} times"));
        }
        if reported && times == 0 {
            self.violation(format!(
                "asset {number} was reported as created, and was created by none of {} requests",
                attempts.len()
            ));
        }
        // Only a rejected token proves that nothing was done.
        if let [before @ .., _] = attempts.as_slice()
            && before.iter().any(|attempt| attempt.status != Some(401))
        {
            self.violation(format!(
                "the request that creates asset {number} was retried after it may have taken effect"
            ));
        }
    }

    /// After a quiet period has settled, an identity sends no more token requests than its clients
    /// are allowed.
    fn check_quiet_period(&mut self, settled: Instant, end: Instant) {
        if end < settled + MIN_QUIET_PERIOD || self.stalled(settled, end) {
            return;
        }
        self.counts.quiet_periods += 1;
        let mut violations = Vec::new();
        for (number, identity) in &self.identities {
            for account in &identity.accounts {
                let times = account.recent.iter();
                let times: Vec<_> = times
                    .filter(|a| a.at >= settled && a.at <= end)
                    .map(|attempt| seconds_between(settled, attempt.at))
                    .collect();
                let lifetimes = identity.clients.values();
                let lifetimes: Vec<_> = lifetimes
                    .filter(|lifetime| lifetime.overlaps(settled, end))
                    .collect();
                let allowed = lifetimes
                    .iter()
                    .map(|lifetime| account.allowed_in(lifetime.overlap(settled, end)))
                    .sum::<u64>()
                    + identity.disruptions_between(settled, end);
                if times.len() as u64 > allowed {
                    let lifetimes = lifetimes.iter().map(|lifetime| {
                        let to = lifetime.to.map(|to| seconds_between(settled, to));
                        (seconds_between(settled, lifetime.from), to)
                    });
                    violations.push(format!(
                        "identity {number} sent {} token requests in a quiet period of {:.0} s; {allowed} are allowed (at {times:.2?} s; clients lived {:.2?})",
                        times.len(),
                        (end - settled).as_secs_f64(),
                        lifetimes.collect::<Vec<_>>(),
                    ));
                }
            }
        }
        for violation in violations {
            self.violation(violation);
        }
    }

    /// Checks the number of token requests of an identity whose clients have ended.
    pub(crate) fn check_token_requests(&mut self, number: u64, identity: &Identity) {
        for account in &identity.accounts {
            let lifetimes = identity.clients.values();
            let lifetimes = lifetimes
                .map(|lifetime| account.allowed_to(lifetime))
                .sum::<u64>();
            let lifetimes = lifetimes + account.ended_clients;
            let (rejections, disruptions) = (identity.rejections, identity.disruptions.total);
            let allowed =
                lifetimes + account.faulty + account.interrupted + rejections + disruptions;
            self.counts.allowed += allowed;
            if account.requests > allowed {
                self.violation(format!(
                    "identity {number} sent {} token requests; {allowed} are allowed: {lifetimes} for token lifetimes, {} for faults, {} for network faults, {rejections} for rejected tokens, {disruptions} for keys, clocks and runtimes",
                    account.requests, account.faulty, account.interrupted,
                ));
            }
        }
    }

    /// Returns whether the process was stalled.
    fn stalled(&self, from: Instant, to: Instant) -> bool {
        self.stalled.iter().any(|span| span.overlaps(from, to))
    }

    pub(crate) fn check_excused(&mut self) {
        let counts = self.counts;
        let calls = counts.succeeded + counts.failed + counts.excused;
        if counts.excused * 1000 > calls * MAX_EXCUSED_PER_THOUSAND {
            self.violation(format!(
                "{} of {calls} calls could not be checked, because this machine stalls too often",
                counts.excused
            ));
        }
    }
}

fn before(at: Instant, by: Duration) -> Instant {
    at.checked_sub(by).unwrap_or(at)
}

/// Returns the same time of the wall clock.
fn wall(at: Instant) -> DateTime<Utc> {
    Utc::now() - TimeDelta::from_std(at.elapsed()).unwrap_or_default()
}
