# SPDX-License-Identifier: Apache-2.0
"""vifplug's plugin for VEPA and the direct family: guests on a network card."""
