# SPDX-License-Identifier: Apache-2.0
"""vifplug's plugin for vif_type << vif_type >>."""
