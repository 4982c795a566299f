# SPDX-License-Identifier: Apache-2.0
"""What became of a VIF, and how operations are undone."""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vifplug.errors import VifplugError
from vifplug.kernel.perform import WrongDevice
from vifplug.operations.altnames import AddAltname
from vifplug.operations.claims import AddClaim
from vifplug.operations.links import MakeLink, RemoveLink, SetLink, SetLinks
from vifplug.operations.operation import LinkOperation, Operation
from vifplug.operations.routes import RemoveProxy, RemoveRoute
from vifplug.operations.sysctls import SetSysctl
from vifplug.switch import Refused


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What a plug or unplug did: whether it changed the host, and the VIF's own devices.

    ``made`` and ``removed`` are the names of devices, bridges and ports.
    """

    changed: bool
    devices: tuple[str, ...]
    made: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @classmethod
    def by(
        cls, operations: Sequence[Operation], *, changed: bool, devices: tuple[str, ...]
    ) -> Applied:
        """Return what operations did. A device that was made again is none of both."""
        made = dict.fromkeys(name for each in operations for name in each.made)
        removed = dict.fromkeys(name for each in operations for name in each.removed)
        return cls(
            changed=changed,
            devices=devices,
            made=tuple(name for name in made if name not in removed),
            removed=tuple(name for name in removed if name not in made),
        )


Outcome = Applied | VifplugError


def undo(done: Sequence[Operation], take_back: Callable[[Operation], None]) -> list[str]:
    """Undo operations, the newest first; return what could not be undone."""
    left = []
    for operation in reversed(done):
        for back in _each(operation.undo()):
            try:
                take_back(back)
            except Exception as error:
                if not (_gone_with_its_device(back, done) or _not_there(back, error)):
                    left.append(f"{back}: {words(error)}")
    return left


def _each(back: Operation | None) -> Sequence[Operation]:
    """Return the operations that an undo consists of: where one fails, the others are done."""
    if isinstance(back, SetLinks):
        return back.these
    return (back,) if back else ()


def _gone_with_its_device(back: Operation, done: Sequence[Operation]) -> bool:
    """Whether an undo failed on a device that the same plan made: it may never have come."""
    if isinstance(back, RemoveLink) or not isinstance(back, LinkOperation):
        return False
    return any(isinstance(each, MakeLink) and each.device == back.device for each in done)


def _not_there(back: Operation, error: Exception) -> bool:
    """Whether an undo failed only because its device is not there: then nothing of it is left.

    Addresses and routes are something: they were another device's before.
    """
    if not isinstance(error, OSError) or error.errno not in (errno.ENODEV, errno.ENOENT):
        return False
    match back:
        case SetLink(attribute="master", value=str()):
            return False  # it may be the former bridge that is gone
        case SetLink() | AddAltname() | AddClaim() | SetSysctl() | RemoveRoute() | RemoveProxy():
            return True
    return False


def words(error: BaseException) -> str:
    """Return an error in a few words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, (VifplugError, OSError, Refused, WrongDevice)):
        return str(error) or type(error).__name__
    return f"{_raised_in(error)}: {type(error).__name__}: {error}"


def _raised_in(error: BaseException) -> str:
    """Return the module whose mistake an error is: a plugin's, if the error came by one."""
    frames = [frame.f_globals for frame, _ in traceback.walk_tb(error.__traceback__)]
    modules = [str(names.get("__name__")) for names in reversed(frames)]
    known = {"vifplug", *sys.stdlib_module_names}
    strange = (name for name in modules if name.partition(".")[0] not in known)
    return next(strange, next(iter(modules), "a plugin"))
