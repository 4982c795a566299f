# SPDX-License-Identifier: Apache-2.0
"""``vifplug doctor``: what this host can do, per plugin, and what to mend."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from oslo_config import cfg

from vifplug.cli import DONE, FAILED
from vifplug.cli.command import Command
from vifplug.driver import GenericVIFDriver
from vifplug.model.host import Host
from vifplug.parts import UPLINK
from vifplug.plugin import Check
from vifplug.query import firewall as forwarding
from vifplug.registry import EntryClaim

CORE = "vifplug"


class Doctor(Command):
    """Look at what plugs need of this host; exit 1 where something is to be mended."""

    def act(self, arguments: argparse.Namespace) -> int:
        driver = GenericVIFDriver()
        host = driver.whole_host()
        claims = driver.registry.claims()
        found = [(CORE, check) for check in _core(driver, host)]
        found += [(claim.distribution, _claimed(claim)) for claim in claims]
        plugins = {claim.plugin: claim.distribution for claim in claims if claim.plugin}
        seen = set()
        for plugin, distribution in plugins.items():
            for check in plugin().doctor(host):
                if (distribution, check) not in seen:
                    seen.add((distribution, check))
                    found.append((distribution, check))
        if arguments.format == "json":
            self.print_json([{"plugin": name, **vars(check)} for name, check in found])
        else:
            _print(found)
        return DONE if all(check.ok for _, check in found) else FAILED


def _core(driver: GenericVIFDriver, host: Host) -> Iterator[Check]:
    version = tuple(int(word) for word in host.kernel.split(".")[:2])
    yield Check(
        check="kernel",
        ok=version >= (5, 5),
        detail=f"{host.kernel}; alternative interface names need 5.5",
        mend="" if version >= (5, 5) else "a newer kernel",
    )
    yield _libvirt(driver, host)
    yield _privilege()
    yield _locks()
    yield _bridged()
    yield from _uplinks(host)


def _bridged() -> Check:
    try:
        dropping = forwarding.dropping()
    except OSError as error:
        detail = f"br_netfilter is on, and who drops is root's to see: {error.strerror}"
        return Check(check="bridged packets", ok=True, detail=detail)
    return Check(
        check="bridged packets",
        ok=not dropping,
        detail="; ".join(dropping) + " drops what it does not accept" if dropping else "pass",
        mend="accept them there, or set net.bridge.bridge-nf-call-* to 0" if dropping else "",
    )


def _uplinks(host: Host) -> Iterator[Check]:
    for name, link in host.links.items():
        joined = any(mark.role == UPLINK for mark in link.shared_marks)
        manager = host.manager(name) if joined else None
        if joined:
            yield Check(
                check=f"uplink {name}",
                ok=manager is None,
                detail=f"managed by {manager}" if manager else f"a port of {link.master}",
                mend=f"have {manager} leave {name} alone" if manager else "",
            )


def _libvirt(driver: GenericVIFDriver, host: Host) -> Check:
    answer = driver.libvirt()
    if answer.version:
        return Check(check="libvirt", ok=True, detail=f"{answer.version} at {answer.uri}")
    if host.found["libvirt_version"] == "configured":
        detail = f"{host.libvirt_version} as configured; {answer.error}"
        return Check(check="libvirt", ok=True, detail=detail)
    mend = "start libvirtd, or set [vifplug] libvirt_version"
    return Check(check="libvirt", ok=False, detail=answer.error, mend=mend)


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


def _locks() -> Check:
    path = Path(cfg.CONF.vifplug.lock_path)
    there = next(p for p in (path, *path.parents) if p.exists())
    usable = os.geteuid() != 0 or (there.is_dir() and os.access(there, os.W_OK))
    return Check(
        check="locks",
        ok=usable,
        detail=f"{path}" + ("" if usable else f": {there} can't be written"),
        mend="" if usable else "set [vifplug] lock_path to a folder on this host",
    )


def _claimed(claim: EntryClaim) -> Check:
    return Check(
        check=f"vif_type {claim.vif_type}",
        ok=claim.state == "ok",
        detail=claim.error or f"{claim.class_name}, {claim.source}",
        mend="" if claim.state == "ok" else f"reinstall or remove {claim.distribution}",
    )


def _print(found: list[tuple[str, Check]]) -> None:
    for name in dict.fromkeys(name for name, _ in found):
        print(name)
        for check in (check for plugin, check in found if plugin == name):
            print(f"  {'ok  ' if check.ok else 'MEND'}  {check.check:18}  {check.detail}")
            if check.mend:
                print(f"        {'':18}  mend: {check.mend}")
