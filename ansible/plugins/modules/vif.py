#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Plug or unplug one VIF."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vif
short_description: Plug or unplug one virtual NIC
description:
  - Makes the host connect a VIF, or removes all that the host has of it.
  - A VIF that is plugged as asked is left alone.
extends_documentation_fragment:
  - vifplug.host.command
options:
  vif:
    description:
      - The VIF, with the fields of vifplug's JSON.
      - Required to plug. An unplug needs only O(id).
    type: dict
  id:
    description: The id of the VIF that is to be unplugged.
    type: str
  state:
    description: Whether the host has the VIF.
    type: str
    choices: [present, absent]
    default: present
  move:
    description: Bring over a VIF that is plugged by another vif_type or on another bridge.
    type: bool
    default: false
  force:
    description: Unplug a VIF although its guest holds it.
    type: bool
    default: false
attributes:
  check_mode:
    description: The module tells the plan and changes nothing.
    support: full
  diff_mode:
    description: The difference is the plan of vifplug.
    support: full
"""

EXAMPLES = r"""
- name: The guest web1 is on the bridge br-lan
  vifplug.host.vif:
    vif:
      id: 0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11
      vif_type: bridge
      address: "fa:16:3e:11:22:33"
      network:
        bridge: br-lan
        should_create_bridge: true

- name: It is gone
  vifplug.host.vif:
    id: 0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11
    state: absent
"""

RETURN = r"""
vif:
  description: What became of the VIF, as vifplug prints it for programs.
  returned: success
  type: dict
  sample: {"id": "0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11", "made": ["br-lan"], "changed": true}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vifplug.host.plugins.module_utils.command import (
    OPTIONS,
    difference,
    is_changed,
    rows,
)


def main() -> None:
    """Do what the task says."""
    module = AnsibleModule(
        argument_spec={
            "vif": {"type": "dict"},
            "id": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "move": {"type": "bool", "default": False},
            "force": {"type": "bool", "default": False},
            **OPTIONS,
        },
        required_if=[("state", "present", ("vif",)), ("state", "absent", ("vif", "id"), True)],
        mutually_exclusive=[("vif", "id")],
        supports_check_mode=True,
    )
    asked = module.params
    if asked["state"] == "present":
        words = ["-", *(["--move"] if asked["move"] else [])]
        look, do = ("plan", words), ("plug", words)
    else:
        words = ["--id", asked["id"]] if asked["id"] else ["-"]
        words += ["--force"] if asked["force"] else []
        look, do = ("unplug", [*words, "--dry-run"]), ("unplug", words)
    found = planned = []
    if module.check_mode or module._diff:
        found = planned = rows(module, look[0], *look[1], data=asked["vif"])
    if not module.check_mode:
        found = rows(module, do[0], *do[1], data=asked["vif"])
    result = {"changed": is_changed(found), "vif": found[0]}
    if module._diff:
        result["diff"] = difference(planned)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
