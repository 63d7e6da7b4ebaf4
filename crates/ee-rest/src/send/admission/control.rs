//! What the client may send, computed from the outcomes of its requests and their times. No I/O.
//!
//! **Places.** A client has a number of places, each of which may have one request in flight. It
//! starts with few and opens the others within a fraction of a second, so that a full server is
//! noticed early. A request that is rejected by a rate limit gives up its place, and the client
//! *enters* again, by one request beyond its places, at intervals. The interval grows with each
//! rejection and shrinks with time, so that rejections stay rare, whatever the quota and the
//! number of processes that share it. It shrinks faster the larger the client's *share* is, the
//! number of its requests in flight on average, since rejections are counted per success. A place
//! whose request succeeds is used again at once: the server has just freed it. While rejections
//! are recent, a place is also given up after a number of successes, and a client with more places
//! than its share enters less often, so that processes take turns. A client without a place waits
//! for its next entry, which is pacing: its share may be less than one request at a time.
//!
//! When most requests fail for other reasons, the places are reduced, too: see [`outage`].

mod entry;
mod outage;

use std::time::Duration;

use tokio::time::Instant;

use crate::send::admission::control::outage::Health;

/// The default limit of a project on each of Earth Engine's endpoints ("Max concurrent requests",
/// developers.google.com/earth-engine/guides/usage).
pub(crate) const CONCURRENCY: usize = 40;

/// The limit in restricted mode. Google documents that parallelism is restricted then, but not by
/// how much; further 429 responses lower the limit as usual.
const RESTRICTED: usize = 8;

/// The limit of a client without one.
pub(crate) const UNLIMITED: usize = usize::MAX;

/// How much idle time may be made up for in a burst. This also evens out coarse timers.
const BURST: Duration = Duration::from_millis(100);

/// How long a streamed response keeps its place without being read.
const LEASE: Duration = Duration::from_secs(1);

/// How often the open places of a client that has just started are doubled.
const OPENING_INTERVAL: Duration = Duration::from_millis(30);

/// The bounds of the duration of a call, in seconds. Shorter calls are not paced any faster.
const CALL_TIME: (f64, f64) = (0.1, 30.0);
const UNKNOWN_CALL_TIME: f64 = 0.5;

/// How long `Retry-After` may delay the entries of the whole client.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// How long a call is held at least: time for a few probes.
const MIN_PATIENCE: Duration = Duration::from_secs(5);

/// A request in flight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    started: Instant,
    is_entry: bool,
}

/// Who asks to send a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    NewCall,
    /// A call after its backoff, and whether it kept its place.
    Retry {
        has_place: bool,
    },
}

/// Why a request must wait, and until when, if that is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wait(pub(crate) Option<Instant>);

/// The limits of a client and its clones.
#[derive(Debug)]
pub(crate) struct Control {
    max: usize,
    restricted: bool,
    places: usize,
    in_flight: usize,
    /// Places of calls that wait for their backoff.
    held: usize,
    /// Calls that wait for a place after their backoff.
    resuming: usize,
    /// New calls that wait.
    queued: usize,
    /// The places of streamed responses, and when they were last read.
    leases: Vec<(u64, Instant)>,
    last_lease: u64,
    opening: Option<Opening>,
    /// Seconds, or 0 before the first success.
    call_time: f64,
    entry_interval: f64,
    interval_updated: Option<Instant>,
    /// Whether an entry has succeeded since the first rejection.
    has_entered: bool,
    /// The requests in flight on average, from the successes since the first rejection.
    share: f64,
    share_updated: Option<Instant>,
    next_entry: Option<Instant>,
    /// The first rejection of the last group that was in flight together.
    last_rejection: Option<Instant>,
    /// The fewest places that the group leaves.
    min_places: usize,
    /// How much of a place its successes have used up.
    turn: f64,
    health: Health,
    /// The configured rate limit.
    spacing: Option<Duration>,
    next_start: Option<Instant>,
    random: u64,
}

/// The places of a client that has just started: doubled at intervals, and one more for each
/// success.
#[derive(Debug)]
struct Opening {
    since: Option<Instant>,
    successes: usize,
}

impl Control {
    pub(crate) fn new(max: Option<usize>, spacing: Option<Duration>, seed: u64) -> Self {
        let max = max.unwrap_or(UNLIMITED).max(1);
        Self {
            max,
            restricted: false,
            places: max,
            in_flight: 0,
            held: 0,
            resuming: 0,
            queued: 0,
            leases: Vec::new(),
            last_lease: 0,
            opening: (max != UNLIMITED).then_some(Opening {
                since: None,
                successes: 0,
            }),
            call_time: 0.0,
            entry_interval: entry::INTERVAL.0,
            interval_updated: None,
            has_entered: false,
            share: 1.0,
            share_updated: None,
            next_entry: None,
            last_rejection: None,
            min_places: 0,
            turn: 0.0,
            health: Health::default(),
            spacing,
            next_start: None,
            // Must not be zero.
            random: seed | 1,
        }
    }

    /// Returns the current concurrency limit, if there is one.
    pub(crate) fn limit(&self) -> Option<usize> {
        (self.max != UNLIMITED).then(|| self.places.max(1))
    }

    fn max(&self) -> usize {
        if self.restricted {
            self.max.min(RESTRICTED)
        } else {
            self.max
        }
    }

    /// Enters or leaves restricted mode. Returns the new limit if it was lowered.
    pub(crate) fn set_restricted(&mut self, restricted: bool) -> Option<usize> {
        self.restricted = restricted && self.max != UNLIMITED;
        let lowered = self.places > self.max();
        self.places = self.places.min(self.max());
        lowered.then_some(self.places)
    }

    /// Returns whether the failure of a call is that of the server: most requests fail, and other
    /// calls wait, too. A call on its own fails when its retries are exhausted, so that the caller
    /// learns of the outage.
    pub(crate) fn blames_server(&self) -> bool {
        self.health.is_failing() && self.is_shared()
    }

    /// Returns whether a rejection of a call is that of the quota, which other processes use, too.
    pub(crate) fn blames_quota(&self) -> bool {
        self.health.has_worked && self.max != UNLIMITED && self.is_shared()
    }

    /// Returns whether other calls wait beside one that has failed.
    fn is_shared(&self) -> bool {
        self.in_flight + self.held + self.resuming + self.queued > 1
    }

    /// Returns since when all requests but probes are held, if they are.
    pub(crate) fn outage(&self) -> Option<Instant> {
        self.health.outage(self.places)
    }

    /// Returns until when a call that has waited since `waiting` is held in an outage.
    pub(crate) fn held_until(&self, waiting: Instant, patience: Duration) -> Option<Instant> {
        let at = self.outage()?.checked_add(patience)?;
        Some(at.max(waiting.checked_add(MIN_PATIENCE)?))
    }

    /// Starts a request, or returns why it must wait.
    pub(crate) fn start(&mut self, caller: Caller, now: Instant) -> Result<Slot, Wait> {
        let rate = self.check_rate(now)?;
        let has_place = caller == Caller::Retry { has_place: true };
        let is_new = caller == Caller::NewCall;
        let mut is_entry = false;
        if self.outage().is_some() {
            if is_new && self.in_flight + self.held >= self.places.max(1) {
                return Err(Wait(None));
            }
            let random = || random(&mut self.random);
            let probe = self.health.start_probe(now, random);
            probe.map_err(|at| Wait(Some(at)))?;
        } else if is_new && self.resuming > 0 {
            return Err(Wait(None));
        } else if let Some(until) = self.lacks_place(is_new, now) {
            self.enter(until, now)?;
            is_entry = true;
        }
        self.next_start = rate;
        if let Some(opening) = &mut self.opening {
            opening.since.get_or_insert(now);
        }
        self.held -= usize::from(has_place);
        self.in_flight += 1;
        Ok(Slot {
            started: now,
            is_entry,
        })
    }

    /// Returns when the next request may start after this one, as configured.
    fn check_rate(&self, now: Instant) -> Result<Option<Instant>, Wait> {
        let Some(spacing) = self.spacing else {
            return Ok(None);
        };
        let at = match self.next_start {
            Some(at) if at > now => return Err(Wait(Some(at))),
            Some(at) => at.max(now.checked_sub(BURST).unwrap_or(now)),
            None => now,
        };
        // Saturates: an interval may be longer than `Instant` can represent.
        Ok(at.checked_add(spacing).or(Some(at)))
    }

    /// Returns until when no place is available, if none is. `Wait(None)` if until another request
    /// ends.
    fn lacks_place(&mut self, is_new: bool, now: Instant) -> Option<Wait> {
        let others = if is_new { self.held } else { 0 };
        if self.in_flight + others < self.open_places(now) {
            return None;
        }
        // The leases are in the order of their expiry.
        let expired = self
            .leases
            .iter()
            .take_while(|(_, read)| now >= *read + LEASE);
        let expired = expired.count();
        self.leases.drain(..expired);
        self.in_flight -= expired;
        if self.in_flight + others < self.open_places(now) {
            return None;
        }
        Some(Wait(self.leases.first().map(|(_, read)| *read + LEASE)))
    }

    /// Returns how many places may be used now.
    fn open_places(&mut self, now: Instant) -> usize {
        if self.health.is_braked() {
            return self.health.braked(self.places);
        }
        let Some(open) = self.opened(now) else {
            return self.places;
        };
        if open >= self.places {
            self.opening = None;
        }
        open.min(self.places)
    }

    /// Returns how many places are open, unless all are.
    fn opened(&self, now: Instant) -> Option<usize> {
        let opening = self.opening.as_ref()?;
        let elapsed = opening.since.map_or(Duration::ZERO, |since| now - since);
        let doubled = (elapsed.as_millis() / OPENING_INTERVAL.as_millis()).min(32) as u32;
        let first = (self.max / CONCURRENCY).max(1) << doubled;
        Some(first.saturating_add(opening.successes))
    }

    /// Adds a place, or more if there are many. Returns until when it must wait otherwise.
    fn enter(&mut self, wait: Wait, now: Instant) -> Result<(), Wait> {
        let at = if self.health.is_braked() {
            return Err(wait);
        } else if self.opening.is_some() {
            Some(now + OPENING_INTERVAL / 5)
        } else if self.places >= self.max() {
            return Err(wait);
        } else {
            self.next_entry.filter(|at| now < *at)
        };
        if let Some(at) = at {
            return Err(Wait(Some(wait.0.map_or(at, |until| until.min(at)))));
        }
        self.update_interval(now);
        self.places = (self.places + (self.places / 5).max(1)).min(self.max());
        self.schedule_entry(now);
        Ok(())
    }

    /// Shrinks the interval by the time that has passed.
    fn update_interval(&mut self, now: Instant) {
        let quiet = self.calls_since(self.last_rejection, now) / entry::DOUBLED;
        let share = self.share(now).clamp(entry::SHARE.0, entry::SHARE.1);
        let decay = entry::DECAY
            * share.powf(entry::SHARE_POWER)
            * self.calls_since(self.interval_updated, now)
            * (1.0 + quiet * quiet);
        self.entry_interval = (self.entry_interval * (-decay).exp()).max(entry::INTERVAL.0);
        self.interval_updated = Some(now);
    }

    fn schedule_entry(&mut self, now: Instant) {
        let factor = if self.places as f64 > self.share(now) {
            entry::ABOVE_SHARE
        } else {
            1.0
        };
        let jitter = 0.5 + random(&mut self.random);
        let wait = self.entry_interval * self.call_time() * factor * jitter;
        let at = now + Duration::from_secs_f64(wait);
        self.next_entry = Some(self.next_entry.map_or(at, |next| next.max(at)));
    }

    /// Returns the time since an event, as a multiple of the duration of a call.
    fn calls_since(&self, event: Option<Instant>, now: Instant) -> f64 {
        event.map_or(0.0, |at| (now - at).as_secs_f64() / self.call_time())
    }

    fn share(&self, now: Instant) -> f64 {
        let age = self.calls_since(self.share_updated, now);
        self.share * (-age / entry::MEMORY).exp()
    }

    /// Returns the duration of a call in seconds.
    fn call_time(&self) -> f64 {
        if self.call_time == 0.0 {
            UNKNOWN_CALL_TIME
        } else {
            self.call_time.clamp(CALL_TIME.0, CALL_TIME.1)
        }
    }

    /// Records that the server accepted a request, successful or not.
    pub(crate) fn accepted(&mut self, slot: Slot) {
        self.health.has_worked = true;
        self.health.responded(slot.started);
    }

    /// Records that a request succeeded.
    pub(crate) fn succeeded(&mut self, slot: Slot, now: Instant) {
        self.accepted(slot);
        let seconds = (now - slot.started).as_secs_f64();
        self.call_time = if self.call_time == 0.0 {
            seconds
        } else {
            self.call_time + (seconds - self.call_time) / 16.0
        };
        if let Some(opening) = &mut self.opening {
            opening.successes += 1;
        }
        if self.last_rejection.is_some() {
            self.take_turn(slot, now);
        }
    }

    /// Uses up part of a place, so that processes take turns.
    fn take_turn(&mut self, slot: Slot, now: Instant) {
        self.update_interval(now);
        self.has_entered |= slot.is_entry;
        let places = (self.places as f64).max(1.0);
        if self.share_updated.is_none() {
            self.share = places;
        }
        // Less than one for calls so short that their entries are not paced any faster.
        let call = (self.call_time / self.call_time()).min(1.0);
        self.share = self.share(now) + call / entry::MEMORY;
        self.share_updated = Some(now);
        if self.entry_interval <= entry::CONTENDED {
            return;
        }
        let small = (entry::SMALL_SHARE / self.share.max(entry::SHARE.0)).max(1.0);
        let many = (places / entry::MANY).sqrt().max(1.0);
        self.turn += call / (entry::TURN * small.powf(entry::SMALL_SHARE_POWER) * many);
        if self.turn >= 1.0 {
            self.turn -= 1.0;
            self.places = self.places.saturating_sub(1);
            if self.places == 0 {
                self.schedule_entry(now);
            }
        }
    }

    /// Records that a request was rejected by a rate limit. Returns whether the call keeps its
    /// place for the retry, and the new limit if it was lowered for the first of the requests that
    /// were in flight together.
    pub(crate) fn rejected(
        &mut self,
        slot: Slot,
        retry_after: Duration,
        now: Instant,
    ) -> (bool, Option<usize>) {
        self.health.responded(slot.started);
        self.in_flight -= 1;
        if self.max == UNLIMITED {
            self.held += 1;
            return (true, None);
        }
        if let Some(open) = self.opened(now) {
            self.places = self.places.min(open);
            self.opening = None;
        }
        let is_first = self.last_rejection.is_none_or(|at| slot.started > at);
        self.update_interval(now);
        if is_first {
            self.last_rejection = Some(now);
            self.min_places = self.places / 2;
            let interval = self.entry_interval.max(entry::AFTER_REJECTION);
            let mut growth = interval * entry::GROWTH;
            if self.has_entered {
                growth = growth.min(entry::MAX_GROWTH);
            }
            self.entry_interval = (interval + growth).min(entry::INTERVAL.1);
        }
        let before = self.places;
        self.places = before.saturating_sub(1).max(self.min_places.min(before));
        if is_first {
            self.places -= ((self.places as f64).sqrt() * entry::LOSS) as usize;
        }
        self.schedule_entry(now);
        if let Some(at) = now.checked_add(retry_after.min(MAX_RETRY_AFTER)) {
            self.next_entry = self.next_entry.max(Some(at));
        }
        let keeps_place = self.places == before;
        self.held += usize::from(keeps_place);
        (
            keeps_place,
            (is_first && !keeps_place).then(|| self.places.max(1)),
        )
    }

    /// Records that a request failed in another way: no response, or a server error. The call
    /// keeps its place for the retry. Returns whether this is the beginning of an outage.
    pub(crate) fn failed(&mut self, slot: Slot, now: Instant) -> bool {
        self.in_flight -= 1;
        self.held += 1;
        let random = || random(&mut self.random);
        self.health.failed(slot.started, self.places, now, random)
    }

    /// Returns whether rate limits have lowered the limit.
    pub(crate) fn is_reduced(&self) -> bool {
        self.places < self.max
    }

    /// Records that a call waits for its turn.
    pub(crate) fn wait(&mut self, is_retry: bool) {
        *self.waiting(is_retry) += 1;
    }

    pub(crate) fn end_wait(&mut self, is_retry: bool) {
        *self.waiting(is_retry) -= 1;
    }

    fn waiting(&mut self, is_retry: bool) -> &mut usize {
        if is_retry {
            &mut self.resuming
        } else {
            &mut self.queued
        }
    }

    pub(crate) fn end_request(&mut self) {
        self.in_flight -= 1;
    }

    pub(crate) fn give_up_place(&mut self) {
        self.held -= 1;
    }

    /// Turns the place of a request into that of a streamed response. Returns its ID.
    pub(crate) fn lease(&mut self, now: Instant) -> u64 {
        self.last_lease += 1;
        self.leases.push((self.last_lease, now));
        self.last_lease
    }

    /// Extends the lease of a streamed response that was read, unless it has expired.
    pub(crate) fn renew_lease(&mut self, id: u64, now: Instant) {
        if self.remove_lease(id) {
            self.leases.push((id, now));
        }
    }

    pub(crate) fn end_lease(&mut self, id: u64) {
        self.in_flight -= usize::from(self.remove_lease(id));
    }

    fn remove_lease(&mut self, id: u64) -> bool {
        let at = self.leases.iter().position(|(other, _)| *other == id);
        at.map(|at| self.leases.remove(at)).is_some()
    }
}

/// Returns a random number in [0, 1), by xorshift.
fn random(state: &mut u64) -> f64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 11) as f64 / (1_u64 << 53) as f64
}
