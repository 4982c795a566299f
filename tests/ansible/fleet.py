# SPDX-License-Identifier: Apache-2.0
"""A real Ansible, and network namespaces as its hosts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.environments import environment
from vifplug.testing import NetworkNamespace
from vifplug.testing.shell import COMMAND

COLLECTION = Path(__file__).parents[2] / "ansible"
_REQUIREMENT = "ansible-core==2.19.*"


def programs() -> Path:
    """Return the folder of Ansible's programs."""
    return environment("ansible", _REQUIREMENT) / "bin"


class Fleet:
    """Some hosts. A module of the collection runs in a host's namespace, with a wrapper for Python.

    ``plays`` runs a playbook. ``folder`` has what all hosts share: configuration and files.
    """

    def __init__(self, folder: Path, hosts: Mapping[str, NetworkNamespace]) -> None:
        self.folder, self.hosts = folder, hosts
        self.variables: dict[str, dict[str, Any]] = {}
        place = folder / "collections/ansible_collections/vifplug/host"
        shutil.copytree(COLLECTION, place)
        for name, namespace in hosts.items():
            python = folder / f"python-{name}"
            enter = f"nsenter --net={namespace.path}"
            python.write_text(f'#!/bin/sh\nexec {enter} {programs()}/python "$@"\n')
            python.chmod(0o755)
            self.variables[name] = {
                "ansible_connection": "local",
                "ansible_python_interpreter": str(python),
                "executable": COMMAND,
            }
        self.config = folder / "vifplug.conf"
        self.config.write_text(
            f"[vifplug]\nlock_path = {folder}/locks\nlibvirt_version = 9.0.0\nvirt_type = kvm\n"
            "[vifplug_bridge]\ncreate_tap = true\nremove_unused = true\n"
        )

    def plays(
        self, tasks: Sequence[Mapping[str, Any]], *, status: int = 0
    ) -> dict[tuple[str, str], dict[str, Any]]:
        """Run tasks on all hosts; return what became of each, by host and by the task's name."""
        command = {"executable": "{{ executable }}", "config_file": str(self.config)}
        names = ("vif", "apply", "facts")
        play = {
            "hosts": "all",
            "gather_facts": False,
            "module_defaults": {f"vifplug.host.{name}": command for name in names},
            "tasks": list(tasks),
        }
        (self.folder / "play.json").write_text(json.dumps([play]))
        inventory = {"all": {"hosts": self.variables}}
        (self.folder / "inventory.json").write_text(json.dumps(inventory))
        record = self.folder / "record"
        record.write_text("")
        done = subprocess.run(
            [programs() / "ansible-playbook", "-i", "inventory.json", "play.json"],
            cwd=self.folder,
            env=self._environment(record),
            capture_output=True,
            text=True,
            check=False,
            timeout=1800,
        )
        assert done.returncode == status, done.stdout + done.stderr
        self.printed = done.stdout
        lines = [json.loads(line) for line in record.read_text().splitlines()]
        return {(each["host"], each["task"]): each for each in lines}

    def _environment(self, record: Path) -> dict[str, str]:
        return {
            "PATH": f"{programs()}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.folder),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": str(self.folder / "collections"),
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callbacks"),
            "ANSIBLE_CALLBACKS_ENABLED": "record",
            "ANSIBLE_FORKS": str(2 * (os.cpu_count() or 1)),
            "ANSIBLE_PIPELINING": "True",
            "ANSIBLE_NOCOLOR": "1",
            "VIFPLUG_RECORD": str(record),
        }
