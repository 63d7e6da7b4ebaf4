//! The pages of `eectl auth`.

use super::{
    CREDENTIALS, LOCAL_STATUSES, LOGIN_FILE, NETWORK, OF_PROJECT, OUTPUT, PAGE, Page, SHARED_FILE,
    TOKENS,
};

/// The options about credentials, except `--credentials`.
const OF_OTHER_CREDENTIALS: &[&str] = &["impersonate", "scopes", "allow_host", "no_token_cache"];

pub(super) const PAGES: &[Page] = &[
    Page {
        name: "auth",
        examples: &[
            ("Log in", "eectl auth login"),
            ("Show the credentials in use", "eectl auth status"),
        ],
        environment: &[CREDENTIALS, OUTPUT],
        ..PAGE
    },
    Page {
        name: "auth login",
        examples: &[
            ("Log in with a browser", "eectl auth login"),
            (
                "Log in with a browser on another machine",
                "eectl auth login --mode notebook",
            ),
            ("Replace a login that works", "eectl auth login --force"),
        ],
        environment: &[LOGIN_FILE, NETWORK, OUTPUT],
        files: &[SHARED_FILE],
        statuses: &[0, 1, 2, 4, 7, 130, 141],
        ignored: &[&["impersonate", "allow_host", "no_token_cache"]],
    },
    Page {
        name: "auth logout",
        examples: &[
            ("Remove the login from this machine", "eectl auth logout"),
            (
                "Revoke it at Google too, for every machine",
                "eectl auth logout --revoke",
            ),
        ],
        environment: &[LOGIN_FILE, NETWORK, OUTPUT],
        files: &[SHARED_FILE, TOKENS],
        statuses: &[0, 1, 2, 4, 7, 130, 141],
        ignored: &[OF_PROJECT, OF_OTHER_CREDENTIALS],
    },
    Page {
        name: "auth list",
        examples: &[
            ("List the accounts", "eectl auth list"),
            ("Write the list as CSV", "eectl auth list --format csv"),
        ],
        environment: &[LOGIN_FILE, OUTPUT],
        files: &[SHARED_FILE],
        statuses: LOCAL_STATUSES,
        ignored: &[OF_PROJECT, OF_OTHER_CREDENTIALS],
    },
    Page {
        name: "auth switch",
        examples: &[(
            "Make another account the active one",
            "eectl auth switch work",
        )],
        environment: &[LOGIN_FILE, OUTPUT],
        files: &[SHARED_FILE],
        statuses: LOCAL_STATUSES,
        ignored: &[OF_PROJECT, OF_OTHER_CREDENTIALS],
    },
    Page {
        name: "auth scopes",
        examples: &[("Show the scopes of the token", "eectl auth scopes")],
        environment: &[CREDENTIALS, NETWORK, OUTPUT],
        ..PAGE
    },
    Page {
        name: "auth status",
        examples: &[
            ("Show the credentials in use", "eectl auth status"),
            (
                "Show only the account",
                "eectl auth status --jq .credential.principal",
            ),
        ],
        environment: &[CREDENTIALS, NETWORK, OUTPUT],
        ..PAGE
    },
    Page {
        name: "auth token",
        examples: &[
            (
                "Send a request with another program",
                "curl -H \"Authorization: Bearer $(eectl auth token)\" …",
            ),
            (
                "Show when the token expires",
                "eectl auth token --jq .expires_at",
            ),
        ],
        environment: &[CREDENTIALS, NETWORK, OUTPUT],
        ..PAGE
    },
];
