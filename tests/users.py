# SPDX-License-Identifier: Apache-2.0
"""Somebody who is not root: nobody, in a mount namespace where it may reach this Python.

sudo knows nobody there by the very lines of docs/security.md; without sudo it has a service's
ambient capability.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vifplug.testing import NetworkNamespace

HELPER = Path(sys.executable).with_name("privsep-helper")
NOBODY = 65534
VIFPLUG = Path(sys.executable).with_name("vifplug")
WAYS = ("sudo", "wrapper", "ambient")
"""The ways of docs/security.md: sudo, an older sudo, and a service's ambient capabilities."""

_HEADINGS = dict(
    zip(WAYS, ("sudo 1.9.10 or newer", "Older sudo", "A service's own user"), strict=True)
)
_DOCUMENT = Path(__file__).parents[1] / "docs/security.md"


@dataclass(frozen=True, kw_only=True)
class Documented:
    """A way to a daemon as docs/security.md has it, with the paths and the user of a test.

    ``program`` is the text of root's own program, where there is one.
    """

    sudoers: str
    helper: str
    program: str

    @classmethod
    def of(cls, way: str, folder: Path) -> Documented:
        """Return a way; the configuration is the folder's ``conf``."""
        section = _DOCUMENT.read_text().split(f"### {_HEADINGS[way]}\n")[1].split("\n##")[0]
        for word, found in _installation(folder).items():
            section = section.replace(word, found)
        blocks = [textwrap.dedent(block) for block in re.findall(r"(?:^    .*\n)+", section, re.M)]
        (helper,) = re.findall(r"^helper_command = (.*)$", "".join(blocks), re.M)
        sudoers = [block for block in blocks if re.search(r"^nobody ALL=", block, re.M)]
        return cls(
            sudoers="".join(sudoers),
            helper=helper,
            program="".join(block for block in blocks if block.startswith("#!")),
        )


def _installation(folder: Path) -> dict[str, str]:
    conf = str(folder / "conf")
    return {
        "/opt/vifplug/bin/privsep-helper": str(HELPER),
        "/opt/vifplug/bin/python": sys.executable,
        "/usr/local/sbin/vifplug-daemon": str(folder / "vifplug-daemon"),
        "/etc/vifplug/vifplug[.]conf": conf.replace(".", "[.]"),
        "/etc/vifplug/vifplug.conf": conf,
        "stack ALL=": "nobody ALL=",
    }


@dataclass
class User:
    """Somebody who is not root, in a namespace; ``how`` starts its programs.

    ``mounts`` is a script that root runs before.
    """

    host: NetworkNamespace
    folder: Path
    how: str
    sudoers: str = ""
    mounts: str = ""

    def command(self, *words: str) -> tuple[str, ...]:
        """Return the command that runs a program as that user."""
        (self.folder / "sudoers").write_text(self.sudoers)
        script = f"{_sudoers(self.folder / 'sudoers')}\n{reachable(self.folder)}\n{self.mounts}\n"
        script += f"exec {self.how} {shlex.join(words)}"
        return "unshare", "--mount", "--propagation", "private", "bash", "-ec", script

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program as that user."""
        return self.host.run(*self.command(*words), check=check)

    def vifplug(self, *words: str) -> str:
        return self.run(str(VIFPLUG), "--config-file", str(self.folder / "conf"), *words).stdout


def user_of(
    plugin: str,
    way: str,
    host: NetworkNamespace,
    folder: Path,
    vif: object,
    *lines: str,
    capabilities: Iterable[str] = ("net_admin",),
) -> User:
    """Return a user who may plug by one of the ways, and has a VIF in ``vif.json``.

    ``lines`` are more of the configuration. A service of that user has the ``capabilities``.
    """
    documented = Documented.of(way, folder)
    locks, conf, program = folder / "locks", folder / "conf", folder / "vifplug-daemon"
    locks.mkdir(mode=0o711)
    if way == "ambient":  # a unit's RuntimeDirectory=
        os.chown(locks, NOBODY, NOBODY)
    folder.chmod(0o755)
    if documented.program:
        program.write_text(documented.program)
        program.chmod(0o755)
    command = f"helper_command = {documented.helper}"
    facts = ("libvirt_version = 9.0.0", "virt_type = qemu")
    said = ("[vifplug]", f"lock_path = {locks}", *facts, *lines, f"[{plugin}_privileged]", command)
    conf.write_text("".join(f"{line}\n" for line in said))
    (folder / "vif.json").write_text(json.dumps(vif))
    how = service(capabilities) if way == "ambient" else AS_NOBODY
    return User(host, folder, how, documented.sudoers)


def service(capabilities: Iterable[str]) -> str:
    """Return what starts a program as a unit with User= and AmbientCapabilities= does."""
    some = ",".join(f"+{name}" for name in capabilities)
    return (
        f"{AS_NOBODY} --no-new-privs --inh-caps {some} --ambient-caps {some} "
        f"--bounding-set=-all,{some}"
    )


def _sudoers(file: Path) -> str:
    """Return a script that has sudo know the lines of a file."""
    return (
        "mount -t tmpfs -o mode=755 sudoers /etc/sudoers.d\n"
        f"install -m 440 {shlex.quote(str(file))} /etc/sudoers.d/vifplug\n"
    )


AS_NOBODY = f"setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups"


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
    if config.encode() in words and b"--privsep_context" in words and b"-n" not in words:
        print(json.dumps({key: value.split() for key, value in status.items()}))
"""
