# SPDX-License-Identifier: Apache-2.0
"""Endpoints that are none, where nobody listens, that refuse, or where something else answers."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vifplug import Host, OVSDBError
from vifplug.testing import OpenVSwitch
from vifplug.testing.openvswitch import SERVER
from vifplug_ovs.opts import OPTS
from vifplug_ovs.ovsdb import pool as kept
from vifplug_ovs.ovsdb.connection import Connection
from vifplug_ovs.ovsdb.endpoint import Endpoint
from vifplug_ovs.reader import read

OPTIONS = {opt.dest: opt.default for opt in OPTS}


def said(endpoint: str, *, seconds: float = 2) -> str:
    """Return why a look at an endpoint found nothing."""
    ovs = read(OPTIONS | {"ovsdb_connection": endpoint}, None, Host(),
                deadline=time.monotonic() + seconds)  # fmt: skip
    assert ovs.endpoint == endpoint
    return ovs.error or ""


@contextlib.contextmanager
def answering(path: Path, answer: bytes) -> Iterator[str]:
    """Listen at a path, and answer whatever is asked with the same bytes."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(answer)
                    if answer:  # and stays until the other side has gone
                        connection.recv(4096)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"unix:{path}"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.unit
@pytest.mark.parametrize(
    "text",
    ["", "garbage", "unix:", "unix:relative", "tcp:", "tcp:host", "tcp:host:0", "tcp:host:99999",
     "tcp:::1:6640", "ssl:[::1]:x", "http://host:1", "unix:/" + "x" * 108, "tcp:a b:1"],
)  # fmt: skip
def test_what_is_no_endpoint(text: str) -> None:
    with pytest.raises(ValueError, match=r"allowed: unix:PATH, tcp:HOST:PORT or ssl:HOST:PORT"):
        Endpoint.parse(text)
    assert "allowed: unix:PATH" in said(text)


@pytest.mark.unit
@pytest.mark.parametrize("text", ["unix:/run/x.sock", "tcp:127.0.0.1:6640", "tcp:[::1]:6640"])
def test_what_is_one(text: str) -> None:
    assert Endpoint.parse(text).text == text


@pytest.mark.unit
def test_nobody_listens(tmp_path: Path) -> None:
    assert "No such file or directory" in said(f"unix:{tmp_path}/none")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(f"{tmp_path}/stale")
    assert "Connection refused" in said(f"unix:{tmp_path}/stale")
    assert "refused" in said("tcp:127.0.0.1:9")


def test_a_socket_that_refuses_permission(ovs: OpenVSwitch) -> None:
    Path(ovs.rundir).chmod(0o700)
    pid = os.fork()
    if pid == 0:
        status = 1
        with contextlib.suppress(BaseException):
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            status = 0 if "Permission denied" in said(ovs.endpoint) else 2
        os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


@pytest.mark.unit
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no OVSDB"),
        (b"\xff\xfe\xfd}", "no OVSDB"),
        (b"[1, 2, 3]\n", "no OVSDB"),
        (b'{"id": 1, "result": "hello", "error": null}', "no OVSDB"),
        (b'{"id": 1, "result": null, "error": "unknown database"}', "unknown database"),
        (b" ", "not answered in time"),
        (b"{", "not answered in time"),
        (b"", "closed the connection"),
    ],
)  # fmt: skip
def test_something_else_answers(answer: bytes, words: str, tmp_path: Path) -> None:
    with answering(tmp_path / "sock", answer) as endpoint:
        assert words in said(endpoint)


@pytest.mark.unit
def test_an_answer_in_pieces_and_questions_in_between(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    heard = []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                heard.append(json.loads(connection.recv(4096)))
                connection.sendall(b'{"id":"echo","method":"echo","params":[7]}')
                heard.append(json.loads(connection.recv(4096)))
                connection.sendall('{"id":1,"result":["\u00fc{}'.encode())  # ends as an answer may
                time.sleep(0.05)
                connection.sendall(b'"],"error":null}')
                connection.recv(4096)

        thread = threading.Thread(target=serve)
        thread.start()
        deadline = time.monotonic() + 5
        with contextlib.closing(Connection(f"unix:{path}", deadline=deadline)) as connection:
            assert connection.call("echo", [], deadline=deadline) == ["\u00fc{}"]
        thread.join()
    assert heard[1] == {"id": "echo", "result": [7], "error": None}


def test_the_real_one_answers(br_int: OpenVSwitch) -> None:
    ovs = read(OPTIONS | {"ovsdb_connection": br_int.endpoint}, None, Host(),
                deadline=time.monotonic() + 5)  # fmt: skip
    assert (ovs.error, ovs.version, set(ovs.bridges)) == (None, br_int.version, {"br-int"})


def test_the_real_one_refuses(br_int: OpenVSwitch) -> None:
    deadline = time.monotonic() + 5
    with contextlib.closing(Connection(br_int.endpoint, deadline=deadline)) as connection:
        with pytest.raises(OVSDBError, match=r"unknown method"):
            connection.call("no-such-method", [], deadline=deadline)
        connection.echo(deadline=deadline)


def test_a_connection_outlives_a_call_but_not_its_server(br_int: OpenVSwitch) -> None:
    def taken() -> Connection:
        return kept.take(br_int.endpoint, deadline=time.monotonic() + 5)

    first, second = taken(), taken()
    assert first is not second, "each is one caller's at a time"
    for connection in (first, second):
        kept.give_back(connection)
    assert {taken(), taken()} == {first, second}
    first.send("echo", [], deadline=time.monotonic() + 5)
    kept.give_back(first)
    kept.give_back(second)
    assert taken() is second, "one that owes an answer is of no more use"
    child = os.fork()
    if child == 0:
        kept.give_back(second)
        os._exit(taken() is not second)
    kept.give_back(second)
    assert os.waitpid(child, 0)[1] == 0
    child = os.fork()
    if child == 0:
        os._exit(taken() is second)
    assert os.waitpid(child, 0)[1] == 0, "a fork leaves its parent's alone"
    br_int.kill(SERVER)
    br_int.start(SERVER)
    third = taken()
    assert third is not second
    assert not second.usable
    third.echo(deadline=time.monotonic() + 5)
    third.close()


def test_a_connection_to_an_address_ends_with_its_call() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        endpoint = f"tcp:127.0.0.1:{listening.getsockname()[1]}"
        connection = kept.take(endpoint, deadline=time.monotonic() + 5)
        kept.give_back(connection)
        assert not connection.usable, "in another network namespace, it may be another server's"
