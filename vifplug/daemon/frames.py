# SPDX-License-Identifier: Apache-2.0
"""How a daemon reads its caller's calls: each within bounds, before it is unpacked.

oslo.privsep unpacks 100 MiB of anything, which takes many times that, and queues calls without
end. The bounds hold whatever way the daemon was started.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Any

import msgpack
from oslo_privsep.comm import Message, ServerChannel
from oslo_privsep.daemon import PrivsepLogHandler

from vifplug.daemon.request import LARGEST, MOST_VIFS
from vifplug.errors import PrivilegeError, shown

LOG = logging.getLogger(__name__)

_MOST_TEXT = 4096
"""Bytes of a text."""

_MOST_FIELDS = 64
"""Names of an object: no part has so many fields."""

_MOST_CONTAINERS = 1 << 17
"""Lists and objects of one call: an empty one takes a byte of it, and 70 in memory."""

_MOST_WAITING = 32 << 20
"""Bytes of the calls that are at work or wait for it; further ones are not read meanwhile."""

_LEAST_CHARGE = 4096
"""Bytes that a call counts at least: one that waits takes more than it has."""

_FED = 1 << 16
"""Bytes that are read at once."""

_MOST_ID = 64
"""Characters of a call's number."""

_MEND = "call it through vifplug"


def bound(channel: ServerChannel) -> None:
    """Have a daemon read the calls of its channel within bounds."""
    frames = Frames(channel)
    channel.reader_iter, channel.writer = frames, frames.replies  # type: ignore[assignment]


def channels() -> list[ServerChannel]:
    """Return the channel of this process, which is a daemon: its log goes there too."""
    # It is known in no other place that both a fork and a helper's daemon have.
    handlers = logging.getLogger().handlers
    return [each.channel for each in handlers if isinstance(each, PrivsepLogHandler)]


class _Room:
    """The calls that are at work or wait for it, by their sizes, oldest first."""

    def __init__(self) -> None:
        self._sizes: deque[int] = deque()
        self._total = 0
        self._changed = threading.Condition()

    def enter(self, size: int) -> None:
        """Wait until there is room for a call. A call by itself always has room."""
        size = max(size, _LEAST_CHARGE)
        with self._changed:
            while self._sizes and self._total + size > _MOST_WAITING:
                self._changed.wait()
            self._sizes.append(size)
            self._total += size

    def leave(self) -> None:
        """Make room: a call is answered."""
        with self._changed:
            if self._sizes:
                self._total -= self._sizes.popleft()
            self._changed.notify()


class _Replies:
    """Sends replies and log lines. A reply makes room for another call."""

    def __init__(self, writer: Any, room: _Room) -> None:
        self._writer, self._room = writer, room

    def send(self, message: Any) -> None:
        """Send a message. Raises OSError where the caller has gone."""
        self._writer.send(message)
        if message[0] is not None:
            self._room.leave()

    def refuse(self, number: str, error: PrivilegeError) -> None:
        """Answer a call that was not taken."""
        kind = f"{type(error).__module__}.{type(error).__name__}"
        self._writer.send((number, (Message.ERR.value, kind, error.args, "")))


class Frames:
    """The calls that a channel brings, each with its number. Ends with the stream.

    A frame that can't be read within the bounds ends the stream, because nothing tells where the
    next one begins. A frame that is no call is answered with an error.
    """

    def __init__(self, channel: ServerChannel) -> None:
        self._channel = channel
        self._connection = channel.writer.writesock
        self._room = _Room()
        self.replies = _Replies(channel.writer, self._room)
        self._fed = self._ended = self._containers = 0
        self._unpacker = msgpack.Unpacker(
            use_list=False,
            raw=False,
            strict_map_key=False,  # a VIF with such names is refused by itself
            unicode_errors="surrogateescape",
            list_hook=self._counted,
            object_hook=self._counted,
            read_size=_FED,  # its first buffer: a daemon touches all of it in time
            max_buffer_size=LARGEST + _FED,
            max_str_len=_MOST_TEXT,
            max_bin_len=_MOST_TEXT,
            max_array_len=2 * MOST_VIFS,  # a list that is a bit too long gets an answer
            max_map_len=_MOST_FIELDS,
            max_ext_len=0,
        )

    def __iter__(self) -> Frames:
        return self

    def __next__(self) -> tuple[str, tuple[Any, ...]]:
        while True:
            try:
                frame, size = self._frame()
                number, call = _numbered(frame)
            except (StopIteration, OSError):
                raise
            except Exception as error:
                LOG.warning("a call is refused and the daemon ends: %s", shown(str(error)))
                raise StopIteration from None
            why = _strange(call)
            if not why:
                self._room.enter(size)
                return number, call
            LOG.warning("a call is refused: %s", why)
            with self._channel.wlock:
                refused = PrivilegeError("privileged daemon", f"refused: {why}", _MEND)
                self.replies.refuse(number, refused)

    def _frame(self) -> tuple[Any, int]:
        """Return the next frame and its bytes. Raises StopIteration at the stream's end."""
        while True:
            try:
                frame = self._unpacker.unpack()
            except msgpack.OutOfData:
                if self._fed - self._ended > LARGEST:
                    raise ValueError(f"more than {LARGEST} bytes") from None
                self._feed()
            else:
                size = self._unpacker.tell() - self._ended
                self._ended, self._containers = self._unpacker.tell(), 0
                return frame, size

    def _feed(self) -> None:
        data = self._connection.recv(_FED)
        if not data:
            raise StopIteration
        self._unpacker.feed(data)
        self._fed += len(data)

    def _counted(self, container: Any) -> Any:
        self._containers += 1
        if self._containers > _MOST_CONTAINERS:
            raise ValueError(f"more than {_MOST_CONTAINERS} lists and objects")
        return container


def _numbered(frame: Any) -> tuple[str, Any]:
    """Return a call with its number. Raises ValueError for another frame."""
    if type(frame) is tuple and len(frame) == 2 and isinstance(frame[0], str):
        number, call = frame
        if len(number) <= _MOST_ID:
            return number, call
    raise ValueError(f"{shown(frame)} is no call with a number")


def _strange(call: Any) -> str:
    """Return why a message is none that a caller sends: a ping, or a call with one request."""
    if call == (Message.PING.value,):
        return ""
    if type(call) is not tuple or len(call) != 4 or call[0] != Message.CALL.value:
        return f"{shown(call)} is no call"
    _, name, arguments, options = call
    if not isinstance(name, str):
        return f"{shown(name)} is no entry point"
    if type(arguments) is not tuple or len(arguments) != 1:
        return "an entry point takes one argument, the request"
    return f"an entry point takes no options: {shown(options)}" if options else ""
