# SPDX-License-Identifier: Apache-2.0
"""The VIF driver of Nova 20, the last with a firewall: a VIF a line in, its XML a line out.

Run by the Python of a newer Nova's environment with Nova 20 first on its path; the database, of
which nothing is needed here, is the one thing that isn't there.
"""

import json
import sys
import types

import oslo_db


class _Database:
    """No database: its decorators leave a function as it is."""

    def __init__(self, *args, **kwargs):
        pass

    def __getattr__(self, name):
        return lambda function: function


_absent = types.ModuleType("oslo_db.concurrency")
_absent.TpoolDbapiWrapper = _Database
oslo_db.concurrency = sys.modules["oslo_db.concurrency"] = _absent
sys.modules["netifaces"] = types.ModuleType("netifaces")

import nova.conf  # noqa: E402
import os_vif  # noqa: E402
from nova import exception, objects  # noqa: E402
from nova.network import model  # noqa: E402
from nova.virt.libvirt import vif as stock  # noqa: E402

CONF = nova.conf.CONF
INSTANCE = "7f3a2b1c-9d8e-4f7a-8b6c-5d4e3f2a1b0c"


class Host:
    """A libvirt of a version, with a QEMU that can do all."""

    def __init__(self, version):
        self.version = tuple(int(part) for part in version.split("."))

    def has_min_version(self, lv_ver=None, hv_ver=None, hv_type=None):
        return lv_ver is None or self.version >= lv_ver


def main():
    CONF([], project="nova", default_config_files=[])
    objects.register_all()
    os_vif.objects.register_all()
    driver = stock.LibvirtGenericVIFDriver()
    for line in sys.stdin:
        case = json.loads(line)
        CONF.set_override("firewall_driver", case["firewall_driver"])
        for name, value in case["libvirt_options"].items():
            CONF.set_override(name, value, group="libvirt")
        flavor = objects.Flavor(vcpus=case["vcpus"], extra_specs=case["extra_specs"])
        image = objects.ImageMeta.from_dict({"properties": case["image"]})
        instance = objects.Instance(id=1, uuid=INSTANCE, flavor=flavor, project_id="p")
        vif = model.VIF.hydrate(case["vif"])
        host = Host(case["libvirt_version"])
        try:
            virt_type = CONF.libvirt.virt_type
            found = {
                "xml": driver.get_config(instance, vif, image, flavor, virt_type, host).to_xml()
            }
        except exception.NovaException as error:
            found = {"error": type(error).__name__}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
