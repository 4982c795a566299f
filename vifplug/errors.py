# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, as one tree.

Every error takes plain positional arguments (text, numbers, lists of text): oslo.privsep sends an
exception as its class and ``args``, so one that was raised by the privileged side arrives whole.
``exit_status`` is what the command line ends with (see ``vifplug --help``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, cast

PLUGIN_ERRORS = (Exception, SystemExit)
"""What a plugin's own code may raise by mistake."""

NO_VIF = "-"
"""Stands for the VIF's id where the input names none."""


_SHOWN = 80
"""Characters of a value in an error message."""


def shown(value: object) -> str:
    """Return value as one short printable line, for an error message, whatever its size."""
    text = ""
    for piece in _pieces(value):
        text += piece
        if len(text) > _SHOWN:
            return f"{text[: _SHOWN - 3]}..."
    return text


def _pieces(value: object) -> Iterator[str]:
    """Yield a value's text in short pieces, so that a large value is not written out whole."""
    if type(value) in (list, tuple):
        start, end = "[]" if type(value) is list else "()"
        yield start
        for position, item in enumerate(cast("Sequence[object]", value)):
            yield ", " if position else ""
            yield from _pieces(item)
        yield ",)" if end == ")" and len(cast("Sequence[object]", value)) == 1 else end
    elif type(value) is dict:
        yield "{"
        for position, (name, item) in enumerate(value.items()):
            yield ", " if position else ""
            yield from _pieces(name)
            yield ": "
            yield from _pieces(item)
        yield "}"
    elif isinstance(value, (str, bytes)):
        # Longer than what is shown, so that the cut shows.
        yield repr(value[: _SHOWN + 1])
    elif isinstance(value, int) and value.bit_length() > 8 * _SHOWN:
        yield f"a whole number of {value.bit_length()} bits"
    else:
        yield repr(value)


def meant(word: str, known: Iterable[str]) -> str:
    """Return the end of a message on an unknown word: which known one may be meant, if any."""
    found = closest(word, known)
    return f"; did you mean {found}?" if found else ""


def closest(word: str, known: Iterable[str], *, alike: float = 0.6) -> str:
    """Return the known word that is most like one; empty where none is so much ``alike``."""
    if len(word) > _SHOWN:
        return ""  # it is none, and the look would take long
    import difflib  # only a mistake needs it

    return next(iter(difflib.get_close_matches(word, list(known), 1, alike)), "")


class VifplugError(Exception):
    """The root of all errors that vifplug raises on purpose.

    ``retriable``: the same call may succeed later, although the caller changes nothing.
    """

    exit_status: ClassVar[int] = 1
    retriable: ClassVar[bool] = False

    @property
    def problem(self) -> dict[str, Any]:
        """The error for programs: its class, and what it names (None where it names nothing)."""
        named = {name: getattr(self, name, None) for name in ("field", "value", "allowed")}
        return {"class": type(self).__name__, **named, "retriable": self.retriable}

    def to_dict(self) -> dict[str, Any]:
        """Return the error as plain data, for a reply of the privileged side."""
        kind = type(self)
        return {
            "class": f"{kind.__module__}:{kind.__qualname__}",
            "args": list(self.args),
            "text": str(self),
        }

    def about(self, vif_id: str) -> VifplugError:
        """Return the same error for another VIF: where a call for several fails as a whole."""
        return type(self)(vif_id, *self.args[1:]) if hasattr(self, "vif_id") else self

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> VifplugError:
        """Return the error that :meth:`to_dict` wrote.

        A plugin's own error is found among the classes of the plugins that are loaded here. One
        that is not known becomes a SwitchError with its text.
        """
        for kind in _every(VifplugError):
            if f"{kind.__module__}:{kind.__qualname__}" == data["class"]:
                return kind(*data["args"])
        return SwitchError(NO_VIF, str(data["class"]), str(data["text"]))


def _every(kind: type[VifplugError]) -> Iterator[type[VifplugError]]:
    yield kind
    for further in kind.__subclasses__():
        yield from _every(further)


class InvalidVIF(VifplugError):
    """A VIF's field is missing, malformed, unknown, or not allowed together with another.

    Args: the VIF's id (``-`` where it has none), the field's path, its value, what is allowed.
    """

    exit_status = 2

    def __init__(self, vif_id: str, field: str, value: str, allowed: str) -> None:
        super().__init__(vif_id, field, value, allowed)
        self.vif_id, self.field, self.value, self.allowed = vif_id, field, value, allowed

    def __str__(self) -> str:
        about = "" if self.vif_id == NO_VIF else f"VIF {self.vif_id}: "
        return f"{about}{self.field} is {self.value}; allowed: {self.allowed}"


class UnknownVIFType(VifplugError):
    """No working plugin claims the VIF's vif_type.

    Args: the VIF's id, its vif_type, why (which are known, or which plugin failed and how).
    """

    exit_status = 2

    def __init__(self, vif_id: str, vif_type: str, why: str) -> None:
        super().__init__(vif_id, vif_type, why)
        self.vif_id, self.vif_type, self.why = vif_id, vif_type, why

    def __str__(self) -> str:
        about = "" if self.vif_id == NO_VIF else f"VIF {self.vif_id}: "
        return f"{about}no plugin for vif_type {shown(self.vif_type)}: {self.why}"


class InvalidHost(VifplugError):
    """What was told about the host (an option, host.json) is not possible.

    Args: the field, its value, what is allowed.
    """

    exit_status = 2

    def __init__(self, field: str, value: str, allowed: str) -> None:
        super().__init__(field, value, allowed)
        self.field, self.value, self.allowed = field, value, allowed

    def __str__(self) -> str:
        return f"host: {self.field} is {self.value}; allowed: {self.allowed}"


class PluginFailed(VifplugError):
    """The plugin that a VIF needs is installed but can't be used.

    Args: the VIF's id, its vif_type, the distribution, why.
    """

    def __init__(self, vif_id: str, vif_type: str, distribution: str, why: str) -> None:
        super().__init__(vif_id, vif_type, distribution, why)
        self.vif_id, self.vif_type = vif_id, vif_type
        self.distribution, self.why = distribution, why

    def __str__(self) -> str:
        return (
            f"VIF {self.vif_id}: the plugin for vif_type {shown(self.vif_type)} "
            f"({self.distribution}) can't be used: {self.why}"
        )


class PlugFailed(VifplugError):
    """A plug failed on the host; what it had done was undone.

    Args: the VIF's id, the step, the reason, and what the undo could not take back (text each).
    """

    def __init__(self, vif_id: str, step: str, reason: str, left: Sequence[str] = ()) -> None:
        super().__init__(vif_id, step, reason, list(left))
        self.vif_id, self.step, self.reason, self.left = vif_id, step, reason, tuple(left)

    def __str__(self) -> str:
        left = "; not undone: " + "; ".join(self.left) if self.left else "; undone"
        return f"VIF {self.vif_id}: plug failed at {self.step}: {self.reason}{left}"


class UnplugFailed(VifplugError):
    """An unplug went on past errors and removed all it could; this names what is left.

    Args: the VIF's id, the failures (text each).
    """

    retriable = True

    def __init__(self, vif_id: str, failures: Sequence[str]) -> None:
        super().__init__(vif_id, list(failures))
        self.vif_id, self.failures = vif_id, tuple(failures)

    def __str__(self) -> str:
        return f"VIF {self.vif_id}: unplug left something behind: {'; '.join(self.failures)}"


class InUse(VifplugError):
    """A guest holds a VIF that is to be unplugged. Nothing was changed.

    Args: the VIF's id, the device or port that is held, who holds it ("" where the caller may not
    see the process), whether that is certain.
    """

    def __init__(self, vif_id: str, device: str, holder: str = "", certain: bool = True) -> None:
        super().__init__(vif_id, device, holder, certain)
        self.vif_id, self.device, self.holder, self.certain = vif_id, device, holder, certain

    def __str__(self) -> str:
        by = f" by {self.holder}" if self.holder else ""
        state = "is in use" if self.certain else "may be in use (not all processes can be seen)"
        return (
            f"VIF {self.vif_id}: {self.device} {state}{by}; "
            "needed: detach the VIF from its guest first, or force the unplug (--force)"
        )


class Conflict(VifplugError):
    """A device that the VIF needs is there, but is another's or of another shape.

    Args: the VIF's id, the device, what was found, what is needed.
    """

    def __init__(self, vif_id: str, device: str, found: str, needed: str) -> None:
        super().__init__(vif_id, device, found, needed)
        self.vif_id, self.device, self.found, self.needed = vif_id, device, found, needed

    @property
    def problem(self) -> dict[str, Any]:
        """The device stands for the field."""
        named = {"field": self.device, "value": self.found, "allowed": self.needed}
        return {**super().problem, **named}

    def __str__(self) -> str:
        return f"VIF {self.vif_id}: {self.device} {self.found}; needed: {self.needed}"


class DeadlineExceeded(VifplugError):
    """The call's deadline has passed.

    Args: the VIF's id, the step it stood at, the outcome: ``failed`` (the host is as before) or
    ``unknown`` (the privileged side did not answer; it undoes the call when it goes on).
    """

    retriable = True

    def __init__(self, vif_id: str, step: str, outcome: str) -> None:
        super().__init__(vif_id, step, outcome)
        self.vif_id, self.step, self.outcome = vif_id, step, outcome

    def __str__(self) -> str:
        end = "failed, undone" if self.outcome == "failed" else "outcome unknown, being undone"
        return f"VIF {self.vif_id}: the deadline passed at {self.step}: {end}"


class PrivilegeError(VifplugError):
    """The privileged side can't be started, reached or used.

    Args: what was tried, why it failed, what to mend.
    """

    def __init__(self, what: str, why: str, mend: str) -> None:
        super().__init__(what, why, mend)
        self.what, self.why, self.mend = what, why, mend

    def __str__(self) -> str:
        return f"{self.what}: {self.why}; to mend: {self.mend}"


class LibvirtError(VifplugError):
    """libvirt can't be reached, or refused a change of a guest.

    Args: what was tried, why it failed.
    """

    def __init__(self, what: str, why: str) -> None:
        super().__init__(what, why)
        self.what, self.why = what, why

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


class SwitchError(VifplugError):
    """A switch can't be reached, or refused a change. A plugin's own errors extend it.

    Args: the VIF's id (``-`` where no VIF is concerned), the switch or its endpoint, why; and what
    a plugin's own error tells besides.
    """

    retriable = True

    def __init__(self, vif_id: str, endpoint: str, why: str, *more: Any) -> None:
        super().__init__(vif_id, endpoint, why, *more)
        self.vif_id, self.endpoint, self.why = vif_id, endpoint, why

    def __str__(self) -> str:
        about = "" if self.vif_id == NO_VIF else f"VIF {self.vif_id}: "
        return f"{about}{self._place}: {self.why}"

    @property
    def _place(self) -> str:
        return self.endpoint


class OVSDBError(SwitchError):
    """The Open vSwitch database can't be reached or refused a transaction."""

    @property
    def _place(self) -> str:
        return f"OVSDB at {self.endpoint}"
