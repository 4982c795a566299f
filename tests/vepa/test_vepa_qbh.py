# SPDX-License-Identifier: Apache-2.0
"""802.1Qbh as far as it goes without Cisco's card: what libvirt asks the kernel, and its refusal.

No association was seen by anyone here: the one driver that has port profiles is enic, and nothing
emulates its card. Our own refusal is in test_vepa_kernel.py and test_vepa_functions.py.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.planning import VEPA
from tests.vepa.vifs import card
from vifplug.testing import IndexRange, Libvirt, LibvirtRefused, NetworkNamespace
from vifplug.testing.cases import Case, good

CASE = next(case for case in good(VEPA) if case.name == "qbh")


@pytest.fixture(scope="module")
def hypervisor(indexes: IndexRange) -> Iterator[tuple[NetworkNamespace, Libvirt]]:
    with NetworkNamespace(enter=True, ifindex_from=indexes.first) as host:
        card(host, "eth1v0")
        with Libvirt(host) as libvirt:
            yield host, libvirt


@contextmanager
def traced(libvirt: Libvirt, to: Path) -> Iterator[None]:
    """Have strace write what libvirtd says to the kernel; it decodes netlink inside only."""
    inside = ("nsenter", "--target", str(libvirt.pid), "--mount", "--pid", "--")
    pid = libvirt.run("cat", "/run/libvirtd.pid").stdout.strip()
    log = libvirt.root / "run/strace"
    command = ("strace", "-f", "-v", "-s", "512", "-e", "trace=sendmsg,recvmsg,sendto",
               "-o", "/run/strace", "-p", pid)  # fmt: skip
    tracer = subprocess.Popen(
        ("setpriv", "--pdeathsig", "KILL", *inside, "setpriv", "--pdeathsig", "KILL", *command),
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert tracer.stderr
    assert "attached" in tracer.stderr.readline()
    try:
        yield
        time.sleep(0.1)
    finally:
        tracer.kill()
        tracer.communicate(timeout=10)
        to.write_text(log.read_text())


def test_libvirt_asks_the_kernel_for_our_profile_and_its_refusal_leaves_nothing(
    hypervisor: tuple[NetworkNamespace, Libvirt], tmp_path: Path
) -> None:
    host, libvirt = hypervisor
    before, log = host.everything(), tmp_path / "log"
    with traced(libvirt, log), pytest.raises(LibvirtRefused) as refused:
        libvirt.start_guest(CASE.wiring.interface.to_xml(), name="finances")
    assert "sending of PortProfileRequest failed" in str(refused.value)
    lines = log.read_text().splitlines()
    asked = next(line for line in lines if "sendmsg" in line and "IFLA_PORT_PROFILE" in line)
    assert "nlmsg_type=RTM_SETLINK" in asked and 'if_nametoindex("eth1v0")' in asked
    assert 'nla_type=IFLA_PORT_PROFILE}, "finance"]' in asked
    assert "nla_type=IFLA_PORT_REQUEST}, 2]" in asked, "an association"
    assert "mac=fa:16:3e:11:22:33" in asked
    assert "IFLA_PORT_VSI_TYPE" not in asked, "which is 802.1Qbg's"
    (answer, *_) = [line for line in lines if "NLMSG_ERROR" in line and "IFLA_PORT_PROFILE" in line]
    assert "{error=-EINVAL" in answer, "what a kernel without the driver says"
    assert host.everything() == before, "nothing leaked"


@pytest.mark.parametrize(
    "case", [case for case in good(VEPA) if case.name.startswith("qbh")], ids=lambda c: c.name
)
def test_libvirt_reads_the_profile_as_it_was_given(
    case: Case, hypervisor: tuple[NetworkNamespace, Libvirt]
) -> None:
    _, libvirt = hypervisor
    read = libvirt.define(case.wiring.interface.to_xml())
    assert f"<parameters profileid='{case.vif.profile_id}'/>" in read
