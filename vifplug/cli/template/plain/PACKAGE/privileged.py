# SPDX-License-Identifier: Apache-2.0
"""The privileged daemon: CAP_NET_ADMIN, and the kinds of part of the plugin."""

from vifplug import privileged

from << package >>.plugin import << name >>Plugin

context, plug, unplug = privileged.entrypoints(__name__, << name >>Plugin)
