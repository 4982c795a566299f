# SPDX-License-Identifier: Apache-2.0
"""Devices read from the kernel: several in one go, each by its own name and no other."""

from __future__ import annotations

from vifplug.testing import NetworkNamespace
from vifplug.testing.claims import running_links

LONG = "an-alternative-name-longer-than-a-device-may-have"


def test_a_device_is_found_by_its_own_name_only() -> None:
    with NetworkNamespace(enter=True) as namespace:
        namespace.ip("link", "add", "name", "br9", "type", "bridge")
        for altname in ("other", LONG):
            namespace.ip("link", "property", "add", "dev", "br9", "altname", altname)
        names = ["br9", "other", LONG, "nowhere"]
        together = running_links()
        together.expect(names)
        together.read_ahead()
        one_by_one = running_links()
        for links in (together, one_by_one):
            assert [name in links for name in names] == [True, False, False, False]
            assert links["br9"].altnames == ("other", LONG)
            carriers = [links.carrying(name) for name in names]
            assert [found and found[0] for found in carriers] == [None, "br9", "br9", None]
        namespace.ip("link", "del", "br9")
        assert "br9" in together, "what was read is kept: one snapshot for one plan"
        assert together.carrying(LONG), "also by an alternative name"
        together.expect(["br9", "other"])
        assert "br9" in together
        assert "br9" not in running_links()


def test_what_is_expected_is_read_with_what_is_asked_for_first() -> None:
    with NetworkNamespace(enter=True) as namespace:
        namespace.ip("link", "add", "name", "br9", "type", "bridge")
        links = running_links()
        links.expect(["br9", "br8"])
        assert "lo" in links
        namespace.ip("link", "add", "name", "br8", "type", "bridge")
        namespace.ip("link", "del", "br9")
        assert ("br9" in links, "br8" in links) == (True, False), "as when the first was read"
