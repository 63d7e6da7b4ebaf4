//! The library's own TLS settings, and what they take for a host's certificate.

use std::time::Duration;

use earthengine::token::{ErrorKind, HttpClient, Request, SecretString};
use earthengine::{Endpoints, Method};
use ee_emulator::Emulator;

use crate::certificates::{Authority, Certificate};
use crate::disk::{PART, again, part};
use crate::front::Front;
use crate::town::http_1;

const HOST: &str = "localhost";
const TEST: &str =
    "verifiers::each_of_our_verifiers_takes_the_hosts_own_certificate_and_refuses_all_others";

async fn ask(http: &HttpClient, front: &Front) -> Result<(), earthengine::token::Error> {
    let url = format!("https://{HOST}:{}/", front.address().port());
    let mut request = Request::new(Method::GET, url.parse().unwrap());
    *request.timeout_mut() = Some(Duration::from_secs(20));
    http.send(request).await.map(drop)
}

/// The platform's verifier, the same with a certificate of our own to show, and one that knows a
/// single authority. In a process of its own, whose environment names the test's authority as the
/// platform's.
#[tokio::test(flavor = "multi_thread")]
async fn each_of_our_verifiers_takes_the_hosts_own_certificate_and_refuses_all_others() {
    let Some(bundle) = part() else {
        let home = tempfile::tempdir().unwrap();
        let bundle = home.path().join("authorities.pem");
        let output = again(&[], TEST)
            .env(PART, &bundle)
            .env("SSL_CERT_FILE", &bundle)
            .env_remove("SSL_CERT_DIR")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        let passed = output.status.success() && said.contains("1 passed");
        assert!(passed, "{said}{errors}");
        return;
    };
    let (authority, stranger) = (Authority::new(), Authority::new());
    std::fs::write(bundle, authority.pem()).unwrap();
    let emulator = Emulator::start().await.unwrap();
    let workload = emulator
        .create_x509_provider("//iam.googleapis.com/x")
        .certificate("workload.example");
    let plain = HttpClient::new(Endpoints::google());
    let key = SecretString::from(workload.key_pem());
    let chain = workload.certificate_pem();
    for (verifier, http) in [
        (
            "with_root_certificates",
            plain.with_root_certificates(&authority.pem()).unwrap(),
        ),
        ("mutual", plain.with_identity(chain, &key).unwrap()),
        ("new", plain),
    ] {
        for (what, certificate) in [
            ("another name", authority.issue(&["other.example"])),
            ("over", authority.issue_for_january(&[HOST], 2020)),
            ("not valid yet", authority.issue_for_january(&[HOST], 2090)),
            ("self-signed", Certificate::self_signed(&[HOST])),
            ("a stranger's", stranger.issue(&[HOST])),
        ] {
            let front = Front::start(HOST, emulator.address(), Some(http_1(certificate))).await;
            let error = ask(&http, &front).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Network, "{verifier}, {what}");
            let told = error.to_string();
            assert!(told.contains("certificate"), "{verifier}, {what}: {told}");
            assert_eq!(front.requests(), 0, "{verifier}, {what}");
        }
        let own = http_1(authority.issue(&[HOST]));
        let front = Front::start(HOST, emulator.address(), Some(own)).await;
        ask(&http, &front).await.unwrap();
        assert_eq!(front.requests(), 1, "{verifier}");
    }
}
