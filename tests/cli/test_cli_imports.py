# SPDX-License-Identifier: Apache-2.0
"""What a command does not load before it is needed, and that it is there when it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vifplug.query.libvirt import library_version

pytestmark = pytest.mark.unit

POSTPONED = """
assert not [name for name in sys.modules if name.startswith(("netaddr", "rfc3986"))]
assert "vifplug.sources.nova" not in sys.modules
"""

USED = """
from oslo_config import types
assert types.IPAddress()("2001:db8::1") == "2001:db8::1"
assert types.URI()("https://example.org/a") == "https://example.org/a"
import netaddr, rfc3986
assert types.netaddr.IPAddress is netaddr.IPAddress
"""

BENEATH = """
import netaddr.strategy.ipv6
from rfc3986.validators import Validator
import netaddr, rfc3986
assert netaddr.IPAddress("192.0.2.1") and rfc3986.uri_reference("https://example.org")
assert netaddr.strategy.ipv6.width == 128 and rfc3986.validators.Validator is Validator
"""


@pytest.mark.parametrize("program", [POSTPONED, USED, BENEATH], ids=["not", "used", "beneath"])
def test_packages_that_no_option_needs_are_loaded_when_they_are_used(program: str) -> None:
    start = "import sys\nfrom vifplug.cli import main\nassert main(['plugins']) == 0\n"
    argv = [sys.executable, "-c", start + program]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_version_of_libvirts_library_is_read_from_its_name(tmp_path: Path) -> None:
    binding = pytest.importorskip("libvirt")
    number = binding.getVersion()
    loaded = f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
    assert library_version() == loaded

    folders = []
    for name in ("libvirt.so.0.11004.2", "libvirt.so.0.9000.0"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).touch()
        (folder / "libvirt.so.0").symlink_to(name)
        folders.append(folder)
    assert library_version(folders[:1]) == "11.4.2"
    assert library_version(folders[1:]) == "9.0.0"
    # Of two, and of a name that tells nothing, the library itself is asked.
    assert library_version(folders) == loaded
    (folders[0] / "libvirt.so.0").unlink()
    (folders[0] / "libvirt.so.0").touch()
    assert library_version(folders[:1]) == loaded
