# SPDX-License-Identifier: Apache-2.0
"""Ansible's own checks of a collection: ``ansible-test sanity``, and its archive."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ansible.fleet import COLLECTION, programs
from tests.environments import CACHE

CHECKS = (
    "ansible-doc", "compile", "empty-init", "ignores", "line-endings", "no-assert",
    "no-get-exception", "no-illegal-filenames", "no-smart-quotes", "replace-urlopen",
    "runtime-metadata", "shebang", "symlinks", "use-argspec-type-path", "use-compat-six",
    "validate-modules", "yamllint",
)  # fmt: skip
"""Those that take seconds. ruff does what pep8 and pylint do; the modules' tests import them."""

_OWN_PIP = "import ensurepip; ensurepip.bootstrap()\n"


@pytest.fixture
def home() -> Path:
    """The home of ansible-test, kept because of its environments.

    It would download a script that installs pip. Python has pip itself.
    """
    found = CACHE / "ansible-test"
    cache = found / ".ansible/test/cache"
    cache.mkdir(parents=True, exist_ok=True)
    (cache / "get_pip_24_2.py").write_text(_OWN_PIP)
    return found


def test_ansible_test_finds_nothing(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "ansible_collections/vifplug/host"
    shutil.copytree(COLLECTION, place)
    kept = {name: os.environ[name] for name in os.environ if name.startswith("PIP_")}
    environment = {
        **kept,
        "PATH": f"{programs()}:{os.environ['PATH']}",
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
    }
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    words = [word for check in CHECKS for word in ("--test", check)]
    done = subprocess.run(
        [programs() / "ansible-test", "sanity", "--requirements", "--python", version, *words],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert all(f'Running sanity test "{check}"' in said for check in CHECKS), said


def test_the_archive_has_the_collection_and_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "host"
    shutil.copytree(COLLECTION, source)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    words = [programs() / "ansible-galaxy", "collection", "build", "--output-path", tmp_path]
    subprocess.run([*words, source], check=True, env=environment, capture_output=True)
    words = ["ansible-galaxy", "collection", "install", "--offline", "-p", str(tmp_path / "found")]
    archive = str(tmp_path / "vifplug-host-0.1.0.tar.gz")
    words[0] = str(programs() / words[0])
    subprocess.run([*words, archive], check=True, env=environment, capture_output=True)
    installed = tmp_path / "found/ansible_collections/vifplug/host"
    files = {
        str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()
    } - {"MANIFEST.json", "FILES.json", "galaxy.yml"}
    ours = {str(path.relative_to(COLLECTION)) for path in COLLECTION.rglob("*") if path.is_file()}
    assert files == {name for name in ours if "__pycache__" not in name} - {"galaxy.yml"}
