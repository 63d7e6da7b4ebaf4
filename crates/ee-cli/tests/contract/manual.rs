//! `eectl completions`, `eectl man`, and the help.

use super::*;

#[tokio::test]
async fn completions_of_every_shell_contain_the_commands() {
    let machine = Machine::new().await;
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let result = machine.run(&["completions", shell]).await;
        assert_eq!((result.status, result.stderr.as_str()), (0, ""));
        for word in ["EECTL_COMPLETE", "eectl"] {
            assert!(result.stdout.contains(word), "{shell}: {word}");
        }
    }
    let (status, error) = machine.failure(&["completions", "cmd"]).await;
    assert_eq!((status, code(&error)), (2, "usage"));
}

#[tokio::test]
async fn manual_is_printed_or_written_with_a_page_per_command() {
    let machine = Machine::new().await;
    let page = machine.run(&["man"]).await;
    page.assert_stdout(".TH eectl 1");
    assert!(page.stdout.contains("doctor"));
    let dir = machine.home.path().join("share/man1");
    let result = machine
        .run(&["man", "--dir", &dir.display().to_string()])
        .await;
    assert_eq!((result.status, result.stdout.as_str()), (0, ""));
    for name in ["eectl.1", "eectl-doctor.1", "eectl-project-select.1"] {
        let text = fs::read_to_string(dir.join(name)).unwrap();
        assert!(text.contains(".TH"), "{name}");
        assert!(!text.contains("\n\n.TP"), "{name}: an option without help");
    }
    let quiet = ["-q", "man", "--dir", &dir.display().to_string()];
    assert_eq!(machine.run(&quiet).await.stderr, "");
    let file = machine.file("a-file", "");
    let (status, error) = machine.failure(&["man", "--dir", &file]).await;
    assert_eq!((status, code(&error)), (1, "io"));
}

#[tokio::test]
async fn every_command_has_help_and_aliases_are_hidden() {
    let machine = Machine::new().await;
    let help = machine.run(&["--help"]).await;
    for word in ["project", "doctor", "api", "emulator", "completions", "man"] {
        assert!(help.stdout.contains(&format!("\n  {word} ")), "{word}");
        let result = machine.run(&[word, "--help"]).await;
        assert_eq!((result.status, result.stderr.as_str()), (0, ""), "{word}");
    }
    assert!(!help.stdout.contains("set_project"));
    assert_eq!(machine.run(&["set_project", "--help"]).await.status, 0);
}
