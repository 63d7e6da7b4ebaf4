//! The certificates that the library's own TLS clients accept.

use std::time::Duration;

use earthengine::token::{ErrorKind, HttpClient, Request, SecretString};
use earthengine::{Endpoints, Method};
use ee_emulator::Emulator;
use ee_test_support::certificates::{Authority, Certificate};
use ee_test_support::faulty_server::{FaultyServer, Upstream};
use ee_test_support::subprocess;

const HOST: &str = "localhost";
const TEST: &str = "certificates::each_verifier_accepts_only_the_hosts_own_certificate";

async fn send(http: &HttpClient, server: &FaultyServer) -> Result<(), earthengine::token::Error> {
    let url = format!("https://{HOST}:{}/", server.address().port());
    let mut request = Request::new(Method::GET, url.parse().unwrap());
    *request.timeout_mut() = Some(Duration::from_secs(20));
    http.send(request).await.map(drop)
}

/// The platform's verifier, the same with a client certificate, and a single root certificate. Runs
/// in a process whose environment names the test's authority as the platform's.
#[tokio::test(flavor = "multi_thread")]
async fn each_verifier_accepts_only_the_hosts_own_certificate() {
    let Some(bundle) = subprocess::input() else {
        let home = tempfile::tempdir().unwrap();
        let bundle = home.path().join("authorities.pem").display().to_string();
        let mut process = subprocess::rerun(&[], TEST, &bundle);
        process
            .env("SSL_CERT_FILE", &bundle)
            .env_remove("SSL_CERT_DIR");
        return subprocess::assert_passes(&mut process);
    };
    let (authority, unknown) = (Authority::new(), Authority::new());
    std::fs::write(bundle, authority.pem()).unwrap();
    let emulator = Emulator::start().await.unwrap();
    let workload = emulator
        .create_x509_provider("//iam.googleapis.com/x")
        .certificate("workload.example");
    let default = HttpClient::new(Endpoints::google());
    let key = SecretString::from(workload.key_pem());
    let chain = workload.certificate_pem();
    for (verifier, http) in [
        (
            "with_root_certificates",
            default.with_root_certificates(&authority.pem()).unwrap(),
        ),
        ("with_identity", default.with_identity(chain, &key).unwrap()),
        ("new", default),
    ] {
        let start = async |certificate: Certificate| {
            let upstream = Upstream::Emulator(HOST, emulator.address());
            FaultyServer::start(upstream, Some(certificate.http1_config())).await
        };
        for (problem, certificate) in [
            ("another name", authority.issue(&["other.example"])),
            ("expired", authority.issue_for_january(&[HOST], 2020)),
            ("not yet valid", authority.issue_for_january(&[HOST], 2090)),
            ("self-signed", Certificate::self_signed(&[HOST])),
            ("unknown authority", unknown.issue(&[HOST])),
        ] {
            let server = start(certificate).await;
            let error = send(&http, &server).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Network, "{verifier}, {problem}");
            let message = error.to_string();
            assert!(
                message.contains("certificate"),
                "{verifier}, {problem}: {message}"
            );
            assert_eq!(server.requests(), 0, "{verifier}, {problem}");
        }
        let server = start(authority.issue(&[HOST])).await;
        send(&http, &server).await.unwrap();
        assert_eq!(server.requests(), 1, "{verifier}");
    }
}

/// Most systems have a file and a directory with the same authorities, and the file is read first.
/// Runs in a process whose environment names a file with one authority and a directory with two.
#[tokio::test(flavor = "multi_thread")]
async fn authority_in_the_directory_alone_is_trusted() {
    const TEST: &str = "certificates::authority_in_the_directory_alone_is_trusted";
    let Some(dir) = subprocess::input() else {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("authorities").display().to_string();
        let mut process = subprocess::rerun(&[], TEST, &dir);
        process
            .env("SSL_CERT_FILE", home.path().join("authorities.pem"))
            .env("SSL_CERT_DIR", &dir);
        return subprocess::assert_passes(&mut process);
    };
    let [both, in_directory, unknown] = std::array::from_fn(|_| Authority::new());
    let write = |name: &str, authority: &Authority| std::fs::write(name, authority.pem()).unwrap();
    std::fs::create_dir(&dir).unwrap();
    write(&format!("{dir}.pem"), &both);
    write(&format!("{dir}/1.pem"), &both);
    write(&format!("{dir}/2.pem"), &in_directory);
    let emulator = Emulator::start().await.unwrap();
    let http = HttpClient::new(Endpoints::google());
    for (authority, is_trusted) in [(both, true), (in_directory, true), (unknown, false)] {
        let upstream = Upstream::Emulator(HOST, emulator.address());
        let certificate = authority.issue(&[HOST]);
        let server = FaultyServer::start(upstream, Some(certificate.http1_config())).await;
        assert_eq!(send(&http, &server).await.is_ok(), is_trusted);
        assert_eq!(server.requests() == 1, is_trusted);
    }
}

/// Runs in a process whose environment names authorities that do not exist.
#[tokio::test(flavor = "multi_thread")]
async fn authorities_that_cannot_be_loaded_are_named() {
    const TEST: &str = "certificates::authorities_that_cannot_be_loaded_are_named";
    let Some(bundle) = subprocess::input() else {
        let mut process = subprocess::rerun(&[], TEST, "/nowhere/authorities.pem");
        process
            .env("SSL_CERT_FILE", "/nowhere/authorities.pem")
            .env_remove("SSL_CERT_DIR");
        return subprocess::assert_passes(&mut process);
    };
    let emulator = Emulator::start().await.unwrap();
    let upstream = Upstream::Emulator(HOST, emulator.address());
    let certificate = Authority::new().issue(&[HOST]);
    let server = FaultyServer::start(upstream, Some(certificate.http1_config())).await;
    let error = send(&HttpClient::new(Endpoints::google()), &server)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidEnvironment, "{error}");
    let text = error.to_string();
    assert!(
        text.contains("SSL_CERT_FILE") && text.contains(&bundle),
        "{text}"
    );
    assert!(error.remedy().text.contains("SSL_CERT_FILE"), "{error:?}");
    assert_eq!(server.requests(), 0);
}
