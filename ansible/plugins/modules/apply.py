#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Make a host have the VIFs that a folder declares."""

from __future__ import annotations

DOCUMENTATION = r"""
module: apply
short_description: Plug the virtual NICs that a folder of the host declares
description:
  - Makes the host have the VIFs that a folder of JSON and YAML files declares.
  - A second run changes nothing.
extends_documentation_fragment:
  - vifplug.host.command
options:
  path:
    description: The folder on the host.
    type: path
    default: /etc/vifplug/vifs.d
  prune:
    description: Unplug what vifplug has plugged on the host and the folder does not declare.
    type: bool
    default: false
  move:
    description: Bring over VIFs that are plugged by another vif_type or on another bridge.
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
- name: The folder lies on the host
  ansible.builtin.copy:
    src: vifs.d/
    dest: /etc/vifplug/vifs.d/
    mode: "0644"

- name: The host has its VIFs, and no others
  vifplug.host.apply:
    prune: true
"""

RETURN = r"""
vifs:
  description: What became of each VIF, as vifplug prints it for programs.
  returned: always
  type: list
  elements: dict
  sample: [{"id": "0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11", "action": "plug", "changed": true}]
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
            "path": {"type": "path", "default": "/etc/vifplug/vifs.d"},
            "prune": {"type": "bool", "default": False},
            "move": {"type": "bool", "default": False},
            **OPTIONS,
        },
        supports_check_mode=True,
    )
    words = [f"--{each}" for each in ("prune", "move") if module.params[each]]
    if module.check_mode:
        words.append("--dry-run")
    found = rows(module, "apply", module.params["path"], *words)
    result = {"changed": is_changed(found), "vifs": found}
    if module._diff:
        result["diff"] = difference(found)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
