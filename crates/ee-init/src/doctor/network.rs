//! Whether Earth Engine can be reached, how fast, and whether this machine's clock agrees.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use ee_token::{Exchange, HttpClient, Remedy, Request, http_date};
use http::Method;
use url::Url;

use crate::Error;
use crate::doctor::{Check, Report, bounded};

/// What tokens and certificates bear without trouble.
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
    let first = match bounded(ask(base, http)).await {
        Ok(first) => first,
        Err(error) => {
            report.add(Check::failed("network", &error));
            return report.skip(
                &["clock", "round_trip"],
                &format!("{host} cannot be reached"),
            );
        }
    };
    report.add(Check::ok("network", format!("{host} answers")));
    report.add(clock(host, &first));
    // The first answer took a new connection; this one shows what each request costs.
    report.add(match bounded(ask(base, http)).await {
        Ok(second) => round_trip(host, second.took),
        Err(error) => Check::failed("round_trip", &error),
    });
}

/// An answer of whatever status, without any credential.
struct Answer {
    took: Duration,
    /// What this machine's clock is ahead of the server's.
    ahead: Option<TimeDelta>,
}

async fn ask(base: &Url, http: &HttpClient) -> Result<Answer, Error> {
    let request = Request::new(Method::GET, base.clone());
    let started = Instant::now();
    let received = Exchange::new(http).send(request).await?;
    let took = started.elapsed();
    let date = http_date(&received.headers).and_then(|date| {
        // The server's time is that of the middle of the exchange, cut to whole seconds.
        let middle = received.sent_at + TimeDelta::from_std(took / 2).ok()?;
        Some(middle - date - TimeDelta::milliseconds(500))
    });
    Ok(Answer { took, ahead: date })
}

fn clock(host: &str, answer: &Answer) -> Check {
    const NAME: &str = "clock";
    let Some(ahead) = answer.ahead else {
        return Check::skipped(NAME, format!("{host} does not say what time it is"));
    };
    if ahead.abs() <= TOLERATED_SKEW {
        return Check::ok(NAME, format!("agrees with that of {host}"));
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
            in_words(ahead.abs())
        ),
        Remedy::new("Set the clock by the network's time: a service account's requests are signed with it, and tokens expire by it.")
            .command("timedatectl set-ntp true"),
    )
}

/// A time in the unit that says enough.
pub(super) fn in_words(time: TimeDelta) -> String {
    let (count, unit) = match time.num_seconds() {
        s @ ..120 => (s, "second"),
        s @ ..7_200 => (s / 60, "minute"),
        s @ ..172_800 => (s / 3_600, "hour"),
        s => (s / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

fn round_trip(host: &str, took: Duration) -> Check {
    let milliseconds = took.as_secs_f64() * 1000.0;
    Check::ok(
        "round_trip",
        format!("{milliseconds:.0} ms to {host} and back"),
    )
}
