# SPDX-License-Identifier: Apache-2.0
"""A running os-vif that plugs and unplugs as a test asks it, in an environment of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.environments import environment, packages

OS_VIF = "os-vif==5.3.0"
LAST_WITH_BRIDGES = "os-vif==4.3.1"
"""The last line of os-vif that has a plugin for Linux bridges."""

Ask = Callable[[str, str], None]
"""Has os-vif do a call, ``plug`` or ``unplug``, with the VIF of a process."""

_PEER = Path(__file__).parents[1] / "bench/peer_ovs.py"


def installed() -> Path:
    """Return the folder of os-vif's programs. Call it outside of a namespace: pip fetches them."""
    return environment("os-vif", OS_VIF) / "bin"


def bridges() -> Path:
    """Return the folder of the os-vif that goes before, for Linux bridges."""
    return packages("os-vif-4", LAST_WITH_BRIDGES)


@contextlib.contextmanager
def running(
    programs: Path, folder: Path, endpoint: str, *, instead: Path | None = None
) -> Iterator[Ask]:
    """Start an os-vif in this namespace. ``instead`` is the folder of another's packages."""
    conf, log = folder / "os-vif.conf", folder / "os-vif.said"
    helper = f"helper_command = {programs}/privsep-helper --config-file {conf}\n"
    conf.write_text(
        f"[oslo_concurrency]\nlock_path = {folder}\n[os_vif_ovs]\novsdb_connection = {endpoint}\n"
        f"[vif_plug_ovs_privileged]\n{helper}[vif_plug_linux_bridge_privileged]\n{helper}"
    )
    env = {**os.environ, **({"PYTHONPATH": str(instead)} if instead else {})}
    with (
        log.open("w") as said,
        subprocess.Popen(
            (programs / "python", _PEER, conf),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env=env,
        ) as process,
    ):

        def ask(call: str, kind: str) -> None:
            assert process.stdin
            assert process.stdout
            asked = {"call": call, "process": kind, "numbers": [0]}
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
            assert process.stdout.readline(), log.read_text()[-3000:]

        try:
            yield ask
        finally:
            process.stdin.close()  # type: ignore[union-attr]
            process.wait(timeout=20)
