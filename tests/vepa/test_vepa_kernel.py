# SPDX-License-Identifier: Apache-2.0
"""The device below a macvtap, on a real kernel: checked, brought up, claimed, left as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from oslo_config.fixture import Config

from tests.processes import in_processes
from tests.vepa.vifs import IDS, card, claims, direct_vif, macvtap, qbg_vif
from vifplug import VIF, Conflict, GenericVIFDriver, InUse, VifplugError
from vifplug.testing import NetworkNamespace
from vifplug.testing.configured import fork
from vifplug.testing.dumps import differences
from vifplug_vepa import privileged
from vifplug_vepa.macvtap import MacvtapPlugin

SEEN = "import sys; from vifplug.kernel import holders; print(holders.look().of(int(sys.argv[1])))"


def names(namespace: NetworkNamespace) -> set[str]:
    return {link["ifname"] for link in namespace.ip_json("link")}


@pytest.mark.parametrize("mode", ["vepa", "private", "bridge", "passthrough"])
def test_a_device_is_brought_up_and_claimed_and_left_as_it_was(
    mode: str, namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    card(namespace, up=False)
    before = namespace.everything()
    vif = direct_vif(details={"macvtap_mode": mode})
    result = driver.plug(None, vif)
    assert (result.changed, result.devices) == (True, ())
    (link,) = namespace.ip_json("link", "show", "eth1")
    assert "UP" in link["flags"]
    assert claims(namespace) == [
        "vifplug:shared::woken:eth1",
        f"vifplug:{vif.id}::uses-lower.fa163e112200.{mode}:macvtap",
    ]
    assert not driver.check(None, vif)
    assert not driver.plug(None, vif).changed
    assert [(one.id, one.vif_type, one.in_use) for one in driver.list()] == [
        (vif.id, "macvtap", False)
    ]
    assert driver.unplug(None, vif).changed
    assert differences(before, namespace.everything()) == []
    assert not driver.unplug(None, vif).changed


def test_a_device_goes_down_with_its_last_vif_and_stays_up_where_nothing_says_so(
    namespace: NetworkNamespace, driver: GenericVIFDriver, conf: Config
) -> None:
    card(namespace, up=False)
    one, two = direct_vif(), direct_vif(number=1)
    driver.plug_all([(None, one), (None, two)])
    driver.unplug(None, one)
    assert "UP" in namespace.ip_json("link", "show", "eth1")[0]["flags"]
    driver.unplug(None, two)
    assert "UP" not in namespace.ip_json("link", "show", "eth1")[0]["flags"]
    assert claims(namespace) == []

    # The option is the daemon's own, so the daemon has to start again.
    conf.config(group="vifplug_vepa", remove_unused=False)
    fork(MacvtapPlugin)
    stays = GenericVIFDriver()
    stays.plug(None, one)
    stays.unplug(None, one)
    assert "UP" in namespace.ip_json("link", "show", "eth1")[0]["flags"]
    assert claims(namespace) == ["vifplug:shared::woken:eth1"], "so that a later one knows"


def test_a_device_that_was_up_or_has_come_into_use_stays_up(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    vif = direct_vif()
    card(namespace)
    before = namespace.everything()
    driver.plug(None, vif)
    driver.unplug(None, vif)
    assert differences(before, namespace.everything()) == []

    card(namespace, "eth2", up=False)
    other = direct_vif(network={"interface": "eth2"})
    driver.plug(None, other)
    namespace.ip("address", "add", "192.0.2.7/24", "dev", "eth2")
    driver.unplug(None, other)
    assert "UP" in namespace.ip_json("link", "show", "eth2")[0]["flags"]


def test_a_vif_moves_to_another_device(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    card(namespace)
    card(namespace, "eth2")
    driver.plug(None, direct_vif())
    moved = direct_vif(network={"interface": "eth2"})
    for call in (driver.plan, driver.plug):
        with pytest.raises(Conflict, match=r"eth1 has this VIF already .* plug with --move"):
            call(None, moved)
    assert (len(claims(namespace)), claims(namespace, "eth2")) == (1, [])
    assert "moved from eth1" in str(driver.plan(None, moved, move=True))
    assert driver.plug(None, moved, move=True).changed
    assert not driver.check(None, moved)
    assert (claims(namespace), len(claims(namespace, "eth2"))) == ([], 1)


def test_a_leaked_macvtap_goes_at_the_next_plug(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    card(namespace)
    vif = direct_vif()
    driver.plug(None, vif)
    macvtap(namespace, vif)
    assert "macvtap0 removed, which nobody" in str(driver.check(None, vif))
    assert driver.plug(None, vif).changed
    assert "macvtap0" not in names(namespace)
    assert not driver.check(None, vif)


def test_a_leaked_macvtap_goes_with_its_vif_of_which_only_the_id_is_known(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    card(namespace, up=False)
    before = namespace.everything()
    vif = direct_vif()
    driver.plug(None, vif)
    macvtap(namespace, vif)
    (result,) = driver.unplug_ids([vif.id])
    assert not isinstance(result, VifplugError)
    assert differences(before, namespace.everything()) == []


def test_a_macvtap_that_a_guest_holds_stays(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    card(namespace)
    vif = direct_vif()
    driver.plug(None, vif)
    index = macvtap(namespace, vif)
    with Path(f"/dev/tap{index}").open("rb+", buffering=0):
        assert not driver.check(None, vif)
        assert not driver.plug(None, vif).changed
        (one,) = driver.list()
        assert (one.in_use, one.devices) == (True, ("macvtap0",))
        with pytest.raises(InUse, match=r"macvtap0 is in use by .* \(pid "):
            driver.unplug(None, vif)
        assert not driver.check(None, vif)
        driver.unplug(None, vif, force=True)
        assert "macvtap0" in names(namespace)
        assert driver.list() == []


def test_macvtaps_of_others_stay(namespace: NetworkNamespace, driver: GenericVIFDriver) -> None:
    card(namespace)
    card(namespace, "eth2")
    vif = direct_vif()
    macvtap(namespace, direct_vif(number=1), name="another")
    macvtap(namespace, vif, on="eth2", name="elsewhere")
    driver.plug(None, vif)
    driver.unplug(None, vif)
    assert {"another", "elsewhere"} <= names(namespace)


def test_who_may_not_look_does_not_say_that_nobody_holds_it(namespace: NetworkNamespace) -> None:
    card(namespace)
    index = macvtap(namespace, direct_vif())
    look = (sys.executable, "-c", SEEN, str(index))
    nobody = ("setpriv", "--reuid", "65534", "--clear-groups", "--")
    elsewhere = ("unshare", "--pid", "--fork", "--mount-proc", "--")
    free = [namespace.run(*how, *look).stdout.strip() for how in ((), nobody, elsewhere)]
    assert free == ["False", "None", "None"]
    # One who holds it, behind mounts and a process namespace of its own, is seen from outside.
    hidden = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--", "sh", "-c",
              f"mount -t devtmpfs dev /mnt; exec 3<>/mnt/tap{index}; echo; sleep 60")  # fmt: skip
    with subprocess.Popen(hidden, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout
            holder.stdout.readline()
            assert namespace.run(*look).stdout.strip() == "True"
            assert namespace.run(*nobody, *look).stdout.strip() == "None"
        finally:
            holder.kill()


def test_a_daemon_that_may_not_look_takes_a_macvtap_for_held(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    from oslo_privsep import capabilities
    from oslo_privsep.priv_context import Method

    card(namespace)
    vif = direct_vif()
    driver.plug(None, vif)
    with subprocess.Popen(["sleep", "60"], user=65534) as other:  # whose descriptors it can't see
        try:
            macvtap(namespace, vif)
            known = privileged.context.needs
            privileged.context.stop()
            privileged.context.needs = (capabilities.CAP_NET_ADMIN,)
            try:
                privileged.context.start(Method.FORK)
                with pytest.raises(InUse, match="macvtap0 may be in use "):
                    driver.unplug(None, vif)
                assert driver.list() != []
                driver.unplug(None, vif, force=True)
            finally:
                privileged.context.stop()
                privileged.context.needs = known
            assert "macvtap0" in names(namespace)
            assert driver.list() == [], "the claim is gone all the same"
        finally:
            other.kill()


@pytest.mark.parametrize(
    ("mode", "other", "found"),
    [
        ("passthrough", "bridge", r"eth1 has the macvtap macvtap0 on it \(bridge\)"),
        ("bridge", "passthrough", r"eth1 has the macvtap macvtap0 on it \(passthru|passthrough\)"),
    ],
)
def test_passthrough_has_a_device_for_itself(
    mode: str, other: str, found: str, namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    card(namespace)
    kernels = {"passthrough": "passthru"}.get(other, other)
    macvtap(namespace, direct_vif(number=1), kernels)
    before = namespace.everything()
    with pytest.raises(Conflict, match=found):
        driver.plug(None, direct_vif(details={"macvtap_mode": mode}))
    assert differences(before, namespace.everything()) == []


def test_of_eight_passthrough_vifs_at_once_one_has_the_device(
    namespace: NetworkNamespace, conf: Config
) -> None:
    card(namespace)
    vifs = [direct_vif(number=n, details={"macvtap_mode": "passthrough"}) for n in range(8)]
    said = in_processes(8, lambda driver, n: driver.plug(None, vifs[n]).changed)
    assert sorted(one for one in said if one == "True") == ["True"]
    assert sum("Conflict" in one and "is used by VIF" in one for one in said) == 7
    assert len(claims(namespace)) == 1


def test_of_eight_callers_with_one_vif_all_succeed(
    namespace: NetworkNamespace, conf: Config
) -> None:
    card(namespace, up=False)
    vif = direct_vif()
    said = in_processes(8, lambda driver, n: driver.plug(None, vif).changed)
    assert sorted(said) == ["False"] * 7 + ["True"]
    assert len(claims(namespace)) == 2


def _loopback(namespace: NetworkNamespace) -> VIF:
    return direct_vif(network={"interface": "lo"})


def _macvlan(namespace: NetworkNamespace) -> VIF:
    card(namespace)
    macvtap(namespace, direct_vif(number=1))
    return direct_vif(network={"interface": "macvtap0"})


def _port(namespace: NetworkNamespace) -> VIF:
    card(namespace)
    namespace.ip("link", "add", "br0", "type", "bridge")
    namespace.ip("link", "set", "eth1", "master", "br0")
    return direct_vif()


def _small(namespace: NetworkNamespace) -> VIF:
    card(namespace)
    namespace.ip("link", "set", "eth1", "mtu", "1400")
    return direct_vif(network={"interface": "eth1", "mtu": 1500})


def _veth(namespace: NetworkNamespace) -> VIF:
    namespace.ip("link", "add", "ep0", "type", "veth", "peer", "name", "ep1")
    return qbg_vif()


def _no_port_profiles(namespace: NetworkNamespace) -> VIF:
    namespace.ip("link", "add", "enic", "type", "ifb")
    return direct_vif("802.1qbh", profile_id="finance", network={"interface": "enic"})


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda namespace: direct_vif(), "eth1 is not there; needed: a device of the host"),
        (_loopback, "lo is a loopback device; needed: a device of the host"),
        (_macvlan, "macvtap0 is a macvtap device"),
        (_port, "eth1 is a port of br0"),
        (_small, "eth1 has MTU 1400; needed: the network's, 1500, or more"),
        (_veth, "ep0 is a veth device: from it libvirtd goes to its other end and back, for ever"),
        (_no_port_profiles, "enic is no virtual function; needed: a virtual function, driver enic"),
        (
            lambda namespace: direct_vif(
                "hw_veb", vnic_type="direct", network={}, details={"pci_slot": "0000:ff:1f.7"}
            ),
            "PCI 0000:ff:1f.7 is not there",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_any_change(
    make: object, found: str, namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    assert callable(make)
    vif = make(namespace)
    before = namespace.everything()
    for call in (driver.plan, driver.plug):
        with pytest.raises(Conflict, match=found):
            call(None, vif)
    assert differences(before, namespace.everything()) == []


def test_a_veth_whose_other_end_nobody_here_sees_is_refused_too(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    # libvirt follows its number all the same, to whatever has that here, or nothing.
    with NetworkNamespace() as far:
        namespace.ip("link", "add", "ep0", "type", "veth", "peer", "name", "ep1", "netns", far.path)
        with pytest.raises(Conflict, match="ep0 is a veth device: from it libvirtd goes"):
            driver.plug(None, qbg_vif())
        assert claims(namespace, "ep0") == []


def test_a_device_that_vanishes_between_plan_and_apply(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    card(namespace)
    ready = driver.ready(None, direct_vif())
    seen = driver.look([ready])
    wired = driver.wire(ready, seen.host)
    assert seen.host.link("eth1")
    namespace.ip("link", "del", "eth1")
    (error,) = driver.plug_wired([wired], seen, driver.deadline(None))
    assert isinstance(error, Conflict)
    assert (error.device, error.found) == ("eth1", "is not there")


def test_a_batch_fails_by_the_vif(namespace: NetworkNamespace, driver: GenericVIFDriver) -> None:
    card(namespace)
    vifs = [direct_vif(number=n) for n in range(10)]
    vifs[3] = direct_vif(number=3, network={"interface": "nosuch"})
    outcomes = driver.plug_all([(None, vif) for vif in vifs])
    assert [isinstance(one, VifplugError) for one in outcomes] == [n == 3 for n in range(10)]
    assert len(claims(namespace)) == 9
    driver.unplug_ids(IDS[:10])
    assert claims(namespace) == []


@pytest.mark.kernel("8021q")
def test_a_vlan_device_is_made_marked_shared_and_goes_with_its_last_vif(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    namespace.ip("link", "add", "eth1", "type", "veth", "peer", "name", "far")
    before = namespace.everything()
    details = {"macvtap_source": "eth1.100", "physical_interface": "eth1", "vlan": 100}
    one, two = (direct_vif(number=n, network={"mtu": 1450}, details=details) for n in range(2))
    driver.plug_all([(None, one), (None, two)])
    (link,) = namespace.ip_json("-d", "link", "show", "eth1.100")
    assert (link["link"], link["linkinfo"]["info_data"]["id"], link["mtu"]) == ("eth1", 100, 1450)
    assert "vifplug:shared::vlan:eth1.100" in link["altnames"]
    assert len(claims(namespace, "eth1.100")) == 3
    assert claims(namespace) == [
        "vifplug:shared::woken:eth1",
        f"vifplug:{one.id}::uses-vlan:macvtap",
        f"vifplug:{two.id}::uses-vlan:macvtap",
    ]
    assert not driver.check(None, one)
    # Passthrough would take the frames of all of them.
    with pytest.raises(Conflict, match="eth1 is used by VIF"):
        driver.plug(None, direct_vif(number=2, details={"macvtap_mode": "passthrough"}))
    driver.unplug(None, one)
    assert namespace.ip_json("link", "show", "eth1.100")
    (result,) = driver.unplug_ids([two.id])
    assert not isinstance(result, VifplugError)
    assert differences(before, namespace.everything()) == []


@pytest.mark.kernel("8021q")
def test_a_vlan_device_on_a_veth_is_no_way_to_the_switch(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    # As 802.1Qbg expects it, but the veth below would have libvirtd search for ever.
    namespace.ip("link", "add", "eth1", "type", "veth", "peer", "name", "far")
    network = {"interface": "eth1", "vlan": 100, "should_create_vlan": True}
    before = namespace.everything()
    with pytest.raises(Conflict, match="eth1 is a veth device"):
        driver.plug(None, qbg_vif(network=network))
    assert differences(before, namespace.everything()) == []
