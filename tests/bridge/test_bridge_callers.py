# SPDX-License-Identifier: Apache-2.0
"""Several callers at once, and daemons that are not there: one host, whole in the end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from oslo_config import cfg
from oslo_config.fixture import Config

from tests.bridge.dumps import differences
from tests.bridge.test_bridge_kernel import IDS, bridge_vif, tap_of
from vifplug import DeadlineExceeded, GenericVIFDriver, PrivilegeError, VifplugError
from vifplug import locks as vifplug_locks
from vifplug.netlink import Netlink
from vifplug.operations import Operation
from vifplug.testing import NetworkNamespace
from vifplug_bridge import privileged

Work = Callable[[GenericVIFDriver], object]


def in_processes(count: int, work: Work) -> list[str]:
    """Do the work in processes of their own, all started at once; return what each says."""
    gate, said = multiprocessing.Barrier(count), multiprocessing.Queue()

    def one() -> None:
        driver = GenericVIFDriver()
        gate.wait()
        try:
            said.put(str(work(driver)))
        except VifplugError as error:
            said.put(f"{type(error).__name__}: {error}")
        driver.close()

    running = [multiprocessing.Process(target=one) for _ in range(count)]
    for process in running:
        process.start()
    found = [said.get(timeout=60) for _ in running]
    for process in running:
        process.join(timeout=10)
        assert process.exitcode == 0
    return found


@pytest.mark.parametrize("create_tap", [False, True])
def test_eight_processes_plug_one_vif_with_eight_successes(
    create_tap: bool, namespace: NetworkNamespace, conf: Config
) -> None:
    conf.config(group="vifplug_bridge", create_tap=create_tap)
    found = in_processes(8, lambda driver: driver.plug(None, bridge_vif()).changed)
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


def test_plug_against_unplug_ends_as_one_of_the_two(
    namespace: NetworkNamespace, conf: Config
) -> None:
    conf.config(group="vifplug_bridge", create_tap=True, remove_unused=True)
    vif, driver = bridge_vif(), GenericVIFDriver()
    for _ in range(3):
        found = in_processes(
            4, lambda d: (d.plug if os.getpid() % 2 else d.unplug)(None, vif).changed
        )
        assert set(found) <= {"True", "False"}
        links = set(namespace.everything()["links"])
        assert links in ({"lo"}, {"lo", "br100", tap_of(vif)})
        driver.unplug(None, vif)
    driver.close()


def test_a_held_lock_ends_the_wait_at_the_deadline_and_names_its_holder(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    folder = vifplug_locks.folder(cfg.CONF.vifplug.lock_path)
    until, vif = time.monotonic() + 60, bridge_vif()
    before = namespace.everything()
    with vifplug_locks.held(folder, vifplug_locks.names(vif.id), vif_id=vif.id, deadline=until):
        start = time.monotonic()
        with pytest.raises(DeadlineExceeded, match=f"held by process {os.getpid()}") as error:
            driver.plug(None, vif, timeout=0.5)
        assert time.monotonic() - start < 2
        assert error.value.outcome == "failed"
    assert differences(before, namespace.everything()) == []
    assert driver.plug(None, vif).changed


def test_a_killed_holder_frees_its_lock(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    folder, vif = vifplug_locks.folder(cfg.CONF.vifplug.lock_path), bridge_vif()
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
    (pid,) = Path("/proc/thread-self/children").read_text().split()
    os.kill(int(pid), signal.SIGKILL)
    time.sleep(0.1)
    assert driver.plug(None, bridge_vif(1)).changed


def test_a_caller_killed_in_mid_step_leaves_a_whole_plug_and_no_daemon(
    namespace: NetworkNamespace, conf: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf.config(group="vifplug_bridge", create_tap=True)
    perform, begun = Netlink.perform, multiprocessing.Event()

    def slowly(netlink: Netlink, operation: Operation) -> None:
        perform(netlink, operation)
        begun.set()
        time.sleep(0.1)

    monkeypatch.setattr(Netlink, "perform", slowly)
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


def test_ctrl_c_ends_the_caller_and_not_the_daemon_in_mid_step(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    driver.plug(None, bridge_vif(0))
    (pid,) = map(int, Path("/proc/thread-self/children").read_text().split())
    os.kill(pid, signal.SIGINT)
    time.sleep(0.1)
    assert driver.plug(None, bridge_vif(1)).changed
    assert Path("/proc/thread-self/children").read_text().split() == [str(pid)]


def test_a_hung_daemon_gives_an_error_at_the_deadline_and_undoes_when_it_goes_on(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    driver.plug(None, bridge_vif(0))
    before = namespace.everything()
    (pid,) = map(int, Path("/proc/thread-self/children").read_text().split())
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(DeadlineExceeded) as error:
            driver.plug(None, bridge_vif(1), timeout=0.3)
        assert error.value.outcome == "unknown"
    finally:
        os.kill(pid, signal.SIGCONT)
    time.sleep(0.3)
    assert differences(before, namespace.everything()) == []
    assert driver.plug(None, bridge_vif(1)).changed


# oslo.privsep leaves the pipe to a helper that failed open.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_daemon_that_cannot_start_is_a_clear_error(
    namespace: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    privileged.context.stop()
    conf.config(group="vifplug_bridge_privileged", helper_command="/bin/false")
    with pytest.raises(PrivilegeError, match="helper_command"):
        driver.plug(None, bridge_vif())
    assert driver.list() == []


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
    (tmp_path / "a-file").write_text("")
    conf.config(group="vifplug", lock_path=str(tmp_path / "a-file" / "locks"))
    driver = GenericVIFDriver()
    with pytest.raises(PrivilegeError, match="lock_path"):
        driver.plug(None, bridge_vif())
    driver.close()
