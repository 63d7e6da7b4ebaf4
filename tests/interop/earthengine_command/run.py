"""Runs Google's `earthengine` command several times in one process.

Reads a JSON list of command lines (lists of arguments) from standard input. Prints one JSON list
with the exit status and the standard output of each.
"""

import contextlib
import io
import json
import sys

from ee.cli import eecli


def run(arguments):
    sys.argv = ["earthengine", *arguments]
    output = io.StringIO()
    status = 0
    with contextlib.redirect_stdout(output):
        try:
            eecli.main()
        except SystemExit as exit:
            status = exit.code if isinstance(exit.code, int) else int(exit.code is not None)
    return {"status": status, "stdout": output.getvalue()}


print(json.dumps([run(arguments) for arguments in json.load(sys.stdin)]))
