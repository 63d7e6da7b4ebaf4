//! The checks of the network and the clock.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use ee_token::internal::{Exchange, http_date};
use ee_token::{HttpClient, Remedy, Request};
use http::Method;
use url::Url;

use crate::Error;
use crate::doctor::{Check, Report, bounded};

/// The checks after the first request of [`examine`].
pub(super) const CHECKS: [&str; 2] = ["clock", "round_trip"];

/// The skew that tokens and certificates tolerate.
const TOLERATED_SKEW: TimeDelta = TimeDelta::seconds(60);

pub(super) async fn examine(
    base: &Url,
    http: &HttpClient,
    report: &mut Report<impl FnMut(&Check)>,
) {
    let host = &match http.endpoints().emulator_address() {
        Some(address) => format!("the emulator at {address}"),
        None => base.host_str().unwrap_or_default().to_owned(),
    };
    let first = match bounded(measure(base, http)).await {
        Ok(first) => first,
        Err(error) => {
            report.add(Check::failed("network", &error));
            return report.skip(&CHECKS, &format!("{host} cannot be reached"));
        }
    };
    report.add(Check::ok("network", format!("{host} is reachable")));
    report.add(clock(host, &first));
    // The first request opened the connection; this one shows the cost of each request.
    report.add(match bounded(measure(base, http)).await {
        Ok(second) => round_trip(host, second.elapsed),
        Err(error) => Check::failed("round_trip", &error),
    });
}

/// The measurements of an unauthenticated request, whatever its status.
struct Measurement {
    elapsed: Duration,
    /// How far this machine's clock is ahead of the server's.
    ahead: Option<TimeDelta>,
}

async fn measure(base: &Url, http: &HttpClient) -> Result<Measurement, Error> {
    let request = Request::new(Method::GET, base.clone());
    let started = Instant::now();
    let received = Exchange::new(http).send(request).await?;
    let elapsed = started.elapsed();
    let ahead = http_date(&received.headers).and_then(|date| {
        // The server's time is taken mid-exchange and truncated to seconds.
        let middle = received.sent_at + TimeDelta::from_std(elapsed / 2).ok()?;
        Some(middle - date - TimeDelta::milliseconds(500))
    });
    Ok(Measurement { elapsed, ahead })
}

fn clock(host: &str, measured: &Measurement) -> Check {
    const NAME: &str = "clock";
    let Some(ahead) = measured.ahead else {
        return Check::skipped(NAME, format!("{host} does not report its time"));
    };
    if ahead.abs() <= TOLERATED_SKEW {
        return Check::ok(NAME, format!("matches the clock of {host}"));
    }
    let direction = if ahead > TimeDelta::zero() {
        "ahead of"
    } else {
        "behind"
    };
    Check::warning(
        NAME,
        format!(
            "this machine's clock is {} {direction} that of {host}",
            approximate(ahead.abs())
        ),
        Remedy::new("Synchronize the clock with network time. Service accounts sign their requests with it, and tokens expire by it.")
            .command("timedatectl set-ntp true"),
    )
}

/// Returns a time in its most suitable unit.
pub(super) fn approximate(time: TimeDelta) -> String {
    let (count, unit) = match time.num_seconds() {
        s @ ..120 => (s, "second"),
        s @ ..7_200 => (s / 60, "minute"),
        s @ ..172_800 => (s / 3_600, "hour"),
        s => (s / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

fn round_trip(host: &str, elapsed: Duration) -> Check {
    let milliseconds = elapsed.as_secs_f64() * 1000.0;
    Check::ok(
        "round_trip",
        format!("{milliseconds:.0} ms to {host} and back"),
    )
}
