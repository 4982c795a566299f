# SPDX-License-Identifier: Apache-2.0
"""Somebody who is not root: nobody, in a mount namespace where it may reach this Python.

sudo knows nobody there; without sudo it has a service's ambient capability.
"""

from __future__ import annotations

import json
import os
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


def user_of(
    plugin: str, way: str, host: NetworkNamespace, folder: Path, vif: object, *lines: str
) -> User:
    """Return a user who may plug by one of the ways, and has a VIF in ``vif.json``.

    ``lines`` are more of the configuration.
    """
    helper, how = WAYS[way]
    locks, conf = folder / "locks", folder / "conf"
    locks.mkdir(mode=0o711)
    if way == "ambient":  # a unit's RuntimeDirectory=
        os.chown(locks, NOBODY, NOBODY)
    folder.chmod(0o755)
    command = f"helper_command = {helper} --config-file {conf}"
    facts = ("libvirt_version = 9.0.0", "virt_type = qemu")
    said = ("[vifplug]", f"lock_path = {locks}", *facts, *lines, f"[{plugin}_privileged]", command)
    conf.write_text("".join(f"{line}\n" for line in said))
    (folder / "vif.json").write_text(json.dumps(vif))
    return User(host, folder, how)


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

# What a user may see of the daemon that was started for it.
LOOK = """
import json, pathlib, sys
from oslo_config import cfg
import vifplug
config, file = sys.argv[1:]
cfg.CONF([], project="vifplug", default_config_files=[config])
driver = vifplug.GenericVIFDriver()
vif = vifplug.VIF.from_dict(json.loads(pathlib.Path(file).read_text()))
driver.plug(None, vif)
for process in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        words = (process / "cmdline").read_bytes().split(b"\\0")
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    except OSError:
        continue
    if config.encode() in words and any(b"privsep-helper" in word for word in words[:2]):
        print(json.dumps({key: value.split() for key, value in status.items()}))
"""
