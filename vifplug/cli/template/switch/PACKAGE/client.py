# SPDX-License-Identifier: Apache-2.0
"""How the switch is asked: one line of JSON each way, over a socket. Put your own in its place."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from typing import Any

from vifplug.errors import NO_VIF, SwitchError


def ask(path: str, question: Mapping[str, Any], *, until: float) -> Any:
    """Return what the switch answers by ``until``, an absolute CLOCK_MONOTONIC.

    Raises SwitchError.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rwb") as lines:
            connection.settimeout(max(until - time.monotonic(), 0.01))
            connection.connect(path)
            lines.write(json.dumps(question).encode() + b"\n")
            lines.flush()
            answer = json.loads(lines.readline())
    except (OSError, ValueError) as error:
        raise SwitchError(NO_VIF, path, str(error) or type(error).__name__) from error
    if "error" in answer:
        raise SwitchError(NO_VIF, path, str(answer["error"]))
    return answer
