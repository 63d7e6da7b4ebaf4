//! The Python client and ours meet the same faults: how often each asks, and how it ends. Where
//! we differ, `docs/src/requests.md` has a row that says so; a difference without a row fails, and
//! so does a row that nothing needs.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use earthengine::token::RetryPolicy;
use earthengine::{EarthEngine, Endpoints};
use ee_emulator::{Fault, GoogleError};

use super::*;

const PAGE: &str = include_str!("../../docs/src/requests.md");
const COMPUTE: &str = "/v1/projects/ee-demo-project/value:compute";

/// Each happens once.
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

/// How often it asked, and whether it got the value.
#[derive(Debug, PartialEq)]
struct Met {
    requests: usize,
    value: bool,
}

impl Met {
    fn at(emulator: &Emulator, value: bool) -> Self {
        let requests = emulator.requests_to("earthengine.googleapis.com");
        let asked = requests.iter().filter(|request| request.path == COMPUTE);
        for request in asked.clone() {
            assert_eq!(request.header("x-goog-user-project"), Some(PROJECT));
            assert_eq!(request.header("content-type"), Some("application/json"));
        }
        Self {
            requests: asked.count(),
            value,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_met_as_the_python_client_meets_them() {
    let Some(python) = installed("EE_TESTS_PYTHON") else {
        return;
    };
    let (emulator, home) = (emulator().await, tempfile::tempdir().unwrap());
    let key_file = service_account_key(&emulator, &home);
    let ours = EarthEngine::builder()
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
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(answers.next().unwrap().unwrap(), "ready");

    let (mut wrong, mut needed) = (Vec::new(), BTreeSet::new());
    let written_down: BTreeSet<&str> = PAGE
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
        let answer: Value = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
        let theirs = Met::at(&emulator, answer["value"] == 7);

        set(fault);
        let constant = json!({"result": "0", "values": {"0": {"constantValue": 7}}});
        let value = ours.compute::<i64>(&constant).await;
        let met = Met::at(&emulator, value.is_ok_and(|value| value == 7));

        if met == theirs {
            println!("agrees               {name}: {met:?}");
        } else if written_down.contains(name) {
            println!("differs on purpose   {name}: theirs {theirs:?}, ours {met:?}");
            needed.insert(name);
        } else {
            wrong.push(format!("{name}: theirs {theirs:?}, ours {met:?}"));
        }
    }
    drop(stdin);
    child.wait().unwrap();
    assert!(wrong.is_empty(), "not written down: {wrong:#?}");
    let idle: Vec<_> = written_down.difference(&needed).collect();
    assert!(idle.is_empty(), "rows that nothing needs: {idle:?}");
}
