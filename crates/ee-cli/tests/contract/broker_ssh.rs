//! `eectl serve` on one machine, and its clients on another that OpenSSH forwards the socket to.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use ee_test_support::installed::system_program;
use ee_test_support::subprocess::print;

use super::broker_serve::serve;
use super::login::send_signal;
use super::*;

/// A server for one connection each, as the user of the test, with keys made for it.
struct SshServer {
    dir: TempDir,
    ssh: PathBuf,
    sshd: PathBuf,
    user: String,
}

impl SshServer {
    /// Returns `None`, with the reason on standard error, if this machine cannot run one.
    fn new() -> Option<Self> {
        let [ssh, sshd, keygen] = ["ssh", "sshd", "ssh-keygen"].map(system_program);
        let (ssh, sshd, keygen) = (ssh?, sshd?, keygen?);
        let dir = tempfile::tempdir().unwrap();
        for name in ["host", "client"] {
            let mut command = Command::new(&keygen);
            command.args(["-q", "-t", "ed25519", "-N", "", "-f"]);
            assert!(
                command
                    .arg(dir.path().join(name))
                    .status()
                    .unwrap()
                    .success()
            );
        }
        let path = |name| dir.path().join(name).display().to_string();
        let config = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n",
            path("host"),
            path("client.pub")
        );
        fs::write(dir.path().join("config"), config).unwrap();
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap().trim().to_owned();
        let server = Self {
            dir,
            ssh,
            sshd,
            user,
        };
        let probe = server.client(&[], &["true"]).output().unwrap();
        if !probe.status.success() {
            let why = String::from_utf8_lossy(&probe.stderr).into_owned();
            print(&format!(
                "skipped: sshd does not log {} in: {why}",
                server.user
            ));
            return None;
        }
        Some(server)
    }

    /// Returns `ssh` with these options, and a command for the server.
    fn client(&self, options: &[&str], command: &[&str]) -> Command {
        let path = |name| self.dir.path().join(name).display().to_string();
        let mut ssh = Command::new(&self.ssh);
        // The server reads the connection from its standard input.
        let proxy = format!(
            "ProxyCommand='{}' -i -f '{}'",
            self.sshd.display(),
            path("config")
        );
        ssh.args(["-F", "none", "-i", &path("client"), "-o", &proxy])
            .args([
                "-o",
                "BatchMode=yes",
                "-o",
                "IdentitiesOnly=yes",
                "-o",
                "LogLevel=ERROR",
            ])
            .args([
                "-o",
                "StrictHostKeyChecking=no",
                "-o",
                "UserKnownHostsFile=/dev/null",
            ])
            .args(options)
            .arg(format!("{}@127.0.0.1", self.user))
            .args(command)
            .stdin(Stdio::null());
        ssh
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_is_reached_over_ssh() {
    let Some(server) = SshServer::new() else {
        return;
    };
    let machine = Machine::with_key(|b| b).await;
    let local = machine.path("ee.sock");
    let (broker, _) = serve(&machine, &["--unix", &local]);

    let mut remote = Machine::new().await;
    remote.set(
        "EARTHENGINE_EMULATOR_HOST",
        &machine.variables["EARTHENGINE_EMULATOR_HOST"],
    );
    let socket = remote.path("ee.sock");
    let forwarded = format!("{socket}:{local}");
    let options = ["-N", "-o", "ExitOnForwardFailure=yes", "-R", &forwarded];
    let mut tunnel = server.client(&options, &[]).spawn().unwrap();
    let started = Instant::now();
    while !PathBuf::from(&socket).exists() {
        assert!(started.elapsed() < Duration::from_secs(60), "{tunnel:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Other users of the server have no access.
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let connect = ["--connect", &socket, "--listen", "127.0.0.1:0"];
    let (forwarder, address) = serve(&remote, &connect);
    remote.set("GCE_METADATA_HOST", &address);
    remote.set("EARTHENGINE_CREDENTIALS_SOURCE", "metadata_server");
    remote.variables.remove("NO_GCE_CHECK");
    let token = remote.run(&["auth", "token"]).await;
    assert!(token.stdout.starts_with("ya29."), "{}", token.stderr);
    let project = remote.run(&["project", "show", "--quiet"]).await;
    assert_eq!(project.stdout.trim(), PROJECT, "{}", project.stderr);

    tunnel.kill().unwrap();
    tunnel.wait().unwrap();
    for child in [broker, forwarder] {
        send_signal(&child, "TERM");
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}
