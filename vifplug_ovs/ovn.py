# SPDX-License-Identifier: Apache-2.0
"""Asks a host's ovn-controller whether it works. No plug waits for it: it wires ports later.

Source: ovn-controller(8), "Runtime Management Commands".
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from vifplug.errors import OVSDBError
from vifplug_ovs.ovsdb.connection import Connection, Lost, Unanswered
from vifplug_ovs.snapshot import Ovn

_PATIENCE = 2.0


def ask(ovn: Ovn, rundir: str, *, deadline: float) -> Ovn:
    """Return the answer of the ovn-controller that runs in a folder. Never raises."""
    until = min(deadline, time.monotonic() + _PATIENCE)
    try:
        pid = int(Path(rundir, "ovn-controller.pid").read_text())
        socket = Path(rundir, f"ovn-controller.{pid}.ctl")
        connection = Connection(f"unix:{socket}", deadline=until, patience=0)
        try:
            answer = connection.call("connection-status", [], deadline=until)
        finally:
            connection.close()
    except FileNotFoundError:
        return replace(ovn, absent=True, error=f"it does not run in {rundir}")
    except PermissionError as error:
        return replace(ovn, error=f"{error.strerror}: only root may ask it")
    except OVSDBError as error:
        return replace(ovn, absent=isinstance(error.__cause__, OSError), error=error.why)
    except (Lost, Unanswered, ValueError, OSError) as error:
        return replace(ovn, error=str(error))
    return replace(ovn, connection=str(answer).strip())
