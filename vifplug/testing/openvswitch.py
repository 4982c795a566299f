# SPDX-License-Identifier: Apache-2.0
"""An Open vSwitch of a test's own: ovsdb-server and ovs-vswitchd, with the userspace datapath."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from vifplug.testing.fixture import PlainFixture
from vifplug.testing.namespace import CommandFailed, NetworkNamespace

_SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
_WITHIN = 20.0
_COUNTS_FROM = 11.0
SERVER, SWITCH = "ovsdb-server", "ovs-vswitchd"
_DPDK = Path("/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk")
# As distributions start it: ``ovs-vsctl set-manager`` and ``set-ssl`` have it listen elsewhere too.
_AS_CONFIGURED = (
    "--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
    "--private-key=db:Open_vSwitch,SSL,private_key",
    "--certificate=db:Open_vSwitch,SSL,certificate",
    "--ca-cert=db:Open_vSwitch,SSL,ca_cert",
)


class OpenVSwitch(PlainFixture):
    """ovsdb-server and ovs-vswitchd in a network namespace; needs root and openvswitch-switch.

    Bridges made by :meth:`add_bridge` have its ``datapath_type``; netdev needs nothing of the
    kernel but taps. ``version`` is the programs' own. Both daemons end with the fixture, or with
    the thread that set it up.
    RuntimeError in setUp: a missing package, or what a daemon said that did not start.
    """

    def __init__(
        self, namespace: NetworkNamespace, *, dpdk: bool = False, datapath_type: str = "netdev"
    ) -> None:
        """``dpdk``: the switch of openvswitch-switch-dpdk, without huge pages or devices of its.

        ``datapath_type`` ``system`` is the kernel's, which has to have it.
        """
        super().__init__()
        self.datapath_type = datapath_type
        self._namespace = namespace
        self._program = str(_DPDK) if dpdk else SWITCH
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def _setUp(self) -> None:  # noqa: N802 (fixtures' name)
        if not shutil.which(SERVER, path=_path()) or not _SCHEMA.exists():
            raise RuntimeError("missing Debian package: openvswitch-switch")
        if not shutil.which(self._program, path=_path()):
            raise RuntimeError("missing Debian package: openvswitch-switch-dpdk")
        folder = tempfile.TemporaryDirectory(prefix="ovs-")
        self.addCleanup(folder.cleanup)
        self.rundir = Path(folder.name)
        self.addCleanup(self._end_all)
        self._run("ovsdb-tool", "create", str(self.rundir / "conf.db"), str(_SCHEMA))
        self.start(SERVER)
        self.vsctl("--no-wait", "init")
        self.version = self._run("ovs-vswitchd", "--version").stdout.split()[3]
        self.vsctl("--no-wait", "set", "Open_vSwitch", ".", f"ovs_version={self.version}")
        if self._program != SWITCH:
            self.vsctl("--no-wait", "set", "Open_vSwitch", ".", *self._with_dpdk())
        self.start(SWITCH)
        self.vsctl("show")

    def _system(self) -> list[str]:
        """Return what keeps the switch off the kernel's datapath, or nothing where it is wanted."""
        if self.datapath_type != "system":
            return ["--disable-system"]
        # Open vSwitch 3.1 counts no processors in the first 10 s of a machine, and then loses
        # every packet that its datapath sends up.
        while float(Path("/proc/uptime").read_text().split()[0]) < _COUNTS_FROM:
            time.sleep(0.1)
        return []

    def _with_dpdk(self) -> list[str]:
        """Return settings for DPDK that needs no more than memory, and leaves processors alone."""
        # With an -a, because Open vSwitch 4.0 else adds words for each bus that DPDK may lack.
        options = "--no-huge --legacy-mem -m 512 --no-pci -a 0000:00:00.0"
        options += f" --file-prefix={self.rundir.name}"
        core = min(os.sched_getaffinity(0))
        settings = {
            "dpdk-init": "true",
            "dpdk-extra": f'"{options}"',
            "dpdk-lcore-mask": f"{1 << core:x}",
            "pmd-cpu-mask": f"{1 << core:x}",
            "pmd-maxsleep": "500",
            "per-port-memory": "true",
        }
        return [f"other_config:{name}={value}" for name, value in settings.items()]

    @property
    def environment(self) -> dict[str, str]:
        """What the programs of Open vSwitch must have in their environment to find this one."""
        names = ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")
        return {name: str(self.rundir) for name in names}

    @property
    def socket(self) -> Path:
        """The socket on which ovsdb-server listens."""
        return self.rundir / "db.sock"

    @property
    def endpoint(self) -> str:
        """The value for the option ovsdb_connection."""
        return f"unix:{self.socket}"

    def start(self, name: str) -> None:
        """Start one of the two daemons, ``ovsdb-server`` or ``ovs-vswitchd``."""
        log = (self.rundir / f"{name}.said").open("ab")
        more = (
            [str(self.rundir / "conf.db"), f"--remote=punix:{self.socket}", *_AS_CONFIGURED]
            if name == SERVER
            else [*self._system(), self.endpoint]
        )
        program = self._program if name == SWITCH else name
        command = ["setpriv", "--pdeathsig", "KILL", program, "--no-chdir",
                   f"--unixctl={self.rundir / name}.ctl", "-vconsole:warn", *more]  # fmt: skip
        with log, self._namespace.entered():
            self._processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment()
            )
        if name == SERVER:
            self._wait_for_server()

    def _wait_for_server(self) -> None:
        until = time.monotonic() + _WITHIN
        while True:
            try:
                self._run(
                    "ovs-vsctl", "--no-wait", "--timeout=2", f"--db={self.endpoint}", "get-manager"
                )
                return
            except CommandFailed as error:
                if time.monotonic() > until or self._processes[SERVER].poll() is not None:
                    said = (self.rundir / f"{SERVER}.said").read_text()
                    raise RuntimeError(f"{SERVER} did not start: {error} {said}") from None
            time.sleep(0.01)

    def pid(self, name: str) -> int:
        """The process id of one of the daemons."""
        return self._processes[name].pid

    def pause(self, name: str) -> None:
        """Have a daemon hang (SIGSTOP)."""
        os.kill(self.pid(name), signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Have a daemon go on that hung."""
        os.kill(self.pid(name), signal.SIGCONT)

    def kill(self, name: str) -> None:
        """Kill one of the daemons; a socket stays as after a crash."""
        process = self._processes.pop(name)
        process.kill()
        process.send_signal(signal.SIGCONT)
        process.wait(timeout=10)

    def wait(self, name: str) -> None:
        """Wait until a daemon has ended that somebody else killed."""
        self._processes.pop(name).wait(timeout=30)

    def _end_all(self) -> None:
        for name in (SWITCH, SERVER):
            if name in self._processes:
                with contextlib.suppress(ProcessLookupError):
                    self.kill(name)

    def vsctl(self, *args: str, timeout: int = 10) -> str:
        """Run ``ovs-vsctl`` with args; return what it printed. CommandFailed with what it said.

        Also with what the switch said where that has ended: ``ovs-vsctl`` waits for it in vain.
        """
        connect = (f"--timeout={timeout}", f"--db={self.endpoint}")
        try:
            return self._run("ovs-vsctl", *connect, *args).stdout
        except CommandFailed as error:
            switch = self._processes.get(SWITCH)
            if switch is None or switch.poll() is None:
                raise
            said = (self.rundir / f"{SWITCH}.said").read_text()
            words = f"{error.stderr}; {SWITCH} has ended: {said}"
            raise CommandFailed(error.returncode, error.cmd, error.stdout, words) from None

    def add_bridge(self, name: str) -> None:
        """Make a bridge of this switch's datapath."""
        datapath = f"datapath_type={self.datapath_type}"
        self.vsctl("add-br", name, "--", "set", "bridge", name, datapath)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return all rows of a table of the database, maps as dicts and sets as lists."""
        return self._rows(table)[table]

    def _rows(self, *tables: str) -> dict[str, list[dict[str, Any]]]:
        words = [word for table in tables for word in ("--", "list", table)]
        # Each command's answer is a line.
        answers = self.vsctl("--format=json", *words).splitlines()
        return {
            table: [
                {head: _plain(cell) for head, cell in zip(found["headings"], row, strict=True)}
                for row in found["data"]
            ]
            for table, found in zip(tables, map(json.loads, answers), strict=True)
        }

    def everything(self) -> dict[str, Any]:
        """Return all that is configured, by table and name, without what vswitchd reports."""
        found = self._rows("Bridge", "Port", "Interface", "QoS", "Queue")
        return {table: {str(row.get("name", row["_uuid"])): _configured(row) for row in rows}
                for table, rows in found.items()}  # fmt: skip

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PATH": _path(), **self.environment}

    def _run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False,
                              env=self._environment())  # fmt: skip
        if done.returncode:
            raise CommandFailed(done.returncode, argv, done.stdout, done.stderr)
        return done


_REPORTED = frozenset(
    ("admin_state", "cfm_fault", "cfm_fault_status", "cfm_flap_count", "cfm_health", "cfm_mpid",
     "cfm_remote_mpids", "cfm_remote_opstate", "bfd_status", "duplex", "error", "ifindex",
     "lacp_current", "link_resets", "link_speed", "link_state", "mac_in_use", "mtu", "ofport",
     "options", "statistics", "status", "rstp_status", "rstp_statistics", "bond_active_slave",
     "datapath_id", "datapath_version")
)  # fmt: skip


def _configured(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _REPORTED}


def _plain(cell: Any) -> Any:
    match cell:
        case ["map", pairs]:
            return {_plain(key): _plain(value) for key, value in pairs}
        case ["set", items]:
            return sorted((_plain(item) for item in items), key=str)
        case ["uuid" | "named-uuid", text]:
            return text
    return cell


def _path() -> str:
    # The daemons lie in sbin, which an ordinary user's PATH does not have.
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
