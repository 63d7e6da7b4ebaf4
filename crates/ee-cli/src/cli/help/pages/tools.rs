//! The pages of the commands without a group.

use super::{
    GCLOUD_FILE, LOCAL_STATUSES, OF_CREDENTIALS, OF_JQ, OF_PROJECT, OUTPUT, PAGE, PROJECTS, Page,
    SHARED_FILE, TOKENS,
};

/// The statuses of a command that runs another.
const COMMAND_STATUSES: &[u8] = &[0, 1, 2, 3, 4, 5, 6, 7, 126, 127, 130, 141];

pub(super) const PAGES: &[Page] = &[
    Page {
        name: "",
        examples: &[
            ("Log in and select a project", "eectl auth login"),
            ("Find out why something does not work", "eectl doctor"),
            (
                "Show the IDs of your projects",
                "eectl project list --jq '.[].project'",
            ),
            ("Call a method of the API", "eectl api config"),
        ],
        files: &[SHARED_FILE, GCLOUD_FILE, TOKENS, PROJECTS],
        statuses: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 130, 141],
        ..PAGE
    },
    Page {
        name: "init",
        examples: &[
            ("Verify the project that programs use", "eectl init"),
            (
                "Wait until a project that was just registered is ready",
                "eectl init --project my-project --wait 300",
            ),
            (
                "Show how the project is registered",
                "eectl init --jq .registration",
            ),
        ],
        ..PAGE
    },
    Page {
        name: "doctor",
        examples: &[
            ("Check everything", "eectl doctor"),
            (
                "Check what a program with this key would use",
                "eectl doctor --credentials key.json --project my-project",
            ),
            (
                "Show the names of failed checks",
                "eectl doctor --jq '.checks[] | select(.status == \"failed\").name'",
            ),
        ],
        ..PAGE
    },
    Page {
        name: "api",
        examples: &[
            ("Read the project's configuration", "eectl api config"),
            (
                "List all public Landsat collections",
                "eectl api projects/earthengine-public/assets/LANDSAT:listAssets \\\n      --paginate --jq '.assets[].id'",
            ),
            (
                "Compute the value of the expression in a file",
                "eectl api value:compute --input body.json",
            ),
            (
                "Send a body from standard input",
                "eectl api POST value:compute --input - < body.json",
            ),
            (
                "Save an image",
                "eectl api image:computePixels --input body.json --output image.tif",
            ),
        ],
        ..PAGE
    },
    Page {
        name: "emulator",
        examples: &[
            (
                "Run the emulator and write credentials for it",
                "eectl emulator --write-credentials emulator",
            ),
            (
                "Use it in another terminal",
                "export EARTHENGINE_EMULATOR_HOST=127.0.0.1:8090",
            ),
        ],
        environment: &[OUTPUT],
        files: &[],
        statuses: LOCAL_STATUSES,
        ignored: &[OF_PROJECT, OF_CREDENTIALS, OF_JQ],
    },
    Page {
        name: "exec",
        examples: &[
            (
                "Run a Python program with this login",
                "eectl exec -- python3 program.py",
            ),
            (
                "Serve it no tokens after an hour",
                "eectl exec --expires 1h -- python3 program.py",
            ),
        ],
        statuses: COMMAND_STATUSES,
        ignored: &[OF_JQ],
        ..PAGE
    },
    Page {
        name: "serve",
        examples: &[
            ("Serve tokens to the programs of this user", "eectl serve"),
            (
                "Stop when the script that started it ends",
                "eectl serve --exit-with-parent",
            ),
            ("Show the status of the broker", "eectl serve --status"),
        ],
        ..PAGE
    },
    Page {
        name: "completions",
        examples: &[
            (
                "Complete commands in bash, in ~/.bashrc",
                "eval \"$(eectl completions bash)\"",
            ),
            ("In zsh, in ~/.zshrc", "eval \"$(eectl completions zsh)\""),
            (
                "In fish, in ~/.config/fish/completions/eectl.fish",
                "eectl completions fish | source",
            ),
        ],
        environment: &[OUTPUT],
        files: &[PROJECTS],
        statuses: LOCAL_STATUSES,
        ignored: &[OF_PROJECT, OF_CREDENTIALS, OF_JQ],
    },
    Page {
        name: "man",
        examples: &[
            ("Read the manual page", "eectl man | man -l -"),
            (
                "Install a page for each command",
                "eectl man --dir ~/.local/share/man/man1",
            ),
        ],
        environment: &[OUTPUT],
        files: &[],
        statuses: LOCAL_STATUSES,
        ignored: &[OF_PROJECT, OF_CREDENTIALS, OF_JQ],
    },
];
