//! Disks that are full, homes that cannot be written, processes that are killed while they write.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use earthengine::credentials::{CredentialOptions, DiskTokenCache, ErrorKind, Login, LoginFile};
use earthengine::token::{HttpClient, Scopes};
use earthengine::{Credentials, Endpoints};
use ee_emulator::{Emulator, Fault, User};

/// A program with a login that is stored, and tokens that are kept.
struct Machine {
    emulator: Emulator,
    jane: User,
    folder: PathBuf,
}

impl Machine {
    async fn new(folder: &Path) -> Self {
        let emulator = Emulator::start().await.unwrap();
        Self {
            jane: emulator.create_user("jane@example.com"),
            folder: folder.to_owned(),
            emulator,
        }
    }

    fn store(&self) -> LoginFile {
        LoginFile::at(self.folder.join("earthengine/credentials"))
    }

    fn token_cache(&self) -> DiskTokenCache {
        DiskTokenCache::at(self.folder.join("cache/tokens"))
    }

    /// As a process that has just started sees them.
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

    /// A login that cannot be stored: the file that is there stays as it is, and nothing is left
    /// beside it.
    fn cannot_save(&self, why: &str) {
        let store = self.store();
        let before = fs::read(store.path()).unwrap();
        let names_before = names(store.path().parent().unwrap());
        for error in [
            store.save_login(&login("1//canary")).unwrap_err(),
            store.set_project("another-project").unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::CredentialsFile);
            let text = error.to_string();
            assert!(text.contains(&store.path().display().to_string()), "{text}");
            assert!(text.contains(why), "{text}");
            let remedy = &error.remedy().unwrap().text;
            assert!(remedy.contains("EE_CONFIG_FILE"), "{remedy}");
            assert!(!format!("{error:?}").contains("canary"));
        }
        assert_eq!(fs::read(store.path()).unwrap(), before);
        let stored = store.read().unwrap().unwrap();
        assert_eq!(stored.file.project(), Some("my-project"));
        assert_eq!(names(store.path().parent().unwrap()), names_before);
    }

    /// Tokens are had all the same, one request each, and no half of one is left.
    async fn cannot_keep_tokens(&self) {
        let before = self.requests();
        self.credentials().token().await.unwrap();
        self.credentials().token().await.unwrap();
        assert_eq!(self.requests(), before + 2);
        assert_eq!(self.kept(), 0);
    }

    /// All is well again: what was to be stored is, and the next start needs no request.
    async fn recovers(&self) {
        self.store().save_login(&login("1//new")).unwrap();
        let stored = self.store().read().unwrap().unwrap();
        assert!(stored.file.has_login());
        assert_eq!(stored.file.project(), Some("my-project"));
        let before = self.requests();
        self.credentials().token().await.unwrap();
        self.credentials().token().await.unwrap();
        assert_eq!(self.requests(), before + 1);
        assert_eq!(self.kept(), 1);
    }

    fn kept(&self) -> usize {
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

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// This very test again, started by this command.
pub(crate) fn again(command: &[&str], test: &str) -> Command {
    let this = std::env::current_exe().unwrap();
    let mut child = match command {
        [] => Command::new(&this),
        [program, arguments @ ..] => {
            let mut child = Command::new(program);
            child.args(arguments).arg(&this);
            child
        }
    };
    child.args(["--exact", test, "--nocapture"]);
    child
}

/// Set for whoever was started by a test to do its part.
pub(crate) const PART: &str = "EE_FAULTS_PART";

pub(crate) fn part() -> Option<String> {
    std::env::var(PART).ok()
}

#[cfg(target_os = "linux")]
mod mounted {
    use super::*;

    /// Runs the test of this name again where it may mount file systems that nobody else sees;
    /// `true` for whoever is there already.
    fn inside(test: &str) -> bool {
        if part().is_some() {
            return true;
        }
        const NAMESPACE: [&str; 4] = ["unshare", "--user", "--map-root-user", "--mount"];
        let tried = Command::new(NAMESPACE[0])
            .args(&NAMESPACE[1..])
            .args(["mount", "-t", "tmpfs", "none", "/tmp"])
            .output();
        if !tried.is_ok_and(|output| output.status.success()) {
            skipped(test);
            return false;
        }
        let output = again(&NAMESPACE, test).env(PART, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        false
    }

    /// Says so, or fails where the parts that need a namespace are not to be left out.
    fn skipped(test: &str) {
        let text = format!("{test}: SKIPPED, this machine lets nobody mount a file system");
        assert!(
            std::env::var_os("EE_TESTS_REQUIRE_NAMESPACE").is_none(),
            "{text}"
        );
        crate::town::say(&text);
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
    async fn a_full_disk_costs_neither_the_login_nor_a_token() {
        if !inside("disk::mounted::a_full_disk_costs_neither_the_login_nor_a_token") {
            return;
        }
        let home = tempfile::tempdir().unwrap();
        mount("size=64k", home.path());
        let machine = Machine::new(home.path()).await;
        machine.store().save_login(&login("1//old")).unwrap();
        machine.store().set_project("my-project").unwrap();

        let filler = home.path().join("filler");
        let mut file = fs::File::create(&filler).unwrap();
        while file.write_all(&[0; 1024]).is_ok() {}
        machine.cannot_save("No space left on device");
        machine.cannot_keep_tokens().await;
        fs::remove_file(filler).unwrap();
        drop(file);
        machine.recovers().await;
    }

    #[tokio::test]
    async fn a_read_only_home_costs_neither_the_login_nor_a_token() {
        if !inside("disk::mounted::a_read_only_home_costs_neither_the_login_nor_a_token") {
            return;
        }
        let home = tempfile::tempdir().unwrap();
        mount("size=1m", home.path());
        let machine = Machine::new(home.path()).await;
        machine.store().save_login(&login("1//old")).unwrap();
        machine.store().set_project("my-project").unwrap();

        mount("remount,ro", home.path());
        machine.cannot_save("Read-only file system");
        machine.cannot_keep_tokens().await;
        // What the remedy says.
        let elsewhere = tempfile::tempdir().unwrap();
        let other = LoginFile::at(elsewhere.path().join("credentials"));
        other.save_login(&login("1//new")).unwrap();
        mount("remount,rw", home.path());
        machine.recovers().await;
    }
}

/// Where no file may grow, which needs no rights: as a quota that is used up.
#[cfg(unix)]
#[tokio::test]
async fn a_quota_that_is_used_up_costs_neither_the_login_nor_a_token() {
    const TEST: &str = "disk::a_quota_that_is_used_up_costs_neither_the_login_nor_a_token";
    if let Some(folder) = part() {
        let machine = Machine::new(Path::new(&folder)).await;
        machine.cannot_save("File too large");
        machine.cannot_keep_tokens().await;
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let machine = Machine::new(home.path()).await;
    machine.store().save_login(&login("1//old")).unwrap();
    machine.store().set_project("my-project").unwrap();
    let limited = "trap '' XFSZ; ulimit -f 0; exec \"$@\"";
    let output = again(&["sh", "-c", limited, "sh"], TEST)
        .env(PART, home.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    machine.recovers().await;
}

/// The process that is killed: it writes without end.
#[tokio::test]
async fn a_program_that_writes_without_end_for_the_test_below() {
    let Some(part) = part() else {
        return;
    };
    let mut lines = part.lines();
    let folder = PathBuf::from(lines.next().unwrap());
    let address = lines.next().unwrap().parse().unwrap();
    let user = lines.next().unwrap();
    let store = LoginFile::at(folder.join("earthengine/credentials"));
    let cache = DiskTokenCache::at(folder.join("cache/tokens"));
    let credentials = credentials(address, &cache, user);
    let mut token = credentials.token().await.unwrap();
    eprintln!("\nwriting");
    for n in 0.. {
        store.save_login(&login(&format!("1//{n}"))).unwrap();
        store.set_project(&format!("project-{n}")).unwrap();
        credentials.token_cache().unwrap().invalidate(&token);
        token = credentials.token().await.unwrap();
    }
}

/// At whatever instant it is killed. What is killed at each step in its turn are the writers of
/// `kill_at_any_step_leaves_the_old_or_new_login_file` and of the same for a token.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_killed_while_it_writes_loses_nothing() {
    let home = tempfile::tempdir().unwrap();
    let machine = Machine::new(home.path()).await;
    machine.store().save_login(&login("1//old")).unwrap();
    machine.store().set_project("project-old").unwrap();
    let part = format!(
        "{}\n{}\n{}",
        home.path().display(),
        machine.emulator.address(),
        machine.jane.authorized_user_json().replace('\n', " ")
    );
    for round in 0..20 {
        let test = "disk::a_program_that_writes_without_end_for_the_test_below";
        let mut child = again(&[], test)
            .env(PART, &part)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let began = lines.map_while(Result::ok).any(|line| line == "writing");
        // Another instant each time; none of them is expected to hit anything in particular.
        tokio::time::sleep(Duration::from_micros(700 * round)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(began);

        let text = fs::read_to_string(machine.store().path()).unwrap();
        let stored = machine.store().read().unwrap().unwrap().file;
        assert!(stored.has_login(), "{text}");
        assert!(stored.project().unwrap().starts_with("project-"), "{text}");
        // Nobody waits for a dead process's locks.
        let free = tokio::time::timeout(Duration::from_secs(8), async {
            machine.credentials().token().await.unwrap();
            machine.store().set_project("project-next").unwrap();
        });
        free.await.unwrap();
        let folder = machine.store().path().parent().unwrap().to_owned();
        assert_eq!(names(&folder), [".credentials.lock", "credentials"]);
    }
}

/// The process that is killed: it asks for a token that never comes.
#[tokio::test]
async fn a_program_that_waits_for_a_token_for_the_test_below() {
    let Some(part) = part() else {
        return;
    };
    let mut lines = part.lines();
    let folder = PathBuf::from(lines.next().unwrap());
    let address = lines.next().unwrap().parse().unwrap();
    let cache = DiskTokenCache::at(folder.join("cache/tokens"));
    let credentials = credentials(address, &cache, lines.next().unwrap());
    credentials.token().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_killed_while_it_asks_for_everybodys_token_holds_nobody_up() {
    let home = tempfile::tempdir().unwrap();
    let machine = Machine::new(home.path()).await;
    let never = Fault::delay(Duration::from_secs(3600)).times(1);
    machine.emulator.fault("oauth2.googleapis.com", never);
    let part = format!(
        "{}\n{}\n{}",
        home.path().display(),
        machine.emulator.address(),
        machine.jane.authorized_user_json().replace('\n', " ")
    );
    let test = "disk::a_program_that_waits_for_a_token_for_the_test_below";
    let mut child = again(&[], test)
        .env(PART, &part)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while machine.requests() == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it never asked");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // It has the lock. Somebody waits for the token that it brings.
    let credentials = machine.credentials();
    let waiting = tokio::spawn(async move { credentials.token().await });
    child.kill().unwrap();
    child.wait().unwrap();
    let soon = tokio::time::timeout(Duration::from_secs(15), waiting);
    soon.await.unwrap().unwrap().unwrap();
    assert_eq!(machine.requests(), 2);
    machine.credentials().token().await.unwrap();
    assert_eq!(machine.requests(), 2, "it was kept");
}

/// A process that was stopped with Ctrl-Z while it fetched a token.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn stopped_process_delays_no_other_for_long() {
    let home = tempfile::tempdir().unwrap();
    let machine = Machine::new(home.path()).await;
    let never = Fault::delay(Duration::from_secs(3600)).times(1);
    machine.emulator.fault("oauth2.googleapis.com", never);
    let part = format!(
        "{}\n{}\n{}",
        home.path().display(),
        machine.emulator.address(),
        machine.jane.authorized_user_json().replace('\n', " ")
    );
    let test = "disk::a_program_that_waits_for_a_token_for_the_test_below";
    let mut child = again(&[], test)
        .env(PART, &part)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while machine.requests() == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it never asked");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
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
        let soon = tokio::time::timeout(Duration::from_secs(15), credentials.token());
        soon.await.unwrap().unwrap();
    }
    assert_eq!(machine.requests(), 3);
    child.kill().unwrap();
    child.wait().unwrap();
    machine.credentials().token().await.unwrap();
    assert_eq!(machine.requests(), 3, "it was kept");
}

/// A login is replaced while this process has as many files open as it may.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn too_many_open_files_are_no_verdict_on_a_credential() {
    const TEST: &str = "disk::too_many_open_files_are_no_verdict_on_a_credential";
    let Some(folder) = part() else {
        let home = tempfile::tempdir().unwrap();
        let output = again(&["sh", "-c", "ulimit -n 128; exec \"$@\"", "sh"], TEST)
            .env(PART, home.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        return;
    };
    let machine = Machine::new(Path::new(&folder)).await;
    let file = machine.folder.join("login.json");
    let options = CredentialOptions::new(HttpClient::new(
        Endpoints::emulator(machine.emulator.address()).unwrap(),
    ));
    fs::write(&file, machine.jane.authorized_user_json()).unwrap();
    let credentials = Credentials::from_file(&file, &options).unwrap();
    machine.emulator.revoke(machine.jane.refresh_token());
    credentials.token().await.unwrap_err();
    let again = machine.emulator.create_user("jane@example.com");
    let new = machine.folder.join("new.json");
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
    let command = error.remedy().unwrap().command.as_deref().unwrap();
    assert!(command.contains("ulimit"), "{command}");

    drop(files);
    // The pause after a failure.
    while let Err(error) = credentials.token().await {
        assert!(error.is_transient(), "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
