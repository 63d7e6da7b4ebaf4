//! The Python client and this workspace with the same faults: the number of requests and the
//! result. For each difference, `docs/src/requests.md` has a row; an undocumented difference fails,
//! and so does an unused row.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use earthengine::token::RetryPolicy;
use earthengine::{EarthEngine, Endpoints};
use ee_emulator::{Fault, GoogleError};

use super::*;

const PAGE: &str = include_str!("../../../docs/src/requests.md");
const COMPUTE: &str = "/v1/projects/ee-demo-project/value:compute";

/// Each fault happens once.
fn faults() -> Vec<(&'static str, Fault)> {
    let refusal = |refusal: GoogleError| {
        Fault::respond(refusal.status(), "application/json", refusal.body(PROJECT))
    };
    let older = json!({"error": {
        "code": 403, "message": "Rate Limit Exceeded", "status": "PERMISSION_DENIED",
        "errors": [{"message": "Rate Limit Exceeded", "domain": "usageLimits", "reason": "rateLimitExceeded"}],
    }});
    vec![
        ("429", refusal(GoogleError::RateLimitExceeded)),
        ("429 for the day", refusal(GoogleError::DailyQuotaExceeded)),
        ("500", refusal(GoogleError::Internal)),
        ("501", Fault::status(501)),
        ("502", Fault::status(502)),
        ("503", refusal(GoogleError::Unavailable)),
        ("504", Fault::status(504)),
        ("403 rateLimitExceeded", Fault::status(403).json(&older)),
        (
            "403 for the project",
            refusal(GoogleError::UserProjectDenied),
        ),
        (
            "400 for want of memory",
            refusal(GoogleError::UserMemoryLimitExceeded),
        ),
        ("401", refusal(GoogleError::AccessTokenExpired)),
        ("404", Fault::status(404)),
        ("a connection that is closed", Fault::disconnect()),
        ("an answer that is cut", Fault::truncate_body(3)),
    ]
}

/// The number of requests, and whether the value was returned.
#[derive(Debug, PartialEq)]
struct Behavior {
    requests: usize,
    value: bool,
}

impl Behavior {
    fn at(emulator: &Emulator, value: bool) -> Self {
        let requests = emulator.requests_to("earthengine.googleapis.com");
        let computations = requests.iter().filter(|request| request.path == COMPUTE);
        for request in computations.clone() {
            assert_eq!(request.header("x-goog-user-project"), Some(PROJECT));
            assert_eq!(request.header("content-type"), Some("application/json"));
        }
        Self {
            requests: computations.count(),
            value,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_handled_like_in_the_python_client() {
    let Some(python) = installed("EE_TESTS_PYTHON") else {
        return;
    };
    let (emulator, home) = (emulator().await, tempfile::tempdir().unwrap());
    let key_file = service_account_key(&emulator, &home);
    let ee = EarthEngine::builder()
        .isolated()
        .endpoints(Endpoints::emulator(emulator.address()).unwrap())
        .credentials_file(&key_file)
        .retry_policy(RetryPolicy {
            initial_backoff: Duration::from_millis(10),
            ..RetryPolicy::default()
        })
        .connect()
        .await
        .unwrap();

    let mut command = client(python, &emulator, &home);
    command
        .env("PYTHONPATH", beside_this_file("python_preload"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(beside_this_file("python_faults.py"))
        .arg(&key_file)
        .arg(PROJECT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut reports = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(reports.next().unwrap().unwrap(), "ready");

    let (mut undocumented, mut needed) = (Vec::new(), BTreeSet::new());
    let documented: BTreeSet<&str> = PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("| `fault: ")?.split('`').next())
        .collect();
    for (name, fault) in faults() {
        let set = |fault: Fault| {
            emulator.clear_requests();
            emulator.clear_faults();
            emulator.fault("earthengine.googleapis.com", fault.on_path(COMPUTE));
        };
        set(fault.clone());
        writeln!(stdin, "{name}").unwrap();
        let report: Value = serde_json::from_str(&reports.next().unwrap().unwrap()).unwrap();
        let expected = Behavior::at(&emulator, report["value"] == 7);

        set(fault);
        let constant = json!({"result": "0", "values": {"0": {"constantValue": 7}}});
        let value = ee.compute::<i64>(&constant).await;
        let actual = Behavior::at(&emulator, value.is_ok_and(|value| value == 7));

        if actual == expected {
            println!("equal                {name}: {actual:?}");
        } else if documented.contains(name) {
            println!("documented   {name}: Python {expected:?}, this workspace {actual:?}");
            needed.insert(name);
        } else {
            undocumented.push(format!(
                "{name}: Python {expected:?}, this workspace {actual:?}"
            ));
        }
    }
    drop(stdin);
    child.wait().unwrap();
    assert!(undocumented.is_empty(), "undocumented: {undocumented:#?}");
    let unused: Vec<_> = documented.difference(&needed).collect();
    assert!(unused.is_empty(), "unused rows: {unused:?}");
}
