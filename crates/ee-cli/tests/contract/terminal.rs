//! `eectl` on a terminal: the picker, its prompts, and color. Python opens a pseudo-terminal.

use ee_emulator::Fault;
use serde_json::json;

use super::*;

pub(super) const PROMPT: &str = "(Enter to cancel):";

impl Machine {
    /// Runs a command on a terminal; each step waits for a text and then types another.
    /// Returns the exit status and what was shown.
    pub(super) async fn on_terminal(
        &self,
        arguments: &[&str],
        steps: &[(&str, &str)],
    ) -> (i32, String) {
        let program = EECTL;
        self.play(&[&[program], arguments].concat(), steps).await
    }

    /// Runs a program on a terminal, like [`on_terminal`](Self::on_terminal).
    pub(super) async fn play(&self, command: &[&str], steps: &[(&str, &str)]) -> (i32, String) {
        let mut environment = self.variables.clone();
        environment.entry("TERM".into()).or_insert("xterm".into());
        let play = json!({
            "command": command,
            "environment": environment,
            "directory": self.home.path(),
            "steps": steps,
        });
        let run = move || {
            let mut python = Command::new("python3")
                .args(["-c", include_str!("terminal.py")])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("python3, which opens the pseudo-terminal, is needed for this test");
            let mut stdin = python.stdin.take().unwrap();
            stdin.write_all(play.to_string().as_bytes()).unwrap();
            drop(stdin);
            python.wait_with_output().unwrap()
        };
        let played = tokio::task::spawn_blocking(run).await.unwrap();
        let stderr = String::from_utf8_lossy(&played.stderr).into_owned();
        assert!(played.status.success(), "{stderr}");
        let result: Value = serde_json::from_slice(&played.stdout).unwrap();
        let shown = result["shown"].as_str().unwrap().to_owned();
        assert_eq!(result["restored"], true, "{shown}");
        let hidden = shown.rfind("\u{1b}[?25l");
        assert!(hidden <= shown.rfind("\u{1b}[?25h"), "no cursor: {shown}");
        (
            i32::try_from(result["status"].as_i64().unwrap()).unwrap(),
            shown,
        )
    }

    /// Returns the project in the file, or `None` without a file.
    fn project(&self) -> Option<Value> {
        let path = self.home.path().join(".config/earthengine/credentials");
        let text = fs::read_to_string(path).ok()?;
        let file: Value = serde_json::from_str(&text).unwrap();
        Some(file["project"].clone())
    }

    /// On a terminal that shows menus.
    async fn with_menu() -> Self {
        let mut machine = Self::with_three_projects().await;
        machine.set("TERM", "xterm");
        machine
    }

    /// On a terminal without menus.
    async fn with_three_projects() -> Self {
        let mut machine = Self::with_key(|b| {
            b.project(Project::new("forest-one"))
                .project(Project::new("forest-two").api_enabled(false))
        })
        .await;
        machine.run(&["project", "set", "forest-one"]).await;
        machine.set("TERM", "dumb");
        machine
    }
}

#[tokio::test]
async fn help_fits_the_terminal() {
    let mut machine = Machine::new().await;
    machine.set("NO_COLOR", "1");
    let (status, shown) = machine
        .on_terminal(&["project", "list", "--help"], &[])
        .await;
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("Exit status:"), "{shown}");
    for line in shown.lines() {
        assert!(line.trim_end().chars().count() <= 100, "{line}");
    }
}

#[tokio::test]
async fn select_sets_the_project_with_the_typed_number() {
    let machine = Machine::with_three_projects().await;
    let (status, shown) = machine
        .on_terminal(&["project", "select"], &[(PROMPT, "1\r")])
        .await;
    assert_eq!(status, 0, "{shown}");
    for line in [
        "  1   ee-demo-project                 ready, noncommercial",
        "  2 * forest-one                      ready, noncommercial  (current)",
        "  3   forest-two                      Earth Engine API not enabled",
        "project set to ee-demo-project",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert_eq!(machine.project(), Some(json!(PROJECT)));
}

#[tokio::test]
async fn select_narrows_the_list_and_warns_about_unready_projects() {
    let machine = Machine::with_three_projects().await;
    let (status, shown) = machine
        .on_terminal(
            &["project", "select"],
            &[(PROMPT, "forest\r"), ("(Enter to show all):", "2\r")],
        )
        .await;
    assert_eq!(status, 0, "{shown}");
    assert!(
        shown.contains("warning: forest-two: Earth Engine API not enabled"),
        "{shown}"
    );
    assert_eq!(machine.project(), Some(json!("forest-two")));
}

#[tokio::test]
async fn select_confirms_a_project_that_is_not_listed() {
    let machine = Machine::with_three_projects().await;
    let again = "Use it anyway? [y/N]";
    let (status, shown) = machine
        .on_terminal(
            &["project", "select"],
            &[
                (PROMPT, "another-project\r"),
                (again, "n\r"),
                (PROMPT, "another-project\r"),
                (again, "y\r"),
            ],
        )
        .await;
    assert_eq!(status, 0, "{shown}");
    assert_eq!(machine.project(), Some(json!("another-project")));
}

#[tokio::test]
async fn canceling_select_changes_nothing() {
    let machine = Machine::with_three_projects().await;
    for (typed, expected) in [("\r", 2), ("\u{4}", 2), ("\u{3}", 130)] {
        let (status, shown) = machine
            .on_terminal(&["project", "select"], &[(PROMPT, typed)])
            .await;
        assert_eq!(status, expected, "{typed:?}: {shown}");
        // Users know that they pressed Ctrl-C.
        assert!(expected != 130 || !shown.contains("error"), "{shown}");
        assert_eq!(machine.project(), Some(json!("forest-one")));
    }
}

#[tokio::test]
async fn select_prompts_for_the_id_if_listing_is_denied() {
    let machine = Machine::with_three_projects().await;
    let refusal =
        json!({"error": {"code": 403, "message": "Not for you.", "status": "PERMISSION_DENIED"}});
    machine.emulator.fault(
        "cloudresourcemanager.googleapis.com",
        Fault::status(403).json(&refusal).times(2),
    );
    let (status, shown) = machine
        .on_terminal(
            &["project", "select"],
            &[
                ("Project ID or number (Enter to cancel):", "My Forest\r"),
                ("Did you mean my-forest?", ""),
                ("Project ID or number (Enter to cancel):", "my-forest\r"),
            ],
        )
        .await;
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("Not for you."), "{shown}");
    assert_eq!(machine.project(), Some(json!("my-forest")));
}

#[tokio::test]
async fn select_reports_login_errors_before_prompting() {
    let machine = Machine::new().await;
    let (status, shown) = machine.on_terminal(&["project", "select"], &[]).await;
    assert_eq!(status, 3, "{shown}");
    assert!(!shown.contains("Enter to cancel"), "{shown}");
}

#[tokio::test]
async fn select_prints_json_on_standard_output() {
    let machine = Machine::with_three_projects().await;
    let (status, shown) = machine
        .on_terminal(&["project", "select", "--json"], &[(PROMPT, "1\r")])
        .await;
    assert_eq!(status, 0, "{shown}");
    let last: Value = serde_json::from_str(shown.lines().last().unwrap()).unwrap();
    assert_eq!(last["project"], json!(PROJECT));
}

const MENU: &str = "Esc to cancel";

#[tokio::test]
async fn menu_is_moved_filtered_and_confirmed_with_keys() {
    let machine = Machine::with_menu().await;
    let select = ["project", "select"];
    // The current project is highlighted first.
    for (keys, project) in [
        (&[(MENU, "\u{1b}[A\r")][..], PROJECT),
        (&[(MENU, "\u{1b}[B\r")], "forest-one"),
        (&[(MENU, "TWO"), ("TWO", "\r")], "forest-two"),
        (&[(MENU, "demo\r")], PROJECT),
    ] {
        let (status, shown) = machine.on_terminal(&select, keys).await;
        assert_eq!(status, 0, "{shown}");
        assert_eq!(machine.project(), Some(json!(project)), "{shown}");
        assert!(shown.contains("(current)"), "{shown}");
    }
}

#[tokio::test]
async fn login_in_a_browser_leaves_the_keys_to_the_menu() {
    let machine = Machine::with(|b| b.project(Project::new("forest-one"))).await;
    machine.emulator.auto_consent("jane@example.com");
    let login = ["auth", "login", "--mode=localhost:0"];
    let keys = [
        ("Address of the page: ", "{browse}"),
        ("Press Enter to go on.", "\r"),
        (MENU, "forest\r"),
    ];
    let (status, shown) = machine.on_terminal(&login, &keys).await;
    assert_eq!(status, 0, "{shown}");
    assert_eq!(machine.project(), Some(json!("forest-one")), "{shown}");
    assert!(
        shown.contains("Address of the page: \nlogged in "),
        "{shown}"
    );
}

#[tokio::test]
async fn menu_without_a_match_prompts_for_the_id() {
    let machine = Machine::with_menu().await;
    let keys = [
        (MENU, "zzz"),
        ("zzz", "\r"),
        (
            "Project ID or number (Enter to cancel):",
            "another-project\r",
        ),
    ];
    let (status, shown) = machine.on_terminal(&["project", "select"], &keys).await;
    assert_eq!(status, 0, "{shown}");
    assert_eq!(machine.project(), Some(json!("another-project")));
}

#[tokio::test]
async fn menu_that_is_left_changes_nothing_and_restores_the_terminal() {
    let machine = Machine::with_menu().await;
    for (typed, expected) in [("\u{1b}", 2), ("\u{3}", 130), ("{terminate}", 143)] {
        let keys = [(MENU, typed)];
        let (status, shown) = machine.on_terminal(&["project", "select"], &keys).await;
        assert_eq!(status, expected, "{typed:?}: {shown}");
        assert_eq!(machine.project(), Some(json!("forest-one")));
    }
}

#[tokio::test]
async fn menu_shows_names_without_control_characters() {
    let machine = Machine::with_key(|b| {
        b.project(
            Project::new("forest-one").display_name("Trees \u{1b}]0;owned\u{7}\u{202e} of Jane"),
        )
    })
    .await;
    let keys = [(MENU, "\u{1b}")];
    let (_, shown) = machine.on_terminal(&["project", "select"], &keys).await;
    assert!(shown.contains("Trees ]0;owned of Jane"), "{shown}");
    assert!(
        !shown.contains('\u{7}') && !shown.contains('\u{202e}'),
        "{shown}"
    );
}

#[tokio::test]
async fn notebook_login_prompts_for_the_code() {
    let machine = Machine::new().await;
    machine.emulator.auto_consent("jane@example.com");
    let login = ["auth", "login", "--mode=notebook"];
    let prompt = "Code: ";
    let wrong = (prompt, "4/0wrong\r");
    for (typed, expected) in [(&[(prompt, "\u{3}")][..], 130), (&[wrong; 3], 4)] {
        let (status, shown) = machine.on_terminal(&login, typed).await;
        assert_eq!(status, expected, "{shown}");
        assert_eq!(machine.project(), None, "no file");
    }
    let steps = [wrong, ("paste it again", ""), (prompt, "{code}\r")];
    let (status, shown) = machine.on_terminal(&login, &steps).await;
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("expires "), "{shown}");
    // The only project that is ready is selected and verified.
    assert!(shown.contains("project set to ee-demo-project"), "{shown}");
    assert!(shown.contains("next          eectl doctor"), "{shown}");
    assert_eq!(machine.project(), Some(json!(PROJECT)));
    let status = machine.json(&["auth", "status", "--json"]).await;
    assert_eq!(status["warnings"][0]["code"], "login_expires");
    assert!(
        status["warnings"][0]["message"]
            .as_str()
            .unwrap()
            .contains("7 days")
    );
}

const LOGIN: [&str; 3] = ["auth", "login", "--mode=notebook"];
const CODE: (&str, &str) = ("Code: ", "{code}\r");

#[tokio::test]
async fn login_goes_on_to_the_picker_if_there_are_several_projects() {
    let mut machine = Machine::with(|b| b.project(Project::new("forest-one"))).await;
    machine.set("TERM", "dumb");
    machine.emulator.auto_consent("jane@example.com");
    let steps = [CODE, (PROMPT, "forest\r")];
    let (status, shown) = machine.on_terminal(&LOGIN, &steps).await;
    assert_eq!(status, 0, "{shown}");
    assert_eq!(shown.matches("warning: ").count(), 1, "{shown}");
    assert_eq!(machine.project(), Some(json!("forest-one")));
    assert!(shown.contains("project       forest-one"), "{shown}");

    // A project that is set is kept and verified.
    let force = [&LOGIN[..], &["--force"]].concat();
    let (status, shown) = machine.on_terminal(&force, &[CODE]).await;
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("project       forest-one"), "{shown}");
    assert!(!shown.contains("listing projects"), "{shown}");
    let skip = [&force[..], &["--no-project"]].concat();
    let (status, shown) = machine.on_terminal(&skip, &[CODE]).await;
    assert_eq!(status, 0, "{shown}");
    assert!(!shown.contains("project       forest-one"), "{shown}");
    assert!(shown.contains("next          eectl init"), "{shown}");
}

#[tokio::test]
async fn login_without_a_project_says_how_to_get_one() {
    let machine = Machine::new().await;
    machine.emulator.auto_consent("jane@example.com");
    let empty = Fault::status(200).json(&json!({}));
    let list = "cloudresourcemanager.googleapis.com";
    machine.emulator.fault(list, empty.times(usize::MAX));
    let (status, shown) = machine.on_terminal(&LOGIN, &[CODE]).await;
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("projectcreate"), "{shown}");
    assert!(
        shown.contains("next          eectl project select"),
        "{shown}"
    );

    // The login is saved even if the project is not ready.
    machine.emulator.clear_faults();
    let force = [&LOGIN[..], &["--force", "--project=no-such-project"]].concat();
    let (status, shown) = machine.on_terminal(&force, &[CODE]).await;
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("does not exist"), "{shown}");
    assert!(shown.ends_with("next          eectl init\n"), "{shown}");
}

#[tokio::test]
async fn url_is_a_link_on_terminals_that_support_links() {
    let mut machine = Machine::new().await;
    for (term, expected) in [("xterm-kitty", true), ("xterm", false), ("dumb", false)] {
        machine.set("TERM", term);
        let cancel = [("Code: ", "\u{3}")];
        let (status, shown) = machine.on_terminal(&LOGIN, &cancel).await;
        assert_eq!(status, 130, "{shown}");
        assert_eq!(
            shown.contains("\u{1b}]8;;http"),
            expected,
            "{term}: {shown}"
        );
    }
}

#[tokio::test]
async fn color_needs_a_capable_terminal_without_no_color() {
    let mut machine = Machine::new().await;
    for arguments in [&["doctor"][..], &["init"]] {
        machine.variables.remove("NO_COLOR");
        machine.set("TERM", "xterm");
        let (_, colored) = machine.on_terminal(arguments, &[]).await;
        assert!(colored.contains("\u{1b}[1;31m"), "{colored}");
        machine.set("TERM", "dumb");
        let (_, dumb) = machine.on_terminal(arguments, &[]).await;
        machine.set("TERM", "xterm");
        machine.set("NO_COLOR", "1");
        let (_, plain) = machine.on_terminal(arguments, &[]).await;
        for text in [dumb, plain] {
            assert!(!text.contains('\u{1b}'), "{text}");
            let word = if arguments == ["doctor"] {
                "failed"
            } else {
                "error:"
            };
            assert!(text.contains(word), "{text}");
        }
    }
}
