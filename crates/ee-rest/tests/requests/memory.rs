//! Memory use of streamed responses.
#![cfg(target_os = "linux")]

use std::net::SocketAddr;
use std::process::Command;

use ee_emulator::Fault;
use ee_rest::{Operation, Pages};
use ee_token::SecretString;
use http::Method;

use super::*;

const TOTAL: u64 = 1 << 30;
const MIB: u64 = 1024;

/// Passes the emulator's address to the child process.
const ADDRESS: &str = "EE_TEST_STREAM_FROM";

/// Runs `read` against an emulator with this fault, in a child process, because peak memory is
/// measured per process. Returns the peak in KiB, or `None` in the child.
#[allow(clippy::print_stdout, reason = "the parent process reads it")]
fn peak_of<F: Future>(test: &str, fault: Fault, read: impl FnOnce(Client) -> F) -> Option<u64> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Ok(address) = std::env::var(ADDRESS) {
        runtime.block_on(async { read(client_of(address.parse().unwrap())).await });
        println!("peak {} KiB", peak_kib());
        return None;
    }
    let output = runtime.block_on(async {
        let setup = Setup::new().await;
        setup.fault(fault);
        let address = setup.emulator.address().to_string();
        let test = format!("memory::{test}");
        let child = tokio::task::spawn_blocking(move || {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "--nocapture", "--test-threads=1", &test])
                .env(ADDRESS, address)
                .output()
                .unwrap()
        });
        child.await.unwrap()
    });
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    let peak = text.split("peak ").nth(1).and_then(|t| t.split(' ').next());
    Some(peak.unwrap().parse().unwrap())
}

fn client_of(address: SocketAddr) -> Client {
    let endpoints = Endpoints::emulator(address).unwrap();
    let key = SecretString::from("any");
    let client = Client::builder(Auth::api_key(key), HttpClient::new(endpoints));
    client.project(PROJECT).build().unwrap()
}

#[test]
fn streaming_a_gibibyte_takes_less_than_32_mebibytes() {
    let test = "streaming_a_gibibyte_takes_less_than_32_mebibytes";
    let peak = peak_of(test, Fault::respond_stream(TOTAL), async |client| {
        let request = client.request(Method::GET, "config");
        let mut stream = request.send_streaming().await.unwrap();
        while stream.chunk().await.unwrap().is_some() {}
        assert_eq!(stream.bytes_read(), TOTAL);
    });
    assert!(peak.is_none_or(|peak| peak < 32 * MIB), "{peak:?} KiB");
}

/// Each item takes three bytes of the response and hundreds of bytes when parsed.
#[test]
fn long_page_of_small_items_is_parsed_one_by_one() {
    const ITEMS: usize = 1_000_000;
    let test = "long_page_of_small_items_is_parsed_one_by_one";
    let page = format!("{{\"assets\":[{}{{}}]}}", "{},".repeat(ITEMS - 1));
    let fault = Fault::respond(200, "application/json", page);
    let peak = peak_of(test, fault, async |client| {
        let list = move |_: Option<&str>| client.request(Method::GET, "assets");
        let mut items = Pages::<Operation>::new("assets", list).items();
        let mut seen = 0;
        while let Some(item) = items.next().await {
            item.unwrap();
            seen += 1;
        }
        assert_eq!(seen, ITEMS);
    });
    assert!(peak.is_none_or(|peak| peak < 64 * MIB), "{peak:?} KiB");
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.unwrap().split_whitespace().nth(1);
    number.unwrap().parse().unwrap()
}
