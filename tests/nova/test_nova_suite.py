# SPDX-License-Identifier: Apache-2.0
"""Nova's own tests of its VIF driver (unit/virt/libvirt/test_vif.py), with ours in its place."""

from __future__ import annotations

import re
from pathlib import Path

from tests.nova.environments import Environment
from vifplug.testing import NetworkNamespace

SUBSTITUTED = Path(__file__).parent / "inside/substituted"
SUITE = "nova.tests.unit.virt.libvirt.test_vif"

OS_VIF_IS_NOT_ASKED = "it looks at what os-vif, a mock, is given; ovs is vifplug's"
NOT_BY_NOVAS_HELPER = "it looks at Nova's privileged helper, a mock; tap and macvtap are vifplug's"
NO_MANAGER_ID = "its 802.1Qbg ids are xxx-yyy-zzz, which no libvirt takes"

WITH_PLUGINS = {
    "test_config_os_vif_hostdevice_ethernet": OS_VIF_IS_NOT_ASKED,
    "test_config_os_vif_hostdevice_generic": OS_VIF_IS_NOT_ASKED,
    "test_config_os_vif_ovs": OS_VIF_IS_NOT_ASKED,
    "test_config_os_vif_ovs_hybrid": OS_VIF_IS_NOT_ASKED,
    "test_config_os_vif_ovs_with_create_tap": OS_VIF_IS_NOT_ASKED,
    "test_driver_macvtap_exception": "what a macvtap port lacks has a default (docs/nova.md)",
    "test_generic_8021qbg_driver": NO_MANAGER_ID,
    "test_macvtap_plug_flat": NOT_BY_NOVAS_HELPER,
    "test_macvtap_plug_vlan": NOT_BY_NOVAS_HELPER,
    "test_model_qemu": NO_MANAGER_ID,
    "test_osvif_plug_fail": OS_VIF_IS_NOT_ASKED,
    "test_osvif_plug_multiqueue_with_create_tap": OS_VIF_IS_NOT_ASKED,
    "test_osvif_plug_multiqueue_without_create_tap": OS_VIF_IS_NOT_ASKED,
    "test_osvif_plug_normal": OS_VIF_IS_NOT_ASKED,
    "test_osvif_unplug_fail": OS_VIF_IS_NOT_ASKED,
    "test_osvif_unplug_normal": OS_VIF_IS_NOT_ASKED,
    "test_plug_tap_kvm_virtio": NOT_BY_NOVAS_HELPER,
    "test_plug_tap_mq_ignored_1vcpu": NOT_BY_NOVAS_HELPER,
    "test_plug_tap_mq_ignored_vif_model": NOT_BY_NOVAS_HELPER,
    "test_plug_tap_mq_ignored_virt_type": NOT_BY_NOVAS_HELPER,
    "test_virtio_multiqueue_in_kernel_2": "one queue is not said (docs/nova.md)",
}


def failed(nova: Environment, folder: Path, suite: str = SUITE) -> tuple[int, set[str]]:
    """Run a suite; return how many tests it has, and those that did not pass."""
    with NetworkNamespace(enter=True):
        done = nova.run(
            "-m", "testtools.run", suite, check=False,
            PYTHONPATH=str(SUBSTITUTED), OS_NOVA_DISABLE_EVENTLET_PATCHING="true",
            TMPDIR=str(folder), OS_VIFPLUG__LOCK_PATH=str(folder / "locks"),
        )  # fmt: skip
    said = done.stdout + done.stderr
    (number,) = re.findall(r"^Ran (\d+) tests", said, re.MULTILINE)
    return int(number), set(re.findall(r"^(?:FAIL|ERROR): \S+\.(\w+)$", said, re.MULTILINE))


def test_without_a_plugin_all_is_as_with_novas_own(
    nova34_alone: Environment, tmp_path: Path
) -> None:
    assert failed(nova34_alone, tmp_path) == (81, set())


def test_with_plugins_only_what_looks_behind_the_scenes_differs(
    nova34: Environment, tmp_path: Path
) -> None:
    assert failed(nova34, tmp_path) == (81, set(WITH_PLUGINS))


def test_novas_fixtures_keep_our_driver_off_the_host_too(
    nova34: Environment, tmp_path: Path
) -> None:
    """They stub two methods by name; a plug that went on would find no Open vSwitch here."""
    suite = "nova.tests.functional.libvirt.test_vif_model"
    assert failed(nova34, tmp_path, suite) == (3, set())
