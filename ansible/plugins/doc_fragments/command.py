# SPDX-License-Identifier: Apache-2.0
"""The options that all modules have."""

from __future__ import annotations


class ModuleDocFragment:
    """Where the command lies, and how it is called."""

    DOCUMENTATION = r"""
options:
  executable:
    description: The command C(vifplug), as a path or as a name that is found in PATH.
    type: path
    default: vifplug
  config_file:
    description: The configuration file, instead of C(/etc/vifplug/vifplug.conf).
    type: path
  timeout:
    description: How many seconds the command may take, instead of the configured time.
    type: float
requirements:
  - vifplug and the plugins of the wanted types on the host
author:
  - The vifplug authors (@vifplug)
"""
