# SPDX-License-Identifier: Apache-2.0
"""vifplug's plugin for Open vSwitch. Its vif_types come with the next releases."""
