# SPDX-License-Identifier: Apache-2.0
"""Prints the versions of all that takes part in a run, as JSON; it runs in the stack."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import subprocess

_PROGRAMS = {
    "libvirt": ("/usr/sbin/libvirtd", "--version"),
    "QEMU": ("qemu-system-x86_64", "--version"),
    "Open vSwitch": ("ovs-vswitchd", "--version"),
    "OVN": ("ovn-controller", "--version"),
    "lldpad": ("dpkg-query", "-W", "-f", "${Version}", "lldpad"),
    "iproute2": ("ip", "-V"),
}
_LIBRARIES = ("cliff", "stevedore", "oslo.config", "oslo.privsep")


def _version(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    return found[0] if found else "none"


if __name__ == "__main__":
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    found = {"system": system} | {name: _version(*command) for name, command in _PROGRAMS.items()}
    found["Python"] = platform.python_version()
    found |= {name: importlib.metadata.version(name) for name in _LIBRARIES}
    print(json.dumps(found))
