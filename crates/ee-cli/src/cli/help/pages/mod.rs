//! What the long help and the manual page say about each command: a table per group of commands.

mod asset;
mod login;
mod project;
mod tools;

/// A name or a path, and what it is for.
pub(super) type Entry = (&'static str, &'static str);

/// The page of a command.
pub(crate) struct Page {
    /// The words after `eectl`.
    pub(crate) name: &'static str,
    /// What an example does, and its command line.
    pub(crate) examples: &'static [Entry],
    pub(crate) environment: &'static [&'static [Entry]],
    pub(crate) files: &'static [Entry],
    pub(crate) statuses: &'static [u8],
    /// The global options that have no effect, by their identifiers.
    pub(crate) ignored: &'static [&'static [&'static str]],
}

/// The page of a command that sends requests for a project; the pages of other commands differ
/// from it.
const PAGE: Page = Page {
    name: "",
    examples: &[],
    environment: &[CREDENTIALS, PROJECT, NETWORK, OUTPUT],
    files: CREDENTIAL_FILES,
    statuses: STATUSES,
    ignored: &[],
};

pub(super) const CREDENTIALS: &[Entry] = &[
    (
        "EARTHENGINE_TOKEN",
        "The JSON of a credential file, or a refresh token",
    ),
    ("EE_CONFIG_FILE", "The path of the login file"),
    (
        "GOOGLE_APPLICATION_CREDENTIALS",
        "The path of a credential file",
    ),
];
pub(super) const PROJECT: &[Entry] = &[
    ("EARTHENGINE_PROJECT", "The Cloud project"),
    (
        "GOOGLE_CLOUD_PROJECT",
        "The Cloud project, if no file names one",
    ),
];
pub(super) const LOGIN_FILE: &[Entry] = &[("EE_CONFIG_FILE", "The path of the login file")];
pub(super) const NETWORK: &[Entry] = &[
    ("HTTPS_PROXY", "The proxy for requests"),
    ("SSL_CERT_FILE", "The certificate authorities, on Linux"),
    (
        "EARTHENGINE_EMULATOR_HOST",
        "The address of the emulator to use instead of Google",
    ),
];
pub(super) const OUTPUT: &[Entry] = &[
    ("NO_COLOR", "Disables color"),
    ("CLICOLOR_FORCE", "Enables color without a terminal"),
];

pub(super) const SHARED_FILE: Entry = (
    "~/.config/earthengine/credentials",
    "The login and the project, shared with the Python client",
);
pub(super) const GCLOUD_FILE: Entry = (
    "~/.config/gcloud/application_default_credentials.json",
    "The login of gcloud, which is used if there is no other",
);
pub(super) const TOKENS: Entry = ("~/.cache/earthengine/tokens", "Cached access tokens");
pub(super) const PROJECTS: Entry = (
    "~/.cache/earthengine/projects",
    "The last list of projects, which completions use",
);
pub(super) const CREDENTIAL_FILES: &[Entry] = &[SHARED_FILE, GCLOUD_FILE, TOKENS];

/// Every command that sends requests can end with these.
pub(super) const STATUSES: &[u8] = &[0, 1, 2, 3, 4, 5, 6, 7, 130, 141];
pub(super) const LOCAL_STATUSES: &[u8] = &[0, 1, 2, 130, 141];

pub(super) const OF_CREDENTIALS: &[&str] = &[
    "credentials",
    "impersonate",
    "scopes",
    "allow_host",
    "no_token_cache",
];
pub(super) const OF_PROJECT: &[&str] = &["project"];
pub(super) const OF_JQ: &[&str] = &["jq"];

/// Returns the page of every command.
pub(crate) fn pages() -> impl Iterator<Item = &'static Page> {
    let groups = [tools::PAGES, login::PAGES, project::PAGES, asset::PAGES];
    groups.into_iter().flatten()
}
