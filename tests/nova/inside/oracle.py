# SPDX-License-Identifier: Apache-2.0
"""Nova's own VIF driver and ours side by side: a VIF a line in, both XMLs a line out.

Run by the Python of a Nova's environment: ``python oracle.py CONFIG_FILE``. Of the host only the
version that libvirt tells is made up; all else of both drivers is as in nova-compute.
"""

import json
import sys

import nova.conf
import os_vif
from nova import exception, objects
from nova.network import model
from nova.pci import utils as pci_utils
from nova.virt.libvirt import vif as stock

from vifplug_nova.vif import VIFDriver, for_another_host

CONF = nova.conf.CONF
INSTANCE = "7f3a2b1c-9d8e-4f7a-8b6c-5d4e3f2a1b0c"


class Host:
    """A libvirt of a version."""

    version = 0

    def get_connection(self):
        return self

    def getLibVersion(self):  # noqa: N802 (libvirt's name)
        return self.version

    def get_vdpa_device_path(self, address):
        return f"/dev/vhost-vdpa-{address[-1]}"


def main():
    CONF([], project="nova", default_config_files=[sys.argv[1]])
    objects.register_all()
    os_vif.objects.register_all()
    # The one thing that Nova would read of the machine's sysfs for these VIFs.
    pci_utils.get_ifname_by_pci_address = lambda address, pf_interface=False: "enp1s0f1v2"
    host = Host()
    drivers = {"stock": stock.LibvirtGenericVIFDriver(host), "ours": VIFDriver(host)}
    for line in sys.stdin:
        case = json.loads(line)
        major, minor, micro = (int(part) for part in case["libvirt_version"].split("."))
        host.version = major * 1_000_000 + minor * 1000 + micro
        for name, value in case["libvirt_options"].items():
            CONF.set_override(name, value, group="libvirt")
        found = {name: answer(driver, case) for name, driver in drivers.items()}
        if case.get("for_another_host"):
            with for_another_host():
                found["ours"] = answer(drivers["ours"], case)
        print(json.dumps(found), flush=True)


def answer(driver, case):
    """Return what a driver makes of a case: XML with the class, or the error's class and text."""
    flavor = objects.Flavor(vcpus=case["vcpus"], extra_specs=case["extra_specs"])
    image = objects.ImageMeta.from_dict({"properties": case["image"]})
    instance = objects.Instance(id=1, uuid=INSTANCE, flavor=flavor, project_id="p")
    vif = model.VIF.hydrate(json.loads(json.dumps(case["vif"])))
    try:
        config = driver.get_config(instance, vif, image, flavor, CONF.libvirt.virt_type)
    except (exception.NovaException, KeyError) as error:
        return {"error": type(error).__name__, "text": str(error)}
    return {"xml": config.to_xml(), "class": type(config).__name__}


if __name__ == "__main__":
    main()
