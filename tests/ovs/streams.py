# SPDX-License-Identifier: Apache-2.0
"""Frames that go on between a guest and the far side while something is done."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass

from vifplug.testing import Capture, TapEnd

KIND = bytes.fromhex("88b5")  # for experiments (IEEE 802)


@dataclass
class Stream:
    """Numbered frames, one a millisecond, from a guest to the far side and back."""

    guest: TapEnd
    wire: Capture
    address: str

    def __enter__(self) -> Stream:
        self._going, self._sent = True, 0
        self._back: set[bytes] = set()
        self._thread = threading.Thread(target=self._send)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._going = False
        self._thread.join()

    def _send(self) -> None:
        ours, other = bytes.fromhex(self.address.replace(":", "")), bytes.fromhex("020000000001")
        while self._going:
            number = self._sent.to_bytes(4)
            self.guest.send(other + ours + KIND + number + bytes(46))
            self.wire.send(ours + other + KIND + number + bytes(46))
            self._sent += 1
            time.sleep(0.001)
            self._receive(0)  # as a guest does: a tap drops what nobody takes for long

    def _receive(self, wait: float) -> None:
        """Note the frames that have come back, until none comes for some seconds."""
        with contextlib.suppress(TimeoutError):
            while True:
                frame = self.guest.receive(wait)
                if frame[12:14] == KIND:
                    self._back.add(frame[14:18])

    def lost(self) -> tuple[int, int, int]:
        """Return how many were sent each way, and lost on the way out and in."""
        out = {f[14:18] for f in self.wire.frames(0.3) if f[12:14] == KIND and f[:1] == b"\2"}
        self._receive(0.3)
        return self._sent, self._sent - len(out), self._sent - len(self._back)
