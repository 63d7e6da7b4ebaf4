//! The values of a metadata server, as Google's server lists and formats them.

use serde_json::{Map, Value, json};

/// The directory of all values.
pub(crate) const ROOT: &str = "/computeMetadata/v1";
/// The domain of Google's public cloud.
const UNIVERSE: &str = "googleapis.com";
/// The alias of the account.
pub(crate) const DEFAULT: &str = "default";

/// What the broker tells about its machine and account.
#[derive(Debug)]
pub(crate) struct Machine<'a> {
    pub(crate) project: Option<&'a str>,
    pub(crate) project_number: Option<u64>,
    /// The account's address, or [`DEFAULT`] if it is not known.
    pub(crate) email: &'a str,
    pub(crate) scopes: Vec<&'a str>,
}

/// The format of a response.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) is_recursive: bool,
    /// The parameter `alt`: JSON instead of text, or text instead of JSON.
    pub(crate) is_json: Option<bool>,
}

/// A value or a directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Text(String),
    Json(Value),
    /// A path below the account that is not a value: `token` or `identity`.
    Action(Action),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Token,
    Identity,
}

impl Machine<'_> {
    /// Finds what is at a path below [`ROOT`]. Returns `None` if nothing is.
    pub(crate) fn find(&self, path: &str, format: Format) -> Option<Found> {
        let path = path.replace("%40", "@");
        let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        if let ["instance", "service-accounts", account, action] = segments[..] {
            let action = match action {
                "token" => Some(Action::Token),
                "identity" => Some(Action::Identity),
                _ => None,
            };
            if action.is_some() {
                return (account == DEFAULT || account == self.email)
                    .then_some(action.map(Found::Action))?;
            }
        }
        let mut value = &self.tree();
        for segment in &segments {
            value = value.get(*segment)?;
        }
        let is_account = matches!(segments[..], ["instance", "service-accounts", _]);
        Some(render(value, format, is_account))
    }

    fn tree(&self) -> Value {
        let account = json!({
            "aliases": [DEFAULT],
            "email": self.email,
            "scopes": self.scopes,
        });
        let mut accounts = Map::new();
        accounts.insert(DEFAULT.to_owned(), account.clone());
        accounts.insert(self.email.to_owned(), account);
        let mut project = Map::new();
        if let Some(number) = self.project_number {
            project.insert("numeric-project-id".to_owned(), json!(number));
        }
        if let Some(id) = self.project {
            project.insert("project-id".to_owned(), json!(id));
        }
        json!({
            "instance": {
                "service-accounts": accounts,
                // Clients read the region from it. This machine is in none.
                "zone": format!("projects/{}/zones/local-a", self.project_number.unwrap_or(0)),
            },
            "project": project,
            "universe": { "universe-domain": UNIVERSE },
        })
    }
}

fn render(value: &Value, format: Format, is_account: bool) -> Found {
    match value {
        Value::Object(entries) if format.is_recursive => match format.is_json {
            Some(false) => Found::Text(flat(value, "")),
            _ => Found::Json(camel_case(&Value::Object(entries.clone()))),
        },
        Value::Object(entries) => Found::Text(listing(entries, is_account)),
        value if format.is_json == Some(true) => Found::Json(value.clone()),
        Value::Array(lines) => Found::Text(lines.iter().map(|l| plain(l) + "\n").collect()),
        value => Found::Text(plain(value)),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn listing(entries: &Map<String, Value>, is_account: bool) -> String {
    let mut names: Vec<String> = entries
        .iter()
        .map(|(name, value)| match value {
            Value::Object(_) => format!("{name}/"),
            _ => name.clone(),
        })
        .collect();
    if is_account {
        names.extend(["identity".to_owned(), "token".to_owned()]);
    }
    names.sort();
    names.into_iter().map(|name| name + "\n").collect()
}

/// Formats all values below a directory as lines of a path and a value.
fn flat(value: &Value, path: &str) -> String {
    match value {
        Value::Object(entries) => entries
            .iter()
            .map(|(name, value)| match path {
                "" => flat(value, name),
                _ => flat(value, &format!("{path}/{name}")),
            })
            .collect(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(plain).collect();
            format!("{path} {}\n", items.join(" "))
        }
        value => format!("{path} {}\n", plain(value)),
    }
}

/// Changes the names to those of recursive JSON: `service-accounts` is `serviceAccounts`.
fn camel_case(value: &Value) -> Value {
    let Value::Object(entries) = value else {
        return value.clone();
    };
    let renamed = entries.iter().map(|(name, value)| {
        let mut parts = name.split('-');
        let mut new = parts.next().unwrap_or_default().to_owned();
        // The keys that are email addresses stay.
        if name.contains('@') {
            new.clone_from(name);
        } else {
            for part in parts {
                let mut letters = part.chars();
                new.extend(letters.next().map(|c| c.to_ascii_uppercase()));
                new.push_str(letters.as_str());
            }
        }
        (new, camel_case(value))
    });
    Value::Object(renamed.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: Format = Format {
        is_recursive: false,
        is_json: None,
    };
    const RECURSIVE: Format = Format {
        is_recursive: true,
        is_json: None,
    };

    fn machine() -> Machine<'static> {
        Machine {
            project: Some("my-project"),
            project_number: None,
            email: "robot@my-project.iam.gserviceaccount.com",
            scopes: vec!["https://www.googleapis.com/auth/earthengine"],
        }
    }

    fn text(path: &str) -> String {
        match machine().find(path, TEXT) {
            Some(Found::Text(text)) => text,
            other => panic!("{path}: {other:?}"),
        }
    }

    fn json(path: &str, format: Format) -> Value {
        match machine().find(path, format) {
            Some(Found::Json(value)) => value,
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn values_are_plain_text() {
        let account = "/instance/service-accounts/default";
        assert_eq!(text(&format!("{account}/email")), machine().email);
        let by_email =
            "/instance/service-accounts/robot%40my-project.iam.gserviceaccount.com/email";
        assert_eq!(text(by_email), machine().email);
        assert_eq!(
            text(&format!("{account}/scopes")),
            "https://www.googleapis.com/auth/earthengine\n"
        );
        assert_eq!(text(&format!("{account}/aliases")), "default\n");
        assert_eq!(text("/project/project-id"), "my-project");
        assert_eq!(text("/universe/universe-domain"), "googleapis.com");
        assert_eq!(text("/instance/zone"), "projects/0/zones/local-a");
    }

    #[test]
    fn directories_are_listed() {
        assert_eq!(text("/"), "instance/\nproject/\nuniverse/\n");
        assert_eq!(text("/instance/"), "service-accounts/\nzone\n");
        assert_eq!(
            text("/instance/service-accounts/"),
            "default/\nrobot@my-project.iam.gserviceaccount.com/\n"
        );
        for path in [
            "/instance/service-accounts/default",
            "/instance/service-accounts/default/",
        ] {
            assert_eq!(text(path), "aliases\nemail\nidentity\nscopes\ntoken\n");
        }
    }

    #[test]
    fn recursive_json_has_googles_names() {
        let account = json("/instance/service-accounts/default/", RECURSIVE);
        assert_eq!(
            account,
            json!({"aliases": ["default"], "email": machine().email, "scopes": machine().scopes})
        );
        let all = json("/", RECURSIVE);
        assert_eq!(all["project"], json!({"projectId": "my-project"}));
        assert_eq!(all["universe"], json!({"universeDomain": "googleapis.com"}));
        assert_eq!(all["instance"]["serviceAccounts"]["default"], account);
        assert_eq!(all["instance"]["serviceAccounts"][machine().email], account);
    }

    #[test]
    fn alt_changes_the_format() {
        let as_json = Format {
            is_json: Some(true),
            ..TEXT
        };
        assert_eq!(json("/project/project-id", as_json), "my-project");
        let as_text = Format {
            is_json: Some(false),
            ..RECURSIVE
        };
        let found = machine().find("/instance/service-accounts/default", as_text);
        let Some(Found::Text(lines)) = found else {
            panic!("{found:?}");
        };
        assert_eq!(
            lines,
            format!(
                "aliases default\nemail {}\nscopes https://www.googleapis.com/auth/earthengine\n",
                machine().email
            )
        );
    }

    #[test]
    fn project_number_is_a_value_if_it_is_known() {
        let by_number = Machine {
            project_number: Some(123_456_789_012),
            ..machine()
        };
        let path = "/project/numeric-project-id";
        let number = by_number.find(path, TEXT);
        assert_eq!(number, Some(Found::Text("123456789012".into())));
        let zone = by_number.find("/instance/zone", TEXT);
        let expected = "projects/123456789012/zones/local-a";
        assert_eq!(zone, Some(Found::Text(expected.into())));
        assert_eq!(machine().find(path, TEXT), None);
        let without = Machine {
            project: None,
            ..machine()
        };
        assert_eq!(without.find("/project/project-id", TEXT), None);
    }

    #[test]
    fn other_paths_are_not_found() {
        for path in [
            "/instance/attributes/",
            "/instance/service-accounts/other@example.com/token",
            "/instance/service-accounts/other@example.com/email",
            "/instance/service-accounts/default/email/x",
            "/instance/service-accounts/default/token/x",
            "/project/../project/project-id",
            "/x",
        ] {
            assert_eq!(machine().find(path, TEXT), None, "{path}");
        }
        for (path, action) in [("token", Action::Token), ("identity", Action::Identity)] {
            let path = format!("/instance/service-accounts/default/{path}");
            assert_eq!(machine().find(&path, TEXT), Some(Found::Action(action)));
        }
    }
}
