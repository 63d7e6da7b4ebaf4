//! Memory use of streamed responses.
#![cfg(target_os = "linux")]

use std::net::SocketAddr;
use std::process::Command;

use ee_emulator::Fault;
use ee_token::SecretString;
use http::Method;

use super::*;

const TOTAL: u64 = 1 << 30;
const MAX_KIB: u64 = 32 * 1024;

/// Passes the emulator's address to the child process.
const ADDRESS: &str = "EE_TEST_STREAM_FROM";

/// The test runs itself as a child process, because peak memory is measured per process.
#[test]
fn streaming_a_gibibyte_takes_less_than_32_mebibytes() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Ok(address) = std::env::var(ADDRESS) {
        let read = runtime.block_on(read_all(address.parse().unwrap()));
        assert_eq!(read, TOTAL);
        println!("peak {} KiB", peak_kib());
        return;
    }
    let output = runtime.block_on(async {
        let setup = Setup::new().await;
        setup.fault(Fault::respond_stream(TOTAL));
        let address = setup.emulator.address().to_string();
        let child = tokio::task::spawn_blocking(move || {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "--nocapture", "--test-threads=1"])
                .arg("memory::streaming_a_gibibyte_takes_less_than_32_mebibytes")
                .env(ADDRESS, address)
                .output()
                .unwrap()
        });
        child.await.unwrap()
    });
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    let peak = text.split("peak ").nth(1).and_then(|t| t.split(' ').next());
    let peak: u64 = peak.unwrap().parse().unwrap();
    assert!(peak < MAX_KIB, "{peak} KiB");
}

async fn read_all(address: SocketAddr) -> u64 {
    let endpoints = Endpoints::emulator(address).unwrap();
    let key = SecretString::from("any");
    let client = Client::builder(Auth::api_key(key), HttpClient::new(endpoints));
    let client = client.project(PROJECT).build().unwrap();
    let request = client.request(Method::GET, "config");
    let mut stream = request.send_streaming().await.unwrap();
    while stream.chunk().await.unwrap().is_some() {}
    stream.bytes_read()
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.unwrap().split_whitespace().nth(1);
    number.unwrap().parse().unwrap()
}
