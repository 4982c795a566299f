# SPDX-License-Identifier: Apache-2.0
"""A Nova: API, scheduler, conductor and nova-compute in one process, which is told what to do.

Run by the Python of a Nova's environment, in the network namespace of its compute host: ``python
cloud.py NOVA_CONF IMAGE KERNEL``. A command a line in, an answer a line out. libvirt, Open vSwitch,
the kernel and the guests are real; Neutron, Glance, Cinder and Placement are the fixtures of Nova's
own functional tests, which keep ports as they are told.
"""

import contextlib
import copy
import importlib
import json
import os
import shlex
import sys
import time
import traceback
from pathlib import Path

# libvirt and whatever else these tests are about, before Nova's fixtures put theirs in its place.
import libvirt  # noqa: F401

from nova.tests.functional import integrated_helpers  # isort: skip - patches the standard library

import fixtures
import nova.conf
import os_vif
from nova import context, objects, utils
from nova.tests import fixtures as nova_fixtures
from oslo_privsep import priv_context
from oslo_utils import uuidutils

CONF = nova.conf.CONF

_NO_HINDRANCE = (
    "PoisonFunctions",
    "GenericPoisonFixture",
    "SysFsPoisonFixture",
    "PrivsepNoHelperFixture",
)
"""Fixtures of Nova's tests that keep a test from touching the host."""
_AS_ROOT = ("nova.privsep.sys_admin_pctxt", "os_brick.privileged.default",
            "vif_plug_ovs.privsep.vif_plug")  # fmt: skip
"""What asks a privileged helper of another's; here the process is root already."""


class Cloud(integrated_helpers._IntegratedTestBase):
    """The services, set up and taken down as one of Nova's functional tests."""

    CAST_AS_CALL = False
    REQUIRES_LOCKING = True
    ADMIN_API = True
    microversion = "latest"

    def __init__(self, conf, image, kernel):
        super().__init__("runTest")
        self.file, self.image, self.kernel = conf, image, kernel

    def runTest(self):  # noqa: N802 (unittest's name)
        pass

    def _setup_services(self):
        paste = CONF.wsgi.api_paste_config
        CONF([], project="nova", default_config_files=[self.file])
        CONF.set_override("api_paste_config", paste, group="wsgi")
        for name in ("compute_driver", "host", "instances_path", "compute"):
            with contextlib.suppress(Exception):
                CONF.clear_override(name)
        self._give_images()
        # As nova-compute's main() does.
        priv_context.init(root_helper=shlex.split(utils.get_root_helper()))
        os_vif.initialize(reset=True)
        super()._setup_services()

    def _setup_compute_service(self):
        return self._start_compute(CONF.host)

    def _give_images(self):
        kernel = copy.deepcopy(self.glance.image1)
        kernel |= {"id": "aaaaaaaa-0000-4000-8000-000000000001", "container_format": "aki"}
        kernel |= {"disk_format": "aki", "properties": {}, "name": "ipxe"}
        disk = copy.deepcopy(self.glance.image1)
        disk |= {"id": "aaaaaaaa-0000-4000-8000-000000000002", "disk_format": "qcow2"}
        disk |= {"container_format": "bare", "name": "blank"}
        disk["properties"] = {"kernel_id": kernel["id"], "architecture": "x86_64"}
        for image, path in ((kernel, self.kernel), (disk, self.image)):
            self.glance.create(None, image)
            self.glance._imagedata[image["id"]] = Path(path).read_bytes()
        self.disk = disk

    # The commands. Each returns what its answer says.

    def do_boot(self, ports, ipxe="autoboot", vcpus=1, extra_specs=None):
        """Boot a server on ports of Neutron's that are made for it; ``ipxe`` is what it does."""
        begun = time.monotonic()
        flavor = self._flavor(vcpus, extra_specs or {})
        networks = [{"port": self._port(port)} for port in ports]
        image = copy.deepcopy(self.disk) | {"id": uuidutils.generate_uuid()}
        image["properties"]["os_command_line"] = ipxe
        self.glance.create(None, image)
        self.glance._imagedata[image["id"]] = self.glance._imagedata[self.disk["id"]]
        body = self._build_server(image_uuid=image["id"], flavor_id=flavor, networks=networks)
        server = self.api.post_server({"server": body})
        return self._settled(server["id"]) | {"seconds": time.monotonic() - begun}

    def do_attach(self, server, port):
        """Attach one more port to a server."""
        port_id = self._port(port)
        self.api.attach_interface(server, {"interfaceAttachment": {"port_id": port_id}})
        return self._settled(server)

    def do_stop(self, server):
        """Stop a server."""
        self.api.post_server_action(server, {"os-stop": None})
        return self._settled(server, but_for=("ACTIVE",))

    def do_detach(self, server, port):
        """Detach a port, and wait until Nova no longer has it."""
        self.api.detach_interface(server, port)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            if port not in [one["port_id"] for one in self.api.get_port_interfaces(server)]:
                return {}
            time.sleep(0.1)
        raise TimeoutError(f"{port} is still there")

    def do_delete(self, server):
        """Delete a server, and wait until it is gone."""
        self.api.delete_server(server)
        until = time.monotonic() + 30
        while server in [one["id"] for one in self.api.get_servers()]:
            if time.monotonic() > until:
                raise TimeoutError(f"{server} is still there")
            time.sleep(0.1)
        return {}

    def do_reboot(self, server):
        """Reboot a server hard: its NICs are unplugged and plugged."""
        self.api.post_server_action(server, {"reboot": {"type": "HARD"}})
        return self._settled(server)

    def do_restart(self, compute_driver=None):
        """End nova-compute and start it anew, with its configuration read again."""
        if compute_driver:
            CONF.set_override("compute_driver", compute_driver)
        self.compute = self.restart_compute_service(self.compute, keep_hypervisor_state=False)
        self.computes[self.compute.host] = self.compute
        return {"driver": type(self.compute.manager.driver).__module__}

    def do_spoil(self, server, port, **changes):
        """Change a VIF in the cache of a server's network, as a failed migration may."""
        with context.target_cell(context.get_admin_context(), self.cell_mappings["cell1"]) as cell:
            cache = objects.InstanceInfoCache.get_by_instance_uuid(cell, server)
            known = copy.deepcopy(cache.network_info)
            for vif in known:
                if vif["id"] == port:
                    vif.update(changes)
            cache.network_info = known
            cache.save()
        return {}

    def do_servers(self):
        """Say each server's status."""
        return {one["id"]: one["status"] for one in self.api.get_servers()}

    def do_unplug(self, server):
        """Have the driver of nova-compute unplug all VIFs of a server."""
        return self._driven(server, "unplug")

    def do_plug(self, server):
        """Have the driver of nova-compute plug all VIFs of a server."""
        return self._driven(server, "plug")

    def do_get_config(self, server):
        """Have the driver of nova-compute render all VIFs of a server."""
        return self._driven(server, "get_config")

    def _driven(self, server, method):
        found = {}
        driver = self.compute.manager.driver.vif_driver
        with context.target_cell(context.get_admin_context(), self.cell_mappings["cell1"]) as cell:
            instance = objects.Instance.get_by_uuid(cell, server, ["info_cache", "flavor"])
            more = ()
            if method == "get_config":
                more = (instance.image_meta, instance.flavor, CONF.libvirt.virt_type)
            for vif in instance.get_network_info():
                try:
                    answer = getattr(driver, method)(instance, vif, *more)
                    found[vif["id"]] = answer.to_xml() if answer is not None else None
                except Exception as error:
                    found[vif["id"]] = f"{type(error).__name__}: {error}"
        return found

    def _port(self, port):
        known = copy.deepcopy(self.neutron.port_1) | port
        self.neutron._ports[known["id"]] = known
        return known["id"]

    def _flavor(self, vcpus, extra_specs):
        name = f"f{len(self.api.get_flavors())}"
        body = {"flavor": {"name": name, "id": name, "ram": 64, "vcpus": vcpus, "disk": 1}}
        self.admin_api.post_flavor(body)
        if extra_specs:
            self.admin_api.post_extra_spec(name, {"extra_specs": extra_specs})
        return name

    def _settled(self, server, but_for=()):
        until = time.monotonic() + 60
        while True:
            found = self.admin_api.get_server(server)
            busy = found["OS-EXT-STS:task_state"] or found["status"] in (*but_for, "BUILD")
            if not busy or time.monotonic() > until:
                break
            time.sleep(0.1)
        name = found.get("OS-EXT-SRV-ATTR:instance_name")
        fault = found.get("fault", {}).get("message")
        return {"id": server, "status": found["status"], "name": name, "fault": fault}


def unhindered():
    """Take the poison out of Nova's fixtures, and helpers out of a process that is root."""
    for name in _NO_HINDRANCE:
        setattr(nova_fixtures, name, fixtures.Fixture)
    poison = type("NoPoison", (fixtures.Fixture,), {"__init__": lambda self, modules: None})
    nova_fixtures.ImportModulePoisonFixture = type(
        "NoPoison", (poison,), {"__init__": lambda self, modules: fixtures.Fixture.__init__(self)}
    )
    for path in _AS_ROOT:
        module, _, name = path.rpartition(".")
        getattr(importlib.import_module(module), name).set_client_mode(False)


def keep_log(cloud):
    """Write down what the services have logged so far."""
    with contextlib.suppress(AttributeError):
        Path(f"{sys.argv[1]}.log").write_text(cloud.stdlog.logger.output)


def main():
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    unhindered()
    cloud = Cloud(*sys.argv[1:])
    try:
        cloud.setUp()
        answers.write(json.dumps({"driver": type(cloud.compute.manager.driver).__module__}) + "\n")
    except BaseException:
        answers.write(json.dumps({"error": traceback.format_exc()}) + "\n")
        answers.flush()
        keep_log(cloud)
        os._exit(1)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(cloud, f"do_{command.pop('do')}")(**command)
        except BaseException:
            answer = {"error": traceback.format_exc()}
        keep_log(cloud)
        answers.write(json.dumps(answer) + "\n")
    # Its thread pools would be waited for.
    answers.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
