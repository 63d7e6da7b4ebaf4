"""Logs in with Google's Python client.

    shared_login.py localhost    waits for the browser, whose page is printed
    shared_login.py notebook     prints the page, and reads the code from standard input

Writes ~/.config/earthengine/credentials. Needs EARTHENGINE_EMULATOR_HOST and
python_preload on PYTHONPATH (see tests/interop/reference_clients).
"""

import sys

import ee


def main(mode=""):
    if mode not in ("localhost", "notebook"):
        sys.exit(__doc__)
    flow = ee.oauth.Flow("localhost:0" if mode == "localhost" else mode)
    print(f"page {flow.auth_url}", flush=True)
    flow.save_code(None if mode == "localhost" else sys.stdin.readline())


main(*sys.argv[1:])
