//! The results table, with machine and versions.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::process::{Outcome, at};

/// Prints the table.
#[allow(clippy::print_stdout)]
pub(super) fn print_table(report: &Value) {
    println!("{}", table(report));
}

fn table(report: &Value) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:<20} {:<17} {:>10} {:>10} {:>8}  {:<4} peers",
        "name", "unit", "ours", "limit", "×limit", "goal"
    );
    for row in report["results"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "{}", line(row));
    }
    let _ = write!(text, "{}", report["machine"]);
    text
}

/// Formats a row as a line of the table.
pub(super) fn line(row: &Value) -> String {
    let peers: Vec<String> = row["peers"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name} {}", figure(value)))
        .collect();
    format!(
        "{:<20} {:<17} {:>10} {:>10} {:>8}  {:<4} {}",
        row["name"].as_str().unwrap_or_default(),
        row["unit"].as_str().unwrap_or_default(),
        figure(&row["ours"]),
        figure(&row["limit"]),
        figure(&row["ratio_limit"]),
        match row["met"].as_bool() {
            Some(true) => "met",
            Some(false) => "not",
            None => "",
        },
        peers.join(", "),
    )
}

/// Formats a number with three significant digits.
fn figure(value: &Value) -> String {
    match value.as_f64() {
        None => String::new(),
        Some(x) if x.abs() >= 100.0 || x == x.trunc() => format!("{x:.0}"),
        Some(x) if x.abs() >= 10.0 => format!("{x:.1}"),
        Some(x) => format!("{x:.2}"),
    }
}

/// Describes the machine: processor, cores, system and compiler.
pub(super) fn machine() -> Value {
    let cpu = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(": ")?.1.to_owned())
    });
    let rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .arg("--version")
        .output()
        .ok()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    json!({
        "cpu": cpu,
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "rustc": rustc,
    })
}

/// Returns the versions of the peers from their lock file.
pub(super) fn versions(lock: &Path) -> Outcome<Value> {
    let text = fs::read_to_string(lock).map_err(at(lock))?;
    let mut versions = Map::new();
    for peer in [
        "google-cloud-auth",
        "gcp_auth",
        "yup-oauth2",
        "reqwest",
        "ring",
    ] {
        if let Some(version) = version(&text, peer) {
            versions.insert(peer.to_owned(), json!(version));
        }
    }
    Ok(versions.into())
}

fn version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let (_, after) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    Some(after.split_once('"')?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_is_one_line_with_three_significant_digits() {
        let row = json!({"name": "token_hot", "unit": "ns", "ours": 61.234, "limit": 50.0,
            "ratio_limit": 1.2247, "peers": {"gcp_auth": 205.4}, "met": true});
        let words: Vec<_> = line(&row).split_whitespace().map(str::to_owned).collect();
        assert_eq!(
            words,
            [
                "token_hot",
                "ns",
                "61.2",
                "50",
                "1.22",
                "met",
                "gcp_auth",
                "205"
            ]
        );
        assert!(!line(&json!({"name": "allocs", "ours": 3.0})).contains("null"));
    }

    #[test]
    fn version_is_found_in_lock_file() {
        let lock = "[[package]]\nname = \"ring\"\nversion = \"0.17.8\"\nsource = \"registry\"\n";
        assert_eq!(version(lock, "ring"), Some("0.17.8"));
        assert_eq!(version(lock, "rin"), None);
    }
}
