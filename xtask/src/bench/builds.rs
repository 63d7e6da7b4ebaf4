//! Build costs: number of crates, build time and program size.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use super::Peers;
use crate::process::{Outcome, at, remove_dir, run};

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Minimal programs, and the crate that each uses.
const HELLO: [(&str, &str); 4] = [
    ("hello-ours", "ours"),
    ("hello-google-cloud-auth", "google-cloud-auth"),
    ("hello-gcp-auth", "gcp_auth"),
    ("hello-yup-oauth2", "yup-oauth2"),
];

/// Counts the normal dependencies of each minimal program on Linux. Separate programs avoid feature
/// unification.
pub(super) fn crates(peers: &Peers) -> Outcome<Value> {
    let mut counts = serde_json::Map::new();
    for (package, peer) in HELLO {
        let count = count(peers.cargo(&["tree", "--package", package]))?;
        counts.insert(peer.to_owned(), json!(count - 1.0));
    }
    let of = |peer: &str| counts[peer].as_f64().unwrap_or(f64::NAN);
    let met = of("ours") < of("google-cloud-auth") && of("ours") <= of("gcp_auth") + 10.0;
    let ours = of("ours");
    counts.remove("ours");
    let mut row = row("crates", "crates", ours, counts);
    row["goal"] = json!("fewer than google-cloud-auth, at most gcp_auth + 10");
    row["met"] = json!(met);
    Ok(row)
}

/// Counts the crates of a tree, including its root.
fn count(mut tree: Command) -> Outcome<f64> {
    tree.args(["--edges", "normal", "--target", TARGET]).args([
        "--prefix",
        "none",
        "--no-dedupe",
        "--format",
        "{p}",
    ]);
    let output = tree.output().map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    // Each line starts with a name and a version; source and kind follow.
    let names: BTreeSet<(&str, &str)> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?))
        })
        .collect();
    Ok(names.len() as f64)
}

/// Measures the time of a clean release build and the program size of each minimal program.
pub(super) fn build_and_size(peers: &Peers) -> Outcome<(Value, Value)> {
    let mut seconds = serde_json::Map::new();
    let mut sizes = serde_json::Map::new();
    for (package, peer) in HELLO {
        let clean = Peers {
            manifest: peers.manifest.clone(),
            target: peers.target.join("clean"),
            smoke: peers.smoke,
        };
        // A smoke run uses existing builds.
        let peers = if peers.smoke { peers } else { &clean };
        if !peers.smoke {
            run(&mut peers.cargo(&["fetch"]))?;
            remove_dir(&peers.target)?;
        }
        let started = Instant::now();
        run(&mut peers.build(&["--package", package]))?;
        seconds.insert(peer.to_owned(), json!(started.elapsed().as_secs_f64()));
        let program = peers
            .programs()
            .join(format!("{package}{}", std::env::consts::EXE_SUFFIX));
        let size = fs::metadata(&program).map_err(at(&program))?.len();
        sizes.insert(peer.to_owned(), json!(size as f64 / 1e6));
    }
    Ok((
        against_google("build", "s", seconds),
        against_google("size", "MB", sizes),
    ))
}

fn against_google(name: &str, unit: &str, mut all: serde_json::Map<String, Value>) -> Value {
    let ours = all
        .remove("ours")
        .and_then(|v| v.as_f64())
        .unwrap_or(f64::NAN);
    let met = Some(ours) <= all["google-cloud-auth"].as_f64();
    let mut row = row(name, unit, ours, all);
    row["goal"] = json!("no more than google-cloud-auth");
    row["met"] = json!(met);
    row
}

fn row(name: &str, unit: &str, ours: f64, peers: serde_json::Map<String, Value>) -> Value {
    let best = peers
        .values()
        .filter_map(Value::as_f64)
        .fold(f64::INFINITY, f64::min);
    json!({
        "name": name,
        "unit": unit,
        "better": "lower",
        "ours": ours,
        "peers": peers,
        "ratio_best_peer": ours / best,
    })
}
