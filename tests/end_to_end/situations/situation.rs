//! A situation and its expected outcome.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

/// The situations of one kind.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kind {
    /// What the situations have in common: files, variables and arguments that they do not set.
    #[serde(default)]
    common: Situation,
    pub(crate) situation: Vec<Situation>,
}

/// A situation. Texts may contain [placeholders](crate::placeholders).
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Situation {
    pub(crate) what: String,
    /// Files below the home directory, or with an absolute path. A table is written as JSON.
    pub(crate) files: BTreeMap<String, Value>,
    pub(crate) directories: Vec<String>,
    /// Symbolic links and what they point to.
    pub(crate) links: BTreeMap<String, String>,
    /// Permissions in octal, by path; `.` is the home directory.
    pub(crate) modes: BTreeMap<String, String>,
    /// `credential_source` of a federated credential in `GOOGLE_APPLICATION_CREDENTIALS`, for an
    /// identity pool that trusts `{jwt}` and the AWS key `{aws_key_id}`.
    pub(crate) credential_source: Option<Value>,
    pub(crate) env: BTreeMap<String, String>,
    /// The machine is on Google Cloud.
    pub(crate) metadata: Option<Metadata>,
    pub(crate) responses: Vec<Scripted>,
    /// The arguments of `eectl`. Defaults to `init`.
    pub(crate) args: Vec<String>,
    /// The exit status.
    exit: Option<i32>,
    /// Texts that occur in the output, in any case. ` | ` separates alternatives.
    present: Vec<String>,
    /// Texts that do not occur in the output.
    absent: Vec<String>,
    /// Texts that occur in the hint.
    hint: Vec<String>,
    /// Beginnings of requests that are sent: `GET host/path?query`.
    requests: Vec<String>,
    /// Texts that occur in no request line.
    requests_absent: Vec<String>,
    /// The time limit in seconds.
    within: Option<u64>,
}

/// The service account of a machine.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metadata {
    pub(crate) email: String,
    pub(crate) scopes: Vec<String>,
    #[serde(default)]
    pub(crate) honors_scopes: bool,
}

/// A response that the emulator gives instead of its own.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scripted {
    /// `METHOD HOST/PATH`, `HOST/PATH` or `HOST`.
    pub(crate) to: String,
    /// Headers without which the request is rejected.
    #[serde(default)]
    pub(crate) require: BTreeMap<String, String>,
    /// Defaults to 200. 0 closes the connection.
    pub(crate) status: Option<u16>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Text, or a table for JSON.
    #[serde(default)]
    pub(crate) body: Value,
    /// How often the response is given. Defaults to always.
    pub(crate) times: Option<usize>,
}

/// The outcome of a command.
pub(crate) struct Played {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// `METHOD host/path?query`.
    pub(crate) requests: Vec<String>,
    pub(crate) elapsed: Duration,
}

impl Kind {
    pub(crate) fn situations(self) -> impl Iterator<Item = Situation> {
        let Self { common, situation } = self;
        situation.into_iter().map(move |mut situation| {
            for (path, file) in &common.files {
                let files = &mut situation.files;
                files.entry(path.clone()).or_insert_with(|| file.clone());
            }
            for (name, value) in &common.env {
                let env = &mut situation.env;
                env.entry(name.clone()).or_insert_with(|| value.clone());
            }
            if situation.args.is_empty() {
                situation.args.clone_from(&common.args);
            }
            if situation.args.is_empty() {
                situation.args.push("init".into());
            }
            situation.responses.extend(common.responses.clone());
            situation.metadata = situation.metadata.or_else(|| common.metadata.clone());
            situation
        })
    }
}

impl Situation {
    /// Returns what is not as wanted.
    pub(crate) fn problems(&self, played: &Played, secrets: &[String]) -> Vec<String> {
        let output = format!("{}{}", played.stdout, played.stderr);
        let hint = played.stderr.rsplit_once("hint:").unwrap_or_default().1;
        let mut problems = Vec::new();
        if self.exit.is_some() && self.exit != played.status {
            problems.push(format!("the exit status is not {:?}", self.exit));
        }
        let wanted = [
            ("output", &output[..], &self.present),
            ("hint", hint, &self.hint),
        ];
        for (name, text, wanted) in wanted {
            let missing = wanted.iter().filter(|wanted| !has_any(text, wanted));
            problems.extend(missing.map(|wanted| format!("{wanted:?} is not in the {name}")));
        }
        let unwanted = self.absent.iter().filter(|text| has_any(&output, text));
        problems.extend(unwanted.map(|text| format!("{text:?} is in the output")));
        for secret in secrets.iter().filter(|secret| output.contains(*secret)) {
            problems.push(format!("the secret {secret:?} is in the output"));
        }
        let is_sent = |line: &str| played.requests.iter().any(|sent| sent.starts_with(line));
        let missing = self.requests.iter().filter(|line| !is_sent(line));
        problems.extend(missing.map(|line| format!("{line:?} was not sent")));
        let has_request = |text: &str| played.requests.iter().any(|sent| sent.contains(text));
        let unwanted = self.requests_absent.iter().filter(|text| has_request(text));
        problems.extend(unwanted.map(|text| format!("{text:?} was sent")));
        if self
            .within
            .is_some_and(|limit| played.elapsed.as_secs() >= limit)
        {
            problems.push(format!("it took {:?}", played.elapsed));
        }
        problems
    }
}

/// Returns whether the text contains one of the alternatives.
fn has_any(text: &str, alternatives: &str) -> bool {
    let text = text.to_lowercase();
    alternatives
        .split(" | ")
        .any(|part| text.contains(&part.to_lowercase()))
}

impl fmt::Display for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status.map_or("a signal".into(), |n| n.to_string());
        writeln!(f, "-- exit {status}, {:?}", self.elapsed)?;
        writeln!(f, "-- stdout\n{}", self.stdout)?;
        writeln!(f, "-- stderr\n{}", self.stderr)?;
        writeln!(f, "-- requests\n{}", self.requests.join("\n"))
    }
}
