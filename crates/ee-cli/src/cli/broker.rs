//! The arguments of `eectl exec` and `eectl serve`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// Serve no tokens after this time, such as 8h, 30m or 90s
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    pub(crate) expires: Option<Duration>,

    /// Give the command an empty home directory, so that it finds no login file
    #[arg(long)]
    pub(crate) clean_home: bool,

    /// Append a line of JSON for each token to this file, without the token
    #[arg(long, value_name = "FILE")]
    pub(crate) ledger: Option<PathBuf>,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Listen at this loopback address; defaults to 127.0.0.1:8181
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,

    /// Listen at a Unix socket
    #[arg(long, value_name = "PATH")]
    pub(crate) unix: Option<PathBuf>,

    /// Serve this user of the machine too, given as a name or a user ID (repeatable)
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Vec<String>,

    /// Serve no tokens after this time, such as 8h, 30m or 90s
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    pub(crate) expires: Option<Duration>,

    /// Append a line of JSON for each token to this file, without the token
    #[arg(long, value_name = "FILE")]
    pub(crate) ledger: Option<PathBuf>,

    /// Stop when the process that started eectl ends
    #[arg(long)]
    pub(crate) exit_with_parent: bool,

    /// Print the status of the broker at --unix, --listen or GCE_METADATA_HOST
    #[arg(long, conflicts_with_all = ["user", "expires", "ledger", "exit_with_parent", "connect"])]
    pub(crate) status: bool,

    /// Forward the port of --listen to the broker at this Unix socket, for example in a container
    #[arg(long, value_name = "PATH", conflicts_with_all = ["unix", "user", "expires", "ledger"])]
    pub(crate) connect: Option<PathBuf>,
}

/// Parses a time such as `8h` or `1h30m`.
fn lifetime(text: &str) -> Result<Duration, String> {
    let invalid = || "it must be a time such as 8h, 30m, 90s or 1h30m".to_owned();
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .ok_or_else(invalid)?;
        let (number, tail) = rest.split_at(digits);
        let seconds = match tail.chars().next() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 86_400,
            _ => return Err(invalid()),
        };
        let number: u32 = number.parse().map_err(|_| invalid())?;
        total += Duration::from_secs(u64::from(number) * seconds);
        rest = tail.get(1..).unwrap_or_default();
    }
    match total.is_zero() {
        true => Err(invalid()),
        false => Ok(total),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_numbers_with_units() {
        for (text, seconds) in [
            ("90s", 90),
            ("30m", 1800),
            ("8h", 28_800),
            ("1d", 86_400),
            ("1h30m", 5400),
        ] {
            assert_eq!(lifetime(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "0s",
            "8",
            "h",
            "-1h",
            "1.5h",
            "8 h",
            "8H",
            "8w",
            "99999999999s",
            "1hä",
        ] {
            assert!(lifetime(text).is_err(), "{text}");
        }
    }
}
