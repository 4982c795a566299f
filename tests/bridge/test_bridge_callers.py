# SPDX-License-Identifier: Apache-2.0
"""Several callers at once, and daemons that are not there: one host, whole in the end."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from oslo_config import cfg
from oslo_config.fixture import Config
from oslo_privsep.priv_context import Method

from tests.bridge.vifs import IDS, bridge_vif, tap_of
from tests.processes import HANGS, in_processes, kill_when_asked
from vifplug import DeadlineExceeded, GenericVIFDriver, PrivilegeError, VifplugError
from vifplug.apply import means
from vifplug.daemon import locks as vifplug_locks
from vifplug.kernel import namespace as namespaces
from vifplug.kernel.perform import Kernel
from vifplug.operations.operation import Operation
from vifplug.testing import NetworkNamespace
from vifplug.testing.claims import every_claim
from vifplug.testing.dumps import differences, lasting
from vifplug_bridge import privileged

# oslo.privsep leaves the pipe of a helper open.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What oslo.privsep leaves open is closed here, where its warning is ignored."""
    yield
    gc.collect()


def daemon_pid() -> int:
    """Return the process id of the daemon that the test's own process has forked."""
    return int(privileged.context.channel.pid)  # type: ignore[union-attr]


def folder_of_locks() -> Path:
    """Return the folder of the locks in the test's network namespace."""
    return namespaces.folder(cfg.CONF.vifplug.lock_path)


@pytest.mark.parametrize("create_tap", [False, True])
def test_eight_processes_plug_one_vif_with_eight_successes(
    create_tap: bool, namespace: NetworkNamespace, conf: Config
) -> None:
    conf.config(group="vifplug_bridge", create_tap=create_tap)
    found = in_processes(8, lambda driver, _: driver.plug(None, bridge_vif()).changed)
    assert sorted(found) == ["False"] * 7 + ["True"]
    driver = GenericVIFDriver()
    assert not driver.check(None, bridge_vif())
    assert list(Path(cfg.CONF.vifplug.lock_path).rglob("*.lock")) == []


def test_threads_of_one_process_plug_different_vifs(
    namespace: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    conf.config(group="vifplug_bridge", create_tap=True)
    driver.plug(None, bridge_vif(0))  # threads start inside the namespace only if their maker is
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda n: driver.plug(None, bridge_vif(n)), (0, 1, 2)))
    assert [result.changed for result in results] == [False, True, True]
    assert [one.id for one in driver.list()] == list(IDS)


def test_sixteen_threads_through_one_driver_that_has_no_daemon_yet(
    namespace: NetworkNamespace, conf: Config
) -> None:
    privileged.context.stop()
    driver = GenericVIFDriver()
    base = bridge_vif()
    vifs = [dataclasses.replace(base, id=f"{n:08x}-{base.id[9:]}") for n in range(16)]
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda vif: driver.plug(None, vif), vifs))
    assert all(result.changed for result in results)
    assert {one.id for one in driver.list()} == {vif.id for vif in vifs}


def test_the_parent_plugs_then_forks_and_both_plug(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    driver.plug(None, bridge_vif(0))
    child = multiprocessing.Process(target=lambda: driver.plug(None, bridge_vif(1)))
    child.start()
    assert driver.plug(None, bridge_vif(2)).changed
    child.join(timeout=30)
    assert child.exitcode == 0
    assert [one.id for one in driver.list()] == list(IDS)


def test_a_daemon_killed_in_a_call_is_a_clear_error_and_the_next_call_works(
    namespace: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    conf.config(group="vifplug_bridge", create_tap=True)
    driver.plug(None, bridge_vif(0))
    pid = daemon_pid()
    os.kill(pid, signal.SIGSTOP)
    kill_when_asked(privileged.context, pid)
    start = time.monotonic()
    with pytest.raises(PrivilegeError, match="it has ended"):
        driver.plug(None, bridge_vif(1), timeout=300)
    assert time.monotonic() - start < HANGS
    assert driver.plug(None, bridge_vif(1)).changed


def test_a_hung_daemon_that_takes_no_large_request_is_an_error_at_the_deadline(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    base = bridge_vif()
    many = [dataclasses.replace(base, id=f"{n:08x}-{base.id[9:]}") for n in range(4000)]
    driver.plug(None, base)
    pid = daemon_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        start = time.monotonic()
        found = driver.plug_all([(None, vif) for vif in many], timeout=1.5)
        assert time.monotonic() - start < HANGS
        assert all(isinstance(one, DeadlineExceeded) for one in found)
        assert [one.vif_id for one in found] == [vif.id for vif in many]  # type: ignore[union-attr]
    finally:
        os.kill(pid, signal.SIGCONT)
    privileged.context.stop()
    assert driver.plug(None, bridge_vif(1)).changed


def test_a_hung_libvirtd_does_not_hold_a_plug_past_its_deadline(
    namespace: NetworkNamespace, conf: Config, driver: GenericVIFDriver, tmp_path: Path
) -> None:
    driver.plug(None, bridge_vif(0))
    with socket.socket(socket.AF_UNIX) as silent:  # accepts a connection, and says nothing
        silent.bind(str(tmp_path / "libvirt-sock"))
        silent.listen()
        uri = f"qemu:///system?socket={tmp_path}/libvirt-sock"
        conf.config(group="vifplug", libvirt_uri=uri, libvirt_version=None)
        start = time.monotonic()
        with contextlib.suppress(DeadlineExceeded):
            GenericVIFDriver().plug(None, bridge_vif(1), timeout=0.5)
        assert time.monotonic() - start < HANGS
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.name.startswith("privsep"):
            thread.join(timeout=10)


def test_plug_against_unplug_ends_as_one_of_the_two(
    namespace: NetworkNamespace, conf: Config
) -> None:
    conf.config(group="vifplug_bridge", create_tap=True, remove_unused=True)
    vif, driver = bridge_vif(), GenericVIFDriver()
    for _ in range(3):
        found = in_processes(
            4, lambda d, _: (d.plug if os.getpid() % 2 else d.unplug)(None, vif).changed
        )
        assert set(found) <= {"True", "False"}
        links = set(namespace.everything()["links"])
        assert links in ({"lo"}, {"lo", "br100", tap_of(vif)})
        driver.unplug(None, vif)
    driver.close()


def test_a_plug_that_fails_leaves_the_bridge_that_another_has_just_joined(
    namespace: NetworkNamespace, conf: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf.config(group="vifplug_bridge", create_tap=True)
    perform, begun = means.perform, multiprocessing.Event()
    joins = f"set {tap_of(bridge_vif(0))} master br100"

    def fails_late(operation: Operation, kernel: Kernel) -> None:
        if str(operation) == joins:
            # Meanwhile somebody who knows no locks, as libvirtd, makes a tap in the bridge.
            for line in ("tuntap add tap-other mode tap", "link set tap-other master br100"):
                subprocess.run(["ip", *line.split()], check=True)
            begun.set()
            time.sleep(0.3)
            raise OSError("sabotaged")
        perform(operation, kernel)

    monkeypatch.setattr(means, "perform", fails_late)
    privileged.context.stop()
    said: multiprocessing.Queue[str] = multiprocessing.Queue()

    def fails() -> None:
        driver = GenericVIFDriver()
        privileged.context.start(Method.FORK)
        try:
            driver.plug(None, bridge_vif(0))
        except VifplugError as error:
            said.put(str(error))
        driver.close()

    first = multiprocessing.Process(target=fails)
    first.start()
    assert begun.wait(10)
    second = GenericVIFDriver()
    assert second.plug(None, bridge_vif(1)).changed
    assert "sabotaged" in said.get(timeout=10)
    first.join(timeout=10)
    links = {link["ifname"]: link for link in namespace.ip_json("link")}
    assert links["tap-other"]["master"] == links[tap_of(bridge_vif(1))]["master"] == "br100"
    assert tap_of(bridge_vif(0)) not in links
    second.close()


def test_a_held_lock_ends_the_wait_at_the_deadline_and_names_its_holder(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    folder = folder_of_locks()
    until, vif = time.monotonic() + 60, bridge_vif()
    before = namespace.everything()
    with vifplug_locks.held(folder, vifplug_locks.names(vif.id), vif_id=vif.id, deadline=until):
        start = time.monotonic()
        with pytest.raises(DeadlineExceeded, match=f"held by process {os.getpid()}") as error:
            driver.plug(None, vif, timeout=0.5)
        assert time.monotonic() - start < HANGS
        assert error.value.outcome == "failed"
    assert differences(before, namespace.everything()) == []
    assert driver.plug(None, vif).changed


def test_a_killed_holder_frees_its_lock(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    folder, vif = folder_of_locks(), bridge_vif()
    taken = multiprocessing.Event()

    def hold() -> None:
        names, until = vifplug_locks.names(vif.id, ["br100"]), time.monotonic() + 60
        with vifplug_locks.held(folder, names, vif_id=vif.id, deadline=until):
            taken.set()
            time.sleep(60)

    holder = multiprocessing.Process(target=hold)
    holder.start()
    assert taken.wait(10)
    assert holder.pid
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    assert driver.plug(None, vif, timeout=5).changed


def test_a_daemon_killed_while_idle_is_started_again(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    driver.plug(None, bridge_vif(0))
    os.kill(daemon_pid(), signal.SIGKILL)
    time.sleep(0.1)
    assert driver.plug(None, bridge_vif(1)).changed


def test_a_caller_killed_in_mid_step_leaves_a_whole_plug_and_no_daemon(
    namespace: NetworkNamespace, conf: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf.config(group="vifplug_bridge", create_tap=True)
    perform, begun = means.perform, multiprocessing.Event()

    def slowly(operation: Operation, kernel: Kernel) -> None:
        perform(operation, kernel)
        begun.set()
        time.sleep(0.1)

    monkeypatch.setattr(means, "perform", slowly)
    caller = multiprocessing.Process(target=lambda: GenericVIFDriver().plug(None, bridge_vif()))
    caller.start()
    assert begun.wait(10)
    assert caller.pid
    daemon = int(Path(f"/proc/{caller.pid}/task/{caller.pid}/children").read_text())
    os.kill(caller.pid, signal.SIGKILL)
    caller.join()
    until = time.monotonic() + 10
    while Path(f"/proc/{daemon}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(f"/proc/{daemon}").exists()
    assert not GenericVIFDriver().check(None, bridge_vif())


HELPER = f"{Path(sys.executable).with_name('privsep-helper')} --config-file {{}}"


@pytest.fixture
def helped(namespace: NetworkNamespace, conf: Config, tmp_path: Path) -> Iterator[GenericVIFDriver]:
    """A driver whose daemon a configured helper starts: no child of the test's, as with sudo."""
    privileged.context.stop()
    helper = HELPER.format(tmp_path / "vifplug.conf")
    conf.config(group="vifplug_bridge_privileged", helper_command=helper)
    found = GenericVIFDriver()
    yield found
    found.close()


def helped_daemons(tmp_path: Path) -> list[int]:
    """Return the process ids of the daemons that were started with the test's configuration."""
    done = subprocess.run(
        ["pgrep", "-f", f"privsep-helper.*{tmp_path}"], capture_output=True, text=True, check=False
    )
    return [int(line) for line in done.stdout.split()]


def wait_for(lock: Path, processes: list[int]) -> bool:
    """Whether one of some processes has a lock's file open, whose lock another process holds."""
    for pid in processes:
        with contextlib.suppress(OSError):  # it has just ended
            if lock in [path.readlink() for path in Path(f"/proc/{pid}/fd").iterdir()]:
                return True
    return False


def test_a_helpers_daemon_killed_while_idle_or_hung_is_an_error_in_time_and_replaced(
    helped: GenericVIFDriver, namespace: NetworkNamespace, tmp_path: Path
) -> None:
    assert helped.plug(None, bridge_vif(0)).changed
    (idle,) = helped_daemons(tmp_path)
    os.kill(idle, signal.SIGKILL)
    time.sleep(0.1)
    assert helped.plug(None, bridge_vif(1)).changed
    before, claims = namespace.everything(), every_claim()
    (hung,) = helped_daemons(tmp_path)
    os.kill(hung, signal.SIGSTOP)
    with pytest.raises(DeadlineExceeded) as error:
        helped.plug(None, bridge_vif(2), timeout=0.3)
    assert error.value.outcome == "unknown"
    os.kill(hung, signal.SIGCONT)
    assert lasting(before, namespace.everything) == lasting(claims, every_claim) == []
    os.kill(hung, signal.SIGSTOP)
    kill_when_asked(privileged.context, hung)
    with pytest.raises(PrivilegeError, match="it has ended"):
        helped.plug(None, bridge_vif(2), timeout=300)
    assert helped.plug(None, bridge_vif(2)).changed


def test_a_helpers_daemon_finishes_what_its_killed_caller_began_and_ends(
    helped: GenericVIFDriver, tmp_path: Path
) -> None:
    folder, vif = folder_of_locks(), bridge_vif()
    caller = multiprocessing.Process(target=lambda: helped.plug(None, vif))
    until = time.monotonic() + 60
    # The call stands in its middle: it waits for a lock.
    with vifplug_locks.held(folder, vifplug_locks.names(vif.id), vif_id=vif.id, deadline=until):
        caller.start()
        lock = folder / f"{vifplug_locks.names(vif.id)[0]}.lock"
        while not wait_for(lock, helped_daemons(tmp_path)) and time.monotonic() < until:
            time.sleep(0.02)
        assert caller.pid
        os.kill(caller.pid, signal.SIGKILL)
        caller.join()
    end = time.monotonic() + 10
    while helped_daemons(tmp_path) and time.monotonic() < end:
        time.sleep(0.05)
    assert helped_daemons(tmp_path) == []
    assert not helped.check(None, vif)


def test_ctrl_c_ends_the_caller_and_not_the_daemon_in_mid_step(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    driver.plug(None, bridge_vif(0))
    pid = daemon_pid()
    os.kill(pid, signal.SIGINT)
    time.sleep(0.1)
    assert driver.plug(None, bridge_vif(1)).changed
    assert daemon_pid() == pid


def test_a_hung_daemon_gives_an_error_at_the_deadline_and_undoes_when_it_goes_on(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    driver.plug(None, bridge_vif(0))
    before, claims = namespace.everything(), every_claim()
    pid = daemon_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(DeadlineExceeded) as error:
            driver.plug(None, bridge_vif(1), timeout=0.3)
        assert error.value.outcome == "unknown"
    finally:
        os.kill(pid, signal.SIGCONT)
    assert lasting(before, namespace.everything) == lasting(claims, every_claim) == []
    assert driver.plug(None, bridge_vif(1)).changed


@pytest.mark.parametrize(
    ("helper", "words", "timeout"),
    [
        ("/bin/false", "ended with status 1", HANGS),
        ("/bin/true", "ended with status 0 and started no daemon", HANGS),
        ("/nonexistent/helper", "No such file or directory", HANGS),
        ("sh -c 'echo a password is required >&2; exit 1' --", "a password is required", HANGS),
        (
            "sh -c 'printf \"Traceback (most\\n  File x\\nE: y\\n\" >&2; exit 1' --",
            "no daemon: E: y$",
            HANGS,
        ),
    ],
)
def test_a_daemon_that_cannot_start_is_a_clear_error_within_the_deadline(
    helper: str,
    words: str,
    timeout: float,
    namespace: NetworkNamespace,
    conf: Config,
    driver: GenericVIFDriver,
) -> None:
    privileged.context.stop()
    conf.config(group="vifplug_bridge_privileged", helper_command=helper)
    start = time.monotonic()
    with pytest.raises(PrivilegeError) as error:
        driver.plug(None, bridge_vif(), timeout=timeout)
    assert re.search(words, error.value.why)
    assert "helper_command" in error.value.mend
    assert time.monotonic() - start < HANGS
    assert driver.list() == []
    conf.config(group="vifplug_bridge_privileged", helper_command=None)
    assert driver.plug(None, bridge_vif()).changed


def test_a_plug_in_another_namespace_goes_to_a_daemon_there(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    driver.plug(None, bridge_vif(0))
    with NetworkNamespace(enter=True) as other:
        assert driver.plug(None, bridge_vif(0)).changed
        assert "br100" in other.everything()["links"]
    assert not driver.check(None, bridge_vif(0))


def test_a_lock_folder_that_cannot_be_made_is_a_clear_error(
    namespace: NetworkNamespace, conf: Config, tmp_path: Path
) -> None:
    privileged.context.stop()
    (tmp_path / "a-file").write_text("")
    conf.config(group="vifplug", lock_path=str(tmp_path / "a-file" / "locks"))
    driver = GenericVIFDriver()
    privileged.context.start(Method.FORK)
    with pytest.raises(PrivilegeError, match="lock_path"):
        driver.plug(None, bridge_vif())
    driver.close()
