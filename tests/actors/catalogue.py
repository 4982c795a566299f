# SPDX-License-Identifier: Apache-2.0
"""The actors: other programs that a host has, each with what it does to it."""

from __future__ import annotations

from tests.actors import guests, services
from tests.actors.actor import Actor
from tests.actors.scene import Scene
from tests.actors.shapes import AUTOMATIC, BRIDGE, DIRECT, HYBRID, LIBVIRTS, MANUAL, QBR, QVB
from vifplug.testing.openvswitch import SERVER, SWITCH

_IN_OVS = (MANUAL, AUTOMATIC, HYBRID)


def _nomaster(scene: Scene) -> None:
    scene.host.ip("link", "set", scene.shape.tap, "nomaster")


def _down(scene: Scene) -> None:
    device = scene.shape.place if scene.shape is DIRECT else scene.shape.tap
    scene.host.ip("link", "set", device, "down")


def _anew(scene: Scene) -> None:
    scene.delete_bridge(scene.shape.place)
    scene.make_bridge(scene.shape.place)


def _qbr_anew(scene: Scene) -> None:
    # In one go. A watch may make it itself in between all the same: then it is there already.
    steps = (f"link del {QBR}", f"link add {QBR} type bridge", f"link set {QBR} up")
    done = scene.host.run("ip", "-batch", "-", input="\n".join(steps), check=False)
    assert done.returncode == 0 or "File exists" in done.stderr, done.stderr


def _flush(scene: Scene) -> None:
    scene.host.run("nft", "flush", "ruleset")


def _del_port(scene: Scene) -> None:
    assert scene.ovs
    scene.ovs.vsctl("del-port", scene.shape.port)


def _switch_restarts(scene: Scene) -> None:
    assert scene.ovs
    scene.ovs.kill(SWITCH)
    scene.ovs.start(SWITCH)
    scene.ovs.vsctl("set", "Open_vSwitch", ".", "external_ids:restarted=yes")


def _back_up(scene: Scene) -> None:
    assert scene.ovs
    words = ("ovsdb-client", "backup", scene.ovs.endpoint)
    (scene.folder / "backup").write_text(scene.host.run(*words).stdout)


def _restore(scene: Scene) -> None:
    assert scene.ovs
    script = 'ovsdb-client restore "$1" <"$2"'
    scene.host.run("sh", "-c", script, "sh", scene.ovs.endpoint, str(scene.folder / "backup"))


def _all_restarts(scene: Scene) -> None:
    assert scene.ovs
    for name in (SWITCH, SERVER):
        scene.ovs.kill(name)
    for name in (SERVER, SWITCH):
        scene.ovs.start(name)
    scene.ovs.vsctl("set", "Open_vSwitch", ".", "external_ids:restarted=yes")


ACTORS = (
    Actor(name="ip link set nomaster", act=_nomaster,
          shapes=(BRIDGE, LIBVIRTS, MANUAL, AUTOMATIC, HYBRID)),
    Actor(name="ip link set nomaster (qvb)", shapes=(HYBRID,),
          act=lambda scene: scene.host.ip("link", "set", QVB, "nomaster")),
    Actor(name="ip link set down", act=_down),
    Actor(name="bridge deleted and made anew", act=_anew,
          shapes=(BRIDGE, LIBVIRTS, MANUAL, AUTOMATIC, HYBRID)),
    Actor(name="qbr deleted and made anew", act=_qbr_anew, shapes=(HYBRID,)),
    Actor(name="nft flush ruleset", act=_flush, packages=("nftables",)),
    Actor(name="ovs-vsctl del-port", act=_del_port, shapes=_IN_OVS),
    Actor(name="ovs-vswitchd restart", act=_switch_restarts, shapes=_IN_OVS),
    Actor(name="openvswitch-switch restart", act=_all_restarts, shapes=_IN_OVS),
    Actor(name="ovsdb restored from a backup", act=_restore, prepare=_back_up, shapes=_IN_OVS),
    Actor(name="libvirtd restart", act=guests.restart, libvirt=True, packages=guests.PACKAGES),
    Actor(name="virsh update-device, another bridge", act=guests.moved, libvirt=True,
          misplaces=True, once=True, shapes=(LIBVIRTS,), packages=guests.PACKAGES,
          refused={"ovs automatic": "libvirt refuses it"}),
    Actor(name="virsh update-device, link down", act=guests.link_down, libvirt=True,
          packages=guests.PACKAGES),
    Actor(name="sysctl --system", act=services.sysctl, prepare=services.write_rules,
          packages=("procps",)),
    Actor(name="sysctl --system (IPv6 on for all)", act=services.sysctl,
          prepare=services.write_ipv6_rules, packages=("procps",)),
    Actor(name="NetworkManager start", act=services.network_manager,
          prepare=services.prepare_network_manager, packages=("network-manager", "dbus")),
    Actor(name="NetworkManager restart", act=services.network_manager_restart,
          prepare=services.prepare_running_network_manager, packages=("network-manager", "dbus")),
    Actor(name="nmcli connection up, of the bridge", act=services.nmcli_up,
          prepare=services.prepare_profiles, packages=("network-manager", "dbus"),
          shapes=(BRIDGE, LIBVIRTS)),
    Actor(name="nmcli connection up (taps unmanaged)", act=services.nmcli_up,
          prepare=services.prepare_profiles_without_taps, packages=("network-manager", "dbus"),
          shapes=(BRIDGE,)),
    Actor(name="systemd-networkd restart", act=services.networkd,
          prepare=services.networkd_for_the_uplink, packages=("systemd",)),
    Actor(name="systemd-networkd restart (Name=*)", act=services.networkd,
          prepare=services.networkd_for_everything, packages=("systemd",)),
    Actor(name="systemd-networkd restart (taps unmanaged)", act=services.networkd,
          prepare=services.networkd_without_taps, packages=("systemd",), shapes=(BRIDGE,)),
    Actor(name="systemd-udevd restart, trigger", act=services.udev, prepare=services.start_udev,
          packages=("udev",)),
    Actor(name="firewalld start, reload", act=services.firewalld,
          prepare=services.prepare_firewalld, packages=("firewalld", "dbus")),
    Actor(name="docker start, restart", act=services.docker,
          prepare=services.prepare_docker, packages=("docker.io", "curl")),
)  # fmt: skip
