# SPDX-License-Identifier: Apache-2.0
"""Virtual environments with a Nova of a release and the wheels of this tree.

Those of a release are kept (tests/environments.py); a run has a copy of its own, of hard links.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.environments import CACHE, environment, packages

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = Path(__file__).parent / "requirements"
DISTRIBUTIONS = (".", "vifplug_bridge", "vifplug_ovs", "vifplug_vepa", "vifplug_nova")
_NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", ".tox", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", "tests"
)


@dataclass(frozen=True)
class Environment:
    """A virtual environment with a Nova of a release (34) and our wheels."""

    release: int
    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin/python"

    @property
    def packages(self) -> Path:
        (found,) = self.folder.glob("lib/python3*/site-packages")
        return found

    def run(self, *words: object, check: bool = True, input: str | None = None,
            **environment: str) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """Run its Python with arguments."""
        command = [str(self.python), "-P", *map(str, words)]
        done = subprocess.run(
            command,
            input=input,
            capture_output=True,
            text=True,
            env=surroundings() | environment,
            check=False,
            timeout=300,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def pip(self, *words: object) -> None:
        """Run its pip."""
        self.run("-m", "pip", "--disable-pip-version-check", "-q", *words)


def surroundings() -> dict[str, str]:
    """Return the environment variables of a program of a Nova: pip's settings, nothing of ours."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    home = os.environ.get("HOME", "/root")
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "HOME": home, "LC_ALL": "C.UTF-8", "PYTHONWARNINGS": "ignore", **kept}


def old(version: str) -> Path:
    """Return a folder with a Nova of a version and nothing of what it needs."""
    return packages("nova", f"nova=={version}")


def made(release: int) -> Environment:
    """Return the machine's environment of a release, without ours."""
    wanted = (REQUIREMENTS / f"{release}.txt").read_text().splitlines()
    wanted = [line for line in wanted if line and not line.startswith("#")]
    folder = environment(f"nova{release}", *wanted, f"libvirt-python=={_libvirt()}")
    return Environment(release, folder)


@contextmanager
def copied(original: Environment, wheels: list[Path]) -> Iterator[Environment]:
    """Have an environment of one's own for the length of a block, with some wheels in it."""
    for left in CACHE.glob(f"{original.folder.name}.*"):
        if not Path(f"/proc/{left.suffix[1:].partition('-')[0]}").exists():
            shutil.rmtree(left, ignore_errors=True)
    number = len(list(CACHE.glob(f"{original.folder.name}.{os.getpid()}-*")))
    folder = CACHE / f"{original.folder.name}.{os.getpid()}-{number}"
    try:
        subprocess.run(["cp", "-al", str(original.folder), str(folder)], check=True)
        found = Environment(original.release, folder)
        # Nova's functional tests look for api-paste.ini where a checkout has it.
        (found.packages / "etc").symlink_to(folder / "etc")
        if wheels:
            found.pip("install", "--no-deps", "--no-index", *wheels)
        yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def built(folder: Path) -> list[Path]:
    """Build the wheels of this tree, but for the tests of another folder's, into a folder."""
    tree = folder / "tree"
    shutil.copytree(ROOT, tree, ignore=_NOT_COPIED)
    out = folder / "wheels"
    words = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "wheel", "--no-deps"]
    subprocess.run(
        [*words, "--no-build-isolation", "-w", str(out), *(f"./{d}" for d in DISTRIBUTIONS)],
        cwd=tree,
        check=True,
    )
    return sorted(out.glob("*.whl"))


def _libvirt() -> str:
    words = ["pkg-config", "--modversion", "libvirt"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
