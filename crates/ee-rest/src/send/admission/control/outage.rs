//! Outages. When most requests fail for other reasons than a rate limit, the places are halved
//! until none is left. All requests are then held, and one is let through from time to time as a
//! probe. Successes open the places again.

use std::time::Duration;

use tokio::time::Instant;

/// The requests beyond which an outage is not noticed any faster.
const MAX_BRAKED: usize = 64;

/// The failures, beyond those that successes make up for, from which most requests fail.
const FAILING: f64 = 3.0;
/// How many failures a success makes up for.
const SUCCESS: f64 = 2.0;

/// The time between probes: grows from the first to the second.
const PROBE_INTERVAL: (f64, f64) = (0.25, 1.25);

/// How many requests have failed lately, and what follows from it.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Whether the server has ever accepted a request. Otherwise it is more likely that the client
    /// is misconfigured than that the server is down.
    pub(super) has_worked: bool,
    /// Failures, minus those that later successes make up for.
    failures: f64,
    failing_since: Option<Instant>,
    /// How many times the places are halved.
    brake: u32,
    braked_at: Option<Instant>,
    next_probe: Option<Instant>,
    probe_interval: f64,
}

impl Health {
    /// Returns whether most requests fail.
    pub(super) fn is_failing(&self) -> bool {
        self.has_worked && self.failures >= FAILING
    }

    /// Returns whether fewer than all places may be used.
    pub(super) fn is_braked(&self) -> bool {
        self.brake > 0
    }

    /// Returns how many of the places may be used.
    pub(super) fn braked(&self, places: usize) -> usize {
        let halved = places.clamp(1, MAX_BRAKED).checked_shr(self.brake);
        halved.unwrap_or(0)
    }

    /// Returns since when all requests but probes are held, if they are.
    pub(super) fn outage(&self, places: usize) -> Option<Instant> {
        let is_outage = self.is_braked() && self.braked(places) == 0;
        self.failing_since.filter(|_| is_outage)
    }

    /// Starts a probe, or returns when one may start.
    pub(super) fn start_probe(
        &mut self,
        now: Instant,
        random: impl FnOnce() -> f64,
    ) -> Result<(), Instant> {
        if let Some(at) = self.next_probe.filter(|at| now < *at) {
            return Err(at);
        }
        self.schedule_probe(now, random);
        self.probe_interval = (self.probe_interval * 1.5).min(PROBE_INTERVAL.1);
        Ok(())
    }

    fn schedule_probe(&mut self, now: Instant, random: impl FnOnce() -> f64) {
        let wait = self.probe_interval * (0.5 + 0.5 * random());
        self.next_probe = Some(now + Duration::from_secs_f64(wait));
    }

    /// Records that the server responded to a request that was sent at `started`.
    pub(super) fn responded(&mut self, started: Instant) {
        if self.failures == 0.0 && self.brake == 0 {
            return;
        }
        // Requests that started before the failures say nothing about them.
        if self.failing_since.is_some_and(|since| started < since) {
            return;
        }
        self.failures = (self.failures - SUCCESS).max(0.0);
        if self.brake > 0 && self.braked_at.is_none_or(|at| started >= at) {
            self.brake /= 2;
            self.probe_interval = PROBE_INTERVAL.0;
        }
        if self.brake == 0 && self.failures == 0.0 {
            self.failing_since = None;
        }
    }

    /// Records that a request that was sent at `started` failed. Returns whether this is the
    /// beginning of an outage.
    pub(super) fn failed(
        &mut self,
        started: Instant,
        places: usize,
        now: Instant,
        random: impl FnOnce() -> f64,
    ) -> bool {
        let was_outage = self.outage(places).is_some();
        self.failing_since.get_or_insert(now);
        self.failures = (self.failures + 1.0).min(FAILING + 1.0);
        let is_first = self.braked_at.is_none_or(|at| started >= at);
        if !self.is_failing() || was_outage || self.brake > 0 && !is_first {
            return false;
        }
        self.brake += 1;
        self.braked_at = Some(now);
        let is_outage = self.outage(places).is_some();
        if is_outage {
            self.probe_interval = PROBE_INTERVAL.0;
            self.schedule_probe(now, random);
        }
        is_outage
    }
}
