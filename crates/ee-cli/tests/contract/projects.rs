//! `eectl project`: listing, setting, showing and checking.

use serde_json::json;

use super::*;

const FILE: &str = ".config/earthengine/credentials";

impl Machine {
    /// Creates a machine where a user is logged in with Earth Engine's own file.
    pub(crate) async fn with_login(
        settings: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder,
    ) -> Self {
        let machine = Self::with(settings).await;
        let jane = machine.emulator.create_user("jane@example.com");
        machine.file(FILE, jane.earthengine_file_json(None));
        machine
    }

    fn path_of_file(&self) -> String {
        self.credentials().display().to_string()
    }
}

#[tokio::test]
async fn list_shows_whether_earth_engine_is_ready_in_each_project() {
    let machine = Machine::with_login(|b| {
        b.project(
            Project::new("a-disabled")
                .number(111_111_111_111)
                .display_name("Off")
                .api_enabled(false),
        )
        .project(
            Project::new("b-unregistered")
                .number(222_222_222_222)
                .registration("NOT_REGISTERED"),
        )
        .project(
            Project::new("c-suspended")
                .number(333_333_333_333)
                .suspended(true),
        )
    })
    .await;
    let listed = machine.json(&["project", "list", "--json"]).await;
    let project = |id: &str, number: &str, name: &str, api: &str, registration: &str| json!({"project": id, "number": number, "name": name, "api": api, "registration": registration});
    let with_error = |mut project: Value, code: &str| {
        project["error"] = json!(code);
        project
    };
    let unknown = "REGISTRATION_STATE_UNSPECIFIED";
    assert_eq!(
        listed,
        json!([
            project(
                PROJECT,
                "123456789012",
                PROJECT,
                "enabled",
                "REGISTERED_NOT_COMMERCIALLY"
            ),
            with_error(
                project("a-disabled", "111111111111", "Off", "disabled", unknown),
                "api_disabled"
            ),
            project(
                "b-unregistered",
                "222222222222",
                "b-unregistered",
                "enabled",
                "NOT_REGISTERED"
            ),
            with_error(
                project(
                    "c-suspended",
                    "333333333333",
                    "c-suspended",
                    "unknown",
                    unknown
                ),
                "project_suspended"
            ),
        ])
    );
    let text = machine.run(&["project", "list"]).await;
    assert_eq!(text.status, 0);
    let lines: Vec<_> = text.stdout.lines().collect();
    assert_eq!(lines.len(), 5);
    assert_eq!(
        lines[0].split_whitespace().collect::<Vec<_>>(),
        ["PROJECT", "STATE", "NAME"]
    );
    assert!(lines[1].starts_with(&format!("  {PROJECT}")));
    assert!(lines[1].contains("ready, noncommercial"));
    assert!(lines[2].contains("Earth Engine API not enabled"));
    assert!(lines[4].contains("suspended"));
}

#[tokio::test]
async fn list_distinguishes_denial_from_server_failure() {
    let machine = Machine::with_login(|b| {
        b.project(Project::new("a-denied").fail_with(ee_emulator::GoogleError::UserProjectDenied))
            .project(Project::new("b-broken"))
    })
    .await;
    let broken = || ee_emulator::Fault::status(503).times(usize::MAX);
    let path = "/v1/projects/b-broken/config";
    machine
        .emulator
        .fault("earthengine.googleapis.com", broken().on_path(path));
    machine
        .emulator
        .fault("serviceusage.googleapis.com", broken());
    let text = machine.run(&["project", "list"]).await.stdout;
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[2].contains("a-denied") && lines[2].contains("permission denied"));
    assert!(lines[3].contains("b-broken") && lines[3].contains("status unknown"));
}

#[tokio::test]
async fn empty_project_list_says_where_to_create_one() {
    let machine = Machine::with_login(|b| b.project(Project::new(PROJECT).denied(true))).await;
    assert_eq!(
        machine.json(&["project", "list", "--json"]).await,
        json!([])
    );
    let text = machine.run(&["project", "list"]).await;
    assert_eq!((text.status, text.stdout.as_str()), (0, ""));
    text.assert_stderr("projectcreate");
}

#[tokio::test]
async fn listing_without_permission_suggests_project_set() {
    let machine = Machine::with(|b| b).await;
    let jane = machine.emulator.create_user_with_scopes(
        "jane@example.com",
        &["earthengine"],
        &["earthengine"],
    );
    machine.file(FILE, jane.earthengine_file_json(None));
    let (status, error) = machine.failure(&["project", "list"]).await;
    assert_eq!((status, code(&error)), (4, "insufficient_scopes"));
    assert!(remedy(&error).contains("eectl project set PROJECT"));
}

#[tokio::test]
async fn set_show_and_unset_change_only_the_project() {
    let machine = Machine::with_login(|b| b).await;
    let login = machine.stored();
    for (set, unset) in [
        (
            &["project", "set", "--no-verify"][..],
            &["project", "unset"][..],
        ),
        (&["set_project", "--no-verify"], &["unset_project"]),
    ] {
        let result = machine.run(&[set, &[PROJECT, "--json"]].concat()).await;
        assert_eq!(
            result.json(),
            json!({"project": PROJECT, "path": machine.path_of_file()})
        );
        let mut expected = login.clone();
        expected["project"] = json!(PROJECT);
        assert_eq!(machine.stored(), expected);
        assert_eq!(
            machine.json(&["project", "show", "--json"]).await,
            json!({"project": PROJECT, "source": "earthengine_file", "warnings": []})
        );
        let removed = machine.run(&[unset, &["--json"]].concat()).await;
        assert_eq!(
            removed.json(),
            json!({"removed": true, "path": machine.path_of_file()})
        );
        assert_eq!(machine.stored(), login);
        let again = machine.run(&[unset, &["--json"]].concat()).await;
        assert_eq!(again.json()["removed"], json!(false));
    }
    assert!(machine.paths().is_empty(), "no request for any of this");
}

#[tokio::test]
async fn set_works_without_a_login_and_without_the_network() {
    let mut machine = Machine::new().await;
    machine.set("EARTHENGINE_EMULATOR_HOST", "127.0.0.1:9");
    let result = machine.run(&["project", "set", PROJECT]).await;
    assert_eq!(
        result.stdout,
        format!("project set to {PROJECT} ({})\n", machine.path_of_file())
    );
    assert_eq!(machine.stored(), json!({"project": PROJECT}));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let metadata = fs::metadata(machine.home.path().join(FILE)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(
        machine.run(&["-q", "project", "show"]).await.stdout,
        format!("{PROJECT}\n")
    );
    assert_eq!(
        machine.run(&["project", "show"]).await.stdout,
        format!("{PROJECT} (Earth Engine's login file)\n")
    );
    let unset = machine.run(&["project", "unset"]).await;
    assert!(unset.stdout.starts_with("project removed"));
}

#[tokio::test]
async fn set_warns_about_variables_that_take_precedence() {
    let mut machine = Machine::new().await;
    machine.set("EARTHENGINE_PROJECT", "other-project");
    let result = machine.run(&["project", "set", PROJECT]).await;
    assert_eq!(result.status, 0);
    result.assert_stderr("EARTHENGINE_PROJECT is set to other-project");
    let quiet = machine.run(&["-q", "project", "set", PROJECT]).await;
    assert_eq!(quiet.stderr, "");
}

#[tokio::test]
async fn invalid_project_id_is_not_written() {
    let machine = Machine::new().await;
    for (id, expected) in [
        ("My Project", "invalid_project"),
        ("764086051850", "sdk_project"),
        ("", "invalid_project"),
    ] {
        let (status, error) = machine.failure(&["project", "set", id]).await;
        assert_eq!((status, code(&error)), (5, expected));
    }
    assert!(!machine.home.path().join(FILE).exists());
}

#[tokio::test]
async fn set_changes_no_file_of_another_kind() {
    let mut machine = Machine::new().await;
    let key = machine.robot().json_key();
    machine.file(FILE, &key);
    let (status, error) = machine.failure(&["project", "set", PROJECT]).await;
    assert_eq!((status, code(&error)), (4, "invalid_credentials"));
    assert!(message(&error).contains("service account"), "{error}");
    assert_eq!(
        fs::read_to_string(machine.home.path().join(FILE)).unwrap(),
        key
    );
    machine.set("EE_CONFIG_FILE", "/proc/nowhere/credentials");
    let (status, error) = machine.failure(&["project", "set", PROJECT]).await;
    assert_ne!(status, 0);
    assert!(message(&error).contains("/proc/nowhere"), "{error}");
}

#[tokio::test]
async fn show_names_every_source_and_fails_without_one() {
    let mut machine = Machine::new().await;
    let (status, error) = machine.failure(&["project", "show"]).await;
    assert_eq!((status, code(&error)), (5, "no_project"));
    let key = machine.file("key.json", machine.robot().json_key());
    machine.set("GOOGLE_APPLICATION_CREDENTIALS", &key);
    for (variable, source) in [
        (None, "credentials_project"),
        (Some("GOOGLE_CLOUD_PROJECT"), "env:GOOGLE_CLOUD_PROJECT"),
        (Some("EARTHENGINE_PROJECT"), "env:EARTHENGINE_PROJECT"),
    ] {
        if let Some(variable) = variable {
            machine.set(variable, PROJECT);
        }
        let shown = machine.json(&["project", "show", "--json"]).await;
        assert_eq!(
            shown,
            json!({"project": PROJECT, "source": source, "warnings": []})
        );
    }
    let given = machine
        .run(&["project", "show", "--json", "--project", "given-project"])
        .await;
    assert_eq!(
        given.json(),
        json!({"project": "given-project", "source": "flag", "warnings": []})
    );
    assert!(machine.paths().is_empty());
}

#[tokio::test]
async fn check_verifies_the_given_or_configured_project() {
    let machine = Machine::with_key(|b| {
        b.project(Project::new("not-registered").registration("NOT_REGISTERED"))
    })
    .await;
    let checked = |source: &str| {
        json!({"project": PROJECT, "source": source, "api": "enabled",
            "registration": "REGISTERED_NOT_COMMERCIALLY", "warnings": []})
    };
    let found = machine.json(&["project", "check", "--json"]).await;
    assert_eq!(found, checked("credentials_project"));
    let named = machine.json(&["project", "check", PROJECT, "--json"]).await;
    assert_eq!(named, checked("flag"));
    let text = machine.run(&["project", "check", PROJECT]).await;
    text.assert_stdout("is ready");
    let (status, error) = machine
        .failure(&["project", "check", "not-registered"])
        .await;
    assert_eq!((status, code(&error)), (5, "not_registered"));
}

#[tokio::test]
async fn select_without_a_terminal_suggests_set() {
    let machine = Machine::with_login(|b| b).await;
    let (status, error) = machine.failure(&["project", "select"]).await;
    assert_eq!((status, code(&error)), (2, "usage"));
    assert!(remedy(&error).contains("eectl project set PROJECT"));
    assert!(machine.paths().is_empty());
}

#[tokio::test]
async fn tier_is_shown_where_the_server_reports_it() {
    let tiered = Project::new("tiered").free_quota("FREE_QUOTA_STANDARD");
    let machine = Machine::with_login(|b| b.project(tiered)).await;
    for command in [&["init"][..], &["project", "check"], &["doctor"]] {
        for (project, shown) in [("tiered", true), (PROJECT, false)] {
            let arguments = [command, &["--project", project]].concat();
            let output = machine.run(&arguments).await;
            assert_eq!(output.status, 0, "{}", output.stderr);
            let text = output.stdout;
            assert_eq!(text.contains(", standard tier"), shown, "{text}");
        }
    }
    let json = machine
        .json(&["init", "--project", "tiered", "--json"])
        .await;
    assert_eq!(json["tier"], "standard");
}

#[tokio::test]
async fn export_limit_is_shown_and_changed() {
    let machine = Machine::with_key(|b| b).await;
    let set = ["project", "config", "set", "--max-concurrent-exports"];
    let result = machine.run(&[&set[..], &["1"]].concat()).await;
    assert_eq!(
        result.stdout,
        format!("{PROJECT} runs at most 1 export at the same time\n")
    );
    let limit = machine.run(&[&set[..], &["5", "--json"]].concat()).await;
    assert_eq!(limit.json()["maxConcurrentExports"], 5);
    let config = machine.run(&["project", "config", "get"]).await;
    let config: Value = serde_json::from_str(&config.stdout).unwrap();
    assert_eq!(config["maxConcurrentExports"], "5");
    assert_eq!(config["name"], format!("projects/{PROJECT}/config"));
    let (status, error) = machine.failure(&[&set[..], &["0"]].concat()).await;
    assert_eq!((status, code(&error)), (2, "usage"));
}
