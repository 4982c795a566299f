# SPDX-License-Identifier: Apache-2.0
"""vifplug's plugin for Open vSwitch (vif_type ``ovs``)."""
