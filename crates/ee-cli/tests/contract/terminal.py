"""Runs a command on a pseudo-terminal and plays the user.

Standard input: JSON with the command, its environment and directory, and a list of steps. Each step
waits for a text and then types another, in which {code} stands for the code on the page whose URL
was shown last. Standard output: JSON with the exit status and everything that was shown.
"""

import json
import os
import pty
import re
import select
import signal
import sys
import time
import urllib.request

play = json.load(sys.stdin)
child, terminal = pty.fork()
if child == 0:
    # A test run in the background inherits that Ctrl-C is ignored.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.chdir(play["directory"])
    os.execve(play["command"][0], play["command"], play["environment"])

shown = b""
read_up_to = 0
deadline = time.monotonic() + 120


def read():
    """Reads available output; returns False at its end."""
    global shown
    ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
    if not ready:
        sys.exit(f"no output after: {shown.decode(errors='replace')!r}")
    try:
        more = os.read(terminal, 65536)
    except OSError:
        return False
    shown += more
    return bool(more)


def code():
    """Returns the code that the page of the local emulator shows."""
    address = re.findall(r"http://\S+", shown.decode())[-1]
    browser = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    page = browser.open(address, timeout=60).read().decode()
    return re.search(r'<code id="code">([^<]+)<', page)[1]


for expected, typed in play["steps"]:
    while (at := shown.find(expected.encode(), read_up_to)) < 0:
        if not read():
            sys.exit(f"ended without {expected!r}: {shown.decode(errors='replace')!r}")
    read_up_to = at + len(expected.encode())
    if "{code}" in typed:
        typed = typed.replace("{code}", code())
    os.write(terminal, typed.encode())
while read():
    pass
_, status = os.waitpid(child, 0)
result = {"shown": shown.decode(errors="replace").replace("\r\n", "\n")}
result["status"] = os.waitstatus_to_exitcode(status)
json.dump(result, sys.stdout)
