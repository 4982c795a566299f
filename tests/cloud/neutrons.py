# SPDX-License-Identifier: Apache-2.0
"""A Neutron of the tests' own: its server and its agents in namespaces, and its API."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.environments import environment
from vifplug.testing import NetworkNamespace

_HERE = Path(__file__).parent
_SERVERS = {"29": _HERE / "inside/server.py", "25": _HERE / "inside/server25.py"}
_TOGETHER = _HERE / "inside/agents"
API_PORT, BUS_PORT = 9696, 6379
STARTS_WITHIN = 180.0
"""Seconds that no program needs to start, however busy the machine."""

_CONF = """\
[DEFAULT]
core_plugin = ml2
service_plugins =
auth_strategy = noauth
host = {host}
transport_url = {bus}
rpc_response_timeout = 60
state_path = {folder}/state
api_paste_config = {packages}/etc/neutron/api-paste.ini
dhcp_agent_notification = false
notify_nova_on_port_status_changes = {nova}
notify_nova_on_port_data_changes = {nova}
setproctitle = off
agent_down_time = 600
[agent]
root_helper = env
report_interval = 30
polling_interval = 1
extensions = {extensions}
[database]
connection = sqlite:///{folder}/neutron.sqlite
[oslo_policy]
policy_file = {folder}/policy.yaml
[oslo_concurrency]
lock_path = {folder}/locks
[oslo_messaging_notifications]
driver = noop
[oslo_messaging_rabbit]
heartbeat_timeout_threshold = 0
[quotas]
quota_port = -1
[ml2]
type_drivers = {types}
tenant_network_types = {tenant}
mechanism_drivers = {drivers}
extension_drivers = port_security
[securitygroup]
firewall_driver = {firewall}
"""

# Without a token each request is an administrator's, but no service's.
_POLICY = '"service_api": "is_admin:True or role:service"\n'


def made(release: str) -> Path:
    """Return the machine's environment with Neutron 29 or 25, made by pip where it is missing."""
    wanted = (_HERE / f"requirements/{release}.txt").read_text().splitlines()
    lines = (line for line in wanted if not line.startswith("#"))
    return environment(f"neutron{release}", *lines)


class ApiError(Exception):
    """Neutron refused a request."""


@dataclass
class Programs:
    """The programs of a Neutron; each ends with :meth:`end_all`."""

    release: str
    packages: Path
    folder: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(
        self, name: str, *argv: str, at: NetworkNamespace, env: dict[str, str] | None = None,
        sysfs: bool = False,
    ) -> None:  # fmt: skip
        """Start a program in a namespace; it ends with this thread at the latest.

        ``sysfs``: with the namespace's /sys.
        """
        mount = ("unshare", "--mount", "--", "sh", "-c", 'mount -t sysfs sysfs /sys && exec "$@"')
        argv = (*mount, "sh", *argv) if sysfs else argv
        surroundings = {
            "PATH": f"{self.packages}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "PYTHONPATH": str(_TOGETHER),
            "PYTHONWARNINGS": "ignore",
            "LC_ALL": "C.UTF-8",
            **(env or {}),
        }
        with self.said(name).open("ab") as said, at.entered():
            self.running[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *argv],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=surroundings,
                # Its children go with it.
                start_new_session=True,
            )

    def said(self, name: str) -> Path:
        """Return the file with all output of a program."""
        return self.folder / f"{name}.said"

    def start_agent(
        self, name: str, *confs: Path, at: NetworkNamespace, env: dict[str, str] | None = None,
        sysfs: bool = False,
    ) -> None:  # fmt: skip
        """Start an agent with its configuration files, as :meth:`start`."""
        words = (word for conf in confs for word in ("--config-file", str(conf)))
        program = f"{self.packages}/bin/neutron-{name}"
        self.start(name, program, *words, at=at, env=env, sysfs=sysfs)

    def wait_for(self, name: str, ready: Callable[[], object]) -> None:
        """Wait until a program is ready; RuntimeError with its last words if it ends before."""
        until = time.monotonic() + STARTS_WITHIN
        while not ready():
            if self.running[name].poll() is not None or time.monotonic() > until:
                words = self.said(name).read_text(errors="replace")[-3000:]
                raise RuntimeError(f"{name} did not start: {words}")
            time.sleep(0.05)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a program a signal."""
        self.running[name].send_signal(number)

    def kill(self, name: str) -> None:
        """Kill a program and its children."""
        process = self.running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)

    def end_all(self) -> None:
        """Kill all programs, the last one first."""
        for name in reversed(list(self.running)):
            self.kill(name)


@dataclass
class Neutron:
    """A running Neutron server; its API is that of a namespace's loopback or of an address."""

    programs: Programs
    at: NetworkNamespace
    address: str = "127.0.0.1"

    def start(self, conf: Path) -> None:
        """Start the server and wait until it listens."""
        programs = self.programs
        python, server = str(programs.packages / "bin/python"), str(_SERVERS[programs.release])
        words = (python, server, self.address, str(API_PORT), str(conf))
        programs.start("server", *words, at=self.at)
        said = programs.said("server")
        programs.wait_for("server", lambda: b"listening\n" in said.read_bytes())

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Make a request; ApiError with the answer if Neutron refuses it."""
        text = None if body is None else json.dumps(body)
        with self.at.entered():
            connection = http.client.HTTPConnection(self.address, API_PORT, timeout=180)
            with contextlib.closing(connection):
                headers = {"Content-Type": "application/json"}
                connection.request(method, f"/v2.0{path}", text, headers)
                response = connection.getresponse()
                said = response.read().decode()
        if response.status >= 400:
            raise ApiError(f"{method} {path}: {response.status} {said}")
        return json.loads(said) if said else None

    def network(self, name: str, cidr: str, **more: Any) -> dict[str, Any]:
        """Make a network with a subnet; return the network."""
        body = {"network": {"name": name} | more}
        made: dict[str, Any] = self.call("POST", "/networks", body)["network"]
        subnet = {"network_id": made["id"], "ip_version": 4, "cidr": cidr}
        self.call("POST", "/subnets", {"subnet": subnet})
        return made

    def port(self, network: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Make a port of a guest and return it as the API shows it."""
        (made,) = self.ports(network, 1, **more)
        return made

    def ports(self, network: dict[str, Any], count: int, **more: Any) -> list[dict[str, Any]]:
        """Make several ports and return them as the API shows them."""
        one = {
            "network_id": network["id"],
            "binding:host_id": "host1",
            "device_owner": "compute:nova",
            "device_id": "11111111-0000-4000-8000-000000000001",
        }
        made = self.call("POST", "/ports", {"ports": [one | more] * count})["ports"]
        return [self.shown(port) for port in made]

    def shown(self, port: dict[str, Any]) -> dict[str, Any]:
        """Return a port as the API shows it at this moment."""
        found: dict[str, Any] = self.call("GET", f"/ports/{port['id']}")["port"]
        return found

    def change(self, port: dict[str, Any], **more: Any) -> None:
        """Change fields of a port."""
        self.call("PUT", f"/ports/{port['id']}", {"port": more})

    def delete(self, *ports: dict[str, Any]) -> None:
        """Delete ports."""
        for port in ports:
            self.call("DELETE", f"/ports/{port['id']}")

    def wait_for(self, status: str, *ports: dict[str, Any]) -> None:
        """Wait until all ports have a status."""
        waiting = {port["id"] for port in ports}

        def others() -> dict[str, str]:
            found = self.call("GET", "/ports")["ports"]
            states = {port["id"]: port["status"] for port in found if port["id"] in waiting}
            return {port: state for port, state in states.items() if state != status}

        # A busy agent takes its time for many ports.
        eventually(lambda: not others(), within=600)
        assert others() == {}, f"not {status}"

    def pretend(self, host: str) -> None:
        """Have the database know a host with an agent like the one that runs."""
        path = self.programs.folder / "neutron.sqlite"
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as database, database:
            database.row_factory = sqlite3.Row
            row = dict(database.execute("SELECT * FROM agents").fetchone())
            row |= {"host": host, "id": f"22222222-0000-4000-8000-{len(host):012}"}
            row |= {"heartbeat_timestamp": "2999-01-01 00:00:00.000000"}
            names, marks = ", ".join(row), ", ".join("?" * len(row))
            database.execute(f"INSERT INTO agents ({names}) VALUES ({marks})", list(row.values()))


def eventually(condition: Callable[[], Any], *, within: float = 120.0) -> Any:
    """Return the value of a condition once it is true, or its last value."""
    until = time.monotonic() + within
    while not (found := condition()) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def write_conf(
    programs: Programs, name: str, *more: str, bus: str = f"kombu+redis://127.0.0.1:{BUS_PORT}/0",
    host: str = "host1", drivers: str = "openvswitch", tenant: str = "vlan",
    types: str = "local,flat,vlan,geneve", firewall: str = "openvswitch", extensions: str = "",
    nova: str = "false",
) -> Path:  # fmt: skip
    """Write a configuration of Neutron; ``more`` are further lines."""
    folder = programs.folder
    (folder / "policy.yaml").write_text(_POLICY)
    conf = folder / name
    text = _CONF.format(
        folder=folder, packages=programs.packages, bus=bus, host=host, drivers=drivers,
        tenant=tenant, types=types, firewall=firewall, extensions=extensions, nova=nova,
    )  # fmt: skip
    conf.write_text(text + "".join(f"{line}\n" for line in more))
    return conf
