//! A proxy between the program and Google that fails.

use earthengine::ErrorKind;
use ee_test_support::faulty_server::{FaultyServer, NetworkFault, Upstream};
use tokio::task::JoinSet;

use crate::google_hosts::{Failure, GoogleHosts, Host, succeeds_with_one_request};

const DENIED: &str = "HTTP/1.1 403 Forbidden\r\ncontent-length: 7\r\n\r\ncanary!";
const LOGIN_REQUIRED: &str = "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"canary\"\r\ncontent-length: 0\r\n\r\n";
const OVERLOADED: &str = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn failing_proxy_is_named_and_not_bypassed() {
    let mut tasks = JoinSet::new();
    for host in [Host::Token, Host::EarthEngine, Host::ResourceManager] {
        for fault in [
            NetworkFault::Responds(LOGIN_REQUIRED),
            NetworkFault::Responds(DENIED),
            NetworkFault::Responds(OVERLOADED),
            NetworkFault::ResetAfterRequest,
            NetworkFault::NeverResponds,
            NetworkFault::ConnectionRefused,
        ] {
            tasks.spawn(failure_with(host, fault));
        }
    }
    for (host, fault, failure) in tasks.join_all().await {
        let kind = match fault {
            NetworkFault::NeverResponds => ErrorKind::Timeout,
            _ => ErrorKind::Network,
        };
        let message = &failure.message;
        assert_eq!(failure.kind, Some(kind), "{fault:?} {failure:?}");
        assert!(message.contains(host.name()), "{failure:?}");
        assert!(failure.remedy.unwrap().contains("HTTPS_PROXY"), "{fault:?}");
        assert!(!message.contains("canary"), "{message}");
        if kind == ErrorKind::Network {
            assert!(message.contains("proxy"), "{fault:?}: {message}");
        }
    }
}

async fn failure_with(host: Host, fault: NetworkFault) -> (Host, NetworkFault, Failure) {
    let google = GoogleHosts::new().await;
    let proxy = FaultyServer::start(Upstream::Tunnel, None).await;
    let url = format!("http://{}", proxy.address());
    let client = google.client().proxy(reqwest::Proxy::https(url).unwrap());
    let program = google.program_with(host, client).await;
    let tunnels = proxy.connections();
    assert_eq!(tunnels, google.connections(), "each uses the proxy");

    proxy.set_fault(fault).await;
    let failure = program.run().await.unwrap_err();
    assert_eq!(tunnels, google.connections(), "no connection bypasses it");
    proxy.set_fault(NetworkFault::None).await;
    succeeds_with_one_request(&google, host, &program).await;
    (host, fault, failure)
}
