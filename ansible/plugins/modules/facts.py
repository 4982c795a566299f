#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Tell what a host has plugged."""

from __future__ import annotations

DOCUMENTATION = r"""
module: facts
short_description: Tell which virtual NICs a host has plugged
description:
  - Sets facts on the VIFs that vifplug has plugged on the host, and on the plugins there.
  - It changes nothing.
extends_documentation_fragment:
  - vifplug.host.command
attributes:
  check_mode:
    description: The module changes nothing in any mode.
    support: full
  diff_mode:
    description: There is no difference.
    support: none
"""

EXAMPLES = r"""
- name: Ask for the VIFs
  vifplug.host.facts:

- name: Name those that drifted
  ansible.builtin.debug:
    msg: "{{ vifplug_vifs | selectattr('state', 'equalto', 'drift') | map(attribute='id') }}"
"""

RETURN = r"""
ansible_facts:
  description: The facts.
  returned: always
  type: dict
  contains:
    vifplug_vifs:
      description: What C(vifplug list) prints for programs.
      returned: always
      type: list
      elements: dict
      sample: [{"id": "0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11", "bridge": "br-lan", "state": "up"}]
    vifplug_plugins:
      description: What C(vifplug plugins) prints for programs.
      returned: always
      type: list
      elements: dict
      sample: [{"vif_type": "bridge", "distribution": "vifplug_bridge", "state": "ok"}]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vifplug.host.plugins.module_utils.command import OPTIONS, rows


def main() -> None:
    """Do what the task says."""
    module = AnsibleModule(argument_spec=dict(OPTIONS), supports_check_mode=True)
    facts = {
        "vifplug_vifs": rows(module, "list"),
        "vifplug_plugins": rows(module, "plugins", strict=False),
    }
    module.exit_json(ansible_facts=facts)


if __name__ == "__main__":
    main()
