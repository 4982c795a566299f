# SPDX-License-Identifier: Apache-2.0
"""``python standin.py LOG STATUS``: stands in for lldpad towards libvirt; there is no switch.

It acknowledges RTM_SETLINK, answers RTM_GETLINK with IFLA_PORT_RESPONSE=STATUS, and writes what it
was asked as lines of JSON. It shows what libvirt asks for and what a switch's refusal does, which
no switch can be made to say; it is no association. Run with libvirtd's network, mounts and pids.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PID_FILE = Path("/run/lldpad.pid")
SETLINK, GETLINK, ERROR, DONE = 19, 18, 2, 3
VFINFO_LIST, VF_PORTS, NESTED = 22, 24, 0x8000
REQUESTS = {0: "preassociate", 1: "preassociate-rr", 2: "associate", 3: "disassociate"}


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and payload of each netlink attribute."""
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += max((length + 3) & ~3, 4)


def attribute(kind: int, payload: bytes) -> bytes:
    """Return one netlink attribute."""
    return struct.pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def decoded(body: bytes) -> dict[str, Any]:
    """Return what a request says of a guest and its port."""
    found: dict[str, Any] = {}
    for kind, payload in attributes(body[16:]):
        if kind == VFINFO_LIST:
            inner = dict(attributes(next(attributes(payload))[1]))
            found["mac"] = inner[1][4:10].hex(":")
        if kind == VF_PORTS:
            inner = dict(attributes(next(attributes(payload))[1]))
            found["manager_id"] = inner[3][0]
            found["type_id"] = int.from_bytes(inner[3][1:4], "little")
            found["type_id_version"] = inner[3][4]
            found["instance_id"] = str(uuid.UUID(bytes=inner[4]))
            found["request"] = REQUESTS[inner[6][0]]
    return found


def main(log: Path, status: int) -> None:
    """Answer until killed."""
    port = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    port.bind((os.getpid(), 0))
    PID_FILE.write_text(f"{os.getpid()}\n")
    known: dict[str, None] = {}
    while True:
        asked, (peer, _) = port.recvfrom(65536)
        _, kind, _, number, sender = struct.unpack_from("=IHHII", asked)
        if kind == SETLINK:
            said = decoded(asked[16:])
            with log.open("a") as file:
                file.write(f"{json.dumps(said)}\n")
            known[said["instance_id"]] = None
            answer, body = ERROR, struct.pack("=i", 0) + asked[:16]
        elif kind == GETLINK:
            ports = b"".join(
                attribute(1 | NESTED, attribute(4, uuid.UUID(one).bytes)
                          + attribute(1, struct.pack("=i", -1))
                          + attribute(7, struct.pack("=H", status)))
                for one in known
            )  # fmt: skip
            answer, body = DONE, asked[16:32] + attribute(VF_PORTS | NESTED, ports)
        else:
            continue
        header = struct.pack("=IHHII", 16 + len(body), answer, 0, number, sender)
        port.sendto(header + body, (peer, 0))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
