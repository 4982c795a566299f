# SPDX-License-Identifier: Apache-2.0
"""The important part of the suite: by vif_type, the tests that another stack could break."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """The tests of a vif_type, as pytest takes them, and what they show."""

    name: str
    shows: str
    tests: tuple[str, ...]


_BRIDGE = "tests/bridge/test_bridge_guests.py::"
_UPLINK = "tests/bridge/test_bridge_uplink.py::"
_OVS = "tests/ovs/test_ovs_guests.py::"
_PORTS = "tests/ovs/test_ovs_ports.py::"
_OVN = "tests/ovs/test_ovs_ovn.py::"
_VHOST = "tests/ovs/test_ovs_vhostuser.py::"
_VEPA = "tests/vepa/test_vepa_guests.py::"
_QBG = "tests/vepa/test_vepa_qbg.py::"
_QBH = "tests/vepa/test_vepa_qbh.py::"
_MADE = "test_libvirt_takes_every_interface_that_we_can_make"
_GUEST = "a guest's DHCP request arrives"

FAMILIES = (
    Family(
        "`bridge`, libvirt makes the tap",
        _GUEST,
        (f"{_BRIDGE}test_a_guest_whose_tap_libvirt_makes",),
    ),
    Family(
        "`bridge`, option `create_tap`",
        _GUEST + ", twice on one tap",
        (f"{_BRIDGE}test_a_guest_on_a_tap_made_beforehand",),
    ),
    Family("`tap`", _GUEST, (f"{_BRIDGE}test_a_guest_on_a_bare_tap_that_an_agent_wires",)),
    Family(
        "`bridge` with `interface`",
        "addresses and routes move and come back",
        (
            f"{_UPLINK}test_a_guest_reaches_the_wire_through_the_uplink",
            f"{_UPLINK}test_what_the_uplink_has_moves_to_the_bridge_and_back",
        ),
    ),
    Family(
        "`bridge` with a filter",
        "warned of, refused and started",
        (f"{_BRIDGE}test_a_firewall_filter_that_libvirt_does_not_know_is_warned_of_by_name",),
    ),
    *(
        Family(
            f"`ovs`, {process}",
            _GUEST,
            tuple(f"{_OVS}test_a_guest_asks_for_its_address[{process}-{n}]" for n in queues),
        )
        for process, queues in (
            ("manual", ("None", "2")),
            ("automatic", ("None", "2")),
            ("hybrid", ("None",)),
        )
    ),
    Family(
        "`ovs`, hybrid with a filter",
        "a spoofed address is dropped",
        (f"{_OVS}test_a_spoofed_address_gets_no_further_than_the_hybrids_bridge",),
    ),
    Family(
        "`ovs`, option `per_port_bridge`",
        "a frame goes through the patch",
        (f"{_PORTS}test_a_guest_on_a_bridge_of_its_own_is_reached_through_the_patch",),
    ),
    Family(
        "`ovs`, option `isolate`",
        "no frame passes before the wiring",
        (f"{_PORTS}test_an_isolated_guest_reaches_nobody_until_it_is_wired",),
    ),
    Family(
        "`ovs` in an OVN",
        "two hosts, ports bound, pings",
        (f"{_OVN}test_a_vif_on_each_host_is_bound_and_they_reach_each_other",),
    ),
    Family(
        "`vhostuser`, both roles",
        _GUEST + " (DPDK)",
        (f"{_VHOST}test_a_guest_asks_for_its_address_through_its_socket",),
    ),
    Family(
        "`macvtap`, four modes",
        _GUEST,
        (f"{_VEPA}test_a_guest_asks_for_an_address_through_its_macvtap",),
    ),
    Family(
        "`802.1qbg`",
        "lldpad associates the guest",
        (f"{_QBG}test_a_guest_is_associated_with_the_switch_and_disassociated",),
    ),
    Family(
        "`802.1qbh`",
        "libvirt reads the XML",
        (f"{_QBH}test_libvirt_reads_the_profile_as_it_was_given",),
    ),
    Family(
        "every type's XML",
        "a libvirtd takes each distinct interface",
        (f"{_BRIDGE}{_MADE}", f"{_OVS}{_MADE}", f"{_VEPA}{_MADE}"),
    ),
    Family(
        "every type's XML in a domain",
        "libvirt's schema takes it",
        (
            "tests/domains/test_splice.py::"
            "test_libvirts_schema_takes_every_interface_in_a_domain_that_has_one",
        ),
    ),
    Family(
        "a running guest",
        "attach and detach",
        ("tests/domains/test_attach.py::"
         "test_attach_hands_a_vif_to_both_domains_and_detach_takes_it_from_both",),
    ),
    Family(
        "libvirt's hook",
        "plug at the start, unplug at the end",
        ("tests/domains/test_hook.py::test_a_guest_plugs_at_its_start_and_unplugs_at_its_end",),
    ),
    Family(
        "the command line",
        "demo leaves nothing",
        (
            "tests/cli/test_cli_commands.py::test_plugins_and_schema",
            "tests/cli/test_cli_commands.py::test_demo_does_the_main_job_and_leaves_nothing",
        ),
    ),
)  # fmt: skip

_NOT_OF_A_STACK = (
    # Of another kernel.
    "tests/kernel",
    # Of programs that a root does not have.
    "tests/actors",
    "tests/examples",
    "tests/picture",
    # These have environments of their own, which pip fills from the network.
    "tests/ansible",
    "tests/cloud",
    "tests/nova",
    "tests/ovs/test_ovs_adoption.py",
    "tests/peers",
    "tests/stacks",
    "tests/test_distributions.py",
    "tests/test_new_plugin.py",
    # Debian 13's oslo.utils warns in the suite's output, and its pytest words it otherwise.
    "tests/conformance",
)

WHOLE = ("-q", "tests", *(f"--ignore={path}" for path in _NOT_OF_A_STACK))
"""The whole suite, as pytest's arguments."""

IMPORTANT = tuple(test for family in FAMILIES for test in family.tests)


def of_family(family: Family, outcomes: Mapping[str, str]) -> list[str]:
    """Return how the tests of a family ended."""
    return [how for test, how in outcomes.items() if _is_one(test, family.tests)]


def _is_one(test: str, selected: tuple[str, ...]) -> bool:
    return any(test == one or test.startswith(f"{one}[") for one in selected)
