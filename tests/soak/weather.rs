//! What goes wrong: storms of faults, with calm between them.

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

/// What a fault is, as the ledger needs it to explain an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The connection is closed before an answer.
    Closed,
    /// The answer breaks off.
    Cut,
    /// The wire is cut, or down.
    Wire,
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
    /// Those that the emulator brings about.
    const OF_HOSTS: [Self; 7] = [
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
        Self::OF_HOSTS
            .into_iter()
            .find(|cause| cause.label() == label)
    }

    /// Whether the host did what it was asked, although the answer was spoilt.
    pub(crate) fn was_executed(self) -> bool {
        matches!(self, Self::Cut | Self::Slow | Self::Late)
    }
}

/// How long a storm and the calm behind it last.
#[derive(Clone, Copy)]
pub(crate) struct Seasons {
    pub(crate) storm: Duration,
    pub(crate) calm: Duration,
}

/// Makes weather until it is aborted. The last fault of a storm is withdrawn at its end.
pub(crate) async fn make(
    emulator: Arc<Emulator>,
    wire: Arc<Wire>,
    ledger: Arc<Ledger>,
    seasons: Seasons,
    mut random: Random,
) {
    loop {
        let end = Instant::now() + seasons.storm;
        while Instant::now() < end {
            tokio::time::sleep(random.millis(50..350)).await;
            strike(&emulator, &wire, &ledger, &mut random).await;
        }
        emulator.clear_faults();
        ledger.calm();
        tokio::time::sleep(seasons.calm).await;
    }
}

async fn strike(emulator: &Emulator, wire: &Wire, ledger: &Ledger, random: &mut Random) {
    match random.below(100) {
        0..4 => {
            wire.cut();
            ledger.wire_event();
        }
        4 => {
            wire.take_down();
            ledger.wire_event();
            tokio::time::sleep(random.millis(100..1500)).await;
            // Whoever asked in between was refused until now.
            ledger.wire_event();
            wire.bring_up();
        }
        // Most requests go to Earth Engine; without a good share of faults it would hardly notice.
        5..60 => {
            let cause = Cause::OF_HOSTS[random.index(Cause::OF_HOSTS.len())];
            let most = if cause == Cause::Late { 2 } else { 12 };
            let times = 1 + random.index(most);
            emulator.fault(EARTHENGINE, fault(cause, random).times(times));
        }
        _ => {
            let cause = Cause::OF_HOSTS[random.index(Cause::OF_HOSTS.len())];
            // A token endpoint does not answer 401 to a token.
            if cause != Cause::Unauthorized {
                let host = TOKEN_HOSTS[random.index(TOKEN_HOSTS.len())];
                emulator.fault(host, fault(cause, random).times(1 + random.index(3)));
            }
        }
    }
}

fn fault(cause: Cause, random: &mut Random) -> Fault {
    match cause {
        Cause::Closed | Cause::Wire => Fault::disconnect(),
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
