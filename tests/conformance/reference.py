"""What google-auth and earthengine-api do with the credentials of an environment.

    reference.py default [SCOPE ...]    google.auth.default(), then a token
    reference.py earthengine            the Python client's own credentials, then a token

Prints one line of JSON: the project, the quota project and the kind of the
credentials, or the class of the error. The requests are seen by the emulator.
"""

import json
import sys
import warnings

from google.auth.transport.requests import Request


def find(mode, scopes):
    if mode == "default":
        import google.auth

        return google.auth.default(scopes=scopes or None)
    if mode == "earthengine":
        import ee

        return ee.data.get_persistent_credentials(), None
    sys.exit(__doc__)


def main(mode="", *scopes):
    warnings.simplefilter("ignore")
    try:
        credentials, project = find(mode, scopes)
        if not credentials.valid:  # the Python client has a token already
            credentials.refresh(Request())
    except Exception as error:  # whatever it is: its class is the answer
        print(json.dumps({"error": type(error).__name__, "message": str(error)[:300]}))
        return
    print(
        json.dumps(
            {
                "kind": type(credentials).__module__,
                "project": project,
                "quota_project": credentials.quota_project_id,
            }
        )
    )


main(*sys.argv[1:])
