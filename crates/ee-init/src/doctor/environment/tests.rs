use std::fs;

use ee_credentials::{Environment, Platform};
use ee_emulator::Emulator;

use crate::doctor::tests::check;
use crate::{CheckStatus, Diagnosis, EarthEngine};

async fn diagnose_with_variables(variables: &[(&str, &str)]) -> Diagnosis {
    // Without an emulator. The hosts are rejected before any request.
    let environment = Environment::empty()
        .with_os(Platform::Linux)
        .with_var("EARTHENGINE_EMULATOR_HOST", "nonsense");
    let environment = variables
        .iter()
        .fold(environment, |environment, (name, value)| {
            environment.with_var(*name, *value)
        });
    EarthEngine::builder()
        .environment(environment)
        .diagnose()
        .await
}

#[tokio::test]
async fn proxy_is_shown_without_its_password() {
    use CheckStatus::{Failed, Ok, Warning};
    for (variables, status, mentions) in [
        (&[][..], Ok, "none"),
        (
            &[("HTTPS_PROXY", "http://jane:canary@proxy.example:3128")],
            Ok,
            "proxy.example:3128, from HTTPS_PROXY",
        ),
        (
            &[("all_proxy", "proxy.example:1"), ("no_proxy", "localhost")],
            Ok,
            "except for the hosts in no_proxy",
        ),
        (
            &[("ALL_PROXY", "socks5h://jane:canary@x:1080")],
            Ok,
            "socks5h://x:1080, from ALL_PROXY",
        ),
        (
            &[("HTTPS_PROXY", ""), ("https_proxy", "proxy.example:1")],
            Ok,
            "from https_proxy",
        ),
        (
            &[("HTTPS_PROXY", "http://jane:canary@:")],
            Failed,
            "HTTPS_PROXY",
        ),
        (
            &[("HTTPS_PROXY", "http://jane:can/ary@proxy.example:1")],
            Failed,
            "HTTPS_PROXY cannot be used",
        ),
        (&[("HTTP_PROXY", "http://x")], Warning, "HTTP_PROXY"),
    ] {
        let diagnosis = diagnose_with_variables(variables).await;
        let found = check(&diagnosis, "proxy");
        assert_eq!(found.status, status, "{found:?}");
        assert!(found.message.contains(mentions), "{found:?}");
        assert!(!format!("{diagnosis:?}").contains("canary"));
    }
}

#[tokio::test]
async fn certificate_authorities_that_cannot_be_loaded_are_named() {
    use CheckStatus::{Failed, Ok, Warning};
    let emulator = Emulator::start().await.unwrap();
    let provider = emulator.create_x509_provider("//iam.googleapis.com/x");
    let issuer = provider.certificate("workload.example");
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let one = path("one.pem", issuer.issuer_pem());
    let none = path("none.pem", "hello");
    let here = dir.path().display().to_string();
    for (variables, status, mentions) in [
        (&[("SSL_CERT_FILE", one.as_str())][..], Ok, "1 in "),
        (&[("SSL_CERT_FILE", &none)], Failed, "no certificate"),
        (
            &[("SSL_CERT_FILE", "/nowhere.pem")],
            Failed,
            "SSL_CERT_FILE",
        ),
        (&[("SSL_CERT_FILE", "/")], Failed, "is a directory"),
        (&[("SSL_CERT_DIR", &here)], Ok, "SSL_CERT_DIR"),
        (&[("SSL_CERT_DIR", "/nowhere")], Failed, "does not exist"),
        (
            &[("SSL_CERT_FILE", &one), ("SSL_CERT_DIR", "/nowhere")],
            Warning,
            "SSL_CERT_DIR",
        ),
    ] {
        let diagnosis = diagnose_with_variables(variables).await;
        let found = check(&diagnosis, "certificates");
        assert_eq!(found.status, status, "{found:?}");
        assert!(found.message.contains(mentions), "{found:?}");
    }
    // This system may have no authorities.
    for (name, mentions) in [
        ("REQUESTS_CA_BUNDLE", "is ignored"),
        ("UNRELATED", "the system's"),
    ] {
        let diagnosis = diagnose_with_variables(&[(name, "/x.pem")]).await;
        let found = check(&diagnosis, "certificates");
        let has_none = found.message.contains("no certificate authorities");
        assert!(has_none || found.message.contains(mentions), "{found:?}");
    }
}
