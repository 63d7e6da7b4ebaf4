//! Commands with arbitrary arguments end cleanly and print no control characters.

use earthengine::token::internal::is_unsafe_for_display;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use proptest::{char, collection, sample};
use tokio::runtime::Runtime;

use super::*;

/// Command lines where `{}` stands for an arbitrary value. None of them waits for a user.
#[rustfmt::skip]
const TEMPLATES: [&str; 30] = [
    "{}", "auth {}", "project {}", "doctor {}", "completions {}", "api {}", "api {} config",
    "project set {}", "project check {}", "set_project {}",
    "init --project={}", "init --credentials={}", "init --impersonate={}", "init --scopes={}",
    "init --allow-host={}", "init --wait={}", "init --{}=x",
    "auth login --quiet --mode=notebook{}", "auth login --quiet --mode=notebook --port={}",
    "auth login --quiet --mode=notebook --timeout={}", "auth login --authorization-code={}",
    "auth login --authorization-code=4/0a --code-verifier={}",
    "api config --method={}", "api config --input={}", "api config --query={}",
    "api value:compute --raw-field={}", "api value:compute --field={}", "api config --header={}",
    "emulator --port=0 --write-credentials=/dev/null/{}", "man --dir=/dev/null/{}",
];

fn value() -> impl Strategy<Value = String> {
    let signs: Vec<_> = "=:/[]@-,%'\" \r\n\t\u{1b}\u{202e}\u{200b}\u{ad}"
        .chars()
        .collect();
    let letter = prop_oneof![
        char::range('a', 'z'),
        sample::select(signs),
        // Arguments of processes cannot contain NUL.
        any::<char>().prop_filter("no zero", |c| *c != '\0'),
    ];
    collection::vec(letter, 0..24).prop_map(String::from_iter)
}

#[test]
fn arbitrary_arguments_end_cleanly_with_printable_output() {
    let runtime = Runtime::new().unwrap();
    let machine = runtime.block_on(Machine::with_key(|b| b));
    let is_unsafe = |c: char| is_unsafe_for_display(c) && !matches!(c, '\n' | '\t');
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(200)
    };
    let inputs = (sample::select(&TEMPLATES[..]), value(), any::<bool>());
    let ran = TestRunner::new(config).run(&inputs, |(template, value, as_json)| {
        let line: Vec<_> = template
            .split(' ')
            .map(|word| word.replace("{}", &value))
            .collect();
        let options: &[&str] = if as_json { &["--json"] } else { &[] };
        let words = options
            .iter()
            .copied()
            .chain(line.iter().map(String::as_str));
        let result = runtime.block_on(machine.run(&words.collect::<Vec<_>>()));
        prop_assert!(
            (0..=7).contains(&result.status),
            "{}: {}",
            result.status,
            result.stderr
        );
        prop_assert!(!result.stderr.contains(is_unsafe), "{:?}", result.stderr);
        // Responses of the API are printed verbatim.
        if !template.starts_with("api") {
            prop_assert!(!result.stdout.contains(is_unsafe), "{:?}", result.stdout);
        }
        if as_json && result.status != 0 {
            let error: Value = serde_json::from_str(&result.stderr)
                .map_err(|error| TestCaseError::fail(format!("{error}: {}", result.stderr)))?;
            prop_assert!(!message(&error["error"]).is_empty());
        }
        Ok(())
    });
    ran.unwrap();
}
