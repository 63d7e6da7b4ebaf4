//! Hours in minutes: many tasks, tokens that live for seconds, identities that come and go, and
//! hosts that fail in every way. `cargo xtask soak` runs it.
//!
//! Whatever happens, four things must be true at the end: every call ended, with its answer or
//! with an error that its own faults explain; what must be done once was not done twice; nobody
//! asked for more tokens than the cache's rules allow; and nothing was left behind.

mod gauges;
mod identities;
mod judging;
mod ledger;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
mod ledger_tests;
mod random;
mod users;
mod weather;
mod wire;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use earthengine::Endpoints;
use ee_emulator::{Emulator, Project};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::gauges::{Gauges, calm};
use crate::identities::Identities;
use crate::ledger::Ledger;
use crate::random::Random;
use crate::users::Users;
use crate::weather::{Seasons, Sky};
use crate::wire::Wire;

const PROJECT: &str = "ee-demo-project";
/// How long a token lives.
const LIFE: Duration = Duration::from_secs(5);
const TASKS: usize = 200;
/// Seconds between two lines of state.
const BETWEEN_LINES: usize = 10;
/// Memory is judged in runs that are long enough to have warmed up, and what could not be judged
/// in runs in which standing still once is not much of it.
const SHORTEST_JUDGED_RUN: Duration = Duration::from_secs(600);
/// By so many per cent.
const MEMORY_MAY_GROW: u64 = 5;
/// A second that takes this long was none: the process or the machine stood still.
const STOOD_STILL: Duration = Duration::from_secs(4);
/// The task that looks after the idle connections of the runtime's HTTP client, and the one with
/// which that client goes when the runtime does.
const KEPT_TASKS: usize = 2;
/// What may be in use at the end beyond what was at the beginning: the process's HTTP clients and
/// keys, which are made when they are first needed, and tables that keep their size.
const REST_KIB: u64 = 2048;
/// How long what is left at the end may take to go away.
const TIDYING: Duration = Duration::from_secs(30);

struct Arguments {
    length: Duration,
    seed: u64,
}

impl Arguments {
    fn read() -> Result<Self, String> {
        let mut minutes = 1.0;
        let mut seed = std::process::id().into();
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words
                .next()
                .ok_or_else(|| format!("{word} needs a value"))?;
            let wrong = |_| format!("{word}: {value} is no number");
            match word.as_str() {
                "--minutes" => {
                    minutes = value
                        .parse()
                        .map_err(|e: std::num::ParseFloatError| wrong(e.to_string()))?
                }
                "--seed" => {
                    seed = value
                        .parse()
                        .map_err(|e: std::num::ParseIntError| wrong(e.to_string()))?
                }
                _ => return Err(format!("{word} is not known; --minutes N and --seed N are")),
            }
        }
        let length = Duration::try_from_secs_f64(minutes * 60.0)
            .map_err(|_| format!("--minutes: {minutes} is no length of time"))?;
        Ok(Self { length, seed })
    }
}

fn main() -> ExitCode {
    match Arguments::read().and_then(|arguments| soak(&arguments)) {
        Ok(violations) if violations.is_empty() => {
            say("nothing was lost, nothing was done twice, nothing leaked, nobody asked too often");
            ExitCode::SUCCESS
        }
        Ok(violations) => {
            say(&format!(
                "{} rules were violated, as said above",
                violations.len()
            ));
            ExitCode::FAILURE
        }
        Err(message) => {
            say(&format!("failed: {message}"));
            ExitCode::FAILURE
        }
    }
}

/// A runtime for Google and the wire, so that the program's own can be watched by itself.
fn runtime(threads: usize, name: &str) -> Result<Runtime, String> {
    Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name(name)
        .enable_all()
        .build()
        .map_err(|e| e.to_string())
}

fn soak(arguments: &Arguments) -> Result<Vec<String>, String> {
    let Arguments { length, seed } = *arguments;
    say(&format!(
        "{:.1} minutes, {TASKS} tasks, tokens of {} s, --seed {seed}",
        length.as_secs_f64() / 60.0,
        LIFE.as_secs()
    ));
    let google = runtime(1, "google")?;
    let program = runtime(2, "program")?;
    let ledger = Arc::new(Ledger::default());
    let (emulator, wire) = google
        .block_on(async {
            let builder = Emulator::builder()
                .project(Project::new(PROJECT).number(123_456_789_012))
                .token_lifetime(LIFE);
            let emulator = identities::machine(builder).start().await?;
            let wire = Wire::to(emulator.address()).await?;
            Ok::<_, std::io::Error>((Arc::new(emulator), Arc::new(wire)))
        })
        .map_err(|e| format!("the emulator cannot be started: {e}"))?;
    let endpoints = Endpoints::emulator(wire.address()).map_err(|e| e.to_string())?;
    let before = Gauges::read(program.handle());
    let identities = Identities::create(Arc::clone(&emulator), endpoints, Arc::clone(&ledger))?;

    let soak = Soak {
        users: Arc::new(Users::new(identities, Arc::clone(&ledger))),
        sky: Arc::new(Sky {
            emulator,
            wire,
            ledger: Arc::clone(&ledger),
        }),
        ledger,
        before,
        seed,
    };
    let samples = soak.run(length, &google, &program);
    google.block_on(soak.users.retire_all());
    soak.judge(length);
    soak.judge_memory(length, &samples);
    soak.judge_rest(&program);
    // A task that hangs was told of; nobody waits for it.
    program.shutdown_background();
    Ok(soak.ledger.violations())
}

struct Soak {
    users: Arc<Users>,
    sky: Arc<Sky>,
    ledger: Arc<Ledger>,
    before: Gauges,
    seed: u64,
}

impl Soak {
    /// Lets everybody loose for a while, and reads the gauges once in a second.
    fn run(&self, length: Duration, google: &Runtime, program: &Runtime) -> Vec<Gauges> {
        let short = length < Duration::from_secs(120);
        let seconds =
            |short_run, long_run| Duration::from_secs(if short { short_run } else { long_run });
        let seasons = Seasons {
            storm: seconds(6, 30),
            outage: seconds(5, 60),
            calm: seconds(3, 15),
            long_calm: seconds(3, 80),
        };
        let sky = Arc::clone(&self.sky);
        let weather = google.spawn(sky.run(seasons, Random::new(self.seed, 0)));
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let random = Random::new(self.seed, 3 + task as u64);
            let users = Arc::clone(&self.users);
            tasks.spawn_on(users.work(random, Arc::clone(&stop)), program.handle());
        }
        let users = Arc::clone(&self.users);
        let churn = users.come_and_go(Random::new(self.seed, 1), Arc::clone(&stop));
        tasks.spawn_on(churn, program.handle());
        let visitors = {
            let (users, stop) = (Arc::clone(&self.users), Arc::clone(&stop));
            let random = Random::new(self.seed, 2);
            std::thread::spawn(move || users.visit(random, &stop))
        };

        let samples = self.watch(length, program);
        weather.abort();
        self.sky.clear_up();
        stop.store(true, Relaxed);
        if visitors.join().is_err() {
            let text = "the thread with the short-lived runtimes panicked".to_owned();
            self.ledger.violation(text);
        }
        let ended = google.block_on(async {
            tokio::time::timeout(users::LOST_AFTER, async {
                while let Some(result) = tasks.join_next().await {
                    if let Err(error) = result {
                        self.ledger
                            .violation(format!("a task ended early: {error}"));
                    }
                }
            })
            .await
        });
        if ended.is_err() {
            self.ledger
                .violation(format!("{} tasks did not end", tasks.len()));
        }
        samples
    }

    fn watch(&self, length: Duration, program: &Runtime) -> Vec<Gauges> {
        let started = Instant::now();
        let mut samples = Vec::with_capacity(length.as_secs() as usize + 1);
        while started.elapsed() < length {
            let before = Instant::now();
            std::thread::sleep(
                Duration::from_secs(1).min(length.saturating_sub(started.elapsed())),
            );
            if before.elapsed() > STOOD_STILL {
                self.ledger.stood_still(before, Instant::now());
                say(&format!(
                    "the process stood still for {:.0} s; what failed because of that does not count",
                    before.elapsed().as_secs_f64()
                ));
            }
            self.ledger.count(self.sky.emulator.take_requests());
            self.sky.emulator.purge_expired_tokens();
            self.ledger.judge(false);
            let gauges = Gauges::read(program.handle()).without(self.ledger.bytes());
            samples.push(gauges);
            if samples.len().is_multiple_of(BETWEEN_LINES) {
                self.say_state(started.elapsed(), &gauges);
            }
        }
        samples
    }

    fn say_state(&self, elapsed: Duration, gauges: &Gauges) {
        let counts = self.ledger.counts();
        say(&format!(
            "{:>5} s  calls {} ok, {} failed, {} cancelled  identities {}  clients {}  token requests {}  faults {}  in use {}  resident {}  descriptors {}  tasks {}  violations {}",
            elapsed.as_secs(),
            counts.succeeded,
            counts.failed,
            counts.cancelled,
            counts.identities,
            counts.clients,
            counts.token_requests,
            counts.faults,
            mebibytes(gauges.in_use_kib),
            gauges.resident_kib.map_or("?".to_owned(), mebibytes),
            known(gauges.descriptors),
            gauges.tasks,
            self.ledger.violations().len(),
        ));
    }

    /// Judges what happened, once everybody has been let go.
    fn judge(&self, length: Duration) {
        self.ledger.count(self.sky.emulator.take_requests());
        self.ledger.judge(true);
        if length >= SHORTEST_JUDGED_RUN {
            self.ledger.judge_excuses();
        }
        let counts = self.ledger.counts();
        say(&format!(
            "calls: {} succeeded, {} failed each with its faults, {} cancelled, {} not judged; the last that failed after a storm ended {:.1} s behind it",
            counts.succeeded,
            counts.failed,
            counts.cancelled,
            counts.excused,
            self.ledger.books().longest_recovery.as_secs_f64(),
        ));
        say(&format!(
            "faults: {}; long calms: {}; the process stood still {} times",
            counts.faults,
            counts.calms,
            self.ledger.books().stood_still.len()
        ));
        say(&format!("made once: {}", counts.made_once));
        say(&format!(
            "identities: {}; clients: {}; token requests: {}, of {} that the rules allow",
            counts.identities, counts.clients, counts.token_requests, counts.allowed
        ));
        if counts.succeeded == 0
            || counts.token_requests == 0
            || counts.faults == 0
            || counts.made_once == 0
        {
            self.ledger
                .violation("something did not happen at all".to_owned());
        }
    }

    /// Looks whether all that was let go of goes away.
    fn judge_rest(&self, program: &Runtime) {
        self.ledger.close();
        self.sky.emulator.purge_expired_tokens();
        let most_in_use = self.before.in_use_kib + REST_KIB;
        let until = Instant::now() + TIDYING;
        let left = loop {
            // Connections that are kept for later use end with this.
            self.sky.wire.cut();
            std::thread::sleep(Duration::from_millis(200));
            self.sky.emulator.take_requests();
            let now = Gauges::read(program.handle());
            let done = now.tasks <= KEPT_TASKS
                && now.descriptors <= self.before.descriptors
                && now.in_use_kib <= most_in_use;
            if done || Instant::now() > until {
                break now;
            }
        };
        say(&format!(
            "memory in use: {} at the beginning, {} when all are gone",
            mebibytes(self.before.in_use_kib),
            mebibytes(left.in_use_kib)
        ));
        if left.tasks > KEPT_TASKS {
            self.ledger
                .violation(format!("{} tasks are left behind", left.tasks));
        }
        if left.descriptors > self.before.descriptors {
            self.ledger.violation(format!(
                "{} file descriptors are open; {} were at the beginning",
                known(left.descriptors),
                known(self.before.descriptors)
            ));
        }
        if left.in_use_kib > most_in_use {
            self.ledger.violation(format!(
                "{} KiB are in use when all are gone; {} were at the beginning",
                left.in_use_kib, self.before.in_use_kib
            ));
        }
    }

    /// Compares the tenth of the run behind the warm-up, which is a third, with the last tenth, in
    /// their calm moments.
    fn judge_memory(&self, length: Duration, samples: &[Gauges]) {
        let judged = length >= SHORTEST_JUDGED_RUN;
        if !judged {
            say("memory: the run is too short to judge it");
        }
        let in_use = samples.iter().map(|gauges| Some(gauges.in_use_kib));
        let resident = samples.iter().map(|gauges| gauges.resident_kib);
        let (warm, tenth) = (samples.len() / 3, samples.len() / 10);
        for (name, measure) in [
            ("in use", in_use.collect::<Vec<_>>()),
            ("resident", resident.collect()),
        ] {
            let of = |values: &[Option<u64>]| calm(values.iter().copied().flatten().collect());
            let early = measure.get(warm..warm + tenth).and_then(of);
            let late = measure.get(measure.len() - tenth..).and_then(of);
            let (Some(early), Some(late)) = (early, late) else {
                say(&format!("memory {name}: not known here"));
                continue;
            };
            say(&format!(
                "memory {name}: {} after the warm-up, {} at the end",
                mebibytes(early),
                mebibytes(late)
            ));
            if judged && late * 100 > early * (100 + MEMORY_MAY_GROW) {
                self.ledger.violation(format!(
                    "memory {name} grew by more than {MEMORY_MAY_GROW} %: from {early} KiB to {late} KiB"
                ));
            }
        }
    }
}

fn mebibytes(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}

fn known(count: Option<usize>) -> String {
    count.map_or("?".to_owned(), |count| count.to_string())
}

#[allow(clippy::print_stdout)]
fn say(text: &str) {
    println!("{text}");
}
