//! The reasons for which Google's services refuse requests, whichever service refuses.
//!
//! A reason has a name (an error code, `ErrorInfo.reason`, the type of a violated precondition) or
//! only a sentence. One table knows both. A reason that is not in it has no advice but the server's
//! own.
#![allow(missing_docs, reason = "internal to the crates of this project")]

use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use crate::Remedy;
use crate::secret::sanitize::{is_unsafe_for_display, sanitize};

/// Why a service refused a request, if the reason is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalCause {
    VpcServiceControls,
    BillingDisabled,
    OrganizationPolicy,
    ContextAwareAccess,
    AttributeCondition,
    AdminPolicy,
    /// The OAuth client accepts only accounts of its own organization.
    InternalClient,
    /// An administrator has not allowed the application for accounts like this one.
    RestrictedAccount,
    AccountDisabled,
    ApiDisabled,
    ApiKeyInvalid,
    ApiKeyOfOtherProject,
    ApiKeyService,
    ApiKeyReferrer,
    ApiKeyAddress,
    ApiKeyApp,
}

use RefusalCause as Cause;

impl RefusalCause {
    /// Returns whether the cause lies in the API key.
    pub fn is_about_api_key(self) -> bool {
        matches!(
            self,
            Self::ApiKeyInvalid
                | Self::ApiKeyOfOtherProject
                | Self::ApiKeyService
                | Self::ApiKeyReferrer
                | Self::ApiKeyAddress
                | Self::ApiKeyApp
        )
    }
}

/// A cause and how services state it.
struct Row {
    cause: Cause,
    /// Names, in any case. One that starts with `*` is part of a name.
    names: &'static [&'static str],
    /// Parts of messages, in lower case.
    texts: &'static [&'static str],
}

const fn row(cause: Cause, names: &'static [&'static str], texts: &'static [&'static str]) -> Row {
    Row {
        cause,
        names,
        texts,
    }
}

/// Rows of the same kind of text: the more specific first.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    row(Cause::VpcServiceControls, &["SECURITY_POLICY_VIOLATED", "*VPC_SERVICE_CONTROLS"],
        &["vpcservicecontrolsuniqueidentifier", "vpc service controls", "prohibited by organization's policy", "service perimeter"]),
    row(Cause::BillingDisabled, &["BILLING_DISABLED", "*BILLING_ACCOUNT", "billingNotEnabled", "userProjectAccountProblem"],
        &["requires billing", "enable billing", "billing to be enabled", "billing must be enabled", "billing is disabled",
          "billing is not enabled", "billing not enabled", "billing has not been enabled", "billing has been disabled", "billing account"]),
    row(Cause::AttributeCondition, &[], &["attribute condition", "attributecondition"]),
    row(Cause::ContextAwareAccess, &["*CONTEXT_AWARE", "*ACCESS_LEVEL"],
        &["context-aware", "context aware", "account restricted", "required access level", "beyondcorp"]),
    row(Cause::OrganizationPolicy, &["*ORG_RESTRICTION", "*ORG_POLICY", "*CONSTRAINT", "*RESOURCE_USAGE_RESTRICTION", "LOCATION_POLICY_VIOLATED"],
        &["constraints/", "organization policy", "organization policies", "org policy", "organization restriction",
          "resource usage restriction", "violates constraint", "constraint violated"]),
    row(Cause::AdminPolicy, &["admin_policy_enforced", "*BLOCKED_BY_ADMIN"],
        &["admin policy", "administrator policy", "by your admin", "by an admin", "by the admin", "domain administrators have disabled",
          "domain policy has disabled"]),
    row(Cause::InternalClient, &["org_internal"],
        &["users within its organization", "used within its organization", "restricted to its organization"]),
    row(Cause::RestrictedAccount, &["access_not_configured", "account_restricted"], &[]),
    row(Cause::AccountDisabled, &["ACCOUNT_STATE_INVALID", "account_disabled", "account_deleted", "invalid_account"],
        &["account has been disabled", "account is disabled", "account disabled", "account was disabled", "account has been deleted",
          "account is deleted", "account deleted", "account was deleted", "account has been suspended", "account is suspended",
          "account suspended", "user is disabled", "user has been disabled", "user is suspended"]),
    row(Cause::ApiKeyOfOtherProject, &["API_KEY_PROJECT_MISMATCH"], &["api key and the authentication credential are from different"]),
    row(Cause::ApiKeyService, &["API_KEY_SERVICE_BLOCKED"], &["requests to this api "]),
    row(Cause::ApiKeyReferrer, &["API_KEY_HTTP_REFERRER_BLOCKED"], &["requests from referer"]),
    row(Cause::ApiKeyAddress, &["API_KEY_IP_ADDRESS_BLOCKED"], &["ip address restriction"]),
    row(Cause::ApiKeyApp, &["API_KEY_ANDROID_APP_BLOCKED", "API_KEY_IOS_APP_BLOCKED"],
        &["android client application", "ios client application"]),
    row(Cause::ApiKeyInvalid, &["*API_KEY_", "keyInvalid", "keyExpired"], &["api key not valid", "api key expired", "api key not found"]),
    row(Cause::ApiDisabled, &["SERVICE_DISABLED", "accessNotConfigured"],
        &["has not been used in project", "api is not enabled", "api has not been enabled", "enable it by visiting"]),
];

/// Services whose API can be disabled: the word in their hosts, and the title.
const SERVICES: [(&str, &str); 6] = [
    ("earthengine", "Earth Engine API"),
    ("sts", "Security Token Service API"),
    ("iamcredentials", "IAM Service Account Credentials API"),
    ("cloudresourcemanager", "Cloud Resource Manager API"),
    ("serviceusage", "Service Usage API"),
    ("iam", "Identity and Access Management API"),
];

/// What a service says when it refuses a request.
#[derive(Debug, Clone, Default)]
pub struct Refusal<'a> {
    /// The host that responded.
    pub host: &'a str,
    /// The names of the reason.
    pub names: Vec<&'a str>,
    /// The server's message.
    pub message: &'a str,
    /// The service that the response is about, if it names one.
    pub service: Option<&'a str>,
    /// The ID or number of the project that the response is about. It becomes part of commands.
    pub project: Option<&'a str>,
    /// The link of a `google.rpc.Help`.
    pub link: Option<&'a str>,
}

impl Refusal<'_> {
    /// Returns the cause. A name says more than a message, which may quote anything.
    pub fn cause(&self) -> Option<RefusalCause> {
        let is_named = |pattern: &&str| {
            self.names
                .iter()
                .any(|name| match pattern.strip_prefix('*') {
                    Some(part) => contains_ignoring_case(name, part),
                    None => name.eq_ignore_ascii_case(pattern),
                })
        };
        let message = self.message.to_ascii_lowercase();
        let named = ROWS.iter().find(|row| row.names.iter().any(is_named));
        let said = || {
            let is_said = |text: &&str| message.contains(text);
            ROWS.iter().find(|row| row.texts.iter().any(is_said))
        };
        named.or_else(said).map(|row| row.cause)
    }

    /// Returns the remedy of a cause.
    pub fn remedy(&self, cause: RefusalCause) -> Remedy {
        let at = |page: &str| match self.project {
            Some(project) => format!("{page}?project={project}"),
            None => page.to_owned(),
        };
        let keys = || at("https://console.cloud.google.com/apis/credentials");
        let (text, page) = match cause {
            Cause::VpcServiceControls => (
                "A VPC Service Controls perimeter of the organization blocks this request, whatever roles the account has. Send it from inside the perimeter, or give the organization's administrator the unique identifier in the server's message, which leads to the rule.",
                "https://cloud.google.com/vpc-service-controls/docs/troubleshooting".to_owned(),
            ),
            Cause::BillingDisabled => (
                "Billing is disabled for the project. Link an active billing account to it, and try again after a few minutes.",
                at("https://console.cloud.google.com/billing/linkedaccount"),
            ),
            Cause::OrganizationPolicy => (
                "An organization policy forbids this. Ask the organization's administrator for an exception from the policy that the server's message names, or use a project and an account that it does not apply to.",
                "https://cloud.google.com/resource-manager/docs/organization-policy/overview"
                    .to_owned(),
            ),
            Cause::ContextAwareAccess => (
                "A context-aware access policy of the organization blocks this account on this device or network. Use a managed device or an allowed network, or ask the administrator. Logging in again does not help.",
                "https://cloud.google.com/access-context-manager/docs/overview".to_owned(),
            ),
            Cause::AttributeCondition => (
                "The provider's attribute condition does not accept the subject token. Compare the token's claims with the condition, and change one of them.",
                "https://cloud.google.com/iam/docs/workload-identity-federation#conditions"
                    .to_owned(),
            ),
            Cause::AdminPolicy => (
                "The organization's administrator has not allowed this application for this account. Ask the administrator to trust it (Admin console, Security, API controls), or use another account.",
                "https://support.google.com/a/answer/7281227".to_owned(),
            ),
            Cause::InternalClient => (
                "The OAuth client accepts only accounts of its own organization. Use an account of that organization, or another OAuth client.",
                "https://console.cloud.google.com/auth/audience".to_owned(),
            ),
            Cause::RestrictedAccount => (
                "The administrator has not set this application up for accounts like this one, for example those of a school. Ask the administrator, or use another account.",
                "https://support.google.com/a/answer/7281227".to_owned(),
            ),
            Cause::AccountDisabled => (
                "The account is disabled, suspended or deleted. Ask its administrator to restore it, or use another account. Logging in again does not help.",
                String::new(),
            ),
            Cause::ApiKeyInvalid => (
                "The API key is wrong, expired or deleted, or its restrictions do not allow this request. Compare it with the keys of the project.",
                keys(),
            ),
            Cause::ApiKeyOfOtherProject => (
                "The API key and the credentials belong to different projects. Use a key of the project that the request is billed to, or send only one of the two.",
                keys(),
            ),
            Cause::ApiKeyService => (
                "The API restrictions of the key do not include this API. Add it to the key, or use another key.",
                keys(),
            ),
            Cause::ApiKeyReferrer => (
                "The restrictions of the API key allow only requests from web pages. Use a key without website restrictions for programs.",
                keys(),
            ),
            Cause::ApiKeyAddress => (
                "The restrictions of the API key do not include this machine's IP address. Add the address to the key, or use another key.",
                keys(),
            ),
            Cause::ApiKeyApp => (
                "The restrictions of the API key allow only a mobile app. Use a key without application restrictions.",
                keys(),
            ),
            Cause::ApiDisabled => return self.enable(),
        };
        let remedy = Remedy::new(text);
        match self.link() {
            Some(link) => remedy.url(link),
            None if page.is_empty() => remedy,
            None => remedy.url(page),
        }
    }

    /// Returns the remedy of a reason that is not known: the server's own.
    pub fn unknown(&self) -> Remedy {
        self.with_link(Remedy::of_unknown_refusal())
    }

    /// Adds the server's link to a remedy without one.
    pub fn with_link(&self, remedy: Remedy) -> Remedy {
        match self.link() {
            Some(link) if remedy.url.is_none() => remedy.url(link),
            _ => remedy,
        }
    }

    /// Returns the host and the title of the API that the refusal is about.
    pub fn api(&self) -> (String, String) {
        let is_service = |name: &&str| {
            name.ends_with(".googleapis.com")
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b))
        };
        let named = self.service.filter(is_service);
        let host = named.unwrap_or(self.host);
        let has = |word: &str| host.split(['.', '-']).any(|label| label == word);
        match SERVICES.iter().find(|(word, _)| has(word)) {
            Some((word, title)) => (format!("{word}.googleapis.com"), (*title).to_owned()),
            None => (host.to_owned(), format!("API {host}")),
        }
    }

    fn enable(&self) -> Remedy {
        let (service, _) = self.api();
        let project = self.project.unwrap_or("PROJECT");
        Remedy::new("Enable the API. The change takes a few minutes to propagate.")
            .command(format!(
                "gcloud services enable {service} --project={project}"
            ))
            .url(format!(
                "https://console.cloud.google.com/apis/library/{service}?project={project}"
            ))
    }

    /// Returns the server's link if it leads to Google: a response may come from anywhere.
    fn link(&self) -> Option<&str> {
        let is_google = |link: &&str| {
            let Ok(url) = Url::parse(link) else {
                return false;
            };
            let host = url.host_str().unwrap_or_default();
            (host == "google.com" || host.ends_with(".google.com"))
                && url.scheme() == "https"
                && url.username().is_empty()
                && !link
                    .chars()
                    .any(|c| c.is_whitespace() || is_unsafe_for_display(c))
                && sanitize(link, &[]) == **link
        };
        self.link.filter(is_google)
    }
}

fn contains_ignoring_case(text: &str, part: &str) -> bool {
    text.to_ascii_uppercase()
        .contains(&part.to_ascii_uppercase())
}

/// The parts of a `google.rpc.Status` in JSON that say why a request was refused. Wiped, because a
/// server may echo the request.
#[derive(Debug, Default)]
pub struct RpcStatus {
    /// The canonical code.
    pub code: Zeroizing<String>,
    pub message: Zeroizing<String>,
    /// The reasons and the types of violated preconditions.
    pub reasons: Vec<Zeroizing<String>>,
    service: Option<Zeroizing<String>>,
    project: Option<Zeroizing<String>>,
    link: Option<Zeroizing<String>>,
}

impl RpcStatus {
    /// Reads the object in the field `error`. Unknown fields are ignored.
    pub fn read(error: &Value) -> Self {
        let text = |value: &Value, name: &str| {
            let text = value.get(name)?.as_str()?;
            Some(Zeroizing::new(text.to_owned()))
        };
        let mut status = Self {
            code: text(error, "status").unwrap_or_default(),
            message: text(error, "message").unwrap_or_default(),
            ..Self::default()
        };
        for detail in list(error, "details") {
            status.reasons.extend(text(detail, "reason"));
            for violation in list(detail, "violations") {
                status.reasons.extend(text(violation, "type"));
            }
            if let Some(metadata) = detail.get("metadata") {
                status.service = status.service.take().or(text(metadata, "service"));
                let consumer = text(metadata, "consumer").or(text(metadata, "containerInfo"));
                status.project = status.project.take().or(consumer);
            }
            for link in list(detail, "links") {
                status.link = status.link.take().or(text(link, "url"));
            }
        }
        for older in list(error, "errors") {
            status.reasons.extend(text(older, "reason"));
        }
        status
    }

    /// Returns the refusal of this host.
    pub fn refusal<'a>(&'a self, host: &'a str) -> Refusal<'a> {
        let names = self.reasons.iter().map(|name| name.as_str());
        let project = self.project.as_ref().map(|name| name.as_str());
        let project = project.map(|name| name.strip_prefix("projects/").unwrap_or(name));
        Refusal {
            host,
            names: names.chain([self.code.as_str()]).collect(),
            message: &self.message,
            service: self.service.as_ref().map(|name| name.as_str()),
            project: project
                .filter(|id| is_project(id))
                .or_else(|| project_in(&self.message)),
            link: self.link.as_ref().map(|link| link.as_str()),
        }
    }
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    let list = value.get(name).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

/// Returns the project that a message about an API names.
fn project_in(message: &str) -> Option<&str> {
    ["in project ", "project=", "project #"]
        .iter()
        .find_map(|marker| {
            let rest = message.split_once(marker)?.1;
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
            Some(&rest[..end.unwrap_or(rest.len())]).filter(|id| is_project(id))
        })
}

/// Returns whether the text can be a project's ID or number, and needs no escaping in a command.
fn is_project(id: &str) -> bool {
    (6..=64).contains(&id.len())
        && id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-.:".contains(&b))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The refusal of a host, with this reason or this message.
    fn status(reason: &str, message: &str) -> RpcStatus {
        RpcStatus::read(&json!({"status": "PERMISSION_DENIED", "message": message,
            "details": [{"reason": reason}]}))
    }

    #[test]
    fn known_causes_are_recognized_by_name_and_by_message() {
        #[rustfmt::skip]
        let cases = [
            (Cause::VpcServiceControls, &["SECURITY_POLICY_VIOLATED", "VPC_SERVICE_CONTROLS"][..],
             &["Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: AbC",
               "The request violates VPC Service Controls."][..], "perimeter"),
            (Cause::BillingDisabled, &["BILLING_DISABLED"],
             &["This API method requires billing to be enabled. Please enable billing on project #my-project",
               "The billing account for the owning project is disabled in state absent",
               "Billing is disabled for this project."], "billing account"),
            (Cause::OrganizationPolicy, &["ORG_RESTRICTION_VIOLATION", "ORG_RESTRICTION_HEADER_INVALID", "CONSTRAINT_VIOLATED",
               "RESOURCE_USAGE_RESTRICTION_VIOLATED", "CUSTOM_ORG_POLICY_VIOLATION"],
             &["Operation denied by org policy: [\"constraints/gcp.restrictServiceUsage\"]",
               "Request is disallowed by organization's constraints/gcp.resourceLocations constraint"], "organization policy"),
            (Cause::ContextAwareAccess, &["CONTEXT_AWARE_ACCESS_DENIED"],
             &["Account restricted", "Access is blocked by Context-Aware Access"], "context-aware access"),
            (Cause::AttributeCondition, &[],
             &["The given credential is rejected by the attribute condition."], "condition"),
            (Cause::AdminPolicy, &["admin_policy_enforced", "USER_BLOCKED_BY_ADMIN"],
             &["The domain administrators have disabled Earth Engine.", "This app is blocked by your administrator."], "administrator"),
            (Cause::InternalClient, &["org_internal"],
             &["This client is restricted to users within its organization."], "own organization"),
            (Cause::RestrictedAccount, &["access_not_configured"], &[], "administrator"),
            (Cause::AccountDisabled, &["ACCOUNT_STATE_INVALID", "account_disabled", "invalid_account"],
             &["Account has been deleted", "Invalid grant: account disabled", "The user account is suspended"], "restore"),
            (Cause::ApiDisabled, &["SERVICE_DISABLED", "accessNotConfigured"],
             &["Some API has not been used in project 123456789012 before or it is disabled."], "Enable the API"),
            (Cause::ApiKeyInvalid, &["API_KEY_INVALID", "API_KEY_NEW_REASON"], &["API key not valid.", "API key expired."], "API key"),
            (Cause::ApiKeyOfOtherProject, &[],
             &["The API Key and the authentication credential are from different projects."], "different projects"),
            (Cause::ApiKeyService, &["API_KEY_SERVICE_BLOCKED"],
             &["Requests to this API earthengine.googleapis.com method x are blocked."], "API restrictions"),
            (Cause::ApiKeyReferrer, &["API_KEY_HTTP_REFERRER_BLOCKED"],
             &["Requests from referer <empty> are blocked."], "web pages"),
            (Cause::ApiKeyAddress, &["API_KEY_IP_ADDRESS_BLOCKED"],
             &["The provided API key has an IP address restriction."], "IP address"),
            (Cause::ApiKeyApp, &["API_KEY_ANDROID_APP_BLOCKED", "API_KEY_IOS_APP_BLOCKED"],
             &["Requests from this Android client application <empty> are blocked."], "mobile app"),
        ];
        for (cause, names, messages, advice) in cases {
            let named = names.iter().map(|name| status(name, "No."));
            let said = messages.iter().map(|text| status("SOMETHING_NEW", text));
            for status in named.chain(said) {
                let refusal = status.refusal("earthengine.googleapis.com");
                assert_eq!(refusal.cause(), Some(cause), "{refusal:?}");
                let remedy = refusal.remedy(cause);
                assert!(remedy.text.contains(advice), "{remedy}");
                assert!(!remedy.text.contains("roles/"), "{remedy}");
            }
        }
    }

    #[test]
    fn unknown_cause_has_only_the_servers_advice() {
        for (reason, message) in [
            ("", "No."),
            ("SOMETHING_NEW", "Not today."),
            ("", "Permission denied."),
            ("", "Your quota is used up."),
        ] {
            assert_eq!(
                status(reason, message).refusal("x").cause(),
                None,
                "{message}"
            );
        }
    }

    #[test]
    fn disabled_api_is_that_of_the_host_or_of_the_service_named() {
        let bare = "Some API has not been used in project 123456789012 before or it is disabled.";
        for (host, service, expected, title) in [
            ("sts", "", "sts", "Security Token Service"),
            ("sts.us-east1.rep", "", "sts", "Security Token Service"),
            (
                "iamcredentials.mtls",
                "",
                "iamcredentials",
                "Service Account Credentials",
            ),
            ("earthengine-highvolume", "", "earthengine", "Earth Engine"),
            (
                "cloudresourcemanager",
                "",
                "cloudresourcemanager",
                "Resource Manager",
            ),
            (
                "earthengine",
                "serviceusage.googleapis.com",
                "serviceusage",
                "Service Usage",
            ),
            (
                "sts",
                "x; rm -rf ~.googleapis.com",
                "sts",
                "Security Token Service",
            ),
            ("other", "", "other", "API other.googleapis.com"),
        ] {
            let host = &format!("{host}.googleapis.com");
            let status = RpcStatus::read(&json!({"message": bare, "details": [
                {"reason": "SERVICE_DISABLED", "metadata": {"service": service}}]}));
            let remedy = status.refusal(host).remedy(Cause::ApiDisabled);
            let command =
                format!("gcloud services enable {expected}.googleapis.com --project=123456789012");
            assert_eq!(remedy.command.as_deref(), Some(command.as_str()), "{host}");
            assert!(status.refusal(host).api().1.contains(title), "{remedy}");
        }
    }

    #[test]
    fn only_links_to_google_are_shown() {
        let console = "https://console.developers.google.com/billing/enable?project=my-project";
        for (link, shown) in [
            (console, true),
            ("https://google.com/x", true),
            ("http://console.cloud.google.com/", false),
            ("https://google.com.example/", false),
            ("https://example.com/.google.com", false),
            ("https://example.com\\.google.com", false),
            ("https://jane@example.com?.google.com", false),
            ("https://console.cloud.google.com/\u{1b}[2J", false),
            (
                "https://console.cloud.google.com/?t=ya29.canary-token",
                false,
            ),
            ("javascript:alert(1)", false),
        ] {
            let error = json!({"message": "No.", "details": [{"links": [{"url": link}]}]});
            let status = RpcStatus::read(&error);
            let remedy = status.refusal("x").unknown();
            assert_eq!(remedy.url.as_deref() == Some(link), shown, "{link}");
            let remedy = status.refusal("x").remedy(Cause::BillingDisabled);
            assert_eq!(remedy.url.as_deref() == Some(link), shown, "{link}");
        }
    }

    #[test]
    fn project_of_a_command_is_plain() {
        for (consumer, message, expected) in [
            ("projects/123456789012", "", "123456789012"),
            ("my-project", "", "my-project"),
            (
                "projects/x; rm -rf ~",
                "API has not been used in project my-project before",
                "my-project",
            ),
            ("$(id)aaaaaa", "", "PROJECT"),
        ] {
            let error =
                json!({"message": message, "details": [{"metadata": {"consumer": consumer}}]});
            let remedy = RpcStatus::read(&error)
                .refusal("x")
                .remedy(Cause::ApiDisabled);
            let command = remedy.command.unwrap();
            assert!(
                command.ends_with(&format!("--project={expected}")),
                "{command}"
            );
        }
    }
}
