# SPDX-License-Identifier: Apache-2.0
"""A callback of Ansible's: writes what became of each task as a line of JSON, for the tests."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: record
type: notification
short_description: a line of JSON for each task of each host
description: for the tests
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """The callback."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "record"
    CALLBACK_NEEDS_ENABLED = True

    def _record(self, outcome: Any, kind: str) -> None:
        line = {
            "host": outcome._host.get_name(),
            "task": outcome._task.get_name(),
            "kind": kind,
            "result": outcome._result,
        }
        with Path(os.environ["VIFPLUG_RECORD"]).open("a") as file:
            file.write(json.dumps(line, default=str) + "\n")

    def v2_runner_on_ok(self, outcome: Any) -> None:
        self._record(outcome, "ok")

    def v2_runner_on_failed(self, outcome: Any, ignore_errors: bool = False) -> None:
        self._record(outcome, "failed")

    def v2_runner_on_unreachable(self, outcome: Any) -> None:
        self._record(outcome, "unreachable")
