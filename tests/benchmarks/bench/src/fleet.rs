//! Many clients that share the quota of one project, beside a plain retry loop.
//!
//! All scenarios run at the same time, since calls mostly wait. They start one after the other,
//! because opening the connections takes the processor.

use std::sync::Arc;
use std::time::Duration;

use ee_rest::{Auth, Client};
use ee_test_support::fleet::{self, LATENCY, Outcome, Quota};
use ee_token::{AccessToken, Endpoints, HttpClient, TokenCache};
use futures_util::future::{join, join_all};
use serde_json::Value;
use tokio::time::sleep;

use crate::contenders;
use crate::harness::{Better, Effort, Row, all_cores};
use crate::quota_server::QuotaServer;

/// The calls that each client makes at once.
const TASKS: usize = 40;

struct Scenario {
    name: &'static str,
    clients: usize,
    quota: Quota,
    /// The calls of each client. `None`: as many as possible until the end.
    items: Option<usize>,
    end: Duration,
    /// The calls per second that the quota allows.
    capacity: f64,
}

/// A client: ours, or a loop that retries as Google's Python client does.
enum Caller {
    Ours(Client),
    Plain(reqwest::Client, String),
}

impl Caller {
    fn ours(server: &QuotaServer) -> Self {
        let url = format!("http://{}/", server.address);
        let token = AccessToken::new("ya29.fleet").expect("a token");
        let auth = Auth::token_cache(TokenCache::new(token));
        let client = Client::builder(auth, HttpClient::new(Endpoints::google()))
            .base_url(url.parse().expect("a URL"))
            .project("p-1234");
        Self::Ours(client.build().expect("a client"))
    }

    fn plain(server: &QuotaServer) -> Self {
        let url = format!("http://{}/config", server.address);
        Self::Plain(contenders::reqwest(), url)
    }

    /// Makes a call, and returns whether it succeeded.
    async fn call(&self) -> bool {
        let (client, url) = match self {
            Self::Ours(client) => return client.get_json::<Value>("config").await.is_ok(),
            Self::Plain(client, url) => (client, url),
        };
        // Five retries, up to 2, 4, 8, 16 and 32 seconds apart.
        for retry in 0..=5 {
            if let Ok(response) = client.get(url).send().await
                && response.status().is_success()
            {
                return response.bytes().await.is_ok();
            }
            if retry < 5 {
                sleep(Duration::from_secs(2 << retry).mul_f64(random())).await;
            }
        }
        false
    }
}

/// Returns a number in [0, 1).
fn random() -> f64 {
    use std::hash::{BuildHasher as _, RandomState};
    (RandomState::new().hash_one(0) >> 11) as f64 / (1_u64 << 53) as f64
}

/// A contender of a scenario, with a server of its own. Its clients are built before any call is
/// made, since this delays the calls of others in this process.
struct Contender {
    server: QuotaServer,
    callers: Vec<Arc<Caller>>,
}

impl Contender {
    async fn new(scenario: &Scenario, caller: impl Fn(&QuotaServer) -> Caller) -> Self {
        let server = QuotaServer::start(scenario.quota).await;
        let callers = (0..scenario.clients).map(|_| Arc::new(caller(&server)));
        Self {
            callers: callers.collect(),
            server,
        }
    }
}

async fn run(scenario: &Scenario, contender: Contender) -> Outcome {
    let Contender { server, callers } = contender;
    let items = scenario.items.unwrap_or(usize::MAX);
    let call = |caller: Arc<Caller>| async move { caller.call().await };
    let outcome = fleet::run(callers, TASKS, items, scenario.end, call).await;
    Outcome {
        rejections: server.rejections(),
        failures: server.failures(),
        ..outcome
    }
}

/// The rows of all scenarios.
pub fn rows(effort: Effort) -> Vec<Row> {
    let long = Duration::from_secs(effort.pick(300, 4) as u64);
    let outage = match effort.smoke {
        false => (Duration::from_secs(10), Duration::from_secs(40)),
        true => (Duration::from_millis(500), Duration::from_secs(1)),
    };
    let call = Duration::from_millis(400);
    let at_once = |places: usize| Quota {
        places: Some(places),
        call,
        ..Quota::default()
    };
    let each_takes = (call + 2 * LATENCY).as_secs_f64();
    let shared = |name, quota, capacity| Scenario {
        name,
        clients: effort.pick(20, 2),
        quota,
        items: None,
        end: long,
        capacity,
    };
    let rate = Quota {
        rate: Some((100.0, 100.0)),
        call: Duration::from_millis(50),
        ..Quota::default()
    };
    let scenarios = [
        shared("fleet_at_once", at_once(40), 40.0 / each_takes),
        shared("fleet_rate", rate, 100.0),
        shared("fleet_few_places", at_once(10), 10.0 / each_takes),
        Scenario {
            end: outage.1 + Duration::from_secs(effort.pick(10, 2) as u64),
            ..shared(
                "fleet_outage",
                Quota {
                    outage: Some(outage),
                    ..at_once(40)
                },
                40.0 / each_takes,
            )
        },
        Scenario {
            clients: 1,
            items: Some(effort.pick(6_000, 200)),
            end: Duration::from_secs(300),
            ..shared(
                "fleet_batch",
                Quota {
                    outage: Some((outage.0 / 2, outage.0 * 3 / 2)),
                    call,
                    ..Quota::default()
                },
                TASKS as f64 / each_takes,
            )
        },
    ];
    let outcomes = all_cores().block_on(async {
        let mut contenders = Vec::new();
        for scenario in &scenarios {
            let ours = Contender::new(scenario, Caller::ours).await;
            contenders.push((ours, Contender::new(scenario, Caller::plain).await));
        }
        let apart = Duration::from_millis(effort.pick(2_000, 100) as u64);
        let delays = (0..).map(|n| apart * n);
        let runs = scenarios.iter().zip(contenders).zip(delays.step_by(2)).map(
            |((scenario, (ours, plain)), delay)| {
                let ours = async move {
                    sleep(delay).await;
                    run(scenario, ours).await
                };
                let plain = async move {
                    sleep(delay + apart).await;
                    run(scenario, plain).await
                };
                join(ours, plain)
            },
        );
        join_all(runs).await
    });
    scenarios
        .iter()
        .zip(&outcomes)
        .map(|(scenario, (ours, plain))| match scenario.quota.outage {
            None => quota_row(scenario, ours, plain),
            Some(outage) => outage_row(scenario, outage, ours, plain),
        })
        .collect()
}

fn quota_row(scenario: &Scenario, ours: &Outcome, plain: &Outcome) -> Row {
    let seconds = scenario.end.as_secs_f64();
    let goodput = |outcome: &Outcome| outcome.total() as f64 / seconds / scenario.capacity;
    let (most, goal) = match scenario.quota.rate {
        None => (
            0.1,
            "≤ 0.1, goodput ≥ 0.95, fairness ≥ 0.95 (0.9 of 10 places), p99 ≤ 4 × median",
        ),
        Some(_) => (
            0.2,
            "≤ 0.2, goodput ≥ 0.95, fairness ≥ 0.95, p99 ≤ 4 × median",
        ),
    };
    let least_fair = if scenario.quota.places == Some(10) {
        0.9
    } else {
        0.95
    };
    Row::new(
        scenario.name,
        "429s per success",
        Better::Lower,
        ours.rejections_per_success(),
    )
    .peer("plain loop", plain.rejections_per_success())
    .more("goodput", goodput(ours))
    .more("goodput of the plain loop", goodput(plain))
    .more("fairness", ours.fairness())
    .more("fairness of the plain loop", plain.fairness())
    .more("spread", ours.spread())
    .more("spread of the plain loop", plain.spread())
    .more("lost", ours.lost)
    .more("lost by the plain loop", plain.lost)
    .goal(goal, |row| {
        row.ours <= most
            && goodput(ours) >= 0.95
            && ours.fairness() >= least_fair
            && ours.spread() <= 4.0
            && ours.lost == 0
    })
}

fn outage_row(
    scenario: &Scenario,
    (from, to): (Duration, Duration),
    ours: &Outcome,
    plain: &Outcome,
) -> Row {
    let two = Duration::from_secs(2);
    let recovery =
        |outcome: &Outcome| outcome.rate(to + two, to + 2 * two) / outcome.rate(from / 2, from);
    let recovered = recovery(ours);
    Row::new(
        scenario.name,
        "failed requests",
        Better::Lower,
        ours.failures as f64,
    )
    .peer("plain loop", plain.failures as f64)
    .more("lost", ours.lost)
    .more("lost by the plain loop", plain.lost)
    .more("goodput after 2 s", recovered)
    .more("goodput of the plain loop after 2 s", recovery(plain))
    .goal(
        "≤ ¼ of a plain loop's, nothing lost, ≥ 0.9 of the goodput 2 s after the outage",
        |row| row.to_peer("plain loop") <= 0.25 && ours.lost == 0 && recovered >= 0.9,
    )
}
