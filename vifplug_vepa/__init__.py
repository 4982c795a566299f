# SPDX-License-Identifier: Apache-2.0
"""vifplug's plugin for VEPA and the direct family. Its vif_types come with the next releases."""
