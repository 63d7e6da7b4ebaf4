//! Comparison with botocore, which signs the same AWS requests with the same key and time. The
//! signatures must be equal.

use std::io::Write as _;
use std::process::{Command, Stdio};

use earthengine::credentials::{CredentialOptions, Credentials, Environment};
use earthengine::token::{Endpoints, HttpClient};
use ee_emulator::{AwsKey, Emulator};
use serde_json::{Value, json};

use crate::federation;
use crate::scenario::python;

const AUDIENCE: &str = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/pool/providers/aws";
const REGIONS: [&str; 6] = [
    "us-east-1",
    "eu-central-2",
    "ap-southeast-4",
    "us-gov-west-1",
    "il-central-1",
    "x",
];
/// Queries after the action, in AWS's encoding.
const QUERIES: [&str; 5] = [
    "",
    "&a=b%20c&A=%2F%2B%3D",
    "&empty=&Zz=~-_.",
    "&%C3%A4=%E2%82%AC&a=2&a=1",
    "&X-Amz-Expires=60",
];
/// Keys are usually base64; the others are what headers and JSON allow.
const SECRETS: [&str; 4] = [
    "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "a",
    r#"quotes"'`and\back/slashes"#,
    "!#$%&()*+,-./:;<=>?@[]^_{|}~",
];

struct Case {
    region: &'static str,
    query: &'static str,
    key: AwsKey,
}

/// Returns every region, query, secret and kind of key more than once, in different combinations.
fn cases() -> Vec<Case> {
    let case = |n: usize| {
        let secret = SECRETS[n % SECRETS.len()];
        let id = format!("AKIA{n:016}");
        let key = match n % 3 {
            0 => AwsKey::permanent(id, secret),
            1 => AwsKey::temporary(
                id,
                secret,
                format!("FwoGZXIvYXdzE{n}//+{}==", "Ab9".repeat(n * 7)),
            ),
            _ => AwsKey::temporary(id, secret, format!("{n}{secret}%20%2f")),
        };
        Case {
            region: REGIONS[n % REGIONS.len()],
            query: QUERIES[n % QUERIES.len()],
            key,
        }
    };
    (0..60).map(case).collect()
}

/// Returns this workspace's signature, as the emulator received and verified it.
async fn actual(emulator: &Emulator, case: &Case) -> Value {
    emulator.add_aws_key(case.key.clone());
    emulator.clear_requests();
    let mut environment = Environment::empty()
        .with_var("AWS_REGION", case.region)
        .with_var("AWS_ACCESS_KEY_ID", case.key.id())
        .with_var("AWS_SECRET_ACCESS_KEY", case.key.secret());
    if let Some(token) = case.key.session_token() {
        environment = environment.with_var("AWS_SESSION_TOKEN", token);
    }
    let file = json!({
        "type": "external_account",
        "audience": AUDIENCE,
        "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request",
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": {
            "environment_id": "aws1",
            "regional_cred_verification_url": format!(
                "https://sts.{{region}}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15{}",
                case.query
            ),
        },
    });
    let endpoints = Endpoints::emulator(emulator.address()).unwrap();
    let options = CredentialOptions::new(HttpClient::new(endpoints)).environment(environment);
    let credentials = Credentials::from_json(&file.to_string(), &options).unwrap();
    credentials.token().await.unwrap();
    federation::json(&emulator.requests()[0].form()["subject_token"])
}

fn header<'a>(request: &'a Value, name: &str) -> &'a str {
    let headers = request["headers"].as_array().unwrap();
    let header = headers.iter().find(|header| header["key"] == name);
    header.unwrap()["value"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_match_botocore() {
    let Some(python) = python() else {
        return;
    };
    let emulator = Emulator::start().await.unwrap();
    emulator.create_aws_provider(AUDIENCE);
    let (mut requests, mut signed) = (Vec::new(), Vec::new());
    for case in cases() {
        let request = actual(&emulator, &case).await;
        requests.push(json!({
            "url": request["url"],
            "region": case.region,
            "id": case.key.id(),
            "secret": case.key.secret(),
            "token": case.key.session_token(),
            "time": header(&request, "x-amz-date"),
        }));
        signed.push(header(&request, "Authorization").to_owned());
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/interop/conformance/sigv4.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input = Value::from(requests).to_string();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let expected: Vec<String> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(expected.len(), 60);
    for (number, (actual, expected)) in signed.iter().zip(&expected).enumerate() {
        assert_eq!(actual, expected, "case {number}");
    }
    println!("{} signatures agree with botocore", expected.len());
}
