"""Runs a command on a pseudo-terminal of its own and plays a person.

Standard input: JSON with the command, its environment and folder, and a list of steps: wait
until a text has appeared, then type another; {code} in it is the code on the page whose address
was shown last. Standard output: JSON with how the command ended
and all that the terminal showed.
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
    # Whoever runs the tests in the background hands down that Ctrl-C is ignored.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.chdir(play["folder"])
    os.execve(play["command"][0], play["command"], play["environment"])

shown = b""
read_up_to = 0
deadline = time.monotonic() + 120


def read():
    """Reads what is there; False at the end."""
    global shown
    ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
    if not ready:
        sys.exit(f"nothing more after: {shown.decode(errors='replace')!r}")
    try:
        more = os.read(terminal, 65536)
    except OSError:
        return False
    shown += more
    return bool(more)


def code():
    """What the browser of the person shows on the page, which is on this machine."""
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
ended = {"shown": shown.decode(errors="replace").replace("\r\n", "\n")}
ended["status"] = os.waitstatus_to_exitcode(status)
json.dump(ended, sys.stdout)
