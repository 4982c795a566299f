# SPDX-License-Identifier: Apache-2.0
"""NetworkNamespace: a network of the test's own, and the dump that shows what changed in it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from vifplug.testing import CommandFailed, NetworkNamespace, veth

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root")


@pytest.fixture
def namespace() -> Iterator[NetworkNamespace]:
    with NetworkNamespace(name="test") as made:
        yield made


def own_links() -> str:
    return subprocess.run(["ip", "-j", "link"], capture_output=True, text=True, check=True).stdout


def own_files() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def own_namespace() -> str:
    return str(Path("/proc/thread-self/ns/net").readlink())


def processes_in(namespace: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            if str(entry.readlink()) == namespace:
                found.append(int(entry.parts[2]))
        except OSError:  # it ended
            continue
    return found


def test_the_callers_network_is_untouched() -> None:
    links, inside_of, fds = own_links(), own_namespace(), own_files()
    with NetworkNamespace(enter=True, ifindex_from=50) as made:
        made.ip("link", "add", "br0", "type", "bridge")
        assert own_namespace() != inside_of
        entered = own_namespace()
    assert own_namespace() == inside_of
    assert own_links() == links
    assert own_files() == fds
    assert processes_in(entered) == []


def test_two_namespaces_have_devices_of_equal_names(namespace: NetworkNamespace) -> None:
    with NetworkNamespace() as other:
        for each, mac in ((namespace, "02:00:00:00:00:01"), (other, "02:00:00:00:00:02")):
            each.ip("link", "add", "br0", "address", mac, "type", "bridge")
        assert namespace.ip_json("link", "show", "br0")[0]["address"] == "02:00:00:00:00:01"
        assert other.ip_json("link", "show", "br0")[0]["address"] == "02:00:00:00:00:02"


def test_loopback_is_up_and_nothing_else_is_there(namespace: NetworkNamespace) -> None:
    (link,) = namespace.ip_json("link")
    assert link["ifname"] == "lo"
    assert "UP" in link["flags"]


def test_the_thread_is_inside_only_where_asked(namespace: NetworkNamespace) -> None:
    outside = own_namespace()
    with namespace.entered():
        inside = own_namespace()
        with namespace.entered():
            assert own_namespace() == inside
        assert own_namespace() == inside
    assert own_namespace() == outside != inside


def test_the_path_is_for_other_programs(namespace: NetworkNamespace) -> None:
    namespace.ip("link", "add", "br0", "type", "bridge")
    argv = ["nsenter", f"--net={namespace.path}", "ip", "link", "show", "br0"]
    assert subprocess.run(argv, check=False, stdout=subprocess.DEVNULL).returncode == 0


def test_a_failed_command_says_why(namespace: NetworkNamespace) -> None:
    with pytest.raises(CommandFailed, match='Device "nosuch" does not exist'):
        namespace.ip("link", "show", "nosuch")
    assert namespace.run("false", check=False).returncode == 1


def test_a_command_reads_its_input(namespace: NetworkNamespace) -> None:
    namespace.run("ip", "-batch", "-", input="link add br0 type bridge\nlink add br1 type bridge\n")
    assert [link["ifname"] for link in namespace.ip_json("link")] == ["lo", "br0", "br1"]


def test_a_command_gets_its_own_sysfs(namespace: NetworkNamespace) -> None:
    namespace.ip("link", "add", "br0", "type", "bridge")
    shown = namespace.run("ls", "/sys/class/net", sysfs=True).stdout.split()
    assert sorted(shown) == ["br0", "lo"]
    assert not Path("/sys/class/net/br0").exists()


def test_a_wire_carries_packets(namespace: NetworkNamespace) -> None:
    with NetworkNamespace() as other:
        veth(namespace, "left", other, "right")
        namespace.ip("addr", "add", "192.0.2.1/24", "dev", "left")
        other.ip("addr", "add", "192.0.2.2/24", "dev", "right")
        script = "import socket; socket.create_server(('192.0.2.2', 7)).accept()[0].send(b'hello')"
        with other.entered():
            server = subprocess.Popen(["python3", "-c", script])
        script = (
            "import socket, time\n"
            "for _ in range(100):\n"
            "    try: print(socket.create_connection(('192.0.2.2', 7), 5).recv(9)); break\n"
            "    except ConnectionRefusedError: time.sleep(0.05)\n"
        )
        assert "hello" in namespace.run("python3", "-c", script).stdout
        assert server.wait(5) == 0


@pytest.mark.parametrize("first", [2, 3, 40, 101])
def test_interface_indexes_start_where_asked(first: int) -> None:
    with NetworkNamespace(ifindex_from=first) as made:
        made.ip("link", "add", "br0", "type", "bridge")
        made.ip("link", "add", "br1", "type", "bridge")
        assert [link["ifindex"] for link in made.ip_json("link")] == [1, first, first + 1]


class TestEverything:
    @pytest.fixture(autouse=True)
    def wired(self, namespace: NetworkNamespace) -> Iterator[None]:
        with NetworkNamespace() as far:
            veth(namespace, "up0", far, "far")
            namespace.ip("link", "add", "br0", "up", "type", "bridge")
            namespace.ip("link", "set", "up0", "master", "br0")
            namespace.ip("addr", "add", "192.0.2.1/24", "dev", "br0")
            namespace.ip("addr", "add", "2001:db8::1/64", "dev", "br0", "valid_lft", "99",
                         "preferred_lft", "99")  # fmt: skip
            self.far = far
            yield

    def test_stays_the_same_while_nothing_is_changed(self, namespace: NetworkNamespace) -> None:
        before = namespace.everything()
        # A bridge that learns, neighbours that come and go, and addresses that get ready.
        self.far.ip("addr", "add", "192.0.2.2/24", "dev", "far")
        script = (
            "import socket, time\n"
            "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "for _ in range(8): s.sendto(b'x', ('192.0.2.1', 9)); time.sleep(0.15)\n"
        )
        self.far.run("python3", "-c", script)
        assert namespace.run("bridge", "fdb", "show", "br", "br0", "dynamic").stdout
        assert namespace.everything() == before

    @pytest.mark.parametrize(
        ("part", "change"),
        [
            ("addresses", "ip addr add 192.0.2.9/24 dev br0"),
            ("addresses", "ip addr add fe80::9/64 dev br0"),
            ("sysctls", "sysctl -qw net.ipv6.conf.up0.disable_ipv6=1"),
            ("sysctls", "sysctl -qw net.ipv4.conf.br0.rp_filter=2"),
            ("sysctls", "sysctl -qw net.ipv4.neigh.br0.gc_stale_time=61"),
            ("links", "ip link property add dev br0 altname of-the-plugin"),
            ("links", "ip link set up0 alias mine"),
            ("links", "ip link set up0 mtu 1400"),
            ("links", "ip link set up0 nomaster"),
            ("links", "ip link set up0 down"),
            ("links", "bridge link set dev up0 hairpin on"),
            ("links", "ip link set br0 type bridge forward_delay 0"),
            ("routes", "ip route add 198.51.100.0/24 via 192.0.2.7 table 77"),
            ("routes", "ip -6 route add unreachable 2001:db8:9::/48"),
            ("rules", "ip rule add fwmark 7 table 77"),
            ("qdiscs", "tc qdisc add dev up0 clsact"),
            ("fdb", "bridge fdb add 02:00:00:00:00:09 dev up0 master static"),
        ],
    )
    def test_shows_a_change(self, namespace: NetworkNamespace, part: str, change: str) -> None:
        before = namespace.everything()
        done = namespace.run(*change.split(), check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert namespace.everything()[part] != before[part]

    def test_shows_that_a_device_is_another_one(self, namespace: NetworkNamespace) -> None:
        namespace.ip("link", "add", "br1", "address", "02:00:00:00:00:01", "type", "bridge")
        before = namespace.everything()
        namespace.ip("link", "del", "br1")
        namespace.ip("link", "add", "br1", "address", "02:00:00:00:00:01", "type", "bridge")
        after = namespace.everything()
        assert after["links"]["br1"]["ifindex"] != before["links"]["br1"]["ifindex"]


def test_nothing_is_there_after_clean_up() -> None:
    namespace = NetworkNamespace()
    namespace.setUp()
    namespace.cleanUp()
    with pytest.raises(ValueError, match="not set up"):
        _ = namespace.path
