//! No command prints a rejected credential of any kind.

use std::fmt::Write as _;

use ee_emulator::Fault;
use ee_test_support::canaries::{Canaries, Leak};
use serde_json::json;

use super::*;

/// The hosts that issue tokens.
const TOKEN_HOSTS: [&str; 4] = [
    "oauth2.googleapis.com",
    "sts.googleapis.com",
    "iamcredentials.googleapis.com",
    "service-identity.example.com",
];

const AUDIENCE: &str = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/p/providers/o";

/// Writes a file of every other kind and sets the variables that they need. Returns the paths,
/// each with an error text that echoes the secrets sent to servers.
fn other_kinds(machine: &mut Machine, canaries: &mut Canaries) -> Vec<(String, String)> {
    let mut secret = |name: &str, start: &str| canaries.plant(name, start);
    let external = |source: Value, of: &str| {
        json!({"type": "external_account", "audience": AUDIENCE, "credential_source": source,
            "subject_token_type": format!("urn:ietf:params:{of}"),
            "token_url": "https://sts.googleapis.com/v1/token"})
    };
    let of_user = [
        secret("a client's secret", "GOCSPX-"),
        secret("a user's refresh token", "1//0g"),
    ];
    let user = json!({"type": "authorized_user", "client_id": "1-a",
        "client_secret": of_user[0], "refresh_token": of_user[1]});
    let acting = json!({"type": "impersonated_service_account", "source_credentials": user,
        "service_account_impersonation_url": format!("https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{ROBOT}:generateAccessToken")});
    let of_workforce = [
        secret("a workforce client's secret", ""),
        secret("a workforce user's refresh token", ""),
    ];
    let workforce = json!({"type": "external_account_authorized_user", "client_id": "1-a",
        "audience": "//iam.googleapis.com/locations/global/workforcePools/p/providers/o",
        "client_secret": of_workforce[0], "refresh_token": of_workforce[1],
        "token_url": "https://sts.googleapis.com/v1/oauthtoken"});
    let of_file = secret("a subject token", "");
    let subject = machine.file("subject", &of_file);
    let federation = external(json!({"file": subject}), "oauth:token-type:jwt");
    let of_program = secret("a program's token", "");
    let program = json!({"version": 1, "success": true, "id_token": of_program,
        "token_type": "urn:ietf:params:oauth:token-type:jwt"});
    let program = machine.file("program.sh", format!("echo '{program}'"));
    let command = format!("/bin/sh {program}");
    let executable = external(
        json!({"executable": {"command": command}}),
        "oauth:token-type:jwt",
    );
    let aws = external(
        json!({"environment_id": "aws1",
            "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"}),
        "aws:token-type:aws4_request",
    );
    let aws_key = secret("an AWS key", "");
    let aws_session = secret("an AWS session", "");
    machine.set("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE");
    machine.set("AWS_SECRET_ACCESS_KEY", &aws_key);
    machine.set("AWS_SESSION_TOKEN", &aws_session);
    machine.set("AWS_REGION", "us-east-1");
    machine.set("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1");

    let leaf = machine
        .emulator
        .create_x509_provider(AUDIENCE)
        .certificate("ada");
    canaries.add_ec_pem("a certificate's key", leaf.key_pem());
    let config = json!({"cert_configs": {"workload": {
        "cert_path": machine.file("leaf.pem", leaf.certificate_pem()),
        "key_path": machine.file("leaf-key.pem", leaf.key_pem())}}});
    let config = machine.file("certificate_config.json", config.to_string());
    let certificate = external(
        json!({"certificate": {"certificate_config_location": config}}),
        "oauth:token-type:mtls",
    );
    let identity = machine.emulator.create_service_identity("p", "n");
    canaries.add_ec_pem("a service identity's key", identity.key().pkcs8_pem());
    let files = [
        ("user", user.to_string(), of_user.join(" ")),
        ("acting", acting.to_string(), of_user.join(" ")),
        ("workforce", workforce.to_string(), of_workforce.join(" ")),
        ("federation", federation.to_string(), of_file),
        ("executable", executable.to_string(), of_program),
        ("aws", aws.to_string(), aws_session),
        ("certificate", certificate.to_string(), String::new()),
        ("identity", identity.json(), String::new()),
    ];
    let files = files.map(|(name, text, sent)| {
        let path = machine.file(&format!("{name}.json"), text);
        (path, format!("cannot use {sent}"))
    });
    files.to_vec()
}

#[tokio::test]
async fn no_command_leaks_a_rejected_credential_of_any_kind() {
    let mut machine = Machine::new().await;
    machine.set("GOOGLE_CLOUD_PROJECT", PROJECT);
    machine.set("RUST_LOG", "trace");
    let mut canaries = Canaries::default();
    let files = other_kinds(&mut machine, &mut canaries);
    let (mut leaks, mut echoes) = (String::new(), 0);
    let finder = canaries.finder();
    for (file, echo) in &files {
        machine.emulator.clear_faults();
        let grant = json!({"error": "invalid_grant", "error_description": echo});
        for host in TOKEN_HOSTS {
            let rejection = Fault::status(400).json(&grant).times(usize::MAX);
            machine.emulator.fault(host, rejection);
        }
        for command in [
            "init",
            "auth status",
            "auth token",
            "doctor",
            "project list",
        ] {
            for more in [&["-vv"][..], &["-vv", "--json"]] {
                let words: Vec<_> = command.split(' ').chain(more.iter().copied()).collect();
                let result = machine
                    .run(&[&words[..], &["--credentials", file]].concat())
                    .await;
                for text in [&result.stdout, &result.stderr] {
                    echoes += usize::from(text.contains("[redacted]"));
                    for Leak {
                        secret, context, ..
                    } in finder.find(text)
                    {
                        let _ = writeln!(leaks, "{secret} in {command} of {file}: {context}");
                    }
                }
            }
        }
    }
    assert_eq!(leaks, "");
    assert!(echoes > 40, "{echoes} echoes");
}
