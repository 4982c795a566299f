# SPDX-License-Identifier: Apache-2.0
"""A daemon whose caller is hostile, and callers whose daemon is: neither hurts anybody else."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import multiprocessing
import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest
from oslo_config import cfg
from oslo_config.fixture import Config

from tests.bridge.vifs import bridge_vif
from tests.processes import HANGS, kill_when_asked
from tests.users import NOBODY
from vifplug import DeadlineExceeded, GenericVIFDriver, PluginFailed, PrivilegeError
from vifplug.daemon.folder import socket_path
from vifplug.daemon.locks import names
from vifplug.kernel import namespace as namespaces
from vifplug.testing import NetworkNamespace
from vifplug.testing.configured import fork
from vifplug_bridge import privileged
from vifplug_bridge.plugin import BridgePlugin


def ask(name: str, *arguments: Any) -> Any:
    """Call a daemon as only a hostile caller does."""
    channel = privileged.context.channel
    assert channel
    return channel.remote_call(name, arguments, {}, HANGS)


def ended(pid: int) -> bool:
    """Wait for a child's end; whether it came."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                time.sleep(0.01)
                continue
        return True
    return False


MODULE = "vifplug_hostile"
NAMES = (f"{MODULE}.x", f"{MODULE}.plug", "os.system", "vifplug_ovs.privileged.plug",
         "vifplug_bridge.privileged.context.stop", "vifplug_bridge.privileged.plug.func",
         "vifplug_bridge.privileged.list_opts", "antigravity.x", "",
         f"{MODULE}." + "x" * 4000)  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name)[:40])
def test_a_caller_calls_plug_and_unplug_and_has_nothing_imported(
    name: str,
    namespace: NetworkNamespace,
    conf: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / f"{MODULE}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    fork(BridgePlugin)
    with pytest.raises(NameError, match=r"allowed: vifplug_bridge\.privileged\.plug, ") as error:
        ask(name, "true")
    assert len(str(error.value)) < 300
    assert not (tmp_path / "imported").exists()
    assert GenericVIFDriver().plug(None, bridge_vif()).changed, "the daemon goes on"
    privileged.context.stop()


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_a_call_that_ends_its_thread_does_not_deafen_the_daemon(
    error: BaseException,
    namespace: NetworkNamespace,
    conf: Config,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    conf.config(group="vifplug_bridge_privileged", thread_pool_size=2)

    def dies(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(privileged.privileged, "plug", dies)
    fork(BridgePlugin)
    pid = privileged.context.channel.pid  # type: ignore[union-attr]
    driver = GenericVIFDriver()
    for _ in range(4):
        with pytest.raises(PluginFailed, match=type(error).__name__):
            driver.plug(None, bridge_vif(), timeout=60)
    assert not driver.unplug(None, bridge_vif(), timeout=60).changed
    assert privileged.context.channel.pid == pid  # type: ignore[union-attr]
    driver.close()


def test_a_forked_daemon_keeps_no_pipe_and_no_lock_of_its_caller(
    namespace: NetworkNamespace, conf: Config, tmp_path: Path
) -> None:
    read, write = os.pipe()
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    fork(BridgePlugin)
    os.close(write)
    os.close(held)
    ready, _, _ = select.select([read], [], [], 60)
    assert ready and os.read(read, 1) == b""
    os.close(read)
    again = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(again)
    privileged.context.stop()


FRAMES = {
    "no message": b"\xc1",
    "no pair": msgpack.packb(7),
    "three": msgpack.packb([1, 2, 3]),
}


@pytest.mark.parametrize("frame", FRAMES)
def test_what_is_no_request_ends_the_daemon_with_a_word(
    frame: str,
    namespace: NetworkNamespace,
    conf: Config,
    driver: GenericVIFDriver,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    driver.plug(None, bridge_vif())
    channel = privileged.context.channel
    assert channel
    pid = channel.pid  # type: ignore[attr-defined]
    with caplog.at_level(logging.WARNING), contextlib.suppress(OSError):
        channel.writer.writesock.sendall(FRAMES[frame])
    assert ended(pid)
    channel.reader_thread.join(60)
    assert "daemon ends" in caplog.text
    assert "Traceback" not in "".join(capfd.readouterr())
    assert driver.unplug(None, bridge_vif()).changed, "another daemon"


def test_a_killed_daemon_is_noticed_at_once_and_quietly(
    namespace: NetworkNamespace,
    conf: Config,
    driver: GenericVIFDriver,
    capfd: pytest.CaptureFixture[str],
) -> None:
    driver.plug(None, bridge_vif(0))
    for _ in range(3):
        pid = privileged.context.channel.pid  # type: ignore[union-attr]
        os.kill(pid, signal.SIGSTOP)
        kill_when_asked(privileged.context, pid)
        start = time.monotonic()
        with pytest.raises(PrivilegeError, match="it has ended"):
            driver.plug(None, bridge_vif(1), timeout=300)
        assert time.monotonic() - start < HANGS
        driver.plug(None, bridge_vif(0), timeout=300)
        driver.unplug(None, bridge_vif(0), timeout=300)
    assert "Traceback" not in "".join(capfd.readouterr())


def waiting(said: multiprocessing.connection.Connection) -> None:
    """Wait for a helper, as a start does."""
    with socket_path() as path:
        Path(path).touch()
        said.send(path)
        time.sleep(600)


def test_a_socket_that_a_killed_caller_left_goes_with_the_next_start() -> None:
    paths, processes = [], []
    for _ in range(2):
        here, there = multiprocessing.Pipe()
        processes.append(multiprocessing.Process(target=waiting, args=(there,)))
        processes[-1].start()
        assert here.poll(60)
        paths.append(Path(here.recv()))
    try:
        processes[0].kill()
        processes[0].join()
        assert [path.exists() for path in paths] == [True, True]
        with socket_path() as path:
            assert Path(path).parent.stat().st_mode & 0o777 == 0o700
            assert [each.parent.exists() for each in paths] == [False, True]
        assert not Path(path).parent.exists()
    finally:
        for process in processes:
            process.kill()
            process.join()
    with socket_path():
        assert not paths[1].parent.exists()


def test_a_start_that_runs_out_of_time_is_a_deadline(
    namespace: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    privileged.context.stop()
    helper = "sh -c 'printf \"Traceback (most\\n  File x\\nE: y\\n\" >&2; exec sleep 600' --"
    conf.config(group="vifplug_bridge_privileged", helper_command=helper)
    with pytest.raises(DeadlineExceeded) as error:
        driver.plug(None, bridge_vif(), timeout=6)
    assert error.value.outcome == "failed"
    assert str(error.value).endswith(
        "the start of the privileged daemon (sh: started no daemon in time: E: y): failed, undone"
    )
    assert driver.list() == []


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


SPOILT: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "all may write": (lambda locks, _: locks.chmod(0o777), "other users may write there"),
    "as /tmp": (lambda locks, _: locks.chmod(0o1777), "other users may write there"),
    "a group may": (lambda locks, _: locks.chmod(0o731), "other users may write there"),
    "a user's": (lambda locks, _: os.chown(locks, NOBODY, 0), "it belongs to user 65534, not 0"),
    "a link": (lambda locks, _: _link(locks), "it is not a folder"),
    "the namespace's: all may": (lambda _, own: own.chmod(0o777), "other users may write there"),
    "the namespace's: a user's": (
        lambda _, own: os.chown(own, NOBODY, 0), "it belongs to user 65534, not 0",
    ),
    "the namespace's: a link": (lambda _, own: _link(own), "it is not a folder"),
    "a lock that is a link": (
        lambda _, own: lock_in(own).symlink_to("/etc/hostname"),
        "Too many levels of symbolic links",
    ),
    "a lock that is a pipe": (lambda _, own: os.mkfifo(lock_in(own)), "it is not a file"),
    "a lock that is a folder": (lambda _, own: lock_in(own).mkdir(), "Is a directory"),
}  # fmt: skip


def lock_in(folder: Path) -> Path:
    """Return the file of the lock of a test's second VIF."""
    return folder / f"{names(bridge_vif(1).id)[0]}.lock"


@pytest.mark.parametrize("way", SPOILT)
def test_locks_that_another_user_could_turn_elsewhere_are_refused(
    way: str, namespace: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    driver.plug(None, bridge_vif(0))
    locks = Path(cfg.CONF.vifplug.lock_path)
    own = namespaces.folder(str(locks))
    before = namespace.everything(), sorted(locks.rglob("*"))
    spoil, why = SPOILT[way]
    spoil(locks, own)
    with pytest.raises(PrivilegeError) as error:
        driver.plug(None, bridge_vif(1))
    assert error.value.why == why
    assert "lock_path" in error.value.mend and "\n" not in str(error.value)
    assert namespace.everything() == before[0]
