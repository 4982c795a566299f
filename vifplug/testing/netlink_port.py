# SPDX-License-Identifier: Apache-2.0
"""``python netlink_port.py COMMAND...``: run COMMAND with netlink ports below 2**31.

libvirt 9.0 reads its port (libnl's: the pid and a number n in the upper ten bits, which depends on
the time) as a signed int, and then refuses 802.1Qbg without a word. A child holds the ports with n
from 512 on until standard input ends; libnl goes on to a lower one.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys


def main() -> None:
    """Hold the upper ports in a child and become the command."""
    pid = os.getpid() & 0x3FFFFF
    held, holding = os.pipe()
    child = os.fork()
    if child == 0:
        # A grandchild: the command knows of no child, so it would never wait for one.
        if os.fork() == 0:
            ports = []
            for n in range(512, 1024):
                port = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
                with contextlib.suppress(OSError):  # taken is as good
                    port.bind((pid + (n << 22), 0))
                ports.append(port)
            os.close(holding)
            sys.stdin.read()
        os._exit(0)
    os.close(holding)
    os.waitpid(child, 0)
    os.read(held, 1)
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
