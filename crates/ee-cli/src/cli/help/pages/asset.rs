//! The pages of `eectl asset`, `eectl task` and `eectl upload`.

use super::{PAGE, Page};

/// The statuses of commands that can wait for a task.
const TASK_STATUSES: &[u8] = &[0, 1, 2, 3, 4, 5, 6, 7, 8, 130, 141];

pub(super) const PAGES: &[Page] = &[
    Page {
        name: "asset",
        examples: &[
            ("List the assets of the project", "eectl asset list"),
            (
                "Show the size of the project's assets",
                "eectl asset du --summarize",
            ),
        ],
        ..PAGE
    },
    Page {
        name: "asset list",
        examples: &[
            ("List the assets of the project", "eectl asset list"),
            (
                "List everything in a folder, with types and sizes",
                "eectl asset list --long --recursive projects/my-project/assets/forests",
            ),
            (
                "Show the names of the images in a collection",
                "eectl asset list projects/my-project/assets/images --jq '.[].name'",
            ),
        ],
        ..PAGE
    },
    Page {
        name: "asset info",
        examples: &[
            (
                "Show the metadata of a public image",
                "eectl asset info USGS/SRTMGL1_003",
            ),
            (
                "Show its bands",
                "eectl asset info USGS/SRTMGL1_003 --jq '.bands[].id'",
            ),
        ],
        ..PAGE
    },
    Page {
        name: "asset create",
        examples: &[
            (
                "Create a folder",
                "eectl asset create folder projects/my-project/assets/forests",
            ),
            (
                "Create an image collection",
                "eectl asset create collection projects/my-project/assets/images",
            ),
        ],
        ..PAGE
    },
    Page {
        name: "asset create folder",
        examples: &[(
            "Create a folder and the folders above it",
            "eectl asset create folder --parents projects/my-project/assets/a/b",
        )],
        ..PAGE
    },
    Page {
        name: "asset create collection",
        examples: &[(
            "Create an image collection",
            "eectl asset create collection projects/my-project/assets/images",
        )],
        ..PAGE
    },
    Page {
        name: "asset copy",
        examples: &[
            (
                "Copy an asset",
                "eectl asset copy projects/my-project/assets/a projects/my-project/assets/b",
            ),
            (
                "Copy a folder with everything in it",
                "eectl asset copy --recursive projects/my-project/assets/a projects/my-project/assets/b",
            ),
        ],
        ..PAGE
    },
    Page {
        name: "asset move",
        examples: &[(
            "Rename an asset",
            "eectl asset move projects/my-project/assets/old projects/my-project/assets/new",
        )],
        ..PAGE
    },
    Page {
        name: "asset delete",
        examples: &[
            (
                "Show what would be deleted",
                "eectl asset delete --recursive --dry-run projects/my-project/assets/old",
            ),
            (
                "Delete an asset",
                "eectl asset delete projects/my-project/assets/old",
            ),
        ],
        ..PAGE
    },
    Page {
        name: "asset set",
        examples: &[
            (
                "Set a property",
                "eectl asset set projects/my-project/assets/a --property season=dry",
            ),
            (
                "Set the start of the time range",
                "eectl asset set projects/my-project/assets/a --time-start 2026-01-01",
            ),
        ],
        ..PAGE
    },
    Page {
        name: "asset setbands",
        examples: &[(
            "Rename the bands of an image",
            "eectl asset setbands projects/my-project/assets/a red green blue",
        )],
        ..PAGE
    },
    Page {
        name: "asset acl",
        examples: &[
            (
                "Show who can use an asset",
                "eectl asset acl get projects/my-project/assets/a",
            ),
            (
                "Let all users read it",
                "eectl asset acl set public projects/my-project/assets/a",
            ),
        ],
        ..PAGE
    },
    Page {
        name: "asset acl get",
        examples: &[(
            "Save the access of an asset to a file",
            "eectl asset acl get projects/my-project/assets/a > acl.json",
        )],
        ..PAGE
    },
    Page {
        name: "asset acl set",
        examples: &[
            (
                "Restrict an asset to its owners",
                "eectl asset acl set private projects/my-project/assets/a",
            ),
            (
                "Restore the access from a file",
                "eectl asset acl set acl.json projects/my-project/assets/a",
            ),
        ],
        ..PAGE
    },
    Page {
        name: "asset acl ch",
        examples: &[(
            "Let a user read an asset",
            "eectl asset acl ch --user jane@example.com:R projects/my-project/assets/a",
        )],
        ..PAGE
    },
    Page {
        name: "asset du",
        examples: &[(
            "Show the size of a folder",
            "eectl asset du --summarize projects/my-project/assets/forests",
        )],
        ..PAGE
    },
    Page {
        name: "task",
        examples: &[
            ("List the tasks of the project", "eectl task list"),
            ("Wait until all tasks have ended", "eectl task wait all"),
        ],
        statuses: TASK_STATUSES,
        ..PAGE
    },
    Page {
        name: "task list",
        examples: &[
            (
                "List the tasks that failed",
                "eectl task list --status FAILED",
            ),
            (
                "Show the IDs of running tasks",
                "eectl task list --status RUNNING --jq '.[].name'",
            ),
        ],
        ..PAGE
    },
    Page {
        name: "task info",
        examples: &[("Show a task", "eectl task info ABCDEFGHIJKLMNOPQRSTUVWX")],
        ..PAGE
    },
    Page {
        name: "task cancel",
        examples: &[
            (
                "Cancel a task",
                "eectl task cancel ABCDEFGHIJKLMNOPQRSTUVWX",
            ),
            (
                "Cancel all tasks that have not started",
                "eectl task cancel pending",
            ),
        ],
        ..PAGE
    },
    Page {
        name: "task wait",
        examples: &[
            (
                "Wait until a task has ended, for at most an hour",
                "eectl task wait ABCDEFGHIJKLMNOPQRSTUVWX --timeout 3600",
            ),
            ("Wait until all tasks have ended", "eectl task wait all"),
        ],
        statuses: TASK_STATUSES,
        ..PAGE
    },
    Page {
        name: "upload",
        examples: &[(
            "Import an image and wait until it is ready",
            "eectl upload image --manifest image.json --wait",
        )],
        statuses: TASK_STATUSES,
        ..PAGE
    },
    Page {
        name: "upload image",
        examples: &[
            (
                "Import an image",
                "eectl upload image --manifest image.json",
            ),
            (
                "Import a file with masked pixels, and wait until the image is ready",
                "eectl upload image --asset-id projects/my-project/assets/a \\\n      --wait --nodata-value -9999 gs://my-bucket/a.tif",
            ),
        ],
        statuses: TASK_STATUSES,
        ..PAGE
    },
    Page {
        name: "upload table",
        examples: &[(
            "Import a table and replace the existing one",
            "eectl upload table --manifest table.json --force",
        )],
        statuses: TASK_STATUSES,
        ..PAGE
    },
    Page {
        name: "upload external-image",
        examples: &[(
            "Create an image of cloud-optimized GeoTIFFs",
            "eectl upload external-image --manifest image.json",
        )],
        ..PAGE
    },
];
