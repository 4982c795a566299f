# SPDX-License-Identifier: Apache-2.0
"""What ``vifplug doctor`` looks at besides the plugins' own checks: each with its remedy."""

from __future__ import annotations

import grp
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from oslo_config import cfg

from vifplug.cli.configuration import Configuration
from vifplug.driver import GenericVIFDriver
from vifplug.hook import install
from vifplug.kernel.claims import ClaimsFolder
from vifplug.model.host import Host
from vifplug.model.link import is_bridge
from vifplug.model.mark import token_in
from vifplug.parts import UPLINK
from vifplug.plugin import Check, VIFPlugin
from vifplug.query import firewall, modules
from vifplug.query import libvirt as query

_SOCKETS = ("/run/libvirt/libvirt-sock-ro", "/run/libvirt/virtqemud-sock-ro")
_MEMORY = ("tmpfs", "ramfs")
_SHARED = ("9p", "afs", "ceph", "cifs", "fuse", "gfs2", "glusterfs", "lustre", "nfs", "nfs4",
           "ocfs2", "smb3", "virtiofs")  # fmt: skip
"""Kinds of file system that several hosts may share."""


def of_core(driver: GenericVIFDriver, host: Host) -> Iterator[Check]:
    """Yield what every plugin needs of a host."""
    yield from _configuration()
    version = tuple(int(word) for word in host.kernel.split(".")[:2])
    yield Check(
        check="kernel",
        ok=version >= (5, 5),
        detail=f"{host.kernel}; alternative interface names need 5.5",
        mend="" if version >= (5, 5) else "a newer kernel",
    )
    yield _libvirt(driver, host)
    yield from install.checks()
    yield _privilege()
    path = Path(cfg.CONF.vifplug.lock_path)
    yield _locks(path)
    yield from _claims(path, host)
    yield _sysctls()
    yield _bridged_packets()
    yield from _bridges(host)
    yield from _twice(host)
    yield from _uplinks(host)


def of_modules(plugin: type[VIFPlugin], host: Host) -> Iterator[Check]:
    """Yield whether the kernel has the modules that some VIFs of a plugin need.

    A plugin whose switch this host does not have needs none.
    """
    switch = host.switches.get(plugin.snapshot.key) if plugin.snapshot else None
    for name, needed in plugin.modules.items() if not (switch and switch.absent) else ():
        there = modules.is_loaded(name)
        detail, mend = f"{name} is there: {needed}", ""
        if there is None:
            detail = f"{name}: this host does not tell whether the kernel has it ({needed})"
        elif not there and modules.is_loadable(name):
            detail = f"{name} is not loaded; the kernel loads it for {needed}"
        elif not there:
            detail = f"{name} is missing: no {needed}"
            mend = f"modprobe {name}; install the kernel's modules where it has none"
        # Well in any case, since a host without such VIFs does not need it.
        yield Check(check="kernel module", ok=True, detail=detail, mend=mend)


def _configuration() -> Iterator[Check]:
    configuration = Configuration(cfg.CONF)
    mistakes = list(configuration.mistakes())
    for mistake in mistakes:
        mend = f"write {mistake.meant}" if mistake.meant else "remove it"
        detail = f"{mistake.file}: {mistake.what}"
        yield Check(check="configuration", ok=False, detail=detail, mend=mend)
    bad = list(configuration.bad_values())
    for words in bad:
        detail, _, allowed = words.partition("; allowed: ")
        yield Check(check="configuration", ok=False, detail=detail, mend=f"write {allowed}")
    if not mistakes and not bad:
        detail = ", ".join(configuration.files) or "no file: all options have their defaults"
        yield Check(check="configuration", ok=True, detail=detail)


def _libvirt(driver: GenericVIFDriver, host: Host) -> Check:
    answer = driver.libvirt()
    if answer.connected:
        slow = f"; {answer.error}" if answer.error else ""
        return Check(check="libvirt", ok=True, detail=f"{answer.version} at {answer.uri}{slow}")
    if host.found["libvirt_version"] == "configured":
        detail = f"{host.libvirt_version} as configured; {answer.error}"
        return Check(check="libvirt", ok=True, detail=detail)
    there = [Path(name) for name in _SOCKETS if Path(name).exists()]
    group = _group_of(there[0]) if there else "libvirt"
    mend = {
        query.NOT_INSTALLED: "pip install 'vifplug[libvirt]'",
        query.DENIED: f"run it as root, or add this user to the group {group}",
        query.SILENT: "see why libvirtd does not answer (systemctl status libvirtd)",
    }.get(answer.cause, "start libvirtd (or virtqemud)")
    # Without libvirt, libvirt-python is not needed.
    well = answer.cause == query.NOT_INSTALLED and not there
    detail = answer.error
    if host.found["libvirt_version"] != "found":
        detail += f"; plans take it for {host.libvirt_version}"
    mend = f"{mend}, or set [vifplug] libvirt_version"
    return Check(check="libvirt", ok=well, detail=detail, mend=mend)


def _group_of(path: Path) -> str:
    try:
        return grp.getgrgid(path.stat().st_gid).gr_name
    except (OSError, KeyError):
        return "libvirt"


def _privilege() -> Check:
    if os.geteuid() == 0:
        return Check(check="privilege", ok=True, detail="running as root")
    sudo = shutil.which("sudo")
    return Check(
        check="privilege",
        ok=sudo is not None,
        detail="an ordinary user; privileged daemons start by sudo or helper_command",
        mend="" if sudo else "install sudo, or set helper_command in each _privileged group",
    )


def _locks(path: Path) -> Check:
    there = next(p for p in (path, *path.parents) if p.exists())
    mend = "set [vifplug] lock_path to a folder on a tmpfs of this host"
    if os.geteuid() == 0 and not (there.is_dir() and os.access(there, os.W_OK)):
        return Check(check="locks", ok=False, detail=f"{path}: {there} can't be written", mend=mend)
    kind = _file_system(there)
    if kind in _MEMORY:
        return Check(check="locks", ok=True, detail=f"{path}, on {kind}")
    if kind.partition(".")[0] in _SHARED:
        detail = f"{path} is on {kind}, which other hosts may share: their claims would mix"
        return Check(check="locks", ok=False, detail=detail, mend=mend)
    detail = f"{path} is on {kind}, not on a tmpfs: claims outlive a reboot, until the next plug"
    return Check(check="locks", ok=True, detail=detail, mend=mend)


def _file_system(path: Path) -> str:
    """Return the kind of the file system that a path is on."""
    kinds = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, file_system = line.partition(" - ")
        place = mount.split()[4].encode().decode("unicode_escape")
        kinds[Path(place)] = file_system.split()[0]
    resolved = path.resolve()
    return next((kinds[p] for p in (resolved, *resolved.parents) if p in kinds), "unknown")


def _claims(path: Path, host: Host) -> Iterator[Check]:
    """Yield what is wrong with the claims' folder, and devices whose claims are elsewhere."""
    folder = ClaimsFolder(str(path))
    wrong = folder.strange()
    for token in folder.tokens():
        folder.on(token)  # which notes what can't be read
    borne = {name: token_in(link.altnames) for name, link in host.links.items()}
    lost = [name for name, token in borne.items() if token and token not in folder.tokens()]
    wrong |= folder.problems
    for place, why in wrong.items():
        mend = "remove it, or let [vifplug] lock_path name a folder of the daemons' user"
        yield Check(check="claims", ok=False, detail=f"{place}: {why}", mend=mend)
    for name in sorted(lost):
        detail = f"{name} is claimed, but {folder.folder} does not have its claims"
        mend = f"share {path} among all that plug on this host: a container mounts the host's"
        yield Check(check="claims", ok=False, detail=detail, mend=mend)
    if not wrong and not lost:
        yield Check(check="claims", ok=True, detail=f"{folder.folder} is sound")


def _sysctls() -> Check:
    try:
        read_only = bool(os.statvfs("/proc/sys/net").f_flag & os.ST_RDONLY)
    except OSError as error:
        return Check(check="sysctls", ok=False, detail=f"/proc/sys/net: {error.strerror}",
                     mend="mount /proc")  # fmt: skip
    return Check(
        check="sysctls",
        ok=not read_only,
        detail="/proc/sys is read-only" if read_only else "/proc/sys can be written",
        mend="mount /proc/sys read-write: plugs set sysctls of new bridges and taps"
        if read_only
        else "",
    )


def _bridged_packets() -> Check:
    statement = firewall.look()
    words = [f"{chain} drops what it does not accept" for chain in statement.dropping]
    words += [f"{chain} drops what guests send to this host" for chain in statement.host]
    words = words or ["no policy or last rule of nftables or iptables drops them"]
    if statement.unsure:
        words.append(f"not looked at to the end: {', '.join(statement.unsure)}")
    mend = ""
    if statement.dropping:
        mend = "accept them there"
        if any(not chain.startswith("frames") for chain in statement.dropping):
            mend += (
                " (-m physdev --physdev-is-bridged -j ACCEPT), or set net.bridge.bridge-nf-call-* "
                "and the bridge's own nf_call_* to 0"
            )
    return Check(
        check="bridged packets", ok=not statement.dropping, detail="; ".join(words), mend=mend
    )


def _bridges(host: Host) -> Iterator[Check]:
    """Yield the bridges that keep frames back, as far as they are told."""
    used = {link.master for link in host.links.values() if link.marks or link.kind == "tap"}
    for name, link in host.links.items():
        if not is_bridge(link):
            continue
        has_vifs = name in used or bool(host.claims(name))
        if not link.up:
            detail = "it is down" + (", and VIFs are on it" if has_vifs else "")
            mend = f"ip link set {name} up"
            yield Check(check=f"bridge {name}", ok=not has_vifs, detail=detail, mend=mend)
        if link.stp:
            detail = f"STP is on: a new port passes nothing for {link.silence:g} s"
            mend = f"ip link set {name} type bridge stp_state 0, if it is in no loop"
            yield Check(check=f"bridge {name}", ok=True, detail=detail, mend=mend)


def _twice(host: Host) -> Iterator[Check]:
    """Yield the guests' addresses that the host has twice.

    A tap's host side has the guest's address, but with fe as first octet.
    """
    taps: dict[str, list[str]] = defaultdict(list)
    ports: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, link in sorted(host.links.items()):
        first, _, end = (link.address or "").partition(":")
        if link.kind == "tap" and first == "fe":
            taps[end].append(name)
        if link.master and is_bridge(host.link(link.master)):
            ports[link.master, end].append(name)
    for end, names in taps.items():
        masters = sorted({host.links[name].master or "" for name in names})
        doubled = [master for master in masters if len(ports[master, end]) > 1]
        for master in doubled:
            detail = f"{' and '.join(ports[master, end])} on {master} have one address, ..:{end}"
            mend = "give each guest an address of its own: frames reach only one of them"
            yield Check(check="MAC twice", ok=False, detail=detail, mend=mend)
        if len(names) > 1 and not doubled:
            detail = f"{' and '.join(names)} have one address, ..:{end}"
            mend = "give each guest an address of its own, if their networks are one"
            yield Check(check="MAC twice", ok=True, detail=detail, mend=mend)


def _uplinks(host: Host) -> Iterator[Check]:
    for name, link in host.links.items():
        if any(mark.role == UPLINK for mark in link.shared_marks):
            manager = host.manager(name)
            yield Check(
                check=f"uplink {name}",
                ok=manager is None,
                detail=f"managed by {manager}" if manager else f"a port of {link.master}",
                mend=f"have {manager} leave {name} alone" if manager else "",
            )
