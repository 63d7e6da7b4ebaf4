"""Runs a command on a pseudo-terminal and plays the user.

Standard input: JSON with the command, its environment and directory, and a list of steps. Each step
waits for a text and then types another, in which {code} stands for the code on the page whose URL
was shown last. {browse} opens that URL, and {terminate} ends the command with a signal. Standard
output: JSON with the exit status, everything that was shown, and whether the terminal reads lines
and echoes them, as before.
"""

import json
import os
import pty
import re
import select
import signal
import sys
import termios
import time
import urllib.error
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
browsed = []
deadline = time.monotonic() + 120


def read():
    """Reads available output; returns False at its end."""
    global shown
    ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
    if not ready:
        sys.exit(f"no output after: {shown.decode(errors='replace')!r}; browser: {browsed}")
    try:
        more = os.read(terminal, 65536)
    except OSError:
        return False
    shown += more
    return bool(more)


def browser():
    """Returns a browser that follows redirects, without a proxy."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def last_url():
    return re.findall(r"http://\S+", shown.decode())[-1]


def code():
    """Returns the code that the page of the local emulator shows."""
    page = browser().open(last_url(), timeout=60).read().decode()
    return re.search(r'<code id="code">([^<]+)<', page)[1]


for expected, typed in play["steps"]:
    while (at := shown.find(expected.encode(), read_up_to)) < 0:
        if not read():
            sys.exit(f"ended without {expected!r}: {shown.decode(errors='replace')!r}")
    read_up_to = at + len(expected.encode())
    if "{code}" in typed:
        typed = typed.replace("{code}", code())
    if typed == "{browse}":
        # The page is shown when the login is saved.
        try:
            page = browser().open(last_url(), timeout=60)
        except urllib.error.HTTPError as error:
            page = error
        browsed.append(f"{page.status} {page.read().decode()}")
        continue
    if typed == "{terminate}":
        # The command may not have begun to wait for a key.
        time.sleep(0.2)
        os.kill(child, signal.SIGTERM)
        continue
    os.write(terminal, typed.encode())
while read():
    pass
_, status = os.waitpid(child, 0)
result = {"shown": shown.decode(errors="replace").replace("\r\n", "\n")}
modes = termios.tcgetattr(terminal)[3]
result["restored"] = bool(modes & termios.ICANON and modes & termios.ECHO)
result["status"] = os.waitstatus_to_exitcode(status)
json.dump(result, sys.stdout)
