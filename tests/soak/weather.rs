//! What goes wrong: storms of faults and outages of one host, with calm between them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ee_emulator::{Emulator, Fault};
use serde_json::json;

use crate::ledger::Ledger;
use crate::random::Random;
use crate::wire::Wire;

const EARTHENGINE: &str = "earthengine.googleapis.com";
const TOKEN_HOSTS: [&str; 4] = [
    "oauth2.googleapis.com",
    "sts.googleapis.com",
    "iamcredentials.googleapis.com",
    "metadata.google.internal",
];
/// How far the servers' clock is set, either way: all tokens end at once, or signatures are from the
/// future. Subject tokens and signatures last longer.
const STEP: Duration = Duration::from_secs(600);

/// What a fault is, as the ledger needs it to explain an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The connection is closed before an answer.
    Closed,
    /// The answer breaks off.
    Cut,
    /// 503.
    Unavailable,
    /// A web page with status 200.
    Html,
    /// 401 for a token that is good.
    Unauthorized,
    /// The answer is slow, and comes in time.
    Slow,
    /// The answer does not come in time.
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

    /// Whether the host did what it was asked, although the answer was spoilt.
    pub(crate) fn was_executed(self) -> bool {
        matches!(self, Self::Cut | Self::Slow | Self::Late)
    }
}

/// How long each weather lasts.
#[derive(Clone, Copy)]
pub(crate) struct Seasons {
    pub(crate) storm: Duration,
    /// One host answers 503 to everything for so long.
    pub(crate) outage: Duration,
    pub(crate) calm: Duration,
    /// Now and then it is calm for long enough that nothing may fail any more.
    pub(crate) long_calm: Duration,
}

/// Who makes the weather, and with what.
pub(crate) struct Sky {
    pub(crate) emulator: Arc<Emulator>,
    pub(crate) wire: Arc<Wire>,
    pub(crate) ledger: Arc<Ledger>,
}

impl Sky {
    /// Makes weather until it is aborted.
    pub(crate) async fn run(self: Arc<Self>, seasons: Seasons, mut random: Random) {
        for season in 0_u64.. {
            self.ledger.storm_begins();
            if season % 3 == 1 {
                self.outage(seasons.outage, &mut random).await;
            } else {
                self.storm(seasons.storm, season % 2 == 0, &mut random)
                    .await;
            }
            self.clear_up();
            tokio::time::sleep(if season % 4 == 2 {
                seasons.long_calm
            } else {
                seasons.calm
            })
            .await;
        }
    }

    /// Everything works again. The last faults are withdrawn, whether they were met or not, and the
    /// connections of the storm end with it, so that one calm is like the other.
    pub(crate) fn clear_up(&self) {
        self.emulator.clear_faults();
        self.wire.mend();
        self.ledger.wire_mended();
        self.ledger.wire_cut();
        self.wire.cut();
        let ahead = self.emulator.clock().now() - chrono::Utc::now();
        if ahead.num_seconds().abs() > 1 {
            self.ledger.clock_steps(false);
            self.emulator.clock().set(chrono::Utc::now());
        }
        self.ledger.calm_begins();
    }

    /// One host is overloaded, for everybody and all the time.
    async fn outage(&self, length: Duration, random: &mut Random) {
        let host = match random.below(2) {
            0 => EARTHENGINE,
            _ => TOKEN_HOSTS[random.index(TOKEN_HOSTS.len())],
        };
        let unavailable = fault(Cause::Unavailable, random).times(usize::MAX);
        self.emulator.fault(host, unavailable);
        tokio::time::sleep(length).await;
    }

    /// Faults everywhere; once the wire swallows everything or is down, and once the servers' clock
    /// is set.
    async fn storm(&self, length: Duration, swallows: bool, random: &mut Random) {
        let begun = Instant::now();
        let [mut breakdown, mut step] = [(); 2].map(|()| {
            let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
            Some(random.millis(0..millis))
        });
        while begun.elapsed() < length {
            tokio::time::sleep(random.millis(50..350)).await;
            let is_due = |at: &mut Duration| begun.elapsed() >= *at;
            if breakdown.take_if(is_due).is_some() {
                self.break_down(swallows, random).await;
            } else if step.take_if(is_due).is_some() {
                self.set_clock(random.below(2) == 0);
            } else {
                self.strike(random);
            }
        }
    }

    async fn break_down(&self, swallows: bool, random: &mut Random) {
        self.ledger.wire_breaks();
        if swallows {
            self.wire.swallow();
            tokio::time::sleep(random.millis(9000..12_000)).await;
        } else {
            self.wire.take_down();
            tokio::time::sleep(random.millis(100..1500)).await;
        }
        self.wire.mend();
        self.ledger.wire_mended();
    }

    fn set_clock(&self, forward: bool) {
        self.ledger.clock_steps(!forward);
        let clock = self.emulator.clock();
        match forward {
            true => clock.advance(STEP),
            false => clock.rewind(STEP),
        }
    }

    fn strike(&self, random: &mut Random) {
        let cause = Cause::ALL[random.index(Cause::ALL.len())];
        match random.below(100) {
            0..4 => {
                self.ledger.wire_cut();
                self.wire.cut();
            }
            // Most requests go to Earth Engine; without a good share of faults it would hardly
            // notice.
            4..60 => {
                let most = if cause == Cause::Late { 2 } else { 12 };
                let fault = fault(cause, random).times(1 + random.index(most));
                self.emulator.fault(EARTHENGINE, fault);
            }
            // A token endpoint does not answer 401 to a token.
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
