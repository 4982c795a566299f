# SPDX-License-Identifier: Apache-2.0
"""The services of a host that manage networks: each is started in the host's room."""

from __future__ import annotations

from tests.actors.room import Room
from tests.actors.scene import Scene
from tests.actors.shapes import DIRECT

# sysctl, with rules of an administrator.

RULES = """\
# The lines of Debian's /etc/sysctl.conf that administrators use.
net.ipv4.conf.default.rp_filter=1
net.ipv4.conf.all.rp_filter=1
net.ipv4.ip_forward=1
net.ipv4.conf.all.accept_redirects = 0
net.ipv6.conf.all.accept_redirects = 0
net.ipv4.conf.all.send_redirects = 0
net.ipv4.conf.all.accept_source_route = 0
net.ipv6.conf.all.accept_source_route = 0
"""


def write_rules(scene: Scene) -> None:
    """Have the usual rules."""
    scene.room().write("/etc/sysctl.d/10-network.conf", RULES)


def write_ipv6_rules(scene: Scene) -> None:
    """Have a rule that turns IPv6 on, on all devices that there are."""
    scene.room().write("/etc/sysctl.d/10-ipv6.conf", "net.ipv6.conf.all.disable_ipv6 = 0\n")


def sysctl(scene: Scene) -> None:
    """Apply all rules again."""
    scene.room().run("sysctl", "--system")


# systemd-networkd.

_NETDEV = "[NetDev]\nName={bridge}\nKind=bridge\n"
_PORT = "[Match]\nName=right-in\n[Network]\nBridge={bridge}\n"
_OF_BRIDGE = "[Match]\nName={bridge}\n[Network]\nAddress=192.0.2.7/24\nLinkLocalAddressing=no\n"
_KEPT = (
    "[Match]\nName=right-in wrong-in br* ovs*\n[Network]\nKeepMaster=yes\nLinkLocalAddressing=no\n"
)
_ALL = "[Match]\nName=*\n[Network]\nDHCP=yes\n"


def networkd_for_the_uplink(scene: Scene) -> None:
    """Have systemd-networkd make the bridge and join its uplink, and say nothing of taps."""
    room = scene.room()
    words = {"bridge": scene.shape.place}
    if not scene.ovs and scene.shape is not DIRECT:
        room.write("/etc/systemd/network/10-br.netdev", _NETDEV.format(**words))
        room.write("/etc/systemd/network/20-port.network", _PORT.format(**words))
    room.write("/etc/systemd/network/30-br.network", _OF_BRIDGE.format(**words))


def networkd_for_everything(scene: Scene) -> None:
    """Have systemd-networkd take each device that it has no other file for, as many hosts do."""
    scene.room().write("/etc/systemd/network/10-uplinks.network", _KEPT)
    scene.room().write("/etc/systemd/network/99-all.network", _ALL)


def networkd_without_taps(scene: Scene) -> None:
    """Have systemd-networkd take everything but taps."""
    networkd_for_everything(scene)
    text = "[Match]\nName=tap*\n[Link]\nUnmanaged=yes\n"
    scene.room().write("/etc/systemd/network/05-taps.network", text)


def networkd(scene: Scene) -> None:
    """Start systemd-networkd, or restart it; wait until each device is as it wants it."""
    room = scene.room()
    room.start("networkd", "/lib/systemd/systemd-networkd")
    room.becomes("OPER_STATE", "cat", "/run/systemd/netif/state")
    scene.settle()


# NetworkManager.

_NM_CONF = """\
[main]
plugins=keyfile
dns=none
auth-polkit=false
[logging]
level=INFO
"""


def network_manager(scene: Scene) -> None:
    """Start NetworkManager with Debian's settings, for the first time on this host."""
    room = scene.room()
    room.stop("NetworkManager")
    room.run("rm", "-rf", "/run/NetworkManager")
    network_manager_restart(scene)


def network_manager_restart(scene: Scene) -> None:
    """Restart NetworkManager."""
    _start_network_manager(scene.room())
    scene.settle()


def prepare_profiles_without_taps(scene: Scene) -> None:
    """Have NetworkManager run with profiles, and leave taps alone."""
    unmanaged = "[keyfile]\nunmanaged-devices=interface-name:tap*\n"
    scene.room(udev=True).write("/etc/NetworkManager/conf.d/taps.conf", unmanaged)
    prepare_profiles(scene)


def prepare_running_network_manager(scene: Scene) -> None:
    """Have NetworkManager run."""
    prepare_network_manager(scene)
    _start_network_manager(scene.room())


def prepare_network_manager(scene: Scene) -> None:
    """Have a system bus, udev, which tells NetworkManager of devices, and its settings."""
    room = scene.room(udev=True)
    start_udev(scene)
    room.write("/etc/NetworkManager/NetworkManager.conf", _NM_CONF)
    room.start_bus()


def _start_network_manager(room: Room) -> None:
    room.start("NetworkManager", "NetworkManager", "--no-daemon")
    room.becomes("running", "nmcli", "-t", "-f", "RUNNING", "general")


def prepare_profiles(scene: Scene) -> None:
    """Have NetworkManager run, with profiles of a bridge and its uplink."""
    prepare_network_manager(scene)
    room = scene.room()
    _start_network_manager(room)
    bridge = scene.shape.place
    room.run("nmcli", "connection", "add", "type", "bridge", "con-name", "lan", "ifname", bridge,
             "ipv4.method", "manual", "ipv4.addresses", "192.0.2.7/24", "ipv6.method", "disabled",
             "bridge.stp", "no")  # fmt: skip
    room.run("nmcli", "connection", "add", "type", "ethernet", "con-name", "lan-port",
             "ifname", "right-in", "master", bridge)  # fmt: skip
    nmcli_up(scene)


def nmcli_up(scene: Scene) -> None:
    """Activate the profiles of the bridge and its uplink."""
    for name in ("lan", "lan-port"):
        scene.room().run("nmcli", "connection", "up", name)
    scene.settle()


# udev.


def start_udev(scene: Scene) -> None:
    """Have udev with Debian's rules: also MACAddressPolicy=persistent."""
    room = scene.room(udev=True)
    room.write("/etc/sysctl.d/10-network.conf", RULES)
    udev(scene)


def udev(scene: Scene) -> None:
    """Restart udev, and have it handle all devices as new."""
    room = scene.room(udev=True)
    room.start("udevd", "/lib/systemd/systemd-udevd")
    room.becomes("up", "sh", "-c", "udevadm control --ping && echo up")
    room.run("udevadm", "trigger", "--action=add", "--subsystem-match=net", "--settle")
    links = {link["ifname"] for link in scene.host.ip_json("link")}
    for device in links & {*scene.shape.devices}:
        room.becomes("ID_NET_LINK_FILE", "udevadm", "info", f"/sys/class/net/{device}")
    scene.settle()


# firewalld and docker.


def prepare_firewalld(scene: Scene) -> None:
    """Have a system bus for firewalld."""
    scene.room().start_bus()


def firewalld(scene: Scene) -> None:
    """Start firewalld with its settings; where it runs, have it read them again."""
    room = scene.room()
    # It prints "not running" where it does not.
    if room.run("firewall-cmd", "--state", check=False).strip() == "running":
        room.run("firewall-cmd", "--reload")
    else:
        room.start("firewalld", "firewalld", "--nofork", "--nopid")
        room.becomes("running", "firewall-cmd", "--state")
    scene.settle()


_CGROUPS = """
mount -t tmpfs tmpfs /sys/fs/cgroup
mkdir /sys/fs/cgroup/devices
mount -t cgroup -o devices cgroup /sys/fs/cgroup/devices || mount -t cgroup2 none /sys/fs/cgroup
"""


def prepare_docker(scene: Scene) -> None:
    """Have the cgroups without which docker does not start."""
    scene.room().run("sh", "-c", _CGROUPS)


def docker(scene: Scene) -> None:
    """Start docker, which makes its bridge and its rules; or restart it."""
    room = scene.room()
    room.start("docker", "dockerd", "--storage-driver=vfs", "--data-root=/run/docker-data")
    room.becomes("OK", "curl", "--silent", "--unix-socket", "/run/docker.sock",
                 "http://docker/_ping")  # fmt: skip
    scene.settle()
