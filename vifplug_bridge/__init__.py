# SPDX-License-Identifier: Apache-2.0
"""vifplug's plugin for Linux bridges (vif_type ``bridge``) and bare taps (vif_type ``tap``)."""
