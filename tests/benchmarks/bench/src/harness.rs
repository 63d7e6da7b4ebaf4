//! Measures all contenders in each round, so that other load on the machine affects all of them;
//! then takes medians.

use std::future::Future;
use std::time::Instant;

use serde_json::{Map, Value, json};

/// The amount of measurements.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    pub smoke: bool,
}

impl Effort {
    /// `full`, or `smoke` in a smoke run.
    pub fn pick(self, full: usize, smoke: usize) -> usize {
        if self.smoke { smoke } else { full }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    Lower,
    Higher,
}

/// A row of the table.
#[derive(Debug)]
pub struct Row {
    pub name: &'static str,
    pub unit: &'static str,
    pub better: Better,
    pub ours: f64,
    pub peers: Vec<(&'static str, f64)>,
    /// The lower bound for any implementation, measured too.
    pub limit: Option<f64>,
    pub goal: &'static str,
    pub met: Option<bool>,
    /// Further figures of the same measurement.
    pub more: Map<String, Value>,
}

impl Row {
    pub fn new(name: &'static str, unit: &'static str, better: Better, ours: f64) -> Self {
        Self {
            name,
            unit,
            better,
            ours,
            peers: Vec::new(),
            limit: None,
            goal: "",
            met: None,
            more: Map::new(),
        }
    }

    pub fn peer(mut self, name: &'static str, value: f64) -> Self {
        self.peers.push((name, value));
        self
    }

    pub fn limit(mut self, value: f64) -> Self {
        self.limit = Some(value);
        self
    }

    pub fn goal(mut self, goal: &'static str, met: impl FnOnce(&Self) -> bool) -> Self {
        self.goal = goal;
        self.met = Some(met(&self));
        self
    }

    pub fn more(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    fn best_peer(&self) -> Option<f64> {
        self.peers
            .iter()
            .map(|(_, value)| *value)
            .reduce(match self.better {
                Better::Lower => f64::min,
                Better::Higher => f64::max,
            })
    }

    /// This workspace's value divided by the best peer's.
    pub fn ratio_best_peer(&self) -> Option<f64> {
        Some(self.ours / self.best_peer()?)
    }

    /// This workspace's value divided by the lower bound.
    pub fn ratio_limit(&self) -> Option<f64> {
        Some(self.ours / self.limit?)
    }

    pub fn to_peer(&self, name: &str) -> f64 {
        let peer = self.peers.iter().find(|(peer, _)| *peer == name);
        peer.map_or(f64::NAN, |(_, value)| self.ours / value)
    }

    pub fn json(&self) -> Value {
        let peers: Map<_, _> = self
            .peers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        let mut row = json!({
            "name": self.name,
            "unit": self.unit,
            "better": if self.better == Better::Lower { "lower" } else { "higher" },
            "ours": self.ours,
            "peers": peers,
            "ratio_best_peer": self.ratio_best_peer(),
        });
        if let Some(limit) = self.limit {
            row["limit"] = json!(limit);
            row["ratio_limit"] = json!(self.ratio_limit());
        }
        if !self.goal.is_empty() {
            row["goal"] = json!(self.goal);
            row["met"] = json!(self.met);
        }
        for (name, value) in &self.more {
            row[name] = value.clone();
        }
        row
    }
}

/// A contender: its name, and a single measurement.
pub type Contender<'a> = (&'static str, Box<dyn FnMut() -> f64 + 'a>);

pub fn contender<'a>(name: &'static str, measure: impl FnMut() -> f64 + 'a) -> Contender<'a> {
    (name, Box::new(measure))
}

/// Returns the median of each contender over this many rounds, after a round to warm up.
pub fn interleaved(rounds: usize, contenders: &mut [Contender<'_>]) -> Vec<f64> {
    let mut samples = vec![Vec::with_capacity(rounds); contenders.len()];
    let mut order: Vec<usize> = (0..contenders.len()).collect();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..=rounds {
        // Another order each time, the same in each run: after a similar contender the caches are
        // warm, after a different one they are cold.
        for last in (1..order.len()).rev() {
            // Marsaglia's xorshift.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            order.swap(last, (random % (last as u64 + 1)) as usize);
        }
        for &at in &order {
            let sample = contenders[at].1();
            if round > 0 {
                samples[at].push(sample);
            }
        }
    }
    samples.iter_mut().map(|all| median(all)).collect()
}

pub fn median(samples: &mut [f64]) -> f64 {
    quantile(samples, 0.5)
}

pub fn quantile(samples: &mut [f64], q: f64) -> f64 {
    if samples.is_empty() {
        return f64::NAN;
    }
    samples.sort_unstable_by(f64::total_cmp);
    samples[((samples.len() - 1) as f64 * q).round() as usize]
}

/// Returns the nanoseconds of each of `n` sequential calls.
pub fn per_call(n: usize, mut call: impl FnMut()) -> f64 {
    let started = Instant::now();
    for _ in 0..n {
        call();
    }
    started.elapsed().as_nanos() as f64 / n as f64
}

/// The same for asynchronous calls.
pub async fn per_await<F: Future>(n: usize, mut call: impl FnMut() -> F) -> f64 {
    let started = Instant::now();
    for _ in 0..n {
        std::hint::black_box(call().await);
    }
    started.elapsed().as_nanos() as f64 / n as f64
}

pub fn one_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

pub fn all_cores() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}
