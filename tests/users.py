# SPDX-License-Identifier: Apache-2.0
"""Somebody who is not root: nobody, in a mount namespace where it may reach this Python.

sudo knows nobody there; without sudo it has a service's ambient capability.
"""

from __future__ import annotations

import shlex
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from vifplug.testing import NetworkNamespace

HELPER = Path(sys.executable).with_name("privsep-helper")
NOBODY = 65534
VIFPLUG = Path(sys.executable).with_name("vifplug")


@dataclass
class User:
    """Somebody who is not root, in a namespace; ``how`` starts its programs."""

    host: NetworkNamespace
    folder: Path
    how: str

    def run(self, *words: str) -> str:
        """Run a program as that user; return what it printed."""
        script = f"{reachable(self.folder)}\n{_SUDOERS}\n{self.how} {shlex.join(words)}"
        command = ("unshare", "--mount", "--propagation", "private", "bash", "-ec", script)
        return self.host.run(*command).stdout

    def vifplug(self, *words: str) -> str:
        return self.run(str(VIFPLUG), "--config-file", str(self.folder / "conf"), *words)


_SUDOERS = f"""
mount -t tmpfs -o mode=755 sudoers /etc/sudoers.d
echo 'nobody ALL=(root) NOPASSWD: {HELPER} *' >/etc/sudoers.d/vifplug
chmod 440 /etc/sudoers.d/vifplug
"""


def reachable(*more: Path) -> str:
    """Return a script that opens the way to this Python where a folder above it is root's only."""
    wanted = {Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[1], *more}
    closed: dict[Path, Path] = {}
    for path in sorted(wanted):
        for above in reversed(path.parents):
            if not above.stat().st_mode & stat.S_IXOTH:
                closed[path] = above
                break
    lines = ["mount -t tmpfs aside /mnt"]
    for number, path in enumerate(closed):
        lines.append(f"mkdir /mnt/{number} && mount --bind {shlex.quote(str(path))} /mnt/{number}")
    lines += [f"mount -t tmpfs -o mode=755 opened {above}" for above in sorted({*closed.values()})]
    for number, path in enumerate(closed):
        place = shlex.quote(str(path))
        lines.append(f"mkdir -p {place} && mount --move /mnt/{number} {place}")
    return "\n".join(lines)


AS_NOBODY = f"setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups"
WAYS = {
    "sudo": (f"sudo -n {HELPER}", AS_NOBODY),
    # As a systemd unit with User= and AmbientCapabilities=CAP_NET_ADMIN starts it.
    "ambient": (
        str(HELPER),
        f"{AS_NOBODY} --inh-caps +net_admin --ambient-caps +net_admin "
        "--bounding-set=-all,+net_admin",
    ),
}
