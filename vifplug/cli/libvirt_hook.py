# SPDX-License-Identifier: Apache-2.0
"""``vifplug libvirt-hook``: what the script of libvirt's hooks calls, and its installation."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from oslo_config import cfg

from vifplug import opts
from vifplug.cli import DONE, FAILED, REFUSED
from vifplug.cli.command import Command
from vifplug.driver import GenericVIFDriver
from vifplug.errors import VifplugError
from vifplug.hook.operations import Hook

LOG = logging.getLogger(__name__)

_PLUGS, _WRITES = ("prepare", "port-created"), ("migrate", "restore")
_AFTER = ("release", "reconnect", "port-deleted")
_OF_NETWORKS = ("port-created", "port-deleted")
_NOTHING = ("start", "started", "stopped", "attach")
_PACKAGED = "/usr/bin/vifplug"


class LibvirtHook(Command):
    """Do what libvirt's hook for a guest needs. The script 50-vifplug calls it."""

    formats = False

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("guest", nargs="?", metavar="GUEST",
                            help="or a network; - stands for libvirt itself")  # fmt: skip
        words = "what libvirt does: prepare, release, reconnect, migrate, restore, start, "
        words += "port-created, port-deleted"
        parser.add_argument("operation", nargs="?", metavar="OPERATION", help=words)
        parser.add_argument("more", nargs="*", metavar="WORD", help="what libvirt says besides")
        words = "write the script to qemu.d, network.d and daemon.d in /etc/libvirt/hooks"
        parser.add_argument("--install", action="store_true", help=words)
        words = "remove the script"
        parser.add_argument("--uninstall", action="store_true", help=words)
        words = "the root directory of --install and --uninstall (default: /)"
        parser.add_argument("--root", type=Path, default=Path("/"), metavar="DIR", help=words)

    def act(self, arguments: argparse.Namespace) -> int:
        if arguments.install or arguments.uninstall:
            return self._install(arguments)
        if not arguments.operation:
            self.app.stderr.write("vifplug libvirt-hook: GUEST and OPERATION are missing\n")
            return REFUSED
        if arguments.guest != "-" and sys.stdin.isatty():
            words = "virsh dumpxml GUEST | vifplug libvirt-hook GUEST prepare begin -"
            print(
                f"vifplug libvirt-hook: the domain's XML is missing; to try it: {words}",
                file=sys.stderr,
            )
            return REFUSED
        return self._called(arguments.guest, arguments.operation)

    def _called(self, guest: str, operation: str) -> int:
        try:
            return self._performed(guest, operation)
        except VifplugError as error:
            LOG.error("%s of %s: %s", operation, guest, error)
        except Exception as error:
            if not isinstance(error, (OSError, cfg.Error)):
                self._trace(error)
            LOG.error("%s of %s: %s: %s", operation, guest, type(error).__name__, error)
        # libvirt kills a guest that runs if its hook fails.
        return FAILED if operation in (*_PLUGS, *_WRITES) and guest != "-" else DONE

    def _performed(self, guest: str, operation: str) -> int:
        if operation in _OF_NETWORKS:
            return self._of_network(operation)
        driver = GenericVIFDriver(asks_libvirt=False)
        try:
            hook = Hook(driver, cfg.CONF[opts.GROUP])
            if guest == "-":
                if operation == "start":
                    hook.daemon_start()
                return DONE
            if operation in _PLUGS:
                return _refused(hook.prepare(sys.stdin.buffer.read()))
            if operation in _WRITES:
                text = sys.stdin.buffer.read()
                fresh = hook.rewritten(text)
                # libvirt takes no output for no change.
                if fresh != text:
                    sys.stdout.buffer.write(fresh)
                    sys.stdout.flush()
            elif operation in _AFTER:
                act = hook.release if operation == "release" else hook.reconnect
                act(sys.stdin.buffer.read())
            elif operation not in _NOTHING:
                LOG.warning("unknown operation, passed over: %s of %s", operation, guest)
            return DONE
        finally:
            driver.close()

    @staticmethod
    def _of_network(operation: str) -> int:
        """Do what a network's hook needs."""
        from vifplug.hook.ports import PortDriver, PortHook

        driver = PortDriver(asks_libvirt=False)
        try:
            hook = PortHook(driver, cfg.CONF[opts.GROUP])
            if operation == "port-created":
                return _refused(hook.created(sys.stdin.buffer.read()))
            hook.deleted(sys.stdin.buffer.read())
            return DONE
        finally:
            driver.close()

    def _install(self, arguments: argparse.Namespace) -> int:
        """Write or remove the script; tell what is left to do."""
        from vifplug.hook import install

        if arguments.uninstall:
            done = list(install.remove(arguments.root))
            words = "removed"
        else:
            options = [w for name in self.app.options.config_file
                       for w in ("--config-file", str(Path(name).resolve()))]  # fmt: skip
            done = list(install.install(arguments.root, install.script(_command(), options)))
            words = "written"
        for path, changed in done:
            print(f"{path}  {words if changed else 'unchanged'}")
        if any(changed for _, changed in done):
            print(f"libvirt must read its hooks anew: {install.RELOAD}")
        return DONE


def _refused(refusals: Sequence[str]) -> int:
    """Say why libvirt must not go on; return the exit status."""
    for words in refusals:
        LOG.error("%s", words)
    return FAILED if refusals else DONE


def _command() -> str:
    """Return the path of this command; the packaged one where it is that."""
    import shutil

    here = Path(sys.argv[0])
    found = str(here.resolve()) if os.access(here, os.X_OK) else shutil.which("vifplug")
    beside = Path(sys.executable).with_name("vifplug")
    if found and Path(found).name == "vifplug":
        return _PACKAGED if Path(found) == Path(_PACKAGED) else found
    return str(beside) if beside.exists() else _PACKAGED
