//! `eectl asset acl`: who can use an asset, in the format of Google's `earthengine` command.

use std::path::Path;

use earthengine::rest::IamBinding;
use earthengine::token::internal::display_path;
use earthengine::{AssetName, IamPolicy, Remedy};
use serde_json::{Map, Value, json};

use crate::cli::Global;
use crate::cli::asset::{Acl, AclCommand, ChangeAcl, SetAcl};
use crate::command::session::{Session, asset_name};
use crate::error::CliError;
use crate::output::{print, print_json, print_object};

const OWNER: &str = "roles/owner";
const READER: &str = "roles/viewer";
const WRITER: &str = "roles/editor";
const ALL_USERS: &str = "allUsers";

pub(crate) async fn run(global: &Global, arguments: &Acl) -> Result<(), CliError> {
    match &arguments.command {
        AclCommand::Get(arguments) => {
            let name = asset_name(&arguments.asset)?;
            let session = Session::connect(global).await?;
            let policy = session.policy(&name).await?;
            print_object(global, &as_acl(&policy))
        }
        AclCommand::Set(arguments) => set(global, arguments).await,
        AclCommand::Ch(arguments) => change(global, arguments).await,
    }
}

async fn set(global: &Global, arguments: &SetAcl) -> Result<(), CliError> {
    let name = super::writable(&arguments.asset)?;
    let bindings = match arguments.acl.as_str() {
        "private" => Vec::new(),
        "public" => vec![binding(READER, vec![ALL_USERS.to_owned()])],
        file => read(Path::new(file))?,
    };
    let session = Session::connect(global).await?;
    let mut policy = session.policy(&name).await?;
    policy.bindings.retain(|binding| binding.role == OWNER);
    policy.bindings.extend(bindings);
    session.set_policy(&name, &policy).await
}

async fn change(global: &Global, arguments: &ChangeAcl) -> Result<(), CliError> {
    let name = super::writable(&arguments.asset)?;
    let changes = changes(arguments)?;
    let session = Session::connect(global).await?;
    let mut policy = session.policy(&name).await?;
    for (member, role) in &changes {
        let revoked = match (role, member.as_str()) {
            // Writers can read.
            (Some(WRITER), _) => &[READER][..],
            (Some(_), _) => &[WRITER],
            (None, _) => &[READER, WRITER],
        };
        for role in revoked {
            policy.revoke(role, member);
        }
        if let Some(role) = role {
            policy.grant(role, member);
        }
    }
    session.set_policy(&name, &policy).await
}

impl Session<'_> {
    async fn policy(&self, name: &AssetName) -> Result<IamPolicy, CliError> {
        let policy = self.ee.assets().get_iam_policy(name.as_str()).await;
        let what = format!("read the access control of {name}");
        self.explained(&what, name, policy).await
    }

    async fn set_policy(&self, name: &AssetName, policy: &IamPolicy) -> Result<(), CliError> {
        let set = self.ee.assets().set_iam_policy(name.as_str(), policy).await;
        let policy =
            set.map_err(|error| self.error(&format!("set the access control of {name}"), error))?;
        if self.global.json {
            return print_json(&as_acl(&policy));
        }
        print(format!("updated the access control of {name}\n"))
    }
}

/// Returns the changes as members and their new role, or `None` to revoke all.
fn changes(arguments: &ChangeAcl) -> Result<Vec<(String, Option<&'static str>)>, CliError> {
    let mut changes: Vec<(String, Option<&'static str>)> = Vec::new();
    for (grants, is_group) in [(&arguments.user, false), (&arguments.group, true)] {
        for grant in grants {
            let (who, role) = match grant.rsplit_once(':') {
                Some((who, "R")) => (who, READER),
                Some((who, "W")) => (who, WRITER),
                _ => {
                    return Err(CliError::usage_with_remedy(
                        &format!("{grant:?} has no access"),
                        Remedy::new(
                            "Add :R for reading or :W for reading and writing, as in jane@example.com:R.",
                        ),
                    ));
                }
            };
            let member = member(who, is_group)?;
            if member == ALL_USERS && role == WRITER {
                return Err(CliError::usage_with_remedy(
                    "all users cannot get write access",
                    Remedy::new("Use allUsers:R to let all users read the asset."),
                ));
            }
            changes.push((member, Some(role)));
        }
    }
    for (revoked, is_group) in [
        (&arguments.delete_user, false),
        (&arguments.delete_group, true),
    ] {
        for who in revoked {
            changes.push((member(who, is_group)?, None));
        }
    }
    for (index, (member, _)) in changes.iter().enumerate() {
        if changes.iter().take(index).any(|(other, _)| other == member) {
            return Err(CliError::usage(&format!("{member} is given twice")));
        }
    }
    if changes.is_empty() {
        return Err(CliError::usage_with_remedy(
            "nothing to change",
            Remedy::new("Add --user, --group, --delete-user or --delete-group."),
        ));
    }
    Ok(changes)
}

/// Returns the name of a principal in a policy.
fn member(who: &str, is_group: bool) -> Result<String, CliError> {
    if who.eq_ignore_ascii_case(ALL_USERS) {
        return Ok(ALL_USERS.to_owned());
    }
    if !who.contains('@') || who.contains(|c: char| c.is_whitespace() || c == ':') {
        return Err(CliError::usage_with_remedy(
            &format!("{who:?} is not an email address"),
            Remedy::new(
                "Use the email address of a user, a service account or a group, or allUsers.",
            ),
        ));
    }
    let kind = match is_group {
        true => "group",
        false if who.ends_with(".gserviceaccount.com") => "serviceAccount",
        false => "user",
    };
    Ok(format!("{kind}:{who}"))
}

/// Converts a policy to the format of Google's command. Roles and conditions that the format does not
/// have are in `other_bindings`.
fn as_acl(policy: &IamPolicy) -> Value {
    let (known, other): (Vec<&IamBinding>, Vec<&IamBinding>) = policy
        .bindings
        .iter()
        .partition(|b| [OWNER, READER, WRITER].contains(&b.role.as_str()) && b.condition.is_none());
    let members = |role: &str| {
        let of_role = known.iter().filter(|binding| binding.role == role);
        let members: Vec<&str> = of_role
            .flat_map(|binding| binding.members.iter().map(String::as_str))
            .collect();
        members
    };
    let mut readers = members(READER);
    let is_public = readers.contains(&ALL_USERS);
    readers.retain(|member| *member != ALL_USERS);
    let mut acl = json!({
        "owners": members(OWNER),
        "readers": readers,
        "writers": members(WRITER),
    });
    if is_public {
        acl["all_users_can_read"] = json!(true);
    }
    if !other.is_empty() {
        acl["other_bindings"] = json!(other);
    }
    acl
}

/// Reads a file with the output of `acl get`. Its owners are ignored, because they stay.
fn read(file: &Path) -> Result<Vec<IamBinding>, CliError> {
    let text = std::fs::read(file)
        .map_err(|e| CliError::io(&format!("cannot read {}", display_path(file)), &e))?;
    let acl = serde_json::from_slice(&text).ok();
    acl.and_then(|acl| parse(&acl)).ok_or_else(|| {
        CliError::usage_with_remedy(
            &format!("{} is not an access control list", display_path(file)),
            Remedy::new("Use `private`, `public`, or a file with the output of `eectl asset acl get`: {\"readers\": [\"user:jane@example.com\"], \"writers\": []}."),
        )
    })
}

fn parse(acl: &Map<String, Value>) -> Option<Vec<IamBinding>> {
    let members = |name: &str| match acl.get(name) {
        None => Some(Vec::new()),
        Some(list) => serde_json::from_value::<Vec<String>>(list.clone()).ok(),
    };
    let known = [
        "owners",
        "readers",
        "writers",
        "all_users_can_read",
        "other_bindings",
    ];
    if acl.keys().any(|name| !known.contains(&name.as_str())) {
        return None;
    }
    members("owners")?;
    let (mut readers, writers) = (members("readers")?, members("writers")?);
    match acl.get("all_users_can_read") {
        None | Some(Value::Bool(false)) => {}
        Some(Value::Bool(true)) => readers.push(ALL_USERS.to_owned()),
        Some(_) => return None,
    }
    let mut bindings = vec![binding(READER, readers), binding(WRITER, writers)];
    if let Some(other) = acl.get("other_bindings") {
        let other: Vec<IamBinding> = serde_json::from_value(other.clone()).ok()?;
        // The owners stay, those with a condition, too.
        bindings.extend(other.into_iter().filter(|binding| binding.role != OWNER));
    }
    bindings.retain(|binding| !binding.members.is_empty());
    Some(bindings)
}

fn binding(role: &str, members: Vec<String>) -> IamBinding {
    IamBinding {
        role: role.to_owned(),
        members,
        ..IamBinding::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acl_and_policy_convert_without_loss() {
        let policy: IamPolicy = serde_json::from_value(json!({"bindings": [
            {"role": "roles/owner", "members": ["user:me@example.com"]},
            {"role": "roles/viewer", "members": ["user:jane@example.com", "allUsers"]},
            {"role": "roles/editor", "members": ["group:staff@example.com"]},
            {"role": "roles/viewer", "members": ["user:joe@example.com"], "condition": {"title": "t"}},
            {"role": "roles/custom", "members": ["user:joe@example.com"]},
        ]}))
        .unwrap();
        let acl = as_acl(&policy);
        assert_eq!(
            acl,
            json!({
                "owners": ["user:me@example.com"],
                "readers": ["user:jane@example.com"],
                "writers": ["group:staff@example.com"],
                "all_users_can_read": true,
                "other_bindings": [
                    {"role": "roles/viewer", "members": ["user:joe@example.com"], "condition": {"title": "t"}},
                    {"role": "roles/custom", "members": ["user:joe@example.com"]},
                ],
            })
        );
        let bindings = parse(acl.as_object().unwrap()).unwrap();
        assert_eq!(bindings, policy.bindings[1..]);
    }

    #[test]
    fn other_json_is_not_an_acl() {
        for acl in [
            json!({"bindings": []}),
            json!({"readers": "user:jane@example.com"}),
            json!({"readers": [1]}),
            json!({"owners": 1}),
            json!({"all_users_can_read": "yes"}),
            json!({"other_bindings": [7]}),
        ] {
            assert!(parse(acl.as_object().unwrap()).is_none(), "{acl}");
        }
        assert_eq!(parse(&Map::new()), Some(Vec::new()));
    }

    #[test]
    fn member_has_the_kind_of_its_address() {
        for (who, is_group, expected) in [
            ("jane@example.com", false, Some("user:jane@example.com")),
            ("staff@example.com", true, Some("group:staff@example.com")),
            (
                "robot@p.iam.gserviceaccount.com",
                false,
                Some("serviceAccount:robot@p.iam.gserviceaccount.com"),
            ),
            ("AllUsers", false, Some("allUsers")),
            ("g", false, None),
            ("user:jane@example.com", false, None),
            ("jane@example.com ", false, None),
        ] {
            assert_eq!(member(who, is_group).ok().as_deref(), expected, "{who}");
        }
    }
}
