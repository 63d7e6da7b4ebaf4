"""Redirects every request of an unmodified Python program to the emulator.

Python imports this module when its directory is on PYTHONPATH. With
EARTHENGINE_EMULATOR_HOST=127.0.0.1:PORT a request for https://HOST/PATH is
sent to http://127.0.0.1:PORT/HOST/PATH. Only transports are patched, never
Google's packages: requests (google-auth and earthengine-api), httplib2
(googleapiclient) and urllib (the catalog of deprecated data sets).

A connection to anything but loopback is an error, so a request that
bypasses the rewriting fails the test instead of reaching Google.
"""

import os
import sys
import urllib.parse
import urllib.request

EMULATOR = os.environ.get("EARTHENGINE_EMULATOR_HOST", "")
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def rewrite(url):
    """The URL at the emulator; loopback URLs are there already."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or parts.hostname in LOOPBACK:
        return url
    path = f"/{parts.netloc}{parts.path or '/'}"
    return urllib.parse.urlunsplit(("http", EMULATOR, path, parts.query, ""))


def seal_network(event, args):
    """Audit hook: refuses to resolve or connect to what is not loopback."""
    if event == "socket.getaddrinfo":
        host = args[0]
    elif event == "socket.connect" and isinstance(args[1], tuple):
        host = args[1][0]
    else:
        return
    if isinstance(host, bytes):
        host = host.decode()
    if host not in LOOPBACK:
        raise ConnectionRefusedError(f"{event} for {host}: only the emulator may be reached")


def patch_requests():
    from requests.adapters import HTTPAdapter

    send = HTTPAdapter.send

    def send_to_emulator(self, request, *args, **kwargs):
        request.url = rewrite(request.url)
        return send(self, request, *args, **kwargs)

    HTTPAdapter.send = send_to_emulator


def patch_httplib2():
    from httplib2 import Http

    request = Http.request

    def request_to_emulator(self, uri, *args, **kwargs):
        return request(self, rewrite(uri), *args, **kwargs)

    Http.request = request_to_emulator


def patch_urllib():
    class ToEmulator(urllib.request.BaseHandler):
        handler_order = 1

        def https_open(self, request):
            url, method = rewrite(request.full_url), request.get_method()
            moved = urllib.request.Request(url, request.data, request.headers, method=method)
            return self.parent.open(moved)

    urllib.request.install_opener(urllib.request.build_opener(ToEmulator()))


if EMULATOR:
    # First the block on other connections: if a patch below fails, nothing leaves the machine.
    sys.addaudithook(seal_network)
    patch_requests()
    patch_httplib2()
    patch_urllib()
