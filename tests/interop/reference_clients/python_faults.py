"""Computes once for every line of standard input; prints the result of each computation.

    python_faults.py KEY_FILE PROJECT
"""

import json
import os
import sys

import ee

key_file, project = sys.argv[1:]
emulator = os.environ["EARTHENGINE_EMULATOR_HOST"]
ee.Initialize(
    ee.ServiceAccountCredentials(None, key_file),
    project=project,
    url=f"http://{emulator}/earthengine.googleapis.com",
)
print("ready", flush=True)
for _ in sys.stdin:
    try:
        answer = {"value": ee.Number(7).getInfo()}
    except Exception as error:  # Whatever ends it is what a user would see.
        answer = {"error": str(error)}
    print(json.dumps(answer), flush=True)
