# SPDX-License-Identifier: Apache-2.0
"""Where plan sees no Conflict, plug succeeds; else plug says the same and changes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from oslo_config.fixture import Config

from tests.bridge.hosts import Made, hosts, vifs
from vifplug import VIF, GenericVIFDriver, VifplugError
from vifplug.testing import NetworkNamespace, TapEnd
from vifplug.testing.claims import every_claim, without_tokens
from vifplug.testing.configured import configured, forked
from vifplug.testing.dumps import differences
from vifplug_bridge.plugin import BridgePlugin
from vifplug_vepa.macvtap import MacvtapPlugin

MANY = settings(
    max_examples=150,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def conf(tmp_path: Path) -> Iterator[Config]:
    with configured(tmp_path, BridgePlugin, MacvtapPlugin) as config:
        config.config(group="vifplug", libvirt_version="9.0.0", virt_type="qemu")
        yield config


@pytest.fixture
def daemons(namespace: NetworkNamespace, conf: Config) -> Iterator[None]:
    with forked(BridgePlugin, MacvtapPlugin):
        yield


@contextlib.contextmanager
def real(host: Made, namespace: NetworkNamespace) -> Iterator[None]:
    """Have a host in the namespace for the length of a block; what of it can't be is left out."""
    namespace.run("ip", "-force", "-batch", "-", input="\n".join(host.commands), check=False)
    for name in host.quiet:
        with contextlib.suppress(FileNotFoundError):
            Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
    try:
        with contextlib.ExitStack() as stack:
            if host.held:
                stack.enter_context(TapEnd(namespace, host.held))
            yield
    finally:
        names = [link["ifname"] for link in namespace.ip_json("link") if link["ifname"] != "lo"]
        lines = [*(f"link set {name} group 9" for name in names), "link del group 9"]
        namespace.run("ip", "-force", "-batch", "-", input="\n".join(lines), check=False)


@MANY
@given(host=hosts(), vif=vifs(), create_tap=st.booleans())
def test_plug_does_what_plan_says(
    namespace: NetworkNamespace,
    conf: Config,
    daemons: None,
    host: Made,
    vif: VIF,
    create_tap: bool,
) -> None:
    conf.config(group="vifplug_bridge", create_tap=create_tap)
    with real(host, namespace):
        require_what_plan_says(namespace, GenericVIFDriver(), vif)


@pytest.mark.kernel("8021q")
@settings(MANY, max_examples=60)
@given(host=hosts(vlans=True), vif=vifs(vlans=True), create_tap=st.booleans())
def test_plug_does_what_plan_says_of_vlans(
    namespace: NetworkNamespace,
    conf: Config,
    daemons: None,
    host: Made,
    vif: VIF,
    create_tap: bool,
) -> None:
    conf.config(group="vifplug_bridge", create_tap=create_tap)
    with real(host, namespace):
        require_what_plan_says(namespace, GenericVIFDriver(), vif)


def require_what_plan_says(namespace: NetworkNamespace, driver: GenericVIFDriver, vif: VIF) -> None:
    try:
        plan = driver.plan(None, vif)
    except VifplugError as refused:
        note(f"plan: {refused}")
        before = without_tokens(namespace.everything()), every_claim()
        with pytest.raises(type(refused)):
            driver.plug(None, vif)
        assert differences(before, (without_tokens(namespace.everything()), every_claim())) == []
        return
    note(str(plan))
    assert driver.plug(None, vif).changed == bool(plan)
    left = driver.check(None, vif)
    assert not left, str(left)
