"""Runs Google's Python client against the emulator; prints one line of JSON.

    python_client.py service-account KEY_FILE PROJECT
    python_client.py user PROJECT

The first reads a key file and sets the client's own `url` to the emulator.
The second reads ~/.config/earthengine/credentials and uses Google's URLs. Both need EARTHENGINE_EMULATOR_HOST and python_preload on PYTHONPATH
(see there): neither the token endpoint of a user's login nor google-auth's
lookup of allowed locations can be configured.
"""

import json
import os
import sys

import ee
import google.auth


def initialize(mode, arguments):
    if mode == "service-account" and len(arguments) == 2:
        key_file, project = arguments
        emulator = os.environ["EARTHENGINE_EMULATOR_HOST"]
        ee.Initialize(
            # The email address is ignored when the key is a JSON file.
            ee.ServiceAccountCredentials(None, key_file),
            project=project,
            url=f"http://{emulator}/earthengine.googleapis.com",
        )
    elif mode == "user" and len(arguments) == 1:
        ee.Initialize(project=arguments[0])
    else:
        sys.exit(__doc__)


def main(mode="", *arguments):
    initialize(mode, arguments)
    print(
        json.dumps(
            {
                "client": "earthengine-api",
                "version": ee.__version__,
                "google-auth": google.auth.__version__,
                "result": ee.Number(1).add(2).getInfo(),
                "text": ee.String("a").cat("b").getInfo(),
                "length": ee.List([1, 2]).length().getInfo(),
            }
        )
    )


main(*sys.argv[1:])
