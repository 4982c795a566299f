# SPDX-License-Identifier: Apache-2.0
"""A host with VIFs of several kinds, bridges, uplinks and taps, in a network namespace."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import struct
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from oslo_config import cfg

from tests.fuzz import database, kernel
from tests.fuzz.names import ALTNAMES, MACS, VICTIMS
from vifplug import VIF, GenericVIFDriver, VifplugError
from vifplug.kernel.claims import ClaimsFolder
from vifplug.model.mark import CLAIMS
from vifplug.plan.compare import Plan
from vifplug.plan.wired import Ready
from vifplug.plugin import VIFPlugin
from vifplug.testing import IndexRange, NetworkNamespace, OpenVSwitch
from vifplug.testing.configured import configured, forked
from vifplug_bridge.plugin import BridgePlugin
from vifplug_ovs.plugin import OvsPlugin
from vifplug_vepa.macvtap import MacvtapPlugin

PLUGINS: dict[str, type[VIFPlugin]] = {
    "bridge": BridgePlugin, "ovs": OvsPlugin, "vepa": MacvtapPlugin}  # fmt: skip
_TUNSETIFF, _TAP = 0x400454CA, 0x0002 | 0x1000

_DEVICES = f"""
link add eth9 type veth peer name wire9
link add eth8 type veth peer name wire8
link add eth7 type veth peer name wire7
link add eth6 type veth peer name wire6
link add eth5 type ifb
link add hport type veth peer name hwire
link add fport type veth peer name fwire
link add brhost address 02:00:00:00:0b:01 type bridge forward_delay 0
link add brfree type bridge forward_delay 0
link add brstp address 02:00:00:00:0b:03 type bridge forward_delay 0 stp_state 1
link set hport address f2:00:00:00:00:03 master brhost
link set fport address f2:00:00:00:00:04 master brfree
link add link eth5 name mvhost address 02:00:00:00:00:05 type macvlan mode bridge
tuntap add taphost mode tap
tuntap add vnet7 mode tap
link set vnet7 address fe:00:00:00:00:07 master brhost
{
    "".join(
        f"link property add dev {name} altname {alias}" + chr(10)
        for alias, name in ALTNAMES.items()
    )
}
link set eth5 mtu 9000
"""
_UP = (
    "eth9 eth8 eth7 eth6 eth5 wire9 wire8 wire7 wire6 hport fport brhost brfree brstp mvhost vnet7"
)
_ADDRESSES = """
addr add 192.0.2.9/24 dev eth9
addr add 2001:db8:9::9/64 dev eth9 nodad
route add default via 192.0.2.1 dev eth9
route add 198.51.100.0/25 via 192.0.2.2 dev eth9
route add 2001:db8:99::/48 via 2001:db8:9::1 dev eth9
neigh add 192.0.2.77 lladdr 02:00:00:00:00:77 dev eth9 nud permanent
addr add 203.0.113.8/25 dev eth8
addr add 203.0.113.9/25 dev eth8
route add default via 203.0.113.1 dev eth8 metric 100
addr add 203.0.113.199/26 dev eth7
route add 100.64.7.0/24 via 203.0.113.200 dev eth7
addr add 198.51.100.129/25 dev brhost
addr add 2001:db8:b::1/64 dev brhost nodad
"""
_HYBRID = """
link add {qbr} type bridge forward_delay 0
link add {qvb} type veth peer name {qvo}
link property add dev {qbr} altname vifplug:{id}:hybrid:qbr:ovs
link property add dev {qvb} altname vifplug:{id}:hybrid:qvb:ovs
link property add dev {qvo} altname vifplug:{id}:hybrid:qvo:ovs
link set {qvb} master {qbr} up
link set {qvo} up
link set {qbr} up
"""


def victim(name: str, vif_type: str = "bridge", **fields: Any) -> VIF:
    """Return one of the VIFs that are there before the hostile one."""
    data = {"id": VICTIMS[name], "vif_type": vif_type, "address": MACS[name], **fields}
    return VIF.from_dict(data)


def _hold(tap: str) -> int:
    """Open a tap as a guest does, or make one; return the descriptor."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", tap.encode(), _TAP))
    return descriptor


class World:
    """The host, the daemons and the driver. ``checks`` is what is said of the other VIFs at first.

    ``with_switch``: an Open vSwitch runs on the host. Use :meth:`made`.
    """

    def __init__(self, folder: Path, namespace: NetworkNamespace, stack: contextlib.ExitStack):
        self.folder, self.namespace, self.stack = folder, namespace, stack
        self.ovs: OpenVSwitch | None = None
        self.vifs: dict[str, VIF] = {}
        self._drivers: dict[tuple[Any, ...], GenericVIFDriver] = {}

    @classmethod
    @contextlib.contextmanager
    def made(cls, *, with_switch: bool) -> Iterator[World]:
        """Make a host, and end it after the block."""
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fuzz-")))
            indexes = stack.enter_context(IndexRange())
            namespace = stack.enter_context(NetworkNamespace(enter=True))
            world = cls(folder, namespace, stack)
            world._make(indexes, with_switch=with_switch)
            yield world

    def _make(self, indexes: IndexRange, *, with_switch: bool) -> None:
        self.batch(_DEVICES)
        self.batch("".join(f"link set {name} up\n" for name in _UP.split()))
        self.batch(_ADDRESSES)
        settings = {"vifplug_bridge": {"remove_unused": "true"},
                    "vifplug_vepa": {"remove_unused": "true"},
                    "vifplug": {"libvirt_version": "9.0.0", "virt_type": "qemu",
                                "lock_path": str(self.folder / "locks")}}  # fmt: skip
        if with_switch:
            self.ovs = self.stack.enter_context(OpenVSwitch(self.namespace))
            rundir = str(self.ovs.rundir)
            settings["vifplug_ovs"] = {
                "remove_unused": "true",
                "ovsdb_connection": self.ovs.endpoint,
                "vhostuser_dir": rundir,
                "datapath_type": "netdev",
            }
        else:
            settings["vifplug_ovs"] = {"ovsdb_connection": f"unix:{self.folder}/none.sock"}
        plugins = list(PLUGINS.values())
        conf = configured(self.folder, *plugins, settings=settings)
        self.config = self.stack.enter_context(conf)
        started = plugins if with_switch else [BridgePlugin, MacvtapPlugin]
        self.stack.enter_context(forked(*started))
        self._plug(indexes)
        self.reader = kernel.Reader()
        self.stack.callback(self.reader.close)
        self.database = database.Reader(self.ovs.endpoint) if self.ovs else None
        if self.database:
            self.stack.callback(self.database.close)
        self.checks = self.check_all()

    def batch(self, commands: str) -> None:
        """Run commands of ip(8)."""
        self.namespace.run("ip", "-batch", "-", input=commands)

    def hold(self, tap: str) -> None:
        """Open a tap until the host ends."""
        self.stack.callback(os.close, _hold(tap))

    def _plug(self, indexes: IndexRange) -> None:
        ours = {"should_create_bridge": True, "mtu": 1450}
        self._plugged("f", "tap")
        self._plugged("a", network={"bridge": "br-a", **ours}, options={"create_tap": True})
        self.hold("tap" + VICTIMS["a"][:11])
        self._plugged("b", network={"bridge": "br-b", "interface": "eth7",
                                    "should_create_bridge": True})  # fmt: skip
        self._plugged("c", network={"bridge": "brfree"})
        for name, bridge in (("b", "br-b"), ("c", "brfree")):
            tap = "tap" + VICTIMS[name][:11]
            self.hold(tap)
            self.batch(f"link set {tap} address fe{MACS[name][2:]} master {bridge} up\n")
        self.hold("vnet7")
        self._plugged("e", "macvtap", network={"interface": "eth5"})
        self.batch(
            f"link add link eth5 name macvtape index {indexes.first} address {MACS['e']} "
            "type macvtap mode vepa\nlink set macvtape up\n"
        )
        with contextlib.suppress(FileNotFoundError):
            held = os.open(f"/dev/tap{indexes.first}", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
            self.stack.callback(os.close, held)
        if self.ovs:
            self._plug_switch(self.ovs)
        else:
            hybrid = {prefix: prefix + VICTIMS["d"][:11] for prefix in ("qbr", "qvb", "qvo")}
            self.batch(_HYBRID.format(id=VICTIMS["d"], **hybrid))

    def _plug_switch(self, ovs: OpenVSwitch) -> None:
        ovs.add_bridge("br-int")
        ovs.add_bridge("br-ex")
        self.batch("link add ethx type veth peer name wirex\nlink set ethx up\nlink set wirex up\n"
                   "addr add 192.0.2.200/28 dev br-ex\nlink set br-ex up\n")  # fmt: skip
        tap = {name: "tap" + VICTIMS[name][:11] for name in "gj"}
        self.hold(tap["g"])
        self.hold("tapj")
        guest = f"external_ids:iface-id={VICTIMS['g']} external_ids:vm-id={VICTIMS['k']}"
        nova = f"external_ids:iface-id={VICTIMS['j']} external_ids:attached-mac={MACS['j']}"
        network = {"network": {"bridge": "br-int"}}
        self._plugged("g", "ovs", options={"process": "automatic"}, **network)
        ovs.vsctl(*f"""
            add-port br-ex ethx
            -- add-port br-int int-br-ex
            -- set Interface int-br-ex type=patch options:peer=phy-br-ex
            -- add-port br-ex phy-br-ex
            -- set Interface phy-br-ex type=patch options:peer=int-br-ex
            -- add-port br-int fp0 -- set Interface fp0 type=internal
            -- add-port br-int {tap["g"]} -- set Interface {tap["g"]} {guest}
            -- add-port br-int tapj -- set Interface tapj {nova}
        """.split())  # fmt: skip
        self._plugged("d", "ovs", options={"process": "hybrid"}, **network)
        self._plugged("h", "ovs", options={"process": "manual", "per_port_bridge": True}, **network)
        self._plugged("i", "ovs", options={"process": "manual"}, **network)

    def _plugged(
        self,
        name: str,
        vif_type: str = "bridge",
        *,
        options: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        self.choose(options or {})
        self.vifs[name] = victim(name, vif_type, **fields)
        self.driver.plug(None, self.vifs[name])
        self.choose({})

    def choose(self, options: Mapping[str, Any]) -> None:
        """Have the caller's own options, by which it makes its requests."""
        process, own = options.get("process", "choose"), options.get("per_port_bridge", False)
        create_tap = options.get("create_tap", False)
        self.config.config(group="vifplug_bridge", create_tap=create_tap)
        self.config.config(group="vifplug_ovs", process=process, per_port_bridge=own)
        key = (process, own, create_tap)
        if key not in self._drivers:
            self._drivers[key] = GenericVIFDriver()
        self.driver = self._drivers[key]

    # Looking.

    def rows(self) -> kernel.Rows:
        """Return all that the host, its switch and its claims hold."""
        found = self.reader.rows()
        if self.database:
            found |= self.database.rows()
        return found | self._claims(found) | self._files()

    def _claims(self, rows: kernel.Rows) -> kernel.Rows:
        """Return the claims; their token in a device's names is left out, because it is random."""
        bearing = {}
        for name, row in list(kernel.devices(rows)):
            tokens = [each for each in row["altnames"] if each.startswith(CLAIMS)]
            if tokens:
                bearing |= {each.removeprefix(CLAIMS): name for each in tokens}
                names = sorted(CLAIMS if n in tokens else n for n in row["altnames"])
                rows["link", name] = {**row, "altnames": tuple(names)}
        folder = ClaimsFolder(str(cfg.CONF.vifplug.lock_path)).folder
        found: kernel.Rows = {}
        for path in folder.glob("*/*"):
            on = bearing.get(path.parent.name, path.parent.name)
            columns = {"device": on, "vif": path.name, "text": path.read_text()}
            found["claim", f"{on} {path.name}"] = columns
        return found

    def _files(self) -> kernel.Rows:
        """Return the sockets in the switch's folder: its own, and those of guests."""
        if self.ovs is None:
            return {}
        names = (path.name for path in self.ovs.rundir.iterdir())
        # A bridge of the switch has two sockets of its own.
        return {("file", name): {} for name in names if not name.endswith((".mgmt", ".snoop"))}

    def check_all(self) -> dict[str, str]:
        """Return what ``check`` finds to be done for each of the other VIFs."""
        self.choose({})
        vifs = list(self.vifs.values())
        ready = self.driver.all_ready([(None, vif) for vif in vifs])
        view = self.driver.look([each for each in ready if isinstance(each, Ready)])
        wired = self.driver.all_wired(ready, view.host)
        outcomes = [self.driver.plans([each], view)[0] for each in wired]
        return {vif.id: _said(outcome) for vif, outcome in zip(vifs, outcomes, strict=True)}

    def mend(self, before: kernel.Rows, after: kernel.Rows) -> None:
        """Undo what a scenario may leave, where that is easy: else the host is made anew."""
        new = [key for key in after if key not in before]
        bridges = [name for table, name in new if table == "Bridge"]
        words = [word for name in bridges for word in ("--", "--if-exists", "del-br", name)]
        for table, name in before:
            asked = after.get((table, name), {}).get("mtu_request")
            if table == "Interface" and asked != before[table, name]["mtu_request"]:
                words += f"-- --if-exists clear Interface {name} mtu_request".split()
                words += f"-- --if-exists remove Interface {name} external_ids vifplug-mtu".split()
        if self.ovs and words:
            self.ovs.vsctl(*words[1:])
        commands = [f"link del {name}" for table, name in new
                    if table == "link" and name not in bridges]  # fmt: skip
        for name, row in kernel.devices(before):
            now = after.get(("link", name), row)
            commands += _mended(name, row, now)
            if now.get("master") and not row.get("master"):
                # Its addresses went to that bridge.
                commands += [f"addr del {key[1].split()[1]} dev {after[key]['device']}"
                             for key in new if key[0] == "address"]  # fmt: skip
                commands += [each for each in _ADDRESSES.splitlines() if f" dev {name}" in each]
        if any(table == "neighbour" and (table, name) not in after for table, name in before):
            commands += [each for each in _ADDRESSES.splitlines() if each.startswith("neigh")]
        if commands:
            lines = "".join(f"{command}\n" for command in commands)
            self.namespace.run("ip", "-force", "-batch", "-", input=lines, check=False)


def _mended(name: str, then: kernel.Row, now: kernel.Row) -> list[str]:
    """Return the commands that give a device back what it had."""
    commands = []
    if now.get("master") and not then.get("master"):
        commands.append(f"link set {name} nomaster")
    new = set(now["altnames"]) - set(then["altnames"])
    commands += [f"link property del dev {name} altname {altname}" for altname in new]
    commands += [
        f"link set {name} {column} {then[column]}"
        for column in ("mtu", "address")
        if now.get(column) != then.get(column)
    ]
    return commands


def _said(outcome: Plan | VifplugError) -> str:
    if isinstance(outcome, VifplugError):
        return f"error: {outcome}"
    return "; ".join((*map(str, outcome.operations), *outcome.stale))


def context(plugin: str) -> Any:
    """Return the context of a plugin's daemon, which knows its process."""
    return importlib.import_module(PLUGINS[plugin].privileged()).context
