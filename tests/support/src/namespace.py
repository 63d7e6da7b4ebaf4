"""Sets up a new network namespace like a machine on the internet, then runs a command in it.

Names in EE_TESTS_NAMES resolve to 127.0.0.1, the metadata server's address is on loopback, and
nothing else can be reached. The name server is on loopback, and does not respond.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys
import tempfile

SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFADDR, IFF_UP = 0x8913, 0x8914, 0x8916, 0x1

sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
flags = struct.unpack("16sh", fcntl.ioctl(sock, SIOCGIFFLAGS, struct.pack("16sh", b"lo", 0)))[1]
fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags | IFF_UP))
address = struct.pack("16sH2s4s8s", b"lo:1", socket.AF_INET, b"", socket.inet_aton("169.254.169.254"), b"")
fcntl.ioctl(sock, SIOCSIFADDR, address)

with (
    tempfile.NamedTemporaryFile("w", suffix=".hosts") as hosts,
    tempfile.NamedTemporaryFile("w", suffix=".resolver") as resolver,
):
    hosts.write("127.0.0.1 localhost\n169.254.169.254 metadata.google.internal\n")
    for name in os.environ["EE_TESTS_NAMES"].split():
        hosts.write(f"127.0.0.1 {name}\n")
    hosts.flush()
    subprocess.run(["mount", "--bind", hosts.name, "/etc/hosts"], check=True)
    resolver.write("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    resolver.flush()
    # Often a link into a directory that does not exist in a container.
    if os.path.exists("/etc/resolv.conf"):
        subprocess.run(["mount", "--bind", resolver.name, os.path.realpath("/etc/resolv.conf")], check=True)
    sys.exit(subprocess.run(sys.argv[1:]).returncode)
