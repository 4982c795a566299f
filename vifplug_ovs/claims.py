# SPDX-License-Identifier: Apache-2.0
"""The claims on Open vSwitch's bridges: files in folders that are named after the bridges' rows.

A token is ``ovs-<database>-<bridge>``. These are the UUIDs of the database's one row of table
Open_vSwitch, and of the bridge's row. The database itself holds no claim.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from vifplug.model.mark import Mark
from vifplug.switch import ClaimFiles
from vifplug_ovs.index import interface_id_in
from vifplug_ovs.names import OWN_BRIDGE
from vifplug_ovs.snapshot import Ovs, OvsBridge

_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_TOKEN = re.compile(rf"{Ovs.key}-(?P<database>{_UUID})-(?P<row>{_UUID})")


@dataclass(frozen=True, kw_only=True)
class Claims:
    """The claims of some VIFs by token, also where these have none; or those of all VIFs.

    ``unread`` are the VIFs of which a claim could not be read. ``files`` tells of others' claims.
    """

    files: ClaimFiles
    by_token: Mapping[str, tuple[Mark, ...]]
    unread: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        files: ClaimFiles,
        vif_ids: Iterable[str] | None,
        interface_ids: Iterable[str | None] = (),
    ) -> Claims:
        """Read the claims of some VIFs, or with None of all; and those that note interface ids.

        An interface id that is the id of one of these VIFs is not looked for among the others:
        hardly any other VIF has it.
        """
        tokens = [token for token in files.tokens(Ovs.key) if _TOKEN.fullmatch(token)]
        if vif_ids is None:
            return cls(files=files, by_token={token: files.on(token) for token in tokens})
        ids = tuple(dict.fromkeys(vif_ids))
        noted = set(filter(None, interface_ids)) - set(ids)
        by_token = {
            token: (
                *(claim for vif_id in ids for claim in files.by(token, vif_id)),
                *(
                    claim
                    for claim in (files.on(token) if noted else ())
                    if interface_id_in(claim) in noted and claim.vif_id not in ids
                ),
            )
            for token in tokens
        }
        unread = tuple(vif_id for vif_id in ids if files.is_unread(vif_id))
        return cls(files=files, by_token=by_token, unread=unread)

    @property
    def claimed_rows(self) -> frozenset[str]:
        """The UUIDs of the bridges that these VIFs claim."""
        return frozenset(_row(token) for token, claims in self.by_token.items() if claims)

    @property
    def rows(self) -> frozenset[str]:
        """The UUIDs of the bridges that any VIF claims."""
        return frozenset(map(_row, self.by_token))

    @property
    def interface_ids(self) -> frozenset[str]:
        """The interface ids that these claims note."""
        return frozenset(interface_id_in(c) for claims in self.by_token.values() for c in claims)

    def on(self, ovs: Ovs) -> Ovs:
        """Return what a database said, with these claims on its bridges."""
        names = {bridge.row: name for name, bridge in ovs.bridges.items()}
        bridges, lost = dict(ovs.bridges), dict.fromkeys(self.unread)
        for token, claims in self.by_token.items():
            if not ovs.has(token):
                continue
            if name := names.get(_row(token)):
                if name.startswith(OWN_BRIDGE):
                    claims = self.files.on(token)  # another VIF's says that it is not one's own
                bridges[name] = _claimed(bridges[name], claims)
            else:
                lost |= dict.fromkeys(claim.vif_id for claim in claims)
        return replace(ovs, bridges=bridges, lost=tuple(lost))

    def void(self, ovs: Ovs) -> set[str]:
        """Return the tokens of bridges that the database has no more.

        ``ovs`` was read after these claims, and with the rows of all their bridges. A claim's
        folder comes after its bridge, and no UUID comes twice: so such a bridge is gone for good.
        """
        there = {bridge.row for bridge in ovs.bridges.values()}
        return {token for token in self.by_token if ovs.has(token) and _row(token) not in there}


def _claimed(bridge: OvsBridge, claims: Iterable[Mark]) -> OvsBridge:
    return replace(bridge, claims={str(claim): interface_id_in(claim) for claim in claims})


def _row(token: str) -> str:
    words = _TOKEN.fullmatch(token)
    return words["row"] if words else ""
