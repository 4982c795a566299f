# SPDX-License-Identifier: Apache-2.0
"""VIFs of a request that are none, each between two good ones: it fails alone, with its own id."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from tests.daemons import Usage, ask, require_flat
from vifplug.errors import NO_VIF
from vifplug.kernel.namespace import network_namespace

FIRST, BAD, LAST = (f"{n}b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11" for n in "123")
_LONG = "x" * 4000


def _deep(depth: int) -> Any:
    found: Any = "x"
    for _ in range(depth):
        found = [found]
    return found


NONE_AT_ALL: tuple[Any, ...] = (
    None, 7, -1, 1.5, math.nan, math.inf, True, "x", _LONG, b"x", [], ["vif_id"],
    [["vif_id", BAD]], {}, {7: 8}, {None: None}, {b"vif_id": BAD}, {"vif_id": BAD, 7: 8},
    _deep(400),
)  # fmt: skip

ANY: tuple[Any, ...] = (
    7, -1, (1 << 64) - 1, -(1 << 63), 1.5, math.nan, math.inf, True, "", "\x00", "\x1b[31m", "\n",
    "\u202e", "../../x", "a b", _LONG, b"\xff", b"x", {}, {"x": 7}, {7: 8}, [], [7], [None],
    ["\x1b"], [{}], [[]], _deep(400), ["x"] * 2000,
)  # fmt: skip

PARTS: tuple[Any, ...] = (
    7, True, math.nan, "bridge", b"x", {}, {"kind": "bridge"}, [None], [7], ["x"], [_LONG], [b"x"],
    [[]], [{}], [{7: 8}], [{"kind": 7}], [{"kind": None}], [{"kind": []}], [{"kind": ["bridge"]}],
    [{"kind": "no-such"}], [{"kind": _LONG}], [{"kind": "\x1b[31m"}], [{b"kind": b"bridge"}],
    [{"kind": "claim"}], [{"kind": "claim", "on": 7}], [{"kind": "claim", "on": _LONG}],
    [{"kind": "claim", "on": "lo", "role": math.nan}], [{"kind": "claim", "on": "lo", 7: 8}],
    [{"kind": "claim", "on": "lo", _LONG: 8}], [{"kind": "claim", "on": "lo", "\x1b[31m": 8}],
    [{"kind": "bridge", "name": "br0", "mtu": 1 << 63}],
    [{"kind": "bridge", "name": "br0", "mtu": 1500.0}],
    [{"kind": "claim", "on": "lo"}] * 65, [_deep(400)],
)  # fmt: skip

OF_A_PLUG = ("vif_id", "vif_type", "process", "interface_id", "elsewhere", "guest", "move", "more")
OF_AN_UNPLUG = ("vif_id", "interface_id", "guest", "force", "remove_unused", "parts", _LONG, "\x1b")


_TAKEN: tuple[tuple[str, Any], ...] = (
    ("move", True), ("force", True), ("process", ""), ("elsewhere", []),
    ("guest", "../../x"), ("guest", "a b"), ("guest", "\u202e"),
)  # fmt: skip
"""Values that a field may have."""


def _good(entrypoint: str, vif_id: str) -> dict[str, Any]:
    found = {"vif_id": vif_id, "vif_type": "bridge", "parts": []}
    return found if entrypoint == "plug" else {"vif_id": vif_id}


def malformed(entrypoint: str) -> list[Any]:
    """Return VIFs that an entry point has to refuse."""
    good = _good(entrypoint, BAD)
    named = OF_A_PLUG if entrypoint == "plug" else OF_AN_UNPLUG
    fields = ((name, value) for name in named for value in ANY if (name, value) not in _TAKEN)
    found = [*NONE_AT_ALL, *(good | {name: value} for name, value in fields)]
    if entrypoint == "plug":
        found += [good | {"parts": parts} for parts in PARTS]
        found += [{name: value for name, value in good.items() if name != one} for one in good]
    # The same VIF twice, as it is and in upper case.
    return [*found, _good(entrypoint, FIRST), _good(entrypoint, FIRST.upper())]


def fail_alone(privileged: Any, pid: int, caplog: pytest.LogCaptureFixture) -> None:
    """Require that each malformed VIF fails by itself in a request of three, and is logged once."""
    for entrypoint in ("plug", "unplug"):
        call = getattr(privileged, entrypoint)
        first, last = _good(entrypoint, FIRST), _good(entrypoint, LAST)

        def asked(vif: Any, call: Any = call, first: Any = first, last: Any = last) -> Any:
            deadline = time.monotonic() + 30
            request = {"namespace": network_namespace(), "deadline": deadline}
            return ask(call, {**request, "vifs": [first, vif, last]})

        assert ["error" in reply for reply in asked(_good(entrypoint, BAD))] == [False] * 3
        before = Usage.of(pid)
        for vif in malformed(entrypoint):
            caplog.clear()
            replies = asked(vif)
            assert ["error" in reply for reply in replies] == [False, True, False], (vif, replies)
            wanted = NO_VIF
            if isinstance(vif, dict) and str(vif.get("vif_id")).lower() in (FIRST, BAD):
                wanted = vif["vif_id"].lower()
            error = replies[1]["error"]
            assert error["args"][0] == wanted
            assert error["text"].startswith(f"VIF {wanted}: ")
            assert "refused: " in error["text"]
            logged = [line for line in caplog.messages if "refused" in line]
            assert logged == [f"{entrypoint}: 1 of 3 VIFs are refused, the first: {error['text']}"]
        require_flat(pid, before)
