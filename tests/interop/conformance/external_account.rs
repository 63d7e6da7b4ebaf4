//! Workload and workforce identity federation.

use ee_emulator::{AwsKey, Fault};
use serde_json::{Value, json};

use crate::scenario::{Machine, Scenario};
use crate::scenarios::{BOTH, plain};

const WORKLOAD: &str = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/pool/providers/provider";
const WORKFORCE: &str =
    "//iam.googleapis.com/locations/global/workforcePools/people/providers/provider";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const SUBJECT: &str = "repo:me/it:ref:refs/heads/main";
const ROBOT_URL: &str = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/robot@ee-demo-project.iam.gserviceaccount.com:generateAccessToken";
const CLIENT: &str = "123456789012-federation.apps.example";

/// Returns an `external_account` file for this provider.
fn account(audience: &str, token_type: &str, source: Value) -> Value {
    json!({
        "universe_domain": "googleapis.com",
        "type": "external_account",
        "audience": audience,
        "subject_token_type": token_type,
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": source,
    })
}

/// Returns a subject token of this provider, which counts as the same on both sides.
fn subject_token(m: &mut Machine, audience: &str) -> String {
    let provider = m.emulator.create_oidc_provider(audience);
    m.emulator
        .allow_impersonation(&provider.principal(SUBJECT), m.robot.email());
    let token = provider.subject_token(SUBJECT);
    m.drawn.push((token.clone(), "the subject token"));
    token
}

/// Returns a file of the workload pool's provider with its token in a file, and these fields.
fn file(m: &mut Machine, more: Value) {
    file_of(m, WORKLOAD, more);
}

fn file_of(m: &mut Machine, audience: &str, more: Value) {
    let token = subject_token(m, audience);
    let path = m.file("token", &token);
    let mut account = account(audience, JWT, json!({ "file": path }));
    for (name, value) in more.as_object().unwrap() {
        account[name] = value.clone();
    }
    m.credentials(&account.to_string());
}

/// Returns a program that prints this if its variables are set.
fn program(m: &Machine, output: &Value) -> String {
    let script = format!(
        "[ \"$GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE $GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE $GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE\" = '{WORKLOAD} {JWT} 0' ] || exit 1\n[ \"$1\" = 'two words' ] || exit 2\necho '{output}'\n"
    );
    let path = m.file("token.sh", &script);
    format!("/bin/sh {} 'two words'", path.display())
}

fn executable(m: &mut Machine, output: fn(String) -> Value) {
    let token = subject_token(m, WORKLOAD);
    let command = program(m, &output(token));
    let source = json!({"executable": {"command": command, "timeout_millis": 20000}});
    m.credentials(&account(WORKLOAD, JWT, source).to_string());
}

fn output(token: String) -> Value {
    json!({"version": 1, "success": true, "token_type": JWT, "id_token": token, "expiration_time": 4_000_000_000_u64})
}

/// Returns an AWS provider, with the file that gcloud generates for it.
fn aws(m: &mut Machine) {
    m.emulator.create_aws_provider(WORKLOAD);
    let source = json!({
        "environment_id": "aws1",
        "region_url": "http://169.254.169.254/latest/meta-data/placement/availability-zone",
        "url": "http://169.254.169.254/latest/meta-data/iam/security-credentials",
        "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
        "imdsv2_session_token_url": "http://169.254.169.254/latest/api/token",
    });
    let account = account(
        WORKLOAD,
        "urn:ietf:params:aws:token-type:aws4_request",
        source,
    );
    m.credentials(&account.to_string());
}

fn aws_key(m: &mut Machine, key: AwsKey) {
    m.set("AWS_ACCESS_KEY_ID", key.id());
    m.set("AWS_SECRET_ACCESS_KEY", key.secret());
    if let Some(token) = key.session_token() {
        m.set("AWS_SESSION_TOKEN", token);
    }
    m.emulator.add_aws_key(key);
}

fn ec2(m: &mut Machine) {
    let key = m.emulator.run_on_ec2("a-role", "eu-west-3b");
    m.drawn.push((key.id().to_owned(), "the role's key"));
    let token = key.session_token().unwrap_or_default().to_owned();
    m.drawn.push((token, "the role's session token"));
}

/// Returns an X.509 provider, with the certificate and the trust chain.
fn certificate(m: &mut Machine, chain: fn(&str, &str) -> Option<String>) {
    let provider = m.emulator.create_x509_provider(WORKLOAD);
    let certificate = provider.certificate("workload.example");
    let (leaf, issuer) = (certificate.certificate_pem(), certificate.issuer_pem());
    for (pem, name) in [(leaf, "the leaf"), (issuer, "the issuer")] {
        let body = pem.lines().filter(|line| !line.starts_with('-')).collect();
        m.drawn.push((body, name));
    }
    let cert_path = m.file("leaf.pem", leaf);
    let key_path = m.file("key.pem", certificate.key_pem());
    let workload = json!({"cert_path": cert_path, "key_path": key_path});
    let config = json!({"cert_configs": {"workload": workload}}).to_string();
    let config = m.file("certificate_config.json", &config);
    let mut source = json!({"certificate_config_location": config});
    if let Some(chain) = chain(leaf, issuer) {
        source["trust_chain_path"] = json!(m.file("chain.pem", &chain));
    }
    let mut account = account(
        WORKLOAD,
        "urn:ietf:params:oauth:token-type:mtls",
        json!({ "certificate": source }),
    );
    account["token_url"] = json!("https://sts.mtls.googleapis.com/v1/token");
    m.credentials(&account.to_string());
}

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = files_and_urls();
    all.extend(programs());
    all.extend(amazon());
    all.extend(certificates());
    all.extend(pools());
    all.extend(impersonation());
    all.extend(broken());
    all
}

fn files_and_urls() -> Vec<Scenario> {
    vec![
        plain("external account: a file of text", BOTH, |m| {
            file(m, json!({}));
        }),
        plain("external account: a file of JSON", BOTH, |m| {
            let token = subject_token(m, WORKLOAD);
            let path = m.file("token.json", &json!({"id_token": token}).to_string());
            let format = json!({"type": "json", "subject_token_field_name": "id_token"});
            let source = json!({"file": path, "format": format});
            m.credentials(&account(WORKLOAD, JWT, source).to_string());
        }),
        plain(
            "external account: a file that ends with a newline",
            BOTH,
            |m| {
                let token = subject_token(m, WORKLOAD);
                let path = m.file("token", &format!("{token}\n"));
                m.credentials(&account(WORKLOAD, JWT, json!({ "file": path })).to_string());
            },
        ),
        plain("external account: an identity token", BOTH, |m| {
            let token_type = "urn:ietf:params:oauth:token-type:id_token";
            file(m, json!({"subject_token_type": token_type}));
        }),
        plain("external account: a URL of text", BOTH, |m| {
            let token = subject_token(m, WORKLOAD);
            let response = Fault::respond(200, "text/plain", token).times(9);
            m.emulator.fault("tokens.example.com", response);
            let source = json!({"url": "https://tokens.example.com/mine"});
            m.credentials(&account(WORKLOAD, JWT, source).to_string());
        }),
        plain("external account: a URL of JSON, with headers", BOTH, |m| {
            let token = subject_token(m, WORKLOAD);
            let response = Fault::status(200).json(&json!({"token": token})).times(9);
            m.emulator.fault("tokens.example.com", response);
            let source = json!({
                "url": "https://tokens.example.com/mine?a=b%20c&d",
                "headers": {"Metadata": "yes", "Authorization": "Basic abc="},
                "format": {"type": "json", "subject_token_field_name": "token"},
            });
            m.credentials(&account(WORKLOAD, JWT, source).to_string());
        }),
        plain("external account: GitHub Actions", BOTH, |m| {
            let token = subject_token(m, WORKLOAD);
            let host = "pipelines.actions.githubusercontent.com";
            let response = Fault::status(200).json(&json!({"count": 1900, "value": token}));
            m.emulator.fault(host, response.times(9));
            // As google-github-actions/auth writes it.
            let mut file = account(
                WORKLOAD,
                JWT,
                json!({
                    "url": format!("https://{host}/0a1b/_apis/distributedtask/hubs/Actions/plans/2c3d/jobs/4e5f/idtoken?api-version=2.0&audience=https%3A%2F%2Fiam.googleapis.com%2Fprojects%2F123456789012%2Flocations%2Fglobal%2FworkloadIdentityPools%2Fpool%2Fproviders%2Fprovider"),
                    "headers": {"Authorization": "Bearer of-this-job"},
                    "format": {"type": "json", "subject_token_field_name": "value"},
                }),
            );
            file["service_account_impersonation_url"] = json!(ROBOT_URL);
            let path = m.file("gha-creds-0123456789abcdef.json", &file.to_string());
            let path = path.display().to_string();
            m.set("GOOGLE_APPLICATION_CREDENTIALS", path.clone());
            m.set("CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE", path.clone());
            m.set("GOOGLE_GHA_CREDS_PATH", path);
            m.set("GITHUB_ACTIONS", "true");
        }),
        plain("external account: Azure", BOTH, |m| {
            let token = subject_token(m, WORKLOAD);
            let response =
                Fault::status(200).json(&json!({"access_token": token, "expires_in": "86399"}));
            m.emulator.fault(
                "169.254.169.254",
                response.on_path("/metadata/identity/oauth2/token").times(9),
            );
            // As `gcloud iam workload-identity-pools create-cred-config --azure` writes it.
            let source = json!({
                "url": "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=api://my-app",
                "headers": {"Metadata": "True"},
                "format": {"type": "json", "subject_token_field_name": "access_token"},
            });
            m.credentials(&account(WORKLOAD, JWT, source).to_string());
        }),
    ]
}

fn programs() -> Vec<Scenario> {
    vec![
        plain("external account: an executable", BOTH, |m| {
            m.set("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1");
            executable(m, output);
        }),
        plain(
            "external account: an executable that is not allowed",
            BOTH,
            |m| {
                executable(m, output);
            },
        ),
        plain(
            "external account: an executable whose token has expired",
            BOTH,
            |m| {
                m.set("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1");
                executable(m, |token| {
                    let mut output = output(token);
                    output["expiration_time"] = json!(1_000_000_000);
                    output
                });
            },
        ),
        plain("external account: an executable that fails", BOTH, |m| {
            m.set("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1");
            executable(
                m,
                |_| json!({"version": 1, "success": false, "code": "401", "message": "no"}),
            );
        }),
        plain(
            "external account: an executable with an output file",
            BOTH,
            |m| {
                m.set("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1");
                let token = subject_token(m, WORKLOAD);
                let path = m.file("cached.json", &output(token).to_string());
                let source = json!({"executable": {"command": "/bin/false", "output_file": path}});
                m.credentials(&account(WORKLOAD, JWT, source).to_string());
            },
        ),
        plain(
            "external account: an executable with an old output file",
            BOTH,
            |m| {
                m.set("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1");
                let token = subject_token(m, WORKLOAD);
                let command = program(m, &output(token));
                let mut old = output("old".into());
                old["expiration_time"] = json!(1_000_000_000);
                let path = m.file("cached.json", &old.to_string());
                let source = json!({"executable": {"command": command, "output_file": path}});
                m.credentials(&account(WORKLOAD, JWT, source).to_string());
            },
        ),
    ]
}

fn amazon() -> Vec<Scenario> {
    vec![
        plain("external account: AWS, a permanent key", BOTH, |m| {
            aws(m);
            aws_key(m, AwsKey::permanent("AKIAEMULATED", "secret/+="));
            m.set("AWS_REGION", "us-east-2");
        }),
        plain("external account: AWS, a temporary key", BOTH, |m| {
            aws(m);
            aws_key(
                m,
                AwsKey::temporary("ASIAEMULATED", "secret", "a/session+token=="),
            );
            m.set("AWS_REGION", "ap-southeast-4");
        }),
        plain("external account: AWS, the default region", BOTH, |m| {
            aws(m);
            aws_key(m, AwsKey::permanent("AKIAEMULATED", "secret"));
            m.set("AWS_DEFAULT_REGION", "us-gov-west-1");
        }),
        plain("external account: AWS, a machine's role", BOTH, |m| {
            aws(m);
            ec2(m);
        }),
        plain(
            "external account: AWS, a key, and the machine's region",
            BOTH,
            |m| {
                aws(m);
                ec2(m);
                aws_key(m, AwsKey::permanent("AKIAEMULATED", "secret"));
            },
        ),
        plain("external account: AWS, no machine of Amazon's", BOTH, |m| {
            aws(m);
        }),
        plain(
            "external account: AWS, a key that Amazon does not know",
            BOTH,
            |m| {
                aws(m);
                m.set("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN");
                m.set("AWS_SECRET_ACCESS_KEY", "secret");
                m.set("AWS_REGION", "us-east-2");
            },
        ),
    ]
}

fn certificates() -> Vec<Scenario> {
    vec![
        plain("external account: X.509", BOTH, |m| {
            certificate(m, |_, _| None)
        }),
        plain(
            "external account: X.509, a chain with the leaf",
            BOTH,
            |m| {
                certificate(m, |leaf, issuer| Some(format!("{leaf}{issuer}")));
            },
        ),
        plain(
            "external account: X.509, a chain without the leaf",
            BOTH,
            |m| {
                certificate(m, |_, issuer| Some(issuer.to_owned()));
            },
        ),
        plain(
            "external account: X.509, a chain in the wrong order",
            BOTH,
            |m| {
                certificate(m, |leaf, issuer| Some(format!("{issuer}{leaf}")));
            },
        ),
    ]
}

fn pools() -> Vec<Scenario> {
    vec![
        plain("external account: a workforce pool", BOTH, |m| {
            let project = json!({"workforce_pool_user_project": "123456789012"});
            file_of(m, WORKFORCE, project);
        }),
        Scenario {
            emulator: |builder| builder.oauth_client(CLIENT, "client-secret"),
            ..plain(
                "external account: a workforce pool and a client",
                BOTH,
                |m| {
                    let more = json!({
                        "workforce_pool_user_project": "123456789012",
                        "client_id": CLIENT,
                        "client_secret": "client-secret",
                    });
                    file_of(m, WORKFORCE, more);
                },
            )
        },
        Scenario {
            emulator: |builder| builder.oauth_client(CLIENT, "client-secret"),
            ..plain("external account: a client", BOTH, |m| {
                file(
                    m,
                    json!({"client_id": CLIENT, "client_secret": "client-secret"}),
                );
            })
        },
        plain("external account: a client that is not known", BOTH, |m| {
            file(m, json!({"client_id": CLIENT, "client_secret": "wrong"}));
        }),
        plain("external account: a quota project in the file", BOTH, |m| {
            file(m, json!({"quota_project_id": "ee-demo-project"}));
        }),
        plain(
            "external account: a project in the environment",
            BOTH,
            |m| {
                file(m, json!({}));
                m.set("GOOGLE_CLOUD_PROJECT", "env-project");
            },
        ),
        plain("external account: in gcloud's place", BOTH, |m| {
            let token = subject_token(m, WORKLOAD);
            let path = m.file("token", &token);
            let text = account(WORKLOAD, JWT, json!({ "file": path })).to_string();
            m.file(".config/gcloud/application_default_credentials.json", &text);
        }),
    ]
}

fn impersonation() -> Vec<Scenario> {
    const FIELD: &str = "service_account_impersonation_url";
    vec![
        plain("external account: impersonation", BOTH, |m| {
            file(m, json!({FIELD: ROBOT_URL}));
        }),
        plain(
            "external account: impersonation with a lifetime",
            BOTH,
            |m| {
                let lifetime = json!({"token_lifetime_seconds": 1800});
                file(
                    m,
                    json!({FIELD: ROBOT_URL, "service_account_impersonation": lifetime}),
                );
            },
        ),
        plain(
            "external account: impersonation with a quota project",
            BOTH,
            |m| {
                file(
                    m,
                    json!({FIELD: ROBOT_URL, "quota_project_id": "ee-demo-project"}),
                );
            },
        ),
        plain(
            "external account: impersonation with a quota project in the environment",
            BOTH,
            |m| {
                file(
                    m,
                    json!({FIELD: ROBOT_URL, "quota_project_id": "of-the-file"}),
                );
                m.set("GOOGLE_CLOUD_QUOTA_PROJECT", "ee-demo-project");
            },
        ),
    ]
}

fn broken() -> Vec<Scenario> {
    vec![
        plain("external account: no audience", BOTH, |m| {
            file(m, json!({"audience": null}));
        }),
        plain("external account: no token endpoint", BOTH, |m| {
            file(m, json!({"token_url": null}));
        }),
        plain("external account: no source", BOTH, |m| {
            file(m, json!({"credential_source": null}));
        }),
        plain("external account: two sources", BOTH, |m| {
            let source = json!({"file": "/x", "url": "https://tokens.example.com/"});
            file(m, json!({"credential_source": source}));
        }),
        plain("external account: an unknown format", BOTH, |m| {
            let source = json!({"file": "/x", "format": {"type": "xml"}});
            file(m, json!({"credential_source": source}));
        }),
        plain("external account: a file that is not there", BOTH, |m| {
            file(m, json!({"credential_source": {"file": "/nowhere/at/all"}}));
        }),
        plain(
            "external account: a user project for a workload",
            BOTH,
            |m| {
                file(m, json!({"workforce_pool_user_project": "123456789012"}));
            },
        ),
        plain("external account: a provider that is gone", BOTH, |m| {
            file(m, json!({"audience": format!("{WORKLOAD}-gone")}));
        }),
    ]
}
