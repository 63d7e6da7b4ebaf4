//! The forms of output: `--jq`, `--format`, `--color`, completions, closed pipes, and what users of
//! other programs type.

use std::io::pipe;

use super::*;

impl Machine {
    /// Runs a command whose standard output nothing reads.
    async fn run_with_closed_pipe(&self, arguments: &[&str]) -> (i32, String) {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let mut command = self.command(EECTL);
        command.args(arguments).stdout(writer);
        let run = move || command.output().unwrap();
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        let (_, stderr) = split_note(&String::from_utf8(output.stderr).unwrap());
        (output.status.code().unwrap(), stderr)
    }

    /// Returns what a shell would offer for the last word.
    async fn completions(&mut self, line: &str) -> Vec<String> {
        let words: Vec<_> = line.split(' ').collect();
        self.set("EECTL_COMPLETE", "bash");
        self.set("_CLAP_COMPLETE_INDEX", &(words.len() - 1).to_string());
        self.set("_CLAP_IFS", "\n");
        let result = self.run(&[&["--"], &words[..]].concat()).await;
        self.variables.remove("EECTL_COMPLETE");
        assert_eq!(result.status, 0, "{}", result.stderr);
        result.stdout.lines().map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn jq_filters_the_json_of_each_command() {
    let machine = Machine::with_key(|b| b).await;
    for (arguments, expected) in [
        (
            &["init", "--jq", ".registration"][..],
            "REGISTERED_NOT_COMMERCIALLY\n",
        ),
        (
            &["auth", "token", "--jq", ".access_token | .[:5]"],
            "ya29.\n",
        ),
        (
            &["auth", "status", "--jq", ".credential.principal"],
            &format!("{ROBOT}\n"),
        ),
        (
            &["project", "list", "--jq", "map(.project)"],
            &format!("[\"{PROJECT}\"]\n"),
        ),
        (
            &["api", "config", "--jq", ".registrationState"],
            "REGISTERED_NOT_COMMERCIALLY\n",
        ),
        (&["doctor", "--jq", ".ok"], "true\n"),
    ] {
        let result = machine.run(arguments).await;
        assert_eq!(
            (result.status, result.stdout.as_str()),
            (0, expected),
            "{arguments:?}: {}",
            result.stderr
        );
    }
}

#[tokio::test]
async fn invalid_jq_expression_sends_no_request() {
    let machine = Machine::with_key(|b| b).await;
    for expression in [".[", "nothing", "$x"] {
        let (status, error) = machine.failure(&["init", "--jq", expression]).await;
        assert_eq!((status, code(&error)), (2, "usage"), "{error}");
    }
    assert!(machine.paths().is_empty());
    let (status, error) = machine.failure(&["init", "--jq", ".registration.x"]).await;
    assert_eq!((status, code(&error)), (2, "usage"), "{error}");
}

#[tokio::test]
async fn lists_are_tables_csv_or_json() {
    let machine =
        Machine::with_key(|b| b.project(Project::new("a-forest").display_name("Wood, \"old\"")))
            .await;
    let list = |more: &'static [&'static str]| [&["project", "list"][..], more].concat();
    let table = machine.run(&list(&["--format", "table"])).await.stdout;
    assert_eq!(table, machine.run(&list(&[])).await.stdout);
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("  PROJECT "), "{table}");
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with(&format!("* {PROJECT} "))),
        "{table}"
    );
    assert!(
        lines.iter().any(|line| line.starts_with("  a-forest ")),
        "{table}"
    );
    let quiet = machine.run(&list(&["-q"])).await.stdout;
    assert_eq!(quiet.lines().collect::<Vec<_>>(), lines[1..]);
    let csv = machine.run(&list(&["--format", "csv"])).await.stdout;
    assert!(csv.starts_with("project,state,name,current\n"), "{csv}");
    assert!(
        csv.contains("a-forest,\"ready, noncommercial\",\"Wood, \"\"old\"\"\",false\n"),
        "{csv}"
    );
    assert!(csv.contains(",true\n"), "{csv}");
    let json = machine.json(&list(&["--format", "json"])).await;
    assert_eq!(json, machine.json(&list(&["--json"])).await);
    for more in [
        &["--json", "--format", "csv"][..],
        &["--jq", ".", "--format", "table"],
    ] {
        let result = machine.run(&[&["project", "list"], more].concat()).await;
        assert_eq!(result.status, 2, "{}", result.stderr);
    }
    for command in [&["task", "list"][..], &["asset", "list"], &["auth", "list"]] {
        let result = machine.run(&[command, &["--format", "csv"]].concat()).await;
        assert_eq!(result.status, 0, "{command:?}: {}", result.stderr);
        let header = result.stdout.lines().next().unwrap();
        assert!(header.contains(','), "{command:?}: {header}");
    }
}

#[tokio::test]
async fn color_follows_the_option_then_the_variables() {
    let mut machine = Machine::new().await;
    let is_colored =
        |result: &CommandOutput| (result.stdout.clone() + &result.stderr).contains('\u{1b}');
    for (variable, option, expected) in [
        (None, None, false),
        (None, Some("always"), true),
        (Some("CLICOLOR_FORCE"), None, true),
        (Some("CLICOLOR_FORCE"), Some("never"), false),
        (Some("NO_COLOR"), Some("always"), true),
        (Some("NO_COLOR"), None, false),
    ] {
        for name in ["CLICOLOR_FORCE", "NO_COLOR"] {
            machine.variables.remove(name);
        }
        if let Some(variable) = variable {
            machine.set(variable, "1");
        }
        let option: Vec<_> = option
            .map(|when| ["--color", when])
            .into_iter()
            .flatten()
            .collect();
        for command in [
            &["init"][..],
            &["doctor"],
            &["--help"],
            &["init", "--nonsense"],
        ] {
            let result = machine.run(&[command, &option[..]].concat()).await;
            assert_eq!(
                is_colored(&result),
                expected,
                "{command:?} {variable:?} {option:?}"
            );
        }
    }
    assert_eq!(machine.run(&["init", "--color", "red"]).await.status, 2);
}

#[tokio::test]
async fn closed_pipe_is_silent() {
    let machine = Machine::with_key(|b| b).await;
    for arguments in [
        &["doctor"][..],
        &["doctor", "--json"],
        &["--help"],
        &["init", "--help"],
        &["--version"],
        &["init"],
        &["project", "list"],
        &["auth", "token"],
        &["api", "config"],
        &["completions", "bash"],
        &["man"],
        &["project", "list", "--json"],
    ] {
        let result = machine.run_with_closed_pipe(arguments).await;
        assert_eq!(result, (141, String::new()), "{arguments:?}");
    }
}

#[tokio::test]
async fn commands_of_other_programs_run_ours() {
    let machine = Machine::with_key(|b| b).await;
    for (theirs, ours) in [
        (&["whoami", "--json"][..], &["auth", "status", "--json"][..]),
        (
            &["auth", "application-default", "print-access-token"],
            &["auth", "token"],
        ),
        (&["auth", "print-access-token"], &["auth", "token"]),
        (&["projects", "list"], &["project", "list"]),
        (
            &["projects", "describe", PROJECT],
            &["project", "check", PROJECT],
        ),
        (&["config", "get", "project"], &["project", "show"]),
        (&["completion", "zsh"], &["completions", "zsh"]),
    ] {
        let [theirs, ours] = [machine.run(theirs).await, machine.run(ours).await];
        assert_eq!(
            (theirs.status, &theirs.stdout),
            (0, &ours.stdout),
            "{}",
            theirs.stderr
        );
    }
    let set = machine.run(&["config", "set", "project", PROJECT]).await;
    assert!(
        set.stdout.starts_with(&format!("project set to {PROJECT}")),
        "{}",
        set.stderr
    );
    let unset = machine.run(&["config", "unset", "project"]).await;
    assert!(
        unset.stdout.starts_with("project removed"),
        "{}",
        unset.stderr
    );

    let key = machine.path("key.json");
    let result = machine.run(&["--service_account_file", &key, "init"]).await;
    assert_eq!(result.status, 0, "{}", result.stderr);
    assert!(
        result.stdout.contains("(the credentials option, "),
        "{}",
        result.stdout
    );
}

#[tokio::test]
async fn no_error_suggests_to_remove_something() {
    let machine = Machine::new().await;
    for arguments in [
        &["project", "use", "p"][..],
        &["project", "unse"],
        &["project", "uset"],
        &["auth", "logot"],
        &["auth", "logou"],
        &["asset", "delet"],
        &["task", "cancl"],
        &["unset_projec"],
    ] {
        let result = machine.run(arguments).await;
        assert_eq!(result.status, 2);
        for word in ["unset", "'logout'", "'delete'", "'cancel'"] {
            let shown = result.stderr.replace(arguments.last().unwrap(), "");
            assert!(!shown.contains(word), "{arguments:?}: {shown}");
        }
    }
    let used = machine.run(&["project", "use", "p"]).await.stderr;
    assert!(
        used.contains("eectl project set") && used.contains("eectl project select"),
        "{used}"
    );
    let (status, error) = machine.failure(&["auth", "revoke"]).await;
    assert_eq!(status, 2);
    assert!(
        remedy(&error).contains("eectl auth logout --revoke"),
        "{error}"
    );
}

#[tokio::test]
async fn misspelled_commands_of_other_programs_name_ours() {
    let machine = Machine::new().await;
    for (typed, ours) in [
        ("logn", Some("'auth login'")),
        ("lgoin", Some("'auth login'")),
        ("whoam", Some("'auth status'")),
        ("logotu", None),
    ] {
        let result = machine.run(&[typed]).await;
        assert_eq!(result.status, 2);
        match ours {
            Some(ours) => assert!(result.stderr.contains(ours), "{}", result.stderr),
            None => assert!(!result.stderr.contains("auth logout"), "{}", result.stderr),
        }
    }
}

#[tokio::test]
async fn options_without_an_effect_are_errors() {
    let machine = Machine::with_key(|b| b).await;
    for (command, option) in [
        (&["completions", "bash"][..], &["--project", "p"][..]),
        (&["completions", "bash"], &["--jq", "."]),
        (&["man"], &["--scopes", "a"]),
        (&["emulator"], &["--impersonate", "a@example.com"]),
        (&["project", "unset"], &["--no-token-cache"]),
        (&["project", "set", PROJECT], &["--project", "p"]),
        (&["auth", "logout"], &["--allow-host", "example.com"]),
    ] {
        for words in [[command, option].concat(), [option, command].concat()] {
            let (status, error) = machine.failure(&words).await;
            assert_eq!((status, code(&error)), (2, "usage"), "{words:?}");
            assert!(message(&error).contains(option[0]), "{error}");
        }
    }
    assert_eq!(
        machine
            .run(&["completions", "bash", "--color", "never", "-q"])
            .await
            .status,
        0
    );
    assert!(machine.paths().is_empty());
}

#[tokio::test]
async fn shells_complete_commands_options_and_values() {
    let mut machine = Machine::with_key(|b| b.project(Project::new("a-forest"))).await;
    let commands = machine.completions("eectl project ").await;
    for command in ["list", "select", "check"] {
        assert!(commands.iter().any(|word| word == command), "{commands:?}");
    }
    let top = machine.completions("eectl ").await;
    assert!(top.iter().any(|word| word == "doctor"), "{top:?}");
    for hidden in ["set_project", "authenticate", "ls"] {
        assert!(!top.iter().any(|word| word == hidden), "{top:?}");
    }
    for (line, expected) in [
        ("eectl auth login --mode ", "notebook"),
        (
            "eectl init --scopes earthengine,dev",
            "earthengine,devstorage.full_control",
        ),
        ("eectl api -X PA", "PATCH"),
        ("eectl api va", "value:compute"),
        ("eectl project list --format c", "csv"),
        ("eectl init --color al", "always"),
        ("eectl completions z", "zsh"),
        ("eectl init --credentials ke", "key.json"),
    ] {
        let words = machine.completions(line).await;
        assert!(
            words.iter().any(|word| word == expected),
            "{line}: {words:?}"
        );
    }
    let without_list = machine.completions("eectl project set ").await;
    assert!(
        !without_list.iter().any(|word| word == "a-forest"),
        "{without_list:?}"
    );
    assert_eq!(machine.run(&["project", "list"]).await.status, 0);
    for line in ["eectl project set ", "eectl init --project "] {
        let projects = machine.completions(line).await;
        assert!(
            projects.iter().any(|word| word == "a-forest"),
            "{line}: {projects:?}"
        );
    }
    assert_eq!(
        machine.completions("eectl project check a-").await,
        ["a-forest"]
    );
}

#[tokio::test]
async fn manual_has_the_sections_of_the_help() {
    let machine = Machine::new().await;
    let dir = machine.home.path().join("man1");
    machine
        .run(&["man", "--dir", &dir.display().to_string()])
        .await;
    let page = fs::read_to_string(dir.join("eectl-project-list.1")).unwrap();
    for section in [
        "EXAMPLES",
        "ENVIRONMENT",
        "FILES",
        "\"EXIT STATUS\"",
        "\"SEE ALSO\"",
    ] {
        assert!(
            page.contains(&format!(".SH {section}")),
            "{section}: {page}"
        );
    }
    assert!(page.contains("eectl\\-project(1)"), "{page}");
    assert!(page.contains("\\-\\-format csv"), "{page}");
    let names: Vec<_> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        !names.iter().any(|name| name.contains("set_project")),
        "{names:?}"
    );
}

#[tokio::test]
async fn api_accepts_queries_and_urls_of_earth_engine() {
    let machine = Machine::with_key(|b| b).await;
    for (path, host) in [
        (
            "operations?pageSize=1&filter=a%20b",
            "earthengine.googleapis.com",
        ),
        (
            "https://earthengine.googleapis.com/v1/projects/ee-demo-project/operations?pageSize=1&filter=a+b",
            "earthengine.googleapis.com",
        ),
        (
            "https://earthengine-highvolume.googleapis.com/v1/projects/ee-demo-project/operations?pageSize=1&filter=a+b",
            "earthengine-highvolume.googleapis.com",
        ),
    ] {
        let result = machine
            .run(&["api", path, "--query", "prettyPrint=true"])
            .await;
        assert_ne!(result.status, 2, "{}", result.stderr);
        let requests = machine.emulator.requests_to(host);
        let last = requests.last().unwrap();
        assert_eq!(last.path, "/v1/projects/ee-demo-project/operations");
        assert_eq!(
            last.query.replace("%20", "+"),
            "pageSize=1&filter=a+b&prettyPrint=true"
        );
    }
    let before = machine.paths().len();
    for url in [
        "https://example.com/v1/projects/p/config",
        "http://earthengine.googleapis.com/v1/projects/p/config",
        "https://oauth2.googleapis.com/token",
        "https://earthengine.googleapis.com.example.com/",
    ] {
        let (status, error) = machine.failure(&["api", url]).await;
        assert_eq!((status, code(&error)), (2, "usage"), "{error}");
    }
    assert_eq!(machine.paths().len(), before);
}

#[tokio::test]
async fn failed_api_call_names_its_method_and_path() {
    let machine = Machine::with_key(|b| b).await;
    let (status, error) = machine
        .failure(&["api", "DELETE", "nothing/here?a=b"])
        .await;
    assert_eq!(status, 6, "{error}");
    assert!(
        message(&error).starts_with("DELETE v1/projects/ee-demo-project/nothing/here failed: "),
        "{error}"
    );
}

#[tokio::test]
async fn project_set_verifies_and_warns_but_saves() {
    let mut machine =
        Machine::with_key(|b| b.project(Project::new("not-ready").api_enabled(false))).await;
    let ready = machine.run(&["project", "set", PROJECT]).await;
    assert_eq!((ready.status, ready.stderr.as_str()), (0, ""));
    assert!(machine.paths().iter().any(|path| path.contains(PROJECT)));
    let unready = machine.run(&["project", "set", "not-ready"]).await;
    assert_eq!(unready.status, 0);
    assert!(
        unready.stderr.starts_with("warning: "),
        "{}",
        unready.stderr
    );
    let shown = machine.run(&["-q", "project", "show"]).await.stdout;
    assert_eq!(shown, "not-ready\n");
    let json = machine
        .json(&["project", "set", "not-ready", "--json"])
        .await;
    assert_eq!(json["warnings"][0]["code"], "api_disabled");
    let before = machine.paths().len();
    for more in ["--no-verify", "-q"] {
        let skipped = machine.run(&["project", "set", "not-ready", more]).await;
        assert_eq!((skipped.status, skipped.stderr.as_str()), (0, ""));
    }
    assert_eq!(machine.paths().len(), before);
    // Offline.
    machine.set("EARTHENGINE_EMULATOR_HOST", "127.0.0.1:9");
    machine.set("EARTHENGINE_EMULATOR_TRUST", "1");
    let offline = machine.run(&["project", "set", "not-ready"]).await;
    assert_eq!((offline.status, offline.stderr.as_str()), (0, ""));
}

#[tokio::test]
async fn logout_says_what_google_still_accepts() {
    let mut machine = Machine::new().await;
    machine.variables.remove("EARTHENGINE_EMULATOR_HOST");
    let jane = machine.emulator.create_user("jane@example.com");
    machine.file(
        ".config/earthengine/credentials",
        jane.earthengine_file_json(None),
    );
    let result = machine.run(&["auth", "logout"]).await;
    assert_eq!(result.status, 0);
    result.assert_stderr("Google still accepts the login");
    assert!(
        result
            .stderr
            .contains("https://myaccount.google.com/connections")
    );
    let again = machine.run(&["auth", "logout"]).await;
    assert_eq!(again.stderr, "");
    assert!(
        again.stdout.starts_with("not logged in: "),
        "{}",
        again.stdout
    );
}
