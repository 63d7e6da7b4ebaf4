//! The schedule of faults: bursts of faults and outages of one host, with quiet periods between
//! them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ee_emulator::{Emulator, Fault};
use serde_json::json;

use crate::event_log::EventLog;
use crate::random::Random;
use ee_test_support::relay::Relay;

const EARTHENGINE: &str = "earthengine.googleapis.com";
const TOKEN_HOSTS: [&str; 4] = [
    "oauth2.googleapis.com",
    "sts.googleapis.com",
    "iamcredentials.googleapis.com",
    "metadata.google.internal",
];
/// The change of the servers' clock in either direction: all tokens expire at once, or signatures
/// are from the future. Subject tokens and signatures last longer.
const STEP: Duration = Duration::from_secs(600);

/// The cause of an error, for the event log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The connection is closed without a response.
    Closed,
    /// The response is truncated.
    Cut,
    /// Status 503.
    Unavailable,
    /// An HTML page with status 200.
    Html,
    /// Status 401 for a valid token.
    Unauthorized,
    /// A slow response within the timeout.
    Slow,
    /// A response after the timeout.
    Late,
}

impl Cause {
    const ALL: [Self; 7] = [
        Self::Closed,
        Self::Cut,
        Self::Unavailable,
        Self::Html,
        Self::Unauthorized,
        Self::Slow,
        Self::Late,
    ];

    fn label(self) -> String {
        format!("{self:?}")
    }

    pub(crate) fn of(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.label() == label)
    }

    /// Returns whether the host processed the request despite the fault.
    pub(crate) fn was_executed(self) -> bool {
        matches!(self, Self::Cut | Self::Slow | Self::Late)
    }
}

/// The lengths of the phases.
#[derive(Clone, Copy)]
pub(crate) struct PhaseLengths {
    pub(crate) burst: Duration,
    /// One host responds with 503 to every request.
    pub(crate) outage: Duration,
    pub(crate) quiet: Duration,
    /// A quiet period long enough that nothing may fail any more.
    pub(crate) long_quiet: Duration,
}

/// Applies faults to the emulator and the relay.
pub(crate) struct FaultSchedule {
    pub(crate) emulator: Arc<Emulator>,
    pub(crate) relay: Arc<Relay>,
    pub(crate) log: Arc<EventLog>,
}

impl FaultSchedule {
    /// Applies faults until it is aborted.
    pub(crate) async fn run(self: Arc<Self>, lengths: PhaseLengths, mut random: Random) {
        for phase in 0_u64.. {
            self.log.faults_begin();
            if phase % 3 == 1 {
                self.outage(lengths.outage, &mut random).await;
            } else {
                self.burst(lengths.burst, phase % 2 == 0, &mut random).await;
            }
            self.end_faults();
            tokio::time::sleep(if phase % 4 == 2 {
                lengths.long_quiet
            } else {
                lengths.quiet
            })
            .await;
        }
    }

    /// Ends all faults, and resets the connections, so that all quiet periods start in the same
    /// state.
    pub(crate) fn end_faults(&self) {
        self.emulator.clear_faults();
        self.relay.restore();
        self.log.outage_ends();
        self.log.connections_reset();
        self.relay.reset();
        let ahead = self.emulator.clock().now() - chrono::Utc::now();
        if ahead.num_seconds().abs() > 1 {
            self.log.clock_changed(false);
            self.emulator.clock().set(chrono::Utc::now());
        }
        self.log.quiet_begins();
    }

    /// One host responds with 503 to every request.
    async fn outage(&self, length: Duration, random: &mut Random) {
        let host = match random.below(2) {
            0 => EARTHENGINE,
            _ => TOKEN_HOSTS[random.index(TOKEN_HOSTS.len())],
        };
        let unavailable = fault(Cause::Unavailable, random).times(usize::MAX);
        self.emulator.fault(host, unavailable);
        tokio::time::sleep(length).await;
    }

    /// Random faults of all hosts, one network outage and one change of the servers' clock.
    async fn burst(&self, length: Duration, swallows: bool, random: &mut Random) {
        let begun = Instant::now();
        let [mut network_fault, mut step] = [(); 2].map(|()| {
            let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
            Some(random.millis(0..millis))
        });
        while begun.elapsed() < length {
            tokio::time::sleep(random.millis(50..350)).await;
            let is_due = |at: &mut Duration| begun.elapsed() >= *at;
            if network_fault.take_if(is_due).is_some() {
                self.add_network_fault(swallows, random).await;
            } else if step.take_if(is_due).is_some() {
                self.set_clock(random.below(2) == 0);
            } else {
                self.add_fault(random);
            }
        }
    }

    async fn add_network_fault(&self, swallows: bool, random: &mut Random) {
        self.log.outage_begins();
        if swallows {
            self.relay.stall();
            tokio::time::sleep(random.millis(9000..12_000)).await;
        } else {
            self.relay.take_down();
            tokio::time::sleep(random.millis(100..1500)).await;
        }
        self.relay.restore();
        self.log.outage_ends();
    }

    fn set_clock(&self, forward: bool) {
        self.log.clock_changed(!forward);
        let clock = self.emulator.clock();
        match forward {
            true => clock.advance(STEP),
            false => clock.rewind(STEP),
        }
    }

    fn add_fault(&self, random: &mut Random) {
        let cause = Cause::ALL[random.index(Cause::ALL.len())];
        match random.below(100) {
            0..4 => {
                self.log.connections_reset();
                self.relay.reset();
            }
            // Most requests go to Earth Engine, so it gets most of the faults.
            4..60 => {
                let most = if cause == Cause::Late { 2 } else { 12 };
                let fault = fault(cause, random).times(1 + random.index(most));
                self.emulator.fault(EARTHENGINE, fault);
            }
            // A token endpoint does not respond with 401 to a token.
            _ if cause != Cause::Unauthorized => {
                let host = TOKEN_HOSTS[random.index(TOKEN_HOSTS.len())];
                let fault = fault(cause, random).times(1 + random.index(3));
                self.emulator.fault(host, fault);
            }
            _ => {}
        }
    }
}

fn fault(cause: Cause, random: &mut Random) -> Fault {
    match cause {
        Cause::Closed => Fault::disconnect(),
        Cause::Cut => Fault::truncate_body(random.index(60)),
        Cause::Unavailable if random.below(4) == 0 => Fault::status(503).header("Retry-After", "1"),
        Cause::Unavailable => Fault::status(503),
        Cause::Html => Fault::respond(200, "text/html", "<html>Welcome to the hotel</html>"),
        Cause::Unauthorized => Fault::status(401).json(&json!({"error": {
            "code": 401,
            "message": "Request had invalid authentication credentials.",
            "status": "UNAUTHENTICATED",
        }})),
        Cause::Slow if random.below(2) == 0 => Fault::slow_body(16, Duration::from_millis(20)),
        Cause::Slow => Fault::delay(random.millis(100..2500)),
        Cause::Late => Fault::delay(Duration::from_secs(15)),
    }
    .label(cause.label())
}
