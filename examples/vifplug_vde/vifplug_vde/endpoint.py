# SPDX-License-Identifier: Apache-2.0
"""The program between a device and a port of vde_switch: it passes frames both ways.

It imports the standard library only. The switch knows it by its label. It ends when the switch
closes the port, and when the device goes. It gives up all privilege before it passes a frame.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import socket
import struct
import sys

_MAGIC, _VERSION = 0xFEEDFACE, 3
_ADDRESS = struct.Struct("=H108s")
_ALL = 3  # ETH_P_ALL
_SOL_PACKET, _IGNORE_OUTGOING = 263, 23
_CAPABILITY_VERSION = 0x20080522
_LONGEST = 1 << 16


def connected(control: str, device: str, label: str) -> tuple[socket.socket, socket.socket]:
    """Return the connection that holds a new port, and the socket of its frames."""
    path = f"{control}/.{device}.{os.getpid()}"
    frames = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    os.umask(0o007)  # the switch may be another user, of the folder's group
    frames.bind(path)
    try:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(f"{control}/ctl")
        head = struct.pack("=III", _MAGIC, _VERSION, 0)
        address = _ADDRESS.pack(socket.AF_UNIX, path.encode())
        connection.sendall(head + address + label.encode().ljust(128, b"\0"))
        answer = connection.recv(_LONGEST)
        if len(answer) < _ADDRESS.size:
            raise OSError(errno.ECONNREFUSED, "the switch gave no port")
        frames.connect(_ADDRESS.unpack_from(answer)[1].split(b"\0")[0])
    except OSError:
        os.unlink(path)  # noqa: PTH108 - pathlib takes as long to load as all the rest
        raise
    return connection, frames


def of_device(device: str) -> socket.socket:
    """Return the socket of the frames that a device receives, and may send."""
    found = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    found.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
    found.bind((device, _ALL))
    return found


def drop_privileges() -> None:
    """Give up every capability."""
    head = struct.pack("Ii", _CAPABILITY_VERSION, 0)
    if ctypes.CDLL(None, use_errno=True).capset(head, bytes(24)) < 0:
        raise OSError(ctypes.get_errno(), "capset")


def forward(
    device: str, packets: socket.socket, frames: socket.socket, control: socket.socket
) -> None:
    """Pass frames until the switch closes the port, or the device is gone."""
    while True:
        ready = select.select([packets, frames, control], [], [])[0]
        if control in ready and not control.recv(_LONGEST):
            return
        for source, target in ((packets, frames), (frames, packets)):
            if source not in ready:
                continue
            try:
                frame = source.recv(_LONGEST)
            except OSError:  # ENETDOWN: the device is down, or gone
                try:
                    socket.if_nametoindex(device)
                except OSError:
                    return
                continue
            with contextlib.suppress(OSError):  # a frame that nobody takes is lost
                target.send(frame)


def main(control: str, device: str, label: str) -> int:
    """Connect; say "ready"; pass frames once the starter has said "go", which "gone" answers."""
    try:
        packets = of_device(device)
        connection, frames = connected(control, device, label)
    except OSError as error:
        print(error.strerror or error, flush=True)
        return 1
    print("ready", flush=True)
    path = frames.getsockname()
    try:
        if sys.stdin.readline().strip() != "go":
            return 1
        drop_privileges()
        # The starter waits for its child only, and not for the program that goes on.
        if os.fork():
            print("gone", flush=True)
            os._exit(0)
        null = os.open(os.devnull, os.O_RDWR)
        for standard in range(3):
            os.dup2(null, standard)
        forward(device, packets, frames, connection)
    finally:
        os.unlink(path)  # noqa: PTH108 - as above
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
