# SPDX-License-Identifier: Apache-2.0
"""The vRouter agent's REST calls about ports, and what planning may know of them."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from vifplug import VIF, Host, fields
from vifplug.errors import NO_VIF, SwitchError
from vifplug.fields import (
    BOOLEAN,
    DEVICE,
    IP,
    LINE,
    MAC,
    UUID,
    Integer,
    Record,
    Table,
    Text,
    declared,
)
from vifplug.switch import Snapshot, Trace

_ID = Text(f"|{UUID.pattern.pattern}", "a UUID, or nothing")
NOBODYS = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, kw_only=True)
class Port:
    """A port as the agent keeps it, in the agent's own words but for hyphens.

    ``type`` 0 is a port of Nova's. VLAN -1 is none.
    """

    id: str = declared(UUID)
    instance_id: str = declared(_ID, default="")
    display_name: str = declared(Text(r".{0,255}", "a line"), default="")
    vn_id: str = declared(_ID, default="")
    vm_project_id: str = declared(_ID, default="")
    ip_address: str = declared(IP, default="0.0.0.0")  # noqa: S104 - the agent's word for none
    ip6_address: str = declared(IP, default="::")
    mac_address: str = declared(MAC)
    system_name: str = declared(DEVICE)
    type: int = declared(Integer(0, 9), default=0)
    rx_vlan_id: int = declared(Integer(-1, 4094), default=-1)
    tx_vlan_id: int = declared(Integer(-1, 4094), default=-1)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the port that the agent tells of. Raises SwitchError."""
        known = {name: data.get(name.replace("_", "-")) for name in fields.kinds(cls)}

        def refuse(*words: str) -> SwitchError:
            return SwitchError(NO_VIF, "the agent", f"said of a port: {' '.join(words)}")

        return fields.load(cls, known, refuse, lenient=True)

    def to_json(self) -> dict[str, Any]:
        """Return the body of the call that adds the port."""
        data = {name.replace("_", "-"): value for name, value in vars(self).items()}
        return {**data, "author": "vifplug_vrouter", "time": time.strftime("%Y-%m-%d %H:%M:%S")}


@dataclass(frozen=True, kw_only=True)
class Agent(Snapshot):
    """The agent's ports by the ids of their VIFs."""

    key: ClassVar[str] = "vrouter"
    ports: dict[str, Port] = declared(Table(Record(Port)), default_factory=dict)
    error: str | None = declared(LINE, default=None)
    absent: bool = declared(BOOLEAN, default=False)

    def planning(self) -> Agent:
        return replace(self, ports=dict(self.ports))

    def traces(self, vif_id: str | None = None, interface_id: str | None = None) -> Iterable[Trace]:
        for port in self.ports.values():
            if vif_id in (None, port.id):
                yield Trace(vif_id=port.id, vif_type="vrouter", devices=(port.system_name,))


def call(address: str, method: str, path: str, body: Any = None, *, until: float) -> Any:
    """Call the agent; return what it answers, or None for 404. Raises SwitchError."""
    connection = http.client.HTTPConnection(address, timeout=max(until - time.monotonic(), 0.01))
    try:
        text = json.dumps(body) if body is not None else None
        connection.request(method, path, text, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read(1 << 20).decode()
        if answer.status not in (http.client.OK, http.client.NOT_FOUND):
            raise ValueError(f"{method} {path}: status {answer.status}, {said[:100]}")
        return json.loads(said or "{}") if answer.status == http.client.OK else None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise SwitchError(NO_VIF, address, str(error) or type(error).__name__) from error
    finally:
        connection.close()


def ports(address: str, vif_ids: Iterable[str], until: float) -> Agent:
    """Return the agent's ports of some VIFs. Raises SwitchError."""
    told = ((one, call(address, "GET", f"/port/{one}", until=until)) for one in vif_ids)
    return Agent(ports={vif_id: Port.from_json(port) for vif_id, port in told if port})


def read(
    options: Mapping[str, Any], vifs: Sequence[VIF] | None, host: Host, *, deadline: float
) -> Agent:
    """Return the ports of some VIFs. This module is the plugin's ``vifplug.switch.Reader``.

    The agent has no call that lists its ports. So a list of all VIFs has those with a tap, and the
    agent is asked for a port of nobody's. A host of the vRouter's has the device vhost0.
    """
    ids = [vif.id for vif in vifs] if vifs is not None else host.asked or (NOBODYS,)
    try:
        return ports(options["agent"], ids, deadline)
    except SwitchError as error:
        return Agent(error=error.why, absent=host.link("vhost0") is None)
