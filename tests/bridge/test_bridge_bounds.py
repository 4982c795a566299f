# SPDX-License-Identifier: Apache-2.0
"""What a caller may ask of a daemon is bounded: bytes, VIFs, parts, time. Nothing else changes."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from pathlib import Path
from typing import Any

import msgpack
import pytest
from oslo_config.fixture import Config

from tests.bridge.requests import BRIDGE, CLAIM, PLUG, daemon_pid, errors, request, vif
from tests.bridge.vifs import IDS, bridge_vif
from tests.daemons import Usage, ask, ended, require_flat, require_short, status
from tests.malformed import fail_alone
from vifplug import GenericVIFDriver, PrivilegeError, VifplugError
from vifplug.apply.outcome import undo
from vifplug.daemon.request import LARGEST, MOST_PARTS, MOST_VIFS
from vifplug.kernel.claims import ClaimsFolder
from vifplug.kernel.netlink import Netlink
from vifplug.kernel.perform import Kernel, perform
from vifplug.operations.altnames import RemoveAltname
from vifplug.operations.claims import RemoveClaim
from vifplug.operations.links import SetLink
from vifplug.operations.operation import Operation
from vifplug.testing import NetworkNamespace
from vifplug.testing.claims import every_claim
from vifplug.testing.configured import fork
from vifplug.testing.dumps import differences
from vifplug_bridge import privileged
from vifplug_bridge.plugin import BridgePlugin

# A daemon that ends with bytes unread resets its caller's connection.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

# Bytes: before anything is unpacked.


def packed(argument: bytes, *, name: str = PLUG) -> bytes:
    """Return a call as it is sent, with one argument that is packed already."""
    head = b"\x92" + msgpack.packb("a number") + b"\x94" + msgpack.packb(3)
    return head + msgpack.packb(name) + b"\x91" + argument + b"\x80"


def a_list(count: int, item: bytes) -> bytes:
    """Return a packed list of equal items."""
    return b"\xdd" + count.to_bytes(4) + item * count


TOO_MUCH = {
    "40 MiB of nils": packed(a_list(40 << 20, b"\xc0")),
    "a list that is only announced": packed(b"\xdd\x06\x00\x00\x00"),
    "an object that is only announced": packed(b"\xdf\x06\x00\x00\x00"),
    "a text of 20 MB": packed(b"\xdb" + (20_000_000).to_bytes(4) + b"a" * 20_000_000),
    "many texts": packed(a_list(4096, a_list(4096, b"\xa1a"))),
    "empty objects": packed(a_list(64, a_list(4096, b"\x80"))),
    "a list in a list in a list": b"\x91" * 100_000,
    "an object as a name": packed(b"\x81\x80\xc0"),
}
NO_CALL = {
    "no message": b"\xc1" * 8,
    "a number": b"\x07",
    "a triple": b"\x93\xa1a\xa1b\xa1c",
    "a call without a number": b"\x92\xc0\x91\x01",
    "a number of 1,000 letters": b"\x92" + msgpack.packb("a" * 1000) + b"\x91\x01",
}


def test_bytes_that_are_no_call_end_only_the_daemon_that_got_them(
    namespace: NetworkNamespace, driver: GenericVIFDriver, caplog: pytest.LogCaptureFixture
) -> None:
    driver.plug(None, bridge_vif(0))
    before = namespace.everything()
    for words, sent in {**TOO_MUCH, **NO_CALL}.items():
        caplog.clear()
        channel = privileged.context.ready(time.monotonic() + 10)
        pid = daemon_pid()
        channel.writer.writesock.settimeout(30)
        with contextlib.suppress(OSError):
            channel.writer.writesock.sendall(sent)
        assert ended(pid), words
        channel.reader_thread.join(15)
        (line,) = [line for line in caplog.messages if "refused" in line]
        require_short(line)
        fork(BridgePlugin)
        assert daemon_pid() != pid
    assert differences(before, namespace.everything()) == []
    assert driver.plug(None, bridge_vif(1)).changed


def test_a_helpers_daemon_has_the_same_bounds(
    namespace: NetworkNamespace,
    conf: Config,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    privileged.context.stop()
    helper = f"{Path(sys.executable).with_name('privsep-helper')}"
    command = f"{helper} --config-file {tmp_path / 'vifplug.conf'}"
    conf.config(group="vifplug_bridge_privileged", helper_command=command)
    driver = GenericVIFDriver()
    try:
        channel = privileged.context.ready(time.monotonic() + 60)
        with pytest.raises(PrivilegeError, match="takes no options"):
            channel.remote_call(PLUG, ({},), {"remove_unused": True}, 30)
        channel.writer.writesock.settimeout(30)
        with contextlib.suppress(OSError):
            channel.writer.writesock.sendall(TOO_MUCH["40 MiB of nils"])
        channel.reader_thread.join(30)
        assert not channel.reader_thread.is_alive()
        assert any("the daemon ends: " in line for line in caplog.messages)
        assert driver.plug(None, bridge_vif(), timeout=60).changed
    finally:
        driver.close()


@pytest.mark.parametrize("item", [b"\xc0", b"\xa2ab", b"\xcb" + b"\x01" * 8, b"\xa1\xff"])
def test_the_largest_call_takes_little_memory(
    item: bytes, namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    driver.plug(None, bridge_vif(0))
    channel, pid = privileged.context.channel, daemon_pid()
    assert channel is not None
    before = Usage.of(pid)
    row = a_list(4096, item)
    call = packed(a_list((LARGEST - 200) // len(row), row))
    assert LARGEST * 0.9 < len(call) < LARGEST
    channel.writer.writesock.settimeout(30)
    channel.writer.writesock.sendall(call)
    # Each call waits for its turn, so this one is answered after the other.
    for number in (1, 2, 1):
        driver.plug(None, bridge_vif(number))
    assert daemon_pid() == pid
    grown = int(status(pid)["VmHWM"].split()[0]) - before.memory
    assert grown < 200 << 10, f"{grown} KiB"


CALLS: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...] = (
    ((), {}),
    (({}, {}), {}),
    (({},), {"remove_unused": True}),
    (({},), {"kinds": ["tap"], "x" * 4000: 1}),
    (((),), {}),
    ((None,), {}),
    ((b"x",), {}),
    (("x" * 4000,), {}),
    (([["namespace", 1]],), {}),
)


def test_an_entry_point_takes_one_request_and_nothing_else(
    namespace: NetworkNamespace, driver: GenericVIFDriver, caplog: pytest.LogCaptureFixture
) -> None:
    channel = privileged.context.ready(time.monotonic() + 10)
    pid = daemon_pid()
    for arguments, options in CALLS:
        for name in ("plug", "unplug"):
            caplog.clear()
            with pytest.raises(PrivilegeError, match="refused: ") as error:
                channel.remote_call(f"{privileged.__name__}.{name}", arguments, options, 10)
            require_short(str(error.value))
            assert len([line for line in caplog.messages if "refused" in line]) == 1
    assert daemon_pid() == pid
    assert driver.plug(None, bridge_vif(0)).changed


# Numbers: of VIFs, of parts.


def test_a_request_has_a_bounded_number_of_vifs(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    too_many = [{} for _ in range(MOST_VIFS + 1)]
    with pytest.raises(PrivilegeError, match=f"vifs is .* at most {MOST_VIFS}"):
        privileged.unplug(request(*too_many))
    replies = ask(privileged.unplug, request(*too_many[1:]))
    assert errors(replies) == ["UnplugFailed"] * MOST_VIFS


def test_a_caller_with_more_vifs_than_one_request_has_sends_several(
    namespace: NetworkNamespace, driver: GenericVIFDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The caller's own number; the daemon is a fork from before.
    monkeypatch.setattr("vifplug.daemon.request.MOST_VIFS", 2)
    pairs = [(None, bridge_vif(number)) for number in range(3)]
    assert [getattr(each, "changed", each) for each in driver.plug_all(pairs)] == [True] * 3
    assert [getattr(each, "changed", each) for each in driver.unplug_all(pairs)] == [True] * 3
    late = driver.plug_all(pairs, timeout=0.0001)
    assert {type(each).__name__ for each in late} == {"DeadlineExceeded"}
    assert [each.vif_id for each in late] == list(IDS)  # type: ignore[union-attr]
    assert driver.list() == []


def test_a_vif_that_a_caller_names_twice_is_plugged_once(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    first, second = driver.plug_all([(None, bridge_vif()), (None, bridge_vif())])
    assert not isinstance(first, VifplugError)
    assert not isinstance(second, VifplugError)
    assert (first.changed, second.changed) == (True, False)


def test_a_vif_has_a_bounded_number_of_parts_and_so_of_claims(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    for number in range(MOST_PARTS + 1):
        namespace.ip("link", "add", f"br{number}", "type", "bridge")
    claims = [{"kind": "claim", "on": f"br{number}"} for number in range(MOST_PARTS + 1)]
    replies = ask(privileged.plug, request(vif(0, *claims), vif(1)))
    assert errors(replies) == ["PlugFailed", ""]
    assert f"allowed: a list of at most {MOST_PARTS}" in replies[0]["error"]["text"]
    assert IDS[0] not in str(every_claim())
    assert IDS[1] in str(every_claim())


def test_a_vif_has_a_bounded_number_of_claims_on_one_device(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    namespace.ip("link", "add", "br100", "type", "bridge")
    claim = CLAIM | {"role": "vlan"}
    for number in range(MOST_PARTS + 1):
        process = "".join(chr(ord("a") + int(digit)) for digit in f"{number:04}")
        replies = ask(privileged.plug, request(vif(0, claim, process=process)))
        if errors(replies) != [""]:
            break
    assert "it holds 64 claims" in replies[0]["error"]["text"]
    assert driver.plug(None, bridge_vif(1)).changed
    assert driver.unplug_ids([IDS[0]])[0].changed  # type: ignore[union-attr]


# Shape: one bad VIF of a request fails alone.


def test_a_malformed_vif_fails_alone(
    namespace: NetworkNamespace, driver: GenericVIFDriver, caplog: pytest.LogCaptureFixture
) -> None:
    before = namespace.everything()
    privileged.context.ready(time.monotonic() + 10)
    fail_alone(privileged, daemon_pid(), caplog)
    assert differences(before, namespace.everything()) == []
    assert every_claim() == {}


OPTIONS: tuple[dict[Any, Any], ...] = (
    {"remove_unused": True},
    {"kinds": ["tap"]},
    {"lock_path": "/tmp"},
    {"\x1b[31m": 1},
    {"x" * 4000: 1},
    {7: 8},
)


def test_a_request_sets_no_option(namespace: NetworkNamespace, driver: GenericVIFDriver) -> None:
    driver.plug(None, bridge_vif())
    before = namespace.everything()
    for more in OPTIONS:
        for entrypoint in (privileged.plug, privileged.unplug):
            with pytest.raises(PrivilegeError, match="no such field") as error:
                entrypoint({**request({"vif_id": IDS[0]}), **more})
            require_short(str(error.value))
        (reply,) = ask(privileged.unplug, request({"vif_id": IDS[0], **more}))
        assert "no such field" in reply["error"]["text"]
    assert differences(before, namespace.everything()) == []


def test_a_daemon_removes_what_is_unused_by_its_own_configuration(
    namespace: NetworkNamespace, driver: GenericVIFDriver, conf: Config
) -> None:
    driver.plug(None, bridge_vif())
    conf.config(group="vifplug_bridge", remove_unused=True)  # the caller's, since the fork
    assert driver.unplug(None, bridge_vif()).changed
    assert "br100" in namespace.everything()["links"]
    fork(BridgePlugin)
    driver.plug(None, bridge_vif())
    conf.config(group="vifplug_bridge", remove_unused=False)
    assert driver.unplug(None, bridge_vif()).changed
    assert "br100" not in namespace.everything()["links"]


VLAN_DEVICE = {"kind": "vlan", "name": "vlan5", "lower": "up0", "vlan": 5}
UNUSED: tuple[list[Any], ...] = (
    [BRIDGE],
    [BRIDGE, CLAIM | {"on": "br101"}],
    [BRIDGE, {"kind": "guest", "device": "tapX", "bridge": "br100"}],
    [BRIDGE, CLAIM, {"kind": "uplink", "device": "up0", "bridge": "br101"}],
    [VLAN_DEVICE],
    [VLAN_DEVICE, CLAIM | {"on": "up0"}],
)


def test_a_shared_device_that_no_unplug_would_find_is_refused(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    namespace.ip("link", "add", "up0", "type", "veth", "peer", "name", "far")
    before = namespace.everything()
    for parts in UNUSED:
        bad, good = ask(privileged.plug, request(vif(0, *parts), vif(1)))
        assert "has no claim or port of this VIF" in bad["error"]["text"]
        assert bad["error"]["args"][0] == IDS[0]
        assert "error" not in good
    driver.unplug_ids(IDS)
    namespace.ip("link", "del", "br100")
    assert differences(before, namespace.everything()) == []


def test_a_daemon_that_can_open_no_more_files_says_so(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    driver.plug(None, bridge_vif(0))
    pid = daemon_pid()
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (1, usual[1]))
    replies = ask(privileged.plug, request(vif(1), {}, vif(2)))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
    assert errors(replies) == ["PlugFailed"] * 3
    assert "Too many open files" in replies[2]["error"]["text"]
    assert driver.plug(None, bridge_vif(1)).changed
    assert daemon_pid() == pid


def test_what_never_was_is_not_left(namespace: NetworkNamespace, conf: Config) -> None:
    namespace.ip("link", "add", "br0", "type", "bridge")
    claim = f"vifplug:{IDS[0]}::uses.bridge:bridge"
    gone: list[Operation] = [
        SetLink(device="zz2", attribute="master", value="br0"),
        SetLink(device="zz2", attribute="mtu", value=1400, before=1500),
        SetLink(device="zz2", attribute="arp_ignore", value=1, before=0),
        RemoveAltname(device="zz2", altname="vifplug:shared::bridge:zz2"),
        RemoveClaim(device="zz2", claim=claim),
    ]
    with Netlink() as netlink:
        kernel = Kernel(netlink, ClaimsFolder(conf.conf.vifplug.lock_path))
        assert undo(gone, lambda operation: perform(operation, kernel)) == []
        # What is there is left, if its former bridge is gone.
        moved = [SetLink(device="br0", attribute="master", value=None, before="zz3")]
        (left,) = undo(moved, lambda operation: perform(operation, kernel))
    assert left.startswith("set br0 master zz3: ")


def test_a_daemon_that_refuses_thousands_stays_as_it_was(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    for _ in range(3):
        ask(privileged.plug, request(*[vif(0, {"kind": "x"})] * MOST_VIFS))
    pid, before = daemon_pid(), Usage.of(daemon_pid())
    for _ in range(5):
        replies = ask(privileged.plug, request(*[vif(0, {"kind": "x"})] * MOST_VIFS))
        assert errors(replies) == ["PlugFailed"] * MOST_VIFS
    require_flat(pid, before)
