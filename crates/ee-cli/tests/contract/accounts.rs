//! Several accounts: logging in, listing, switching, selecting one, and logging out.

use serde_json::json;

use super::login::consenting;
use super::*;

impl Machine {
    /// Logs a user in to an account.
    async fn add(&self, email: &str, account: &str, more: &[&str]) {
        self.emulator.auto_consent(email);
        let (result, _) = self.log_in(&[&["--account", account], more].concat()).await;
        assert_eq!(result.status, 0, "{}", result.stderr);
    }

    fn account(&self, name: &str) -> Value {
        let path = self.credentials().with_file_name("credentials.accounts");
        serde_json::from_str(&fs::read_to_string(path.join(name)).unwrap()).unwrap()
    }

    /// The accounts in `auth list`, and whether each is active.
    async fn accounts(&self) -> Vec<(Value, bool)> {
        let list = self.json(&["auth", "list", "--json"]).await;
        let accounts = list.as_array().unwrap().iter();
        accounts
            .map(|a| (a["account"].clone(), a["active"].as_bool().unwrap()))
            .collect()
    }

    async fn principal(&self, arguments: &[&str]) -> Value {
        let arguments = [&["auth", "status", "--json"], arguments].concat();
        let status = self.json(&arguments).await;
        status["credential"]["principal"].clone()
    }
}

/// A machine with the accounts work (Jane) and home (Ada), which is active.
async fn two_accounts() -> Machine {
    let machine = consenting().await;
    machine
        .add("jane@example.com", "work", &["--with-email"])
        .await;
    machine
        .add("ada@example.com", "home", &["--with-email"])
        .await;
    machine
}

#[tokio::test]
async fn account_is_selected_by_switch_flag_or_variable() {
    let mut machine = two_accounts().await;
    assert_eq!(
        machine.accounts().await,
        [(json!("home"), true), (json!("work"), false)]
    );
    assert_eq!(machine.principal(&[]).await, "ada@example.com");
    assert_eq!(
        machine.principal(&["--account", "work"]).await,
        "jane@example.com"
    );
    let status = machine
        .json(&["auth", "status", "--json", "--account=work"])
        .await;
    assert_eq!(status["credential"]["source"], "account");
    assert_eq!(status["credential"]["account"], "work");
    assert_eq!(status["searched"][1]["step"], "account");
    let status = machine.run(&["auth", "status"]).await.stdout;
    assert!(
        status.contains("account       ada@example.com (home)"),
        "{status}"
    );

    let switched = machine.json(&["auth", "switch", "work", "--json"]).await;
    assert_eq!(switched["account"], "work");
    assert_eq!(switched["previous"], "home");
    assert_eq!(
        machine.stored()["refresh_token"],
        machine.account("work")["refresh_token"]
    );
    assert_eq!(machine.principal(&[]).await, "jane@example.com");
    // The same account again changes nothing.
    let before = fs::read(machine.credentials()).unwrap();
    assert_eq!(machine.run(&["auth", "switch", "work"]).await.status, 0);
    assert_eq!(fs::read(machine.credentials()).unwrap(), before);

    machine.set("EARTHENGINE_ACCOUNT", "home");
    assert_eq!(machine.principal(&[]).await, "ada@example.com");
    assert_eq!(
        machine.principal(&["--account", "work"]).await,
        "jane@example.com"
    );
    let result = machine.run(&["auth", "switch", "work"]).await;
    result.assert_stderr("EARTHENGINE_ACCOUNT is set");
    // Explicit credentials precede the variable.
    let key = machine.robot().json_key();
    let key = machine.file("key.json", key);
    assert_eq!(machine.principal(&["--credentials", &key]).await, ROBOT);
    let doctor = machine
        .run(&["doctor", "--json", "--project", PROJECT])
        .await;
    doctor.assert_stdout("search.account");
}

#[tokio::test]
async fn login_says_what_became_of_the_previous_one() {
    let machine = consenting().await;
    let (first, _) = machine.log_in(&[]).await;
    assert_eq!(first.status, 0);
    let unnamed = machine.stored()["refresh_token"].clone();
    assert_eq!(machine.accounts().await, [(Value::Null, true)]);
    let (second, _) = machine.log_in(&["--account", "work"]).await;
    let line = "account       work (active; the previous login is kept as default)\n";
    second.assert_stdout(line);
    assert_eq!(machine.account("default")["refresh_token"], unnamed);
    // Its login is reused.
    let again = machine
        .json(&["auth", "login", "--account=work", "--json"])
        .await;
    assert_eq!(again["outcome"], "reused");
    let again = machine.run(&["auth", "login", "--account=default"]).await;
    again.assert_stderr("default is not the active account");
    // Without a name, no account is replaced.
    let (third, _) = machine.log_in(&["--force"]).await;
    assert_eq!(third.status, 0, "{}", third.stderr);
    assert_eq!(machine.accounts().await.len(), 3);
    let text = machine.run(&["auth", "list"]).await.stdout;
    assert!(
        text.starts_with("* (no name)     no project (active)\n"),
        "{text}"
    );
    let status = machine.run(&["auth", "status"]).await.stdout;
    assert!(status.contains("--with-email"), "{status}");
}

#[tokio::test]
async fn second_step_of_a_login_finishes_the_account() {
    let machine = consenting().await;
    let begin = [
        "auth",
        "login",
        "--mode=notebook",
        "--quiet",
        "--account=work",
    ];
    let first = machine.json(&[&begin[..], &["--json"]].concat()).await;
    assert_eq!(
        first["command"],
        "eectl auth login --account=work --authorization-code=PASTE_THE_CODE_HERE"
    );
    let url = first["url"].as_str().unwrap().to_owned();
    let page = tokio::task::spawn_blocking(move || super::login::browse(&url));
    let page = page.await.unwrap();
    let code = page.split("<code id=\"code\">").nth(1).unwrap();
    let code = code.split('<').next().unwrap();
    let step = [
        "auth",
        "login",
        "--account=work",
        "--authorization-code=-",
        "--json",
    ];
    let second = machine.run_with_input(&step, code).await.json();
    assert_eq!(second["account"], "work");
    let remedy = second["warnings"][0]["remedy"].as_str().unwrap();
    assert!(
        remedy.contains("eectl auth login --account work --force"),
        "{remedy}"
    );
    let files = fs::read_dir(machine.credentials().with_file_name("credentials.accounts"));
    let pending = files.unwrap().any(|file| {
        let name = file.unwrap().file_name();
        name.to_string_lossy().ends_with(".begun")
    });
    assert!(!pending, "the verifier was deleted");
}

#[tokio::test]
async fn each_account_has_its_own_project() {
    let machine = two_accounts().await;
    for (arguments, account, project) in [
        (&["--account", "work"][..], "work", "work-project"),
        (&[], "home", "home-project"),
    ] {
        let set = [&["project", "set", project][..], arguments].concat();
        assert_eq!(machine.run(&set).await.status, 0);
        let show = [&["project", "show", "-q"], arguments].concat();
        assert_eq!(
            machine.run(&show).await.stdout,
            format!("{project}\n"),
            "{account}"
        );
    }
    assert_eq!(machine.stored()["project"], "home-project");
    machine.run(&["auth", "switch", "work"]).await;
    assert_eq!(machine.stored()["project"], "work-project");
    // The Python client changes the project of the active account.
    let mut file = machine.stored();
    file["project"] = json!("changed-project");
    machine.file(".config/earthengine/credentials", file.to_string());
    let show = ["project", "show", "-q", "--account", "work"];
    assert_eq!(machine.run(&show).await.stdout, "changed-project\n");
    machine.run(&["auth", "switch", "home"]).await;
    assert_eq!(machine.stored()["project"], "home-project");
    assert_eq!(machine.run(&show).await.stdout, "changed-project\n");
    let unset = ["project", "unset", "--account", "work"];
    assert_eq!(machine.run(&unset).await.status, 0);
    assert!(machine.account("work").get("project").is_none());
    assert_eq!(machine.stored()["project"], "home-project");
}

#[tokio::test]
async fn token_cache_does_not_mix_accounts() {
    let machine = two_accounts().await;
    let token = |account: &'static str| {
        let machine = &machine;
        async move {
            let result = machine.run(&["auth", "token", "--account", account]).await;
            assert_eq!(result.status, 0, "{}", result.stderr);
            result.stdout
        }
    };
    let (work, home) = (token("work").await, token("home").await);
    assert_ne!(work, home);
    let requests = machine.emulator.requests().len();
    assert_eq!(token("work").await, work);
    assert_eq!(token("home").await, home);
    assert_eq!(machine.run(&["auth", "token"]).await.stdout, home);
    machine.run(&["auth", "switch", "work"]).await;
    assert_eq!(machine.run(&["auth", "token"]).await.stdout, work);
    assert_eq!(
        machine.emulator.requests().len(),
        requests,
        "all were cached"
    );
}

#[tokio::test]
async fn logout_of_one_account_keeps_the_others() {
    let machine = two_accounts().await;
    let result = machine.run(&["auth", "logout"]).await;
    assert_eq!(result.status, 0);
    result.assert_stderr("eectl auth switch work");
    assert!(!machine.credentials().exists());
    assert_eq!(machine.accounts().await, [(json!("work"), false)]);
    assert_eq!(machine.failure(&["auth", "status"]).await.0, 3);
    assert_eq!(
        machine.principal(&["--account=work"]).await,
        "jane@example.com"
    );
    machine.run(&["auth", "switch", "work"]).await;
    let gone = machine
        .json(&["auth", "logout", "--account=work", "--revoke", "--json"])
        .await;
    assert_eq!(gone["revocation"], "revoked");
    assert_eq!(
        gone["also_removed"],
        json!([machine.credentials().display().to_string()])
    );
    assert!(machine.accounts().await.is_empty());
    let result = machine.run(&["auth", "list"]).await;
    result.assert_stderr("not logged in");
}

#[tokio::test]
async fn invalid_selections_of_an_account_are_errors() {
    let mut machine = two_accounts().await;
    for arguments in [
        &["init", "--account", "wrok"][..],
        &["project", "show", "--account", "wrok"],
        &["project", "set", PROJECT, "--account", "wrok"],
        &["auth", "switch", "wrok"],
        &["auth", "logout", "--account", "wrok"],
    ] {
        let (status, error) = machine.failure(arguments).await;
        assert_eq!(
            (status, code(&error)),
            (3, "no_credentials"),
            "{arguments:?}"
        );
        assert!(
            message(&error).contains("the accounts are home, work"),
            "{error}"
        );
        let remedy = remedy(&error);
        assert!(remedy.starts_with("Did you mean work?"), "{remedy}");
    }
    for arguments in [
        &["init", "--account", "../work"][..],
        &["init", "--account", "Work"],
        &["auth", "switch", "1//0canary"],
        &["auth", "switch"],
        &["auth", "switch", "work", "--account", "home"],
        &["auth", "list", "--account", "home"],
        &["auth", "list", "--credentials", "key.json"],
        &["init", "--account", "work", "--credentials", "key.json"],
        &["--account", "work", "init", "--credentials", "key.json"],
    ] {
        let (status, error) = machine.failure(arguments).await;
        assert_eq!((status, code(&error)), (2, "usage"), "{arguments:?}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    machine.set("EARTHENGINE_ACCOUNT", "1//0canary");
    for arguments in [&["init"][..], &["project", "show"], &["auth", "login"]] {
        let (status, error) = machine.failure(arguments).await;
        assert_eq!((status, code(&error)), (1, "usage"), "{arguments:?}");
        assert!(message(&error).contains("EARTHENGINE_ACCOUNT"), "{error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_switches_of_processes_lose_nothing() {
    let machine = two_accounts().await;
    let before = ["home", "work"].map(|name| machine.account(name)["refresh_token"].clone());
    let running: Vec<_> = (0..8)
        .map(|n| machine.start(&["auth", "switch", ["home", "work"][n % 2]]))
        .collect();
    for running in running {
        let result = tokio::task::spawn_blocking(|| running.end()).await.unwrap();
        assert_eq!(result.status, 0, "{}", result.stderr);
    }
    let after = ["home", "work"].map(|name| machine.account(name)["refresh_token"].clone());
    assert_eq!(before, after);
    assert!(after.contains(&machine.stored()["refresh_token"]));
    let accounts = machine.accounts().await;
    assert_eq!(accounts.len(), 2);
    assert_eq!(accounts.iter().filter(|(_, active)| *active).count(), 1);
}
