//! `eectl serve`: its life, its sockets, and what ends it.

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Child;
use std::time::{Duration, Instant};

use super::broker::{eectl, first_line, shell, token_requests};
use super::login::send_signal;
use super::*;

/// Starts `eectl serve` and waits until it listens.
pub(crate) fn serve(machine: &Machine, arguments: &[&str]) -> (Child, String) {
    let mut child = eectl(machine, &[&["serve", "-q"], arguments].concat())
        .spawn()
        .unwrap();
    let line = first_line(&mut child);
    (child, line)
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_runs_until_it_is_stopped() {
    let mut machine = Machine::with_key(|b| b).await;
    let ledger = machine.path("ledger.jsonl");
    let (child, address) = serve(&machine, &["--listen", "127.0.0.1:0", "--ledger", &ledger]);
    machine.set("GCE_METADATA_HOST", &address);
    machine.set("EARTHENGINE_CREDENTIALS_SOURCE", "metadata_server");
    machine.variables.remove("NO_GCE_CHECK");
    let token = machine.run(&["auth", "token"]).await.stdout;
    assert!(token.starts_with("ya29."), "{token}");
    let status = machine.json(&["serve", "--status", "--json"]).await;
    assert_eq!(status["tokens"], 1);
    assert_eq!(status["credential"]["principal"], ROBOT);
    let text = machine.run(&["serve", "--status"]).await.stdout;
    assert!(
        text.contains(ROBOT) && text.contains("tokens        1"),
        "{text}"
    );
    assert!(text.contains(", command eectl, pid "), "{text}");
    assert!(text.contains(", granted earthengine, "), "{text}");
    let (status, error) = machine.failure(&["serve", "--listen", &address]).await;
    machine.variables.remove("EARTHENGINE_CREDENTIALS_SOURCE");
    assert_eq!((status, code(&error)), (1, "io"), "{error}");
    send_signal(&child, "TERM");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let (status, error) = machine
        .failure(&["serve", "--status", "--listen", &address])
        .await;
    assert_eq!((status, code(&error)), (1, "io"), "{error}");
    let ledger = fs::read_to_string(&ledger).unwrap();
    assert!(
        ledger.contains("\"event\":\"token\"") && !ledger.contains("ya29."),
        "{ledger}"
    );
    assert!(ledger.contains("\"command\":\"eectl\""), "{ledger}");
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_names_the_variables_for_clients() {
    let machine = Machine::with_key(|b| b).await;
    let out = machine.home.path().join("out");
    let mut command = eectl(&machine, &["serve", "--json", "--listen", "127.0.0.1:0"]);
    command.stdout(fs::File::create(&out).unwrap());
    let child = command.spawn().unwrap();
    let started = Instant::now();
    let printed: Value = loop {
        if let Ok(printed) = serde_json::from_str(&fs::read_to_string(&out).unwrap()) {
            break printed;
        }
        assert!(started.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(20));
    };
    send_signal(&child, "TERM");
    assert!(child.wait_with_output().unwrap().status.success());
    let address = &printed["addresses"][0];
    // Clients in Python take the project from the quota project only.
    let expected = serde_json::json!({
        "GCE_METADATA_HOST": address,
        "GCE_METADATA_IP": address,
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "GOOGLE_CLOUD_QUOTA_PROJECT": PROJECT,
    });
    assert_eq!(printed["environment"], expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_listens_at_a_socket_and_forwards_to_it() {
    let mut machine = Machine::with_key(|b| b).await;
    let socket = machine.path("ee.sock");
    let (broker, shown) = serve(&machine, &["--unix", &socket]);
    assert_eq!(shown, socket);
    let connect = ["--connect", &socket, "--listen", "127.0.0.1:0"];
    let (forwarder, address) = serve(&machine, &connect);
    machine.set("GCE_METADATA_HOST", &address);
    machine.set("EARTHENGINE_CREDENTIALS_SOURCE", "metadata_server");
    machine.variables.remove("NO_GCE_CHECK");
    let token = machine.run(&["auth", "token"]).await;
    assert!(token.stdout.starts_with("ya29."), "{}", token.stderr);
    let status = machine
        .json(&["serve", "--status", "--unix", &socket, "--json"])
        .await;
    assert_eq!(status["tokens"], 1);
    for child in [broker, forwarder] {
        send_signal(&child, "INT");
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    assert!(!PathBuf::from(&socket).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_passes_a_socket_and_is_notified() {
    let machine = Machine::with_key(|b| b).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let notify = machine.home.path().join("notify");
    let notified = UnixDatagram::bind(&notify).unwrap();
    notified
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let script =
        format!("exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec '{EECTL}' serve -q");
    let mut command = shell(&machine, &script);
    command
        .env("NOTIFY_SOCKET", &notify)
        .stdin(Stdio::from(OwnedFd::from(listener)));
    let mut child = command.spawn().unwrap();
    // The command holds the socket as its standard input.
    drop(command);
    let mut state = [0; 64];
    let n = notified.recv(&mut state).unwrap();
    assert_eq!(&state[..n], b"READY=1");
    assert_eq!(first_line(&mut child), address);
    let status = machine
        .run(&["serve", "--status", "--listen", &address, "--json"])
        .await;
    assert_eq!(status.json()["project"], PROJECT);
    send_signal(&child, "TERM");
    let n = notified.recv(&mut state).unwrap();
    assert_eq!(&state[..n], b"STOPPING=1");
    assert!(child.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_options_of_serve_are_errors() {
    let machine = Machine::with_key(|b| b).await;
    for (options, status, word) in [
        (&["--listen", "0.0.0.0:0"][..], 2, "loopback"),
        (&["--listen", "localhost"], 2, "localhost"),
        (&["--user", "no-such-user"], 2, "no-such-user"),
        (&["--unix", "/no/such/dir/ee.sock"], 1, "ee.sock"),
        (&["--ledger", "/no/such/dir/ledger"], 1, "ledger"),
        (&["--status", "--listen", "127.0.0.1:1"], 1, "no broker"),
        (&["--status", "--user", "root"], 2, "--user"),
    ] {
        let (found, error) = machine.failure(&[&["serve"], options].concat()).await;
        assert_eq!(found, status, "{options:?}: {error}");
        assert!(message(&error).contains(word), "{options:?}: {error}");
    }
    let (_, error) = machine
        .failure(&["serve", "--unix", "/no/such/dir/ee.sock"])
        .await;
    assert!(remedy(&error).contains("directory"), "{error}");
    assert_eq!(token_requests(&machine), 0);
}

/// Starts `eectl serve` below a shell, which waits for it. Returns the shell and the address.
fn serve_below_shell(machine: &Machine, options: &str) -> (Child, String) {
    let script = format!("'{EECTL}' serve -q --listen 127.0.0.1:0 {options} & wait");
    let mut shell = shell(machine, &script).spawn().unwrap();
    let address = first_line(&mut shell);
    assert!(TcpStream::connect(&address).is_ok(), "{address}");
    (shell, address)
}

fn has_stopped(address: &str) -> bool {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(60) {
        if TcpStream::connect(address).is_err() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_ends_with_its_parent_if_asked_to() {
    let machine = Machine::with_key(|b| b).await;
    let socket = machine.home.path().join("ee.sock");
    let options = format!("--unix '{}' --exit-with-parent", socket.display());
    let (mut shell, address) = serve_below_shell(&machine, &options);
    assert!(socket.exists());
    send_signal(&shell, "KILL");
    shell.wait().unwrap();
    assert!(has_stopped(&address));
    assert!(!socket.exists());

    let options = format!("--connect '{}' --exit-with-parent", socket.display());
    let (mut shell, address) = serve_below_shell(&machine, &options);
    send_signal(&shell, "KILL");
    shell.wait().unwrap();
    assert!(has_stopped(&address));
}

/// A script that ends before `eectl` has looked who started it.
#[tokio::test(flavor = "multi_thread")]
async fn serve_ends_if_its_parent_ended_before_it_started() {
    let machine = Machine::with_key(|b| b).await;
    let script =
        format!("(sleep 0.2; exec '{EECTL}' serve -q --listen 127.0.0.1:0 --exit-with-parent) &");
    // The process that adopts it is in another session.
    let mut shell = machine.command("setsid");
    shell
        .args(["--wait", "sh", "-c", &script])
        .env("PATH", "/usr/bin:/bin");
    let mut shell = shell.spawn().unwrap();
    let address = first_line(&mut shell);
    assert!(shell.wait().unwrap().success());
    assert!(has_stopped(&address));
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_outlives_its_parent_by_default() {
    let machine = Machine::with_key(|b| b).await;
    let (mut shell, address) = serve_below_shell(&machine, "");
    send_signal(&shell, "KILL");
    shell.wait().unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let status = ["serve", "--status", "--listen", &address, "--json"];
    let status = machine.json(&status).await;
    let pid = status["pid"].to_string();
    let sent = Command::new("kill").arg(&pid).status();
    assert!(sent.unwrap().success());
    assert!(has_stopped(&address));
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_of_a_killed_broker_is_replaced() {
    let machine = Machine::with_key(|b| b).await;
    let socket = machine.path("ee.sock");
    let (mut killed, _) = serve(&machine, &["--unix", &socket]);
    let (status, error) = machine.failure(&["serve", "--unix", &socket]).await;
    assert_eq!((status, code(&error)), (1, "io"), "{error}");
    assert!(message(&error).contains("another program"), "{error}");
    send_signal(&killed, "KILL");
    killed.wait().unwrap();
    assert!(PathBuf::from(&socket).exists());
    let (mut broker, shown) = serve(&machine, &["--unix", &socket]);
    assert_eq!(shown, socket);
    let status = ["serve", "--status", "--unix", &socket, "--json"];
    let status = machine.json(&status).await;
    assert_eq!(status["pid"], broker.id());
    send_signal(&broker, "TERM");
    assert!(broker.wait().unwrap().success());
    assert!(!PathBuf::from(&socket).exists());
}

/// Simulates a full disk: no file can grow.
#[tokio::test(flavor = "multi_thread")]
async fn full_disk_costs_ledger_entries_and_no_token() {
    let mut machine = Machine::with_key(|b| b).await;
    let script = format!(
        "trap '' XFSZ; ulimit -f 0; exec '{EECTL}' serve -q --listen 127.0.0.1:0 --ledger ledger"
    );
    let mut broker = shell(&machine, &script).spawn().unwrap();
    let address = first_line(&mut broker);
    machine.set("GCE_METADATA_HOST", &address);
    machine.set("EARTHENGINE_CREDENTIALS_SOURCE", "metadata_server");
    machine.variables.remove("NO_GCE_CHECK");
    for _ in 0..2 {
        let token = machine.run(&["auth", "token", "--no-token-cache"]).await;
        assert!(token.stdout.starts_with("ya29."), "{}", token.stderr);
    }
    let started = Instant::now();
    loop {
        let status = machine.json(&["serve", "--status", "--json"]).await;
        assert_eq!(status["tokens"], 2);
        if status["ledger_entries_lost"] == 2 {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{status}");
    }
    send_signal(&broker, "TERM");
    assert!(broker.wait().unwrap().success());
}

/// A network of its own and a user of its own, as in a container, which has only the socket.
#[tokio::test(flavor = "multi_thread")]
async fn container_reaches_the_broker_over_its_socket() {
    // Sets the flag IFF_UP (netdevice(7)).
    const LOOPBACK: &str = r#"import fcntl, socket, struct; fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0x8914, struct.pack("16sh", b"lo", 1))"#;
    const UNSHARE: [&str; 4] = ["--user", "--map-root-user", "--net", "--"];
    let up = ["python3", "-c", LOOPBACK];
    let probe = Command::new("unshare").args(UNSHARE).args(up).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this machine permits no such namespace");
        return;
    }
    let machine = Machine::with_key(|b| b).await;
    let socket = machine.path("ee.sock");
    let (mut broker, _) = serve(&machine, &["--unix", &socket]);
    let home = tempfile::tempdir().unwrap();
    let script = format!(
        "python3 -c '{LOOPBACK}' || exit 9
        '{EECTL}' serve --quiet --connect '{socket}' --exit-with-parent >address &
        while ! test -s address; do sleep 0.05; done
        '{EECTL}' auth token && '{EECTL}' project show --quiet"
    );
    let mut container = Command::new("unshare");
    container
        .args(UNSHARE)
        .args(["sh", "-c", &script])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home.path())
        .env("EARTHENGINE_CREDENTIALS_SOURCE", "metadata_server")
        .env("GCE_METADATA_HOST", "127.0.0.1:8181")
        .current_dir(home.path());
    let run = move || container.output().unwrap();
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let lines: Vec<_> = stdout.lines().collect();
    assert!(lines[0].starts_with("ya29."), "{stderr}");
    assert_eq!(lines[1], PROJECT);
    assert_eq!(token_requests(&machine), 1);
    send_signal(&broker, "TERM");
    assert!(broker.wait().unwrap().success());
}
