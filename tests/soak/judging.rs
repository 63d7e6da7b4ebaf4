//! The rules by which the ledger judges.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use crate::STOOD_STILL;
use crate::ledger::{Account, Attempt, Books, Creation, Errand, Failure, Identity, Span, Symptom};
use crate::users::{MAX_RETRIES, RETRIES_END, TIMEOUT};
use crate::weather::Cause;

/// A failure is judged when the requests of its time have surely been counted.
const JUDGED_AFTER: Duration = Duration::from_secs(40);
/// How far before a call the token request can have failed that it fails with: the longest wait
/// before the next, and what such a request takes with its own retries.
const TOKEN_SPEAKS_FOR: Duration = Duration::from_secs(36 + 32);
/// How often a token is asked for, if it can be asked for again.
const TOKEN_ATTEMPTS: usize = 3;
/// How far before a call the wire can have been down that it fails with, if little else failed.
const WIRE_SPEAKS_FOR: Duration = Duration::from_secs(15);
/// How long a good answer is on the wire, and how exactly a breakdown of that is known.
const ON_THE_WIRE: Duration = Duration::from_millis(500);
/// Nothing that begins so long after the last fault may fail: the longest wait before the next
/// token request is over.
pub(crate) const SETTLED: Duration = Duration::from_secs(40);
/// How long a request may be on its way before its token counts as one that was over already: a
/// process that stands still for less is not noticed.
const ON_ITS_WAY: Duration = STOOD_STILL;
/// Of a thousand calls, as many as may end unjudged.
const MOST_EXCUSED: u64 = 10;
/// A calm is judged if this much is left of it once all is settled.
const SHORTEST_CALM: Duration = Duration::from_secs(10);

/// Seconds from one moment to another, negative if that was before.
fn seconds_between(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64()
        - from.saturating_duration_since(to).as_secs_f64()
}

impl Attempt {
    /// Whether the host itself spoilt it.
    fn was_spoilt(&self) -> bool {
        match self.cause {
            // What was slow came in time, unless the token was over then.
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
    fn comes_from(self, attempt: &Attempt) -> bool {
        match self {
            Self::Network => matches!(attempt.cause, Some(Cause::Closed | Cause::Cut)),
            Self::Timeout => attempt.cause == Some(Cause::Late),
            Self::Unavailable => attempt.cause == Some(Cause::Unavailable),
            Self::Invalid => attempt.cause == Some(Cause::Html),
            Self::Unauthorized => attempt.status == Some(401),
            Self::Strange => false,
        }
    }

    /// Whether a wire that is cut, down or swallows everything can bring it about.
    fn may_come_from_the_wire(self) -> bool {
        matches!(self, Self::Network | Self::Timeout)
    }
}

impl Account {
    /// How many requests a client's life allows: one at once, and one for each pause.
    pub(crate) fn allowed_to(&self, life: &Span) -> u64 {
        let age = life.shared_with(life.from, Instant::now());
        self.allowed_in(age)
    }

    fn allowed_in(&self, time: Duration) -> u64 {
        1 + (time.as_millis() / self.pause.as_millis().max(1)) as u64
    }
}

impl Books {
    pub(crate) fn judge(&mut self, everything: bool) {
        let due = |at: Instant| everything || at.elapsed() > JUDGED_AFTER;
        while self.failures.front().is_some_and(|one| due(one.ended)) {
            if let Some(failure) = self.failures.pop_front() {
                self.judge_failure(&failure);
            }
        }
        while self.creations.front().is_some_and(|one| due(one.at)) {
            if let Some(creation) = self.creations.pop_front() {
                self.judge_creation(&creation);
            }
        }
        for index in self.judged_calms..self.calms.len() {
            let calm = self.calms[index];
            let Some(end) = calm.to.filter(|end| due(*end)) else {
                break;
            };
            self.judged_calms = index + 1;
            self.judge_calm(calm.from + SETTLED, end);
        }
        if everything {
            let numbers: Vec<_> = self.identities.keys().copied().collect();
            for number in numbers {
                if let Some(identity) = self.identities.remove(&number) {
                    self.judge_token_requests(number, &identity);
                }
            }
        }
    }

    fn judge_failure(&mut self, failure: &Failure) {
        let in_a_calm = self.calms.iter().any(|calm| {
            let settled = calm.from + SETTLED;
            failure.started >= settled && calm.to.is_none_or(|end| failure.ended <= end)
        });
        if self.stood_still(before(failure.started, SETTLED), failure.ended) {
            self.counts.failed -= 1;
            self.counts.excused += 1;
            return;
        }
        let why = match failure.errand {
            _ if in_a_calm => Some("in a calm, long after the last fault".to_owned()),
            Errand::Token => self.no_token_is_lost(failure),
            _ => self.request_is_lost(failure),
        };
        if let Some(why) = why {
            self.violation(format!(
                "a call of identity {} was lost, {why}: {:?} failed with {:?} after {} attempts and {:.1} s: {}",
                failure.identity,
                failure.errand,
                failure.symptom,
                failure.attempts,
                (failure.ended - failure.started).as_secs_f64(),
                failure.message
            ));
        }
    }

    /// Why no fault explains that a request to Earth Engine failed, if none does.
    fn request_is_lost(&self, failure: &Failure) -> Option<String> {
        let attempts = self.errands.get(&failure.errand).into_iter().flatten();
        // An asset that was left may be taken away later.
        let attempts: Vec<_> = attempts
            .filter(|attempt| attempt.at <= failure.ended + ON_THE_WIRE)
            .copied()
            .collect();
        let took = failure.ended - failure.started;
        let in_time = took < RETRIES_END;
        // The time of the whole call may end in the middle of the last.
        let whole = match attempts.split_last() {
            Some((_, before)) if !in_time => before,
            _ => &attempts,
        };
        let good = whole.iter().position(|attempt| {
            !attempt.was_spoilt() && !self.wire_broke(attempt.at, attempt.at + TIMEOUT)
        });
        if let Some(good) = good {
            return Some(format!("although attempt {} met no fault", good + 1));
        }
        let unseen = (failure.attempts as usize).saturating_sub(attempts.len());
        if unseen > 0 && !self.wire_broke(failure.started, failure.ended) {
            return Some(format!("and {unseen} attempts did not arrive"));
        }
        let fits = attempts.last().is_some_and(|last| {
            failure.symptom.comes_from(last)
                || failure.symptom.may_come_from_the_wire()
                    && self.wire_broke(last.at, last.at + TIMEOUT)
        }) || unseen > 0
            && failure.symptom.may_come_from_the_wire()
            && self.wire_broke(before(failure.ended, TIMEOUT), failure.ended)
            || !in_time && failure.symptom == Symptom::Timeout;
        if !fits {
            return Some("and its last attempt did not meet such a fault".to_owned());
        }
        let refused = attempts.iter().filter(|a| a.status == Some(401)).count();
        let is_final = match failure.symptom {
            // A 401: sent once more with another token, unless there is only the same one, or one was
            // renewed a moment ago and has not been accepted since.
            Symptom::Invalid | Symptom::Unauthorized => true,
            _ => !failure.errand.may_repeat(),
        };
        let renewed = u32::from(refused > 0);
        let used_up =
            failure.attempts > MAX_RETRIES + renewed || !in_time || self.spent_its_budget(failure);
        (!is_final && !used_up).then(|| "before its attempts and its time were used up".to_owned())
    }

    fn spent_its_budget(&self, failure: &Failure) -> bool {
        self.spent_budgets.iter().any(|(identity, at)| {
            *identity == failure.identity && *at >= failure.started && *at <= failure.ended
        })
    }

    /// Why no fault explains that there was no token, if none does.
    fn no_token_is_lost(&self, failure: &Failure) -> Option<String> {
        let from = before(failure.started, WIRE_SPEAKS_FOR);
        let stepped = |at: &Instant| (from..=failure.ended).contains(at);
        if failure.symptom == Symptom::Strange && self.steps.iter().any(stepped) {
            // With the clock, a source's token ends on its way to IAM.
            return None;
        }
        if failure.symptom == Symptom::Strange {
            return Some("with an error that no fault brings about".to_owned());
        }
        let Some(identity) = self.identities.get(&failure.identity) else {
            return Some("and nobody knows whose it is".to_owned());
        };
        let from = before(failure.started, TOKEN_SPEAKS_FOR);
        let explained = identity.accounts.iter().any(|account| {
            let of_then = account.recent.iter();
            let of_then: Vec<_> = of_then
                .filter(|attempt| attempt.at >= from && attempt.at <= failure.ended)
                .collect();
            let is_final = of_then.iter().any(|attempt| match attempt.cause {
                // The token that came late was over on arrival.
                Some(Cause::Slow) => failure.symptom == Symptom::Invalid,
                // Somebody else answers in a metadata server's place.
                Some(Cause::Html) => identity.shares_tokens,
                _ => false,
            });
            let spoilt = of_then
                .iter()
                .filter(|a| a.was_spoilt() || self.was_cut_off(a));
            let late = of_then.iter().any(|a| a.cause == Some(Cause::Late));
            let spoilt = spoilt.count();
            // Two that never end use up the time of three.
            let enough = TOKEN_ATTEMPTS - usize::from(late);
            // After many failures the next attempt is further away.
            let reach = if spoilt > TOKEN_ATTEMPTS {
                SETTLED
            } else {
                WIRE_SPEAKS_FOR
            };
            // A metadata server's token is counted from before all the tries for it.
            let is_over = identity.shares_tokens && failure.symptom == Symptom::Invalid;
            // Tries that the wire swallowed did not arrive.
            let wire = before(failure.started, reach);
            let from_the_wire = self.wire_was_down(wire, failure.ended)
                && (failure.symptom.may_come_from_the_wire() || is_over || spoilt > 0)
                || self.wire_broke(wire, failure.ended) && spoilt + 1 >= enough;
            is_final || spoilt >= enough || is_over && spoilt > 0 || from_the_wire
        });
        (!explained).then(|| "without enough token requests that met a fault".to_owned())
    }

    /// Whether it was cut, down, or swallowed everything.
    fn wire_broke(&self, from: Instant, to: Instant) -> bool {
        let from = before(from, ON_THE_WIRE);
        self.breakdowns
            .iter()
            .any(|span| span.touches(from, to + ON_THE_WIRE))
    }

    /// Whether it was so for a while, and not for a moment.
    fn wire_was_down(&self, from: Instant, to: Instant) -> bool {
        self.breakdowns
            .iter()
            .any(|span| span.to != Some(span.from) && span.touches(from, to))
    }

    /// Whether a request's answer was perhaps on the wire when that broke.
    pub(crate) fn was_cut_off(&self, attempt: &Attempt) -> bool {
        self.wire_broke(attempt.at, attempt.at)
    }

    /// A token was refused, which must have been good when it was sent.
    pub(crate) fn judge_refusal(&mut self, identity: Option<u64>, token: u64, attempt: Attempt) {
        let known = self.tokens.get(&token);
        // A request that nobody waits for may outlive the identity that sent it.
        let of_nobody = identity
            .and_then(|number| self.identities.get(&number))
            .is_none_or(|identity| identity.ended.is_some());
        let (None, Some(known), false) = (attempt.cause, known, of_nobody) else {
            return;
        };
        // What was held up, before it was sent or behind its arrival, tells of this machine.
        let sent = before(attempt.at, ON_ITS_WAY + ON_THE_WIRE);
        if self.stood_still(sent, attempt.at + ON_THE_WIRE) {
            return;
        }
        let arrived = wall(attempt.at);
        let stepped = |at: &Instant| *at <= attempt.at + ON_THE_WIRE;
        if arrived > known.ends + ON_ITS_WAY {
            let late = (arrived - known.ends).num_milliseconds();
            self.violation(format!("a token was sent {late} ms after its end"));
        } else if arrived < known.ends && !self.steps.iter().any(stepped) {
            self.violation("a good token was refused although no clock was set".to_owned());
        }
    }

    fn judge_creation(&mut self, creation: &Creation) {
        let Creation {
            number, said_made, ..
        } = *creation;
        let attempts = self.errands.get(&Errand::Create(number)).cloned();
        let attempts = attempts.unwrap_or_default();
        let times = attempts.iter().filter(|one| one.was_executed()).count();
        self.counts.made_once += u64::from(times == 1);
        if times > 1 {
            self.violation(format!("asset {number} was made {times} times"));
        }
        if said_made && times == 0 {
            self.violation(format!(
                "asset {number} is said to be made, and was made by none of {} requests",
                attempts.len()
            ));
        }
        // Only a token that was not taken says that nothing was done.
        if let [before @ .., _] = attempts.as_slice()
            && before.iter().any(|attempt| attempt.status != Some(401))
        {
            self.violation(format!(
                "the request that makes asset {number} was sent again after it may have been executed"
            ));
        }
    }

    /// Once all is settled, an identity asks for no more than its clients' lives allow.
    fn judge_calm(&mut self, settled: Instant, end: Instant) {
        if end < settled + SHORTEST_CALM || self.stood_still(settled, end) {
            return;
        }
        self.counts.calms += 1;
        let mut violations = Vec::new();
        for (number, identity) in &self.identities {
            for account in &identity.accounts {
                let asked = account.recent.iter();
                let asked: Vec<_> = asked
                    .filter(|a| a.at >= settled && a.at <= end)
                    .map(|attempt| seconds_between(settled, attempt.at))
                    .collect();
                let lives = identity.clients.values();
                let lives: Vec<_> = lives.filter(|life| life.touches(settled, end)).collect();
                let allowed = lives
                    .iter()
                    .map(|life| account.allowed_in(life.shared_with(settled, end)))
                    .sum::<u64>()
                    + identity.disturbances_between(settled, end);
                if asked.len() as u64 > allowed {
                    let lives = lives.iter().map(|life| {
                        let to = life.to.map(|to| seconds_between(settled, to));
                        (seconds_between(settled, life.from), to)
                    });
                    violations.push(format!(
                        "identity {number} sent {} token requests in a calm of {:.0} s; {allowed} are allowed (at {asked:.2?} s; clients lived {:.2?})",
                        asked.len(),
                        (end - settled).as_secs_f64(),
                        lives.collect::<Vec<_>>(),
                    ));
                }
            }
        }
        for violation in violations {
            self.violation(violation);
        }
    }

    /// Once an identity's clients have ended: whether it asked for more tokens than the rules
    /// allow.
    pub(crate) fn judge_token_requests(&mut self, number: u64, identity: &Identity) {
        for account in &identity.accounts {
            let lives = identity.clients.values();
            let lives = lives.map(|life| account.allowed_to(life)).sum::<u64>();
            let lives = lives + account.past_lives;
            let (rejections, disturbances) = (identity.rejections, identity.disturbances.total);
            let allowed = lives + account.faulty + account.cut_off + rejections + disturbances;
            self.counts.allowed += allowed;
            if account.requests > allowed {
                self.violation(format!(
                    "identity {number} sent {} token requests; {allowed} are allowed: {lives} for lives of tokens, {} for faults, {} for the wire, {rejections} for tokens that were refused, {disturbances} for keys, clocks and runtimes",
                    account.requests, account.faulty, account.cut_off,
                ));
            }
        }
    }

    /// Whether the process did.
    fn stood_still(&self, from: Instant, to: Instant) -> bool {
        self.stood_still.iter().any(|span| span.touches(from, to))
    }

    pub(crate) fn judge_excuses(&mut self) {
        let counts = self.counts;
        let calls = counts.succeeded + counts.failed + counts.excused;
        if counts.excused * 1000 > calls * MOST_EXCUSED {
            self.violation(format!(
                "{} of {calls} calls could not be judged: this machine stands still too often",
                counts.excused
            ));
        }
    }
}

fn before(at: Instant, by: Duration) -> Instant {
    at.checked_sub(by).unwrap_or(at)
}

/// The same moment by the wall clock.
fn wall(at: Instant) -> DateTime<Utc> {
    Utc::now() - TimeDelta::from_std(at.elapsed()).unwrap_or_default()
}
