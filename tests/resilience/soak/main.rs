//! The soak test: many tasks, tokens with a lifetime of seconds, identities that are created and
//! deleted, and hosts with random faults. `cargo xtask soak` runs it.
//!
//! At the end, four things must hold: every call ended, with a result or with an error that its own
//! faults explain; nothing was done twice that must be done once; there were no more token requests
//! than the cache's rules allow; and nothing leaked.

mod event_log;
mod fault_schedule;
mod identities;
mod invariants;
mod random;
mod resource_usage;
mod workload;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use earthengine::Endpoints;
use ee_emulator::{Emulator, Project};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::event_log::EventLog;
use crate::fault_schedule::{FaultSchedule, PhaseLengths};
use crate::identities::Identities;
use crate::random::Random;
use crate::resource_usage::{ResourceUsage, quiet};
use crate::workload::Workload;
use ee_test_support::relay::Relay;

const PROJECT: &str = "ee-demo-project";
/// The lifetime of a token.
const TOKEN_LIFETIME: Duration = Duration::from_secs(5);
const TASKS: usize = 200;
/// Seconds between two status lines.
const LINE_INTERVAL: usize = 10;
/// Memory growth and the share of unchecked calls are checked only in runs of at least this length,
/// which have warmed up.
const MIN_CHECKED_RUN: Duration = Duration::from_secs(600);
/// The limit of memory growth, in percent.
const MAX_GROWTH_PERCENT: u64 = 5;
/// If a pause of one second takes this long, the process or the machine was stalled.
const STALL_THRESHOLD: Duration = Duration::from_secs(4);
/// The tasks of the runtime's HTTP client: the one that closes idle connections, and the one that
/// drops the client with the runtime.
const POOL_TASKS: usize = 2;
/// Memory that may be in use at the end beyond that of the beginning: HTTP clients and keys of the
/// process, and tables that keep their size.
const ALLOWED_GROWTH_KIB: u64 = 2048;
/// The time for cleanup at the end.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(30);

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
                .ok_or_else(|| format!("{word} requires a value"))?;
            let invalid = |_| format!("{word}: {value} is not a number");
            match word.as_str() {
                "--minutes" => {
                    minutes = value
                        .parse()
                        .map_err(|e: std::num::ParseFloatError| invalid(e.to_string()))?
                }
                "--seed" => {
                    seed = value
                        .parse()
                        .map_err(|e: std::num::ParseIntError| invalid(e.to_string()))?
                }
                _ => {
                    return Err(format!(
                        "unknown option {word}; use --minutes N or --seed N"
                    ));
                }
            }
        }
        let length = Duration::try_from_secs_f64(minutes * 60.0)
            .map_err(|_| format!("--minutes: {minutes} is not a duration"))?;
        Ok(Self { length, seed })
    }
}

fn main() -> ExitCode {
    match Arguments::read().and_then(|arguments| soak(&arguments)) {
        Ok(violations) if violations.is_empty() => {
            print("nothing was lost, done twice or leaked, and no token was requested too often");
            ExitCode::SUCCESS
        }
        Ok(violations) => {
            print(&format!("{} violations; see above", violations.len()));
            ExitCode::FAILURE
        }
        Err(message) => {
            print(&format!("failed: {message}"));
            ExitCode::FAILURE
        }
    }
}

/// Returns a runtime. The servers have one of their own, so that the program's can be measured.
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
    print(&format!(
        "{:.1} minutes, {TASKS} tasks, tokens of {} s, --seed {seed}",
        length.as_secs_f64() / 60.0,
        TOKEN_LIFETIME.as_secs()
    ));
    let google = runtime(1, "google")?;
    let program = runtime(2, "program")?;
    let log = Arc::new(EventLog::default());
    let (emulator, relay) = google
        .block_on(async {
            let builder = Emulator::builder()
                .project(Project::new(PROJECT).number(123_456_789_012))
                .token_lifetime(TOKEN_LIFETIME);
            let emulator = identities::with_metadata_accounts(builder).start().await?;
            let relay = Relay::start(emulator.address()).await?;
            Ok::<_, std::io::Error>((Arc::new(emulator), Arc::new(relay)))
        })
        .map_err(|e| format!("could not start the emulator: {e}"))?;
    let endpoints = Endpoints::emulator(relay.address()).map_err(|e| e.to_string())?;
    let before = ResourceUsage::read(program.handle());
    let identities = Identities::create(Arc::clone(&emulator), endpoints, Arc::clone(&log))?;

    let soak = Soak {
        workload: Arc::new(Workload::new(identities, Arc::clone(&log))),
        schedule: Arc::new(FaultSchedule {
            emulator,
            relay,
            log: Arc::clone(&log),
        }),
        log,
        before,
        seed,
    };
    let samples = soak.run(length, &google, &program);
    google.block_on(soak.workload.retire_all());
    soak.check(length);
    soak.check_memory(length, &samples);
    soak.check_leftovers(&program);
    // A task that hangs has been reported, and is not awaited.
    program.shutdown_background();
    Ok(soak.log.violations())
}

struct Soak {
    workload: Arc<Workload>,
    schedule: Arc<FaultSchedule>,
    log: Arc<EventLog>,
    before: ResourceUsage,
    seed: u64,
}

impl Soak {
    /// Runs the tasks for a while, and measures once a second.
    fn run(&self, length: Duration, google: &Runtime, program: &Runtime) -> Vec<ResourceUsage> {
        let short = length < Duration::from_secs(120);
        let seconds =
            |short_run, long_run| Duration::from_secs(if short { short_run } else { long_run });
        let lengths = PhaseLengths {
            burst: seconds(6, 30),
            outage: seconds(5, 60),
            quiet: seconds(3, 15),
            long_quiet: seconds(3, 80),
        };
        let schedule = Arc::clone(&self.schedule);
        let weather = google.spawn(schedule.run(lengths, Random::new(self.seed, 0)));
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let random = Random::new(self.seed, 3 + task as u64);
            let workload = Arc::clone(&self.workload);
            tasks.spawn_on(workload.work(random, Arc::clone(&stop)), program.handle());
        }
        let workload = Arc::clone(&self.workload);
        let churn = workload.replace_clients(Random::new(self.seed, 1), Arc::clone(&stop));
        tasks.spawn_on(churn, program.handle());
        let short_lived = {
            let (workload, stop) = (Arc::clone(&self.workload), Arc::clone(&stop));
            let random = Random::new(self.seed, 2);
            std::thread::spawn(move || workload.run_on_short_lived_runtimes(random, &stop))
        };

        let samples = self.watch(length, program);
        weather.abort();
        self.schedule.end_faults();
        stop.store(true, Relaxed);
        if short_lived.join().is_err() {
            let text = "the thread with the short-lived runtimes panicked".to_owned();
            self.log.violation(text);
        }
        let ended = google.block_on(async {
            tokio::time::timeout(workload::CALL_TIMEOUT, async {
                while let Some(result) = tasks.join_next().await {
                    if let Err(error) = result {
                        self.log.violation(format!("a task ended early: {error}"));
                    }
                }
            })
            .await
        });
        if ended.is_err() {
            self.log
                .violation(format!("{} tasks did not end", tasks.len()));
        }
        samples
    }

    fn watch(&self, length: Duration, program: &Runtime) -> Vec<ResourceUsage> {
        let started = Instant::now();
        let mut samples = Vec::with_capacity(length.as_secs() as usize + 1);
        while started.elapsed() < length {
            let before = Instant::now();
            std::thread::sleep(
                Duration::from_secs(1).min(length.saturating_sub(started.elapsed())),
            );
            if before.elapsed() > STALL_THRESHOLD {
                self.log.stalled(before, Instant::now());
                print(&format!(
                    "the process was stalled for {:.0} s; failures at that time are not counted",
                    before.elapsed().as_secs_f64()
                ));
            }
            self.log.count(self.schedule.emulator.take_requests());
            self.schedule.emulator.purge_expired_tokens();
            self.log.check(false);
            let usage = ResourceUsage::read(program.handle()).without(self.log.bytes());
            samples.push(usage);
            if samples.len().is_multiple_of(LINE_INTERVAL) {
                self.print_state(started.elapsed(), &usage);
            }
        }
        samples
    }

    fn print_state(&self, elapsed: Duration, usage: &ResourceUsage) {
        let counts = self.log.counts();
        print(&format!(
            "{:>5} s  calls {} ok, {} failed, {} cancelled  identities {}  clients {}  token requests {}  faults {}  in use {}  resident {}  descriptors {}  tasks {}  violations {}",
            elapsed.as_secs(),
            counts.succeeded,
            counts.failed,
            counts.cancelled,
            counts.identities,
            counts.clients,
            counts.token_requests,
            counts.faults,
            mebibytes(usage.in_use_kib),
            usage.resident_kib.map_or("?".to_owned(), mebibytes),
            known(usage.descriptors),
            usage.tasks,
            self.log.violations().len(),
        ));
    }

    /// Checks what happened, after all clients have been dropped.
    fn check(&self, length: Duration) {
        self.log.count(self.schedule.emulator.take_requests());
        self.log.check(true);
        if length >= MIN_CHECKED_RUN {
            self.log.check_excused();
        }
        let counts = self.log.counts();
        print(&format!(
            "calls: {} succeeded, {} failed because of faults, {} cancelled, {} not checked; the last failure after a burst of faults ended {:.1} s later",
            counts.succeeded,
            counts.failed,
            counts.cancelled,
            counts.excused,
            self.log.records().longest_recovery.as_secs_f64(),
        ));
        print(&format!(
            "faults: {}; long quiet periods: {}; stalls of the process: {}",
            counts.faults,
            counts.quiet_periods,
            self.log.records().stalled.len()
        ));
        print(&format!("created once: {}", counts.created_once));
        print(&format!(
            "identities: {}; clients: {}; token requests: {} of {} allowed",
            counts.identities, counts.clients, counts.token_requests, counts.allowed
        ));
        if counts.succeeded == 0
            || counts.token_requests == 0
            || counts.faults == 0
            || counts.created_once == 0
        {
            self.log.violation("something never happened".to_owned());
        }
    }

    /// Checks that all dropped resources are released.
    fn check_leftovers(&self, program: &Runtime) {
        self.log.close();
        self.schedule.emulator.purge_expired_tokens();
        let most_in_use = self.before.in_use_kib + ALLOWED_GROWTH_KIB;
        let until = Instant::now() + CLEANUP_TIMEOUT;
        let leftovers = loop {
            // This closes pooled connections.
            self.schedule.relay.reset();
            std::thread::sleep(Duration::from_millis(200));
            self.schedule.emulator.take_requests();
            let now = ResourceUsage::read(program.handle());
            let done = now.tasks <= POOL_TASKS
                && now.descriptors <= self.before.descriptors
                && now.in_use_kib <= most_in_use;
            if done || Instant::now() > until {
                break now;
            }
        };
        print(&format!(
            "memory in use: {} at the beginning, {} at the end",
            mebibytes(self.before.in_use_kib),
            mebibytes(leftovers.in_use_kib)
        ));
        if leftovers.tasks > POOL_TASKS {
            self.log
                .violation(format!("{} tasks are left", leftovers.tasks));
        }
        if leftovers.descriptors > self.before.descriptors {
            self.log.violation(format!(
                "{} file descriptors are open; at the beginning: {}",
                known(leftovers.descriptors),
                known(self.before.descriptors)
            ));
        }
        if leftovers.in_use_kib > most_in_use {
            self.log.violation(format!(
                "{} KiB are in use at the end; at the beginning: {}",
                leftovers.in_use_kib, self.before.in_use_kib
            ));
        }
    }

    /// Compares the tenth of the run after the warm-up, which is a third, with the last tenth, in
    /// their quiet periods.
    fn check_memory(&self, length: Duration, samples: &[ResourceUsage]) {
        let is_checked = length >= MIN_CHECKED_RUN;
        if !is_checked {
            print("memory: the run is too short to check it");
        }
        let in_use = samples.iter().map(|usage| Some(usage.in_use_kib));
        let resident = samples.iter().map(|usage| usage.resident_kib);
        let (warm, tenth) = (samples.len() / 3, samples.len() / 10);
        for (name, measure) in [
            ("in use", in_use.collect::<Vec<_>>()),
            ("resident", resident.collect()),
        ] {
            let of = |values: &[Option<u64>]| quiet(values.iter().copied().flatten().collect());
            let early = measure.get(warm..warm + tenth).and_then(of);
            let late = measure.get(measure.len() - tenth..).and_then(of);
            let (Some(early), Some(late)) = (early, late) else {
                print(&format!("memory {name}: unknown on this platform"));
                continue;
            };
            print(&format!(
                "memory {name}: {} after the warm-up, {} at the end",
                mebibytes(early),
                mebibytes(late)
            ));
            if is_checked && late * 100 > early * (100 + MAX_GROWTH_PERCENT) {
                self.log.violation(format!(
                    "memory {name} grew by more than {MAX_GROWTH_PERCENT} %: from {early} KiB to {late} KiB"
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
fn print(text: &str) {
    println!("{text}");
}
