# SPDX-License-Identifier: Apache-2.0
"""Nothing that a VIF asks for is ignored: each field, for each type and process, has an effect.

What docs/vif.md says of it is true.
"""

from __future__ import annotations

import pytest

from tests.fields import (
    COLUMNS,
    DOCUMENT,
    ENABLING,
    OTHER,
    PATHS,
    SAMPLES,
    Column,
    another_vnic_type,
    written,
)
from tests.planning import PLUGINS
from vifplug.model.host import Host
from vifplug.model.vif import VIF

pytestmark = pytest.mark.unit

EACH = [pytest.param(one, path, id=f"{one.title}-{path}") for one in COLUMNS for path in one.paths]
ALL = [pytest.param(one, id=one.title) for one in COLUMNS]


def test_the_document_has_the_tables_of_the_plugins() -> None:
    assert DOCUMENT.read_text() == written(), "python -m tests.fields writes them anew"


def test_each_type_and_process_is_tried_with_each_of_its_fields() -> None:
    assert {column.vif_type for column in COLUMNS} == set(PLUGINS)
    for vif_type, plugin in PLUGINS.items():
        own = [column for column in COLUMNS if column.vif_type == vif_type]
        assert {process for process in plugin.processes if process} <= {one.way for one in own}
        assert plugin.uses is not None
        tried = {path for column in own for path in column.paths}
        used = {path for column in own for path in column.uses}
        assert used <= tried, "a path that no VIF of the type has"
    assert set(SAMPLES) >= set(PATHS)


@pytest.mark.parametrize("column", ALL)
def test_each_column_is_a_vif_that_can_be_plugged(column: Column) -> None:
    for foreign in (False, True):
        outcome = column.outcome(foreign=foreign)
        assert not outcome.error
        assert not outcome.notes
    if column.kind.processes != ("",) and column.way in column.kind.processes:
        assert f"  {column.way} (" in column.outcome().found[0]


@pytest.mark.parametrize(("column", "path"), EACH)
def test_a_field_is_used_refused_or_noted_as_the_document_says(column: Column, path: str) -> None:
    value = SAMPLES[path]
    if column.uses.get(path) and column.word(path) == "used":
        enabling = column.enabling.get(path, ENABLING.get(path, {}))
        for foreign in (False, True):
            before = column.outcome(enabling, foreign=foreign)
            after = column.outcome(enabling, {path: value}, foreign=foreign)
            assert before.seen != after.seen, "it changes nothing"
            assert "does not use it" not in str(after.error)
        return
    before = column.outcome()
    own, foreign_one = (column.outcome({path: value}, foreign=foreign) for foreign in (False, True))
    if column.word(path) == "describes":
        assert own.seen == foreign_one.seen == before.seen
        assert not own.notes
        assert not foreign_one.notes
        return
    assert foreign_one.seen == before.seen
    (note,) = foreign_one.notes
    assert note.startswith(f"{path} ")
    assert "left out" in note
    if column.word(path) == "noted":
        assert own == foreign_one
    else:
        assert own.refused == path
        assert str(value) in str(own.error) or isinstance(value, list)
        assert "does not use it" in str(own.error)


CONDITIONAL = [
    pytest.param(one, path, id=f"{one.title}-{path}")
    for one in COLUMNS
    for path, use in one.uses.items()
    if not use.when(VIF.from_dict(one.data({path: SAMPLES[path]})))
]


@pytest.mark.parametrize(("column", "path"), CONDITIONAL)
def test_a_field_that_needs_another_is_refused_or_noted_without_it(
    column: Column, path: str
) -> None:
    before, value = column.outcome(), {path: SAMPLES[path]}
    own, foreign = (column.outcome(value, foreign=each) for each in (False, True))
    assert own.refused == path
    assert f"only {column.uses[path].where}" in str(own.error)
    assert foreign.seen == before.seen
    (note,) = foreign.notes
    assert note.startswith(f"{path} ")
    assert f"used only {column.uses[path].where}" in note


@pytest.mark.parametrize("column", ALL)
def test_a_vnic_type_that_the_type_does_not_connect_is_refused_or_noted(column: Column) -> None:
    other = another_vnic_type(column)
    own, foreign = (column.outcome({"vnic_type": other}, foreign=each) for each in (False, True))
    assert own.refused == "vnic_type"
    assert foreign.refused == "vnic_type" or "vnic_type" in foreign.notes[0]


_SOCKET = {"details.vhostuser_socket": "/var/run/openvswitch/vhu0b6a9d0e-7a"}
_ELSEWHERE = {**_SOCKET, "details.vhostuser_ovs_plug": False}
_CARD = "0000:01:00.0"


@pytest.mark.parametrize(
    ("vif_type", "fields", "path"),
    [
        ("vhostuser", {**_ELSEWHERE, "network.bridge": "dpdk"}, "network.bridge"),
        ("vhostuser", {**_ELSEWHERE, "interface_id": OTHER}, "interface_id"),
        ("vhostuser", {**_SOCKET, "network.multi_host": True}, "network.multi_host"),
        ("vhostuser",
         {**_SOCKET, "network.bridge": "dpdk", "details.datapath_type": "system"},
         "details.datapath_type"),
        ("macvtap",
         {"network.interface": "eth9", "details.physical_interface": "eth1"},
         "network.interface"),
        ("macvtap",
         {"network.interface": "eth9", "details.macvtap_source": "eth1"},
         "network.interface"),
        ("macvtap",
         {"details.macvtap_source": "eth1", "details.physical_interface": "eth9"},
         "details.physical_interface"),
        ("macvtap",
         {"details.pci_slot": _CARD, "details.physical_interface": "eth9"},
         "details.physical_interface"),
        ("macvtap",
         {"details.pci_slot": _CARD, "details.macvtap_source": "eth9"},
         "details.pci_slot"),
        ("macvtap",
         {"network.interface": "eth1", "details.vlan": 5, "network.vlan": 6},
         "network.vlan"),
        ("hw_veb",
         {"vnic_type": "direct", "details.pci_slot": "0000:01:10.0", "details.vlan": 5,
          "network.vlan": 6},
         "network.vlan"),
        ("802.1qbh",
         {"profile_id": "finance", "details.pci_slot": "0000:01:10.0",
          "network.interface": "eth1v0"},
         "network.interface"),
        ("bridge", {"network.bridge": "br0", "queues": 2, "model": "e1000"}, "queues"),
        ("bridge", {"network.bridge": "br0", "driver": "vhost", "model": "e1000"}, "driver"),
    ],
)  # fmt: skip
def test_a_field_that_another_one_makes_useless_is_refused_or_noted(
    vif_type: str, fields: dict[str, object], path: str
) -> None:
    column = Column(vif_type)
    assert column.outcome(fields).refused == path
    foreign = column.outcome(fields, foreign=True)
    assert not foreign.error
    (note,) = foreign.notes
    assert note.startswith(f"{path} ")
    assert "left out: used only " in note


@pytest.mark.parametrize(
    ("vif_type", "fields"),
    [
        # Neutron's macvtap ports on a flat network, and on one with a VLAN.
        ("macvtap", {"details.macvtap_source": "eth1", "details.physical_interface": "eth1"}),
        ("macvtap",
         {"details.macvtap_source": "eth1.5", "details.physical_interface": "eth1",
          "details.vlan": 5, "network.vlan": 5}),
        ("hw_veb",
         {"vnic_type": "direct", "details.pci_slot": "0000:01:10.0", "details.vlan": 5,
          "network.vlan": 5}),
        # What a VIF has by itself.
        ("bridge",
         {"network.bridge": "br0", "interface_id": "0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11",
          "devname": "tap0b6a9d0e-7a", "queues": 1, "qos.inbound_average": 0,
          "qos.outbound_peak": 0}),
        ("hostdev_physical", {"details.pci_slot": _CARD, "devname": "tap0b6a9d0e-7a"}),
    ],
)  # fmt: skip
def test_a_field_that_says_what_is_so_anyway_is_neither_refused_nor_noted(
    vif_type: str, fields: dict[str, object]
) -> None:
    for foreign in (False, True):
        outcome = Column(vif_type).outcome(fields, foreign=foreign)
        assert not outcome.error
        assert not outcome.notes


def test_a_zero_that_is_no_limit_is_refused_where_nothing_uses_it() -> None:
    assert Column("tap").outcome({"manager_id": 0}).refused == "manager_id"


def test_a_hypervisor_without_virtio_has_no_queues_and_says_so() -> None:
    vif = VIF.from_dict(COLUMNS[0].data({"queues": 4, "driver": "vhost"}))
    notes = PLUGINS["bridge"]().wire(vif, Host(virt_type="lxc")).notes
    assert notes[0].startswith("queues 4 left out")
    assert notes[1].startswith("driver vhost left out")
