//! The pages of `eectl project`.

use super::{
    CREDENTIALS, GCLOUD_FILE, LOCAL_STATUSES, LOGIN_FILE, NETWORK, OF_CREDENTIALS, OF_PROJECT,
    OUTPUT, PAGE, PROJECT, PROJECTS, Page, SHARED_FILE, STATUSES, TOKENS,
};

pub(super) const PAGES: &[Page] = &[
    Page {
        name: "project",
        examples: &[
            ("Pick the project in a list", "eectl project select"),
            ("Show the project that programs use", "eectl project show"),
        ],
        environment: &[CREDENTIALS, PROJECT, OUTPUT],
        files: &[SHARED_FILE, PROJECTS],
        ..PAGE
    },
    Page {
        name: "project list",
        examples: &[
            ("List your projects", "eectl project list"),
            (
                "Write the list to a file for a spreadsheet",
                "eectl project list --format csv > projects.csv",
            ),
            (
                "Show the IDs of registered projects",
                "eectl project list --jq '.[] | select(.api == \"enabled\").project'",
            ),
        ],
        files: &[SHARED_FILE, GCLOUD_FILE, TOKENS, PROJECTS],
        ..PAGE
    },
    Page {
        name: "project select",
        examples: &[("Pick the project in a list", "eectl project select")],
        environment: &[CREDENTIALS, NETWORK, OUTPUT],
        files: &[SHARED_FILE, PROJECTS],
        statuses: STATUSES,
        ignored: &[OF_PROJECT],
    },
    Page {
        name: "project set",
        examples: &[
            ("Set the project", "eectl project set my-project"),
            (
                "Set it without sending a request",
                "eectl project set my-project --no-verify",
            ),
        ],
        environment: &[CREDENTIALS, NETWORK, OUTPUT],
        files: &[SHARED_FILE],
        statuses: LOCAL_STATUSES,
        ignored: &[OF_PROJECT],
    },
    Page {
        name: "project unset",
        examples: &[("Remove the project", "eectl project unset")],
        environment: &[LOGIN_FILE, OUTPUT],
        files: &[SHARED_FILE],
        statuses: LOCAL_STATUSES,
        ignored: &[OF_PROJECT, OF_CREDENTIALS],
    },
    Page {
        name: "project show",
        examples: &[
            ("Show the project and its source", "eectl project show"),
            (
                "Use the project in a script",
                "PROJECT=$(eectl project show --quiet)",
            ),
        ],
        environment: &[CREDENTIALS, PROJECT, OUTPUT],
        ..PAGE
    },
    Page {
        name: "project check",
        examples: &[
            (
                "Verify the project that programs use",
                "eectl project check",
            ),
            ("Verify another project", "eectl project check my-project"),
        ],
        ..PAGE
    },
    Page {
        name: "project config",
        examples: &[("Show the configuration", "eectl project config get")],
        ..PAGE
    },
    Page {
        name: "project config get",
        examples: &[
            ("Show the configuration", "eectl project config get"),
            (
                "Show how many exports run at the same time",
                "eectl project config get --jq .maxConcurrentExports",
            ),
        ],
        ..PAGE
    },
    Page {
        name: "project config set",
        examples: &[(
            "Run at most 5 exports at the same time",
            "eectl project config set --max-concurrent-exports 5",
        )],
        ..PAGE
    },
];
