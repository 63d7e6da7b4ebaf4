//! Whatever is given on the command line, a command ends as it should and steers no terminal.

use earthengine::token::is_unsafe_for_display;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use proptest::{char, collection, sample};
use tokio::runtime::Runtime;

use super::*;

/// Where something can stand on it: `{}` is what is given. None of these waits for anybody.
#[rustfmt::skip]
const PLACES: [&str; 30] = [
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
        // No argument of a program can have a zero in it.
        any::<char>().prop_filter("no zero", |c| *c != '\0'),
    ];
    collection::vec(letter, 0..24).prop_map(String::from_iter)
}

#[test]
fn whatever_is_given_as_a_value_a_command_ends_as_promised_and_steers_no_terminal() {
    let runtime = Runtime::new().unwrap();
    let machine = runtime.block_on(Machine::with_key(|b| b));
    let steers = |c: char| is_unsafe_for_display(c) && !matches!(c, '\n' | '\t');
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(200)
    };
    let given = (sample::select(&PLACES[..]), value(), any::<bool>());
    let ran = TestRunner::new(config).run(&given, |(place, value, as_json)| {
        let line: Vec<_> = place
            .split(' ')
            .map(|word| word.replace("{}", &value))
            .collect();
        let options: &[&str] = if as_json { &["--json"] } else { &[] };
        let words = options
            .iter()
            .copied()
            .chain(line.iter().map(String::as_str));
        let ended = runtime.block_on(machine.run(&words.collect::<Vec<_>>()));
        prop_assert!(
            (0..=7).contains(&ended.status),
            "{}: {}",
            ended.status,
            ended.stderr
        );
        prop_assert!(!ended.stderr.contains(steers), "{:?}", ended.stderr);
        // What the API answers is printed as it came.
        if !place.starts_with("api") {
            prop_assert!(!ended.stdout.contains(steers), "{:?}", ended.stdout);
        }
        if as_json && ended.status != 0 {
            let told: Value = serde_json::from_str(&ended.stderr)
                .map_err(|error| TestCaseError::fail(format!("{error}: {}", ended.stderr)))?;
            prop_assert!(!message(&told["error"]).is_empty());
        }
        Ok(())
    });
    ran.unwrap();
}
