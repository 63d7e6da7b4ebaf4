"""Runs google-auth or earthengine-api with the credentials of an environment.

    reference.py default [SCOPE ...]    google.auth.default(), then a token
    reference.py earthengine            the Python client's own credentials, then a token

Options that no file has are variables:
    EE_TESTS_IMPERSONATE            the impersonation: {"target", "delegates", "lifetime"}
    EE_TESTS_SERVICE_ACCOUNT        the service account of the machine
    EE_TESTS_GDCH_AUDIENCE          with_gdch_audience()
    EE_TESTS_PRODUCT_NAME_FILE      the product name of the firmware

Prints one line of JSON: the project, the quota project and the kind of the
credentials, or the class of the error. The requests are seen by the emulator.
"""

import json
import os
import sys
import warnings

from google.auth.transport.requests import Request


def find(mode, scopes):
    if mode == "default":
        import google.auth
        from google.auth.compute_engine import _metadata

        if "EE_TESTS_PRODUCT_NAME_FILE" in os.environ:
            _metadata._GCE_PRODUCT_NAME_FILE = os.environ["EE_TESTS_PRODUCT_NAME_FILE"]
        if "EE_TESTS_SERVICE_ACCOUNT" in os.environ:
            from google.auth import compute_engine

            email = os.environ["EE_TESTS_SERVICE_ACCOUNT"]
            credentials = compute_engine.Credentials(service_account_email=email, scopes=scopes)
            return credentials, _metadata.get_project_id(Request())
        credentials, project = google.auth.default(scopes=scopes or None)
        if "EE_TESTS_GDCH_AUDIENCE" in os.environ:
            audience = os.environ["EE_TESTS_GDCH_AUDIENCE"]
            credentials = credentials.with_gdch_audience(audience)
        return impersonate(credentials, scopes), project
    if mode == "earthengine":
        import ee

        return ee.data.get_persistent_credentials(), None
    sys.exit(__doc__)


def impersonate(credentials, scopes):
    options = json.loads(os.environ.get("EE_TESTS_IMPERSONATE", "null"))
    if not options:
        return credentials
    from google.auth import impersonated_credentials

    return impersonated_credentials.Credentials(
        source_credentials=credentials,
        target_principal=options["target"],
        target_scopes=scopes,
        delegates=options["delegates"],
        lifetime=options["lifetime"],
    )


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
                "quota_project": getattr(credentials, "quota_project_id", None),
            }
        )
    )


main(*sys.argv[1:])
