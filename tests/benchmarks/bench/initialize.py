"""`ee.Initialize` with a service account's key, and nothing else.

    initialize.py KEY_FILE PROJECT
"""

import os
import sys

import ee

key_file, project = sys.argv[1:]
ee.Initialize(
    ee.ServiceAccountCredentials(None, key_file),
    project=project,
    url=f"http://{os.environ['EARTHENGINE_EMULATOR_HOST']}/earthengine.googleapis.com",
)
print("initialized")
