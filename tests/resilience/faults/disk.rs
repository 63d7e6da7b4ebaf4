//! Full and read-only disks, and processes that are killed or stopped while they write or wait.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use earthengine::credentials::{CredentialOptions, DiskTokenCache, ErrorKind, Login, LoginFile};
use earthengine::token::{HttpClient, Scopes};
use earthengine::{Credentials, Endpoints};
use ee_emulator::{Emulator, Fault, User};
use ee_test_support::subprocess::{self, input, rerun};

/// A login file and a token cache on disk.
struct Machine {
    emulator: Emulator,
    jane: User,
    dir: PathBuf,
}

impl Machine {
    async fn new(dir: &Path) -> Self {
        let emulator = Emulator::start().await.unwrap();
        Self {
            jane: emulator.create_user("jane@example.com"),
            dir: dir.to_owned(),
            emulator,
        }
    }

    fn login_file(&self) -> LoginFile {
        LoginFile::at(self.dir.join("earthengine/credentials"))
    }

    fn token_cache(&self) -> DiskTokenCache {
        DiskTokenCache::at(self.dir.join("cache/tokens"))
    }

    /// Returns the credentials of a process that has just started.
    fn credentials(&self) -> Credentials {
        credentials(
            self.emulator.address(),
            &self.token_cache(),
            &self.jane.authorized_user_json(),
        )
    }

    fn requests(&self) -> usize {
        self.emulator.requests().len()
    }

    /// Checks that saving fails for this reason, changes nothing and leaves no other file.
    fn assert_saving_fails(&self, reason: &str) {
        let file = self.login_file();
        let before = fs::read(file.path()).unwrap();
        let names_before = names(file.path().parent().unwrap());
        for error in [
            file.save_login(&login("1//canary")).unwrap_err(),
            file.set_project("another-project").unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::CredentialsFile);
            let text = error.to_string();
            assert!(text.contains(&file.path().display().to_string()), "{text}");
            assert!(text.contains(reason), "{text}");
            let remedy = &error.remedy().text;
            assert!(remedy.contains("EE_CONFIG_FILE"), "{remedy}");
            assert!(!format!("{error:?}").contains("canary"));
        }
        assert_eq!(fs::read(file.path()).unwrap(), before);
        let stored = file.read().unwrap().unwrap();
        assert_eq!(stored.file.project(), Some("my-project"));
        assert_eq!(names(file.path().parent().unwrap()), names_before);
    }

    /// Checks that tokens are still fetched, with one request each, and that no partial file is left.
    async fn assert_tokens_are_not_cached(&self) {
        let before = self.requests();
        self.credentials().token().await.unwrap();
        self.credentials().token().await.unwrap();
        assert_eq!(self.requests(), before + 2);
        assert_eq!(self.cached_tokens(), 0);
    }

    /// Checks that logins and tokens are saved, so that the next process needs no request.
    async fn assert_recovered(&self) {
        self.login_file().save_login(&login("1//new")).unwrap();
        let stored = self.login_file().read().unwrap().unwrap();
        assert!(stored.file.has_login());
        assert_eq!(stored.file.project(), Some("my-project"));
        let before = self.requests();
        self.credentials().token().await.unwrap();
        self.credentials().token().await.unwrap();
        assert_eq!(self.requests(), before + 1);
        assert_eq!(self.cached_tokens(), 1);
    }

    fn cached_tokens(&self) -> usize {
        let names = names(self.token_cache().dir());
        names.iter().filter(|name| name.contains(".token")).count()
    }
}

fn credentials(address: std::net::SocketAddr, cache: &DiskTokenCache, login: &str) -> Credentials {
    let endpoints = Endpoints::emulator(address).unwrap();
    let options = CredentialOptions::new(HttpClient::new(endpoints));
    Credentials::from_json(login, &options.disk_cache(cache.clone())).unwrap()
}

fn login(token: &str) -> Login {
    Login::new(token, Scopes::earth_engine())
}

fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Runs a `subprocess_` test of this module with the machine's directory, address and login.
fn spawn(test: &str, machine: &Machine, stderr: Stdio) -> Child {
    let input = format!(
        "{}\n{}\n{}",
        machine.dir.display(),
        machine.emulator.address(),
        machine.jane.authorized_user_json().replace('\n', " ")
    );
    rerun(&[], &format!("disk::{test}"), &input)
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .unwrap()
}

/// Starts a process whose token request gets no response, and waits for that request.
async fn spawn_waiting_for_a_token(machine: &Machine) -> Child {
    let never = Fault::delay(Duration::from_secs(3600)).times(1);
    machine.emulator.fault("oauth2.googleapis.com", never);
    let mut child = spawn("subprocess_waits_for_a_token", machine, Stdio::null());
    while machine.requests() == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it sent no request");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    child
}

/// Returns the directory, the login and the credentials of the machine in a process's input.
fn parse_input(input: &str) -> (PathBuf, Credentials) {
    let mut lines = input.lines();
    let dir = PathBuf::from(lines.next().unwrap());
    let address = lines.next().unwrap().parse().unwrap();
    let cache = DiskTokenCache::at(dir.join("cache/tokens"));
    let credentials = credentials(address, &cache, lines.next().unwrap());
    (dir, credentials)
}

#[cfg(target_os = "linux")]
mod mounted {
    use super::*;

    fn enter_namespace(test: &str) -> bool {
        let test = format!("disk::mounted::{test}");
        subprocess::Namespace::MOUNT.enter(&test, &[], |command| command)
    }

    fn mount(options: &str, at: &Path) {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(at)
            .output()
            .unwrap();
        assert!(mounted.status.success(), "{mounted:?}");
    }

    #[tokio::test]
    async fn full_disk_loses_neither_login_nor_token() {
        if !enter_namespace("full_disk_loses_neither_login_nor_token") {
            return;
        }
        let home = tempfile::tempdir().unwrap();
        mount("size=64k", home.path());
        let machine = Machine::new(home.path()).await;
        machine.login_file().save_login(&login("1//old")).unwrap();
        machine.login_file().set_project("my-project").unwrap();

        let filler = home.path().join("filler");
        let mut file = fs::File::create(&filler).unwrap();
        while file.write_all(&[0; 1024]).is_ok() {}
        machine.assert_saving_fails("No space left on device");
        machine.assert_tokens_are_not_cached().await;
        fs::remove_file(filler).unwrap();
        drop(file);
        machine.assert_recovered().await;
    }

    #[tokio::test]
    async fn read_only_home_loses_neither_login_nor_token() {
        if !enter_namespace("read_only_home_loses_neither_login_nor_token") {
            return;
        }
        let home = tempfile::tempdir().unwrap();
        mount("size=1m", home.path());
        let machine = Machine::new(home.path()).await;
        machine.login_file().save_login(&login("1//old")).unwrap();
        machine.login_file().set_project("my-project").unwrap();

        mount("remount,ro", home.path());
        machine.assert_saving_fails("Read-only file system");
        machine.assert_tokens_are_not_cached().await;
        // As the remedy recommends.
        let elsewhere = tempfile::tempdir().unwrap();
        let other = LoginFile::at(elsewhere.path().join("credentials"));
        other.save_login(&login("1//new")).unwrap();
        mount("remount,rw", home.path());
        machine.assert_recovered().await;
    }
}

/// No file may grow, which needs no privileges: like an exhausted quota.
#[cfg(unix)]
#[tokio::test]
async fn exhausted_disk_quota_loses_neither_login_nor_token() {
    const TEST: &str = "disk::exhausted_disk_quota_loses_neither_login_nor_token";
    if let Some(dir) = input() {
        let machine = Machine::new(Path::new(&dir)).await;
        machine.assert_saving_fails("File too large");
        machine.assert_tokens_are_not_cached().await;
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let machine = Machine::new(home.path()).await;
    machine.login_file().save_login(&login("1//old")).unwrap();
    machine.login_file().set_project("my-project").unwrap();
    let limited = ["sh", "-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh"];
    let dir = home.path().display().to_string();
    subprocess::assert_passes(&mut rerun(&limited, TEST, &dir));
    machine.assert_recovered().await;
}

/// The process that the next test kills.
#[tokio::test]
async fn subprocess_writes_forever() {
    let Some(input) = input() else {
        return;
    };
    let (dir, credentials) = parse_input(&input);
    let file = LoginFile::at(dir.join("earthengine/credentials"));
    let mut token = credentials.token().await.unwrap();
    eprintln!("\nwriting");
    for n in 0.. {
        file.save_login(&login(&format!("1//{n}"))).unwrap();
        file.set_project(&format!("project-{n}")).unwrap();
        credentials.token_cache().unwrap().invalidate(&token);
        token = credentials.token().await.unwrap();
    }
}

/// Kills a process at arbitrary times. A kill at each step in turn is tested by
/// `kill_at_any_step_leaves_the_old_or_new_login_file` and the same for a token.
#[tokio::test(flavor = "multi_thread")]
async fn process_killed_while_writing_loses_nothing() {
    let home = tempfile::tempdir().unwrap();
    let machine = Machine::new(home.path()).await;
    let file = machine.login_file();
    file.save_login(&login("1//old")).unwrap();
    file.set_project("project-old").unwrap();
    for round in 0..20 {
        let mut child = spawn("subprocess_writes_forever", &machine, Stdio::piped());
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let has_started = lines.map_while(Result::ok).any(|line| line == "writing");
        tokio::time::sleep(Duration::from_micros(700 * round)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(has_started);

        let text = fs::read_to_string(file.path()).unwrap();
        let contents = file.read().unwrap().unwrap().file;
        assert!(contents.has_login(), "{text}");
        assert!(
            contents.project().unwrap().starts_with("project-"),
            "{text}"
        );
        // The locks of a dead process are free.
        let in_time = tokio::time::timeout(Duration::from_secs(8), async {
            machine.credentials().token().await.unwrap();
            file.set_project("project-next").unwrap();
        });
        in_time.await.unwrap();
        let dir = file.path().parent().unwrap();
        assert_eq!(names(dir), [".credentials.lock", "credentials"]);
    }
}

/// The process that the next tests kill and stop.
#[tokio::test]
async fn subprocess_waits_for_a_token() {
    if let Some(input) = input() {
        parse_input(&input).1.token().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn process_killed_during_a_token_request_blocks_no_other() {
    let home = tempfile::tempdir().unwrap();
    let machine = Machine::new(home.path()).await;
    let mut child = spawn_waiting_for_a_token(&machine).await;
    // The process holds the lock, and this task waits for its token.
    let credentials = machine.credentials();
    let waiting = tokio::spawn(async move { credentials.token().await });
    child.kill().unwrap();
    child.wait().unwrap();
    let in_time = tokio::time::timeout(Duration::from_secs(15), waiting);
    in_time.await.unwrap().unwrap().unwrap();
    assert_eq!(machine.requests(), 2);
    machine.credentials().token().await.unwrap();
    assert_eq!(machine.requests(), 2, "the token is cached");
}

/// As with Ctrl-Z.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn stopped_process_delays_no_other_for_long() {
    let home = tempfile::tempdir().unwrap();
    let machine = Machine::new(home.path()).await;
    let mut child = spawn_waiting_for_a_token(&machine).await;
    let id = child.id().to_string();
    let stopped = Command::new("kill").args(["-STOP", &id]).status().unwrap();
    assert!(stopped.success());

    // Another login, and the same one, which waits for 2 s.
    let john = machine.emulator.create_user("john@example.com");
    let address = machine.emulator.address();
    let others = credentials(
        address,
        &machine.token_cache(),
        &john.authorized_user_json(),
    );
    for credentials in [others, machine.credentials()] {
        let in_time = tokio::time::timeout(Duration::from_secs(15), credentials.token());
        in_time.await.unwrap().unwrap();
    }
    assert_eq!(machine.requests(), 3);
    child.kill().unwrap();
    child.wait().unwrap();
    machine.credentials().token().await.unwrap();
    assert_eq!(machine.requests(), 3, "the token is cached");
}

/// A login is replaced while the process is at its limit of open files.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn too_many_open_files_do_not_reject_a_credential() {
    const TEST: &str = "disk::too_many_open_files_do_not_reject_a_credential";
    let Some(dir) = input() else {
        let home = tempfile::tempdir().unwrap();
        let limited = ["sh", "-c", "ulimit -n 128; exec \"$@\"", "sh"];
        let dir = home.path().display().to_string();
        return subprocess::assert_passes(&mut rerun(&limited, TEST, &dir));
    };
    let machine = Machine::new(Path::new(&dir)).await;
    let file = machine.dir.join("login.json");
    let options = CredentialOptions::new(HttpClient::new(
        Endpoints::emulator(machine.emulator.address()).unwrap(),
    ));
    fs::write(&file, machine.jane.authorized_user_json()).unwrap();
    let credentials = Credentials::from_file(&file, &options).unwrap();
    machine.emulator.revoke(machine.jane.refresh_token());
    credentials.token().await.unwrap_err();
    let again = machine.emulator.create_user("jane@example.com");
    let new = machine.dir.join("new.json");
    fs::write(&new, again.authorized_user_json()).unwrap();
    fs::rename(&new, &file).unwrap();

    let mut files = Vec::new();
    while let Ok(file) = fs::File::open("/dev/null") {
        files.push(file);
    }
    let error = Credentials::from_file(&file, &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    let error = credentials.token().await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(error.to_string().contains("login.json"), "{error}");
    let command = error.remedy().command.as_deref().unwrap();
    assert!(command.contains("ulimit"), "{command}");

    drop(files);
    // The backoff after a failure.
    while let Err(error) = credentials.token().await {
        assert!(error.is_transient(), "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
