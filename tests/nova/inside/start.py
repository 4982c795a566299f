# SPDX-License-Identifier: Apache-2.0
"""nova-compute's start as far as its driver: ``python start.py NOVA_CONF``, then VIFs line by line.

Each line is a VIF; the answer says what plug(), get_config() and unplug() make of it.
"""

import json
import logging
import sys

import nova.conf
import nova.privsep
import os_vif
from nova import objects
from nova.network import model
from nova.virt import driver

CONF = nova.conf.CONF


def main():
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    CONF([], project="nova", default_config_files=[sys.argv[1]])
    objects.register_all()
    os_vif.initialize()
    nova.privsep.sys_admin_pctxt.set_client_mode(False)  # it is root already
    vif_driver = driver.load_compute_driver(None).vif_driver
    flavor = objects.Flavor(vcpus=1, extra_specs={})
    image = objects.ImageMeta.from_dict({})
    uuid = "7f3a2b1c-9d8e-4f7a-8b6c-5d4e3f2a1b0c"
    instance = objects.Instance(
        id=1, uuid=uuid, flavor=flavor, project_id="p", system_metadata={}, image_ref=""
    )
    for line in sys.stdin:
        vif = model.VIF.hydrate(json.loads(line))
        instance.task_state = vif["meta"].get("task_state")
        found = {}
        for name, more in (("plug", ()), ("get_config", (image, flavor, "kvm")), ("unplug", ())):
            try:
                answer = getattr(vif_driver, name)(instance, vif, *more)
                found[name] = answer.to_xml() if answer is not None else None
            except Exception as error:
                found[name] = f"{type(error).__name__}: {error}"
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
