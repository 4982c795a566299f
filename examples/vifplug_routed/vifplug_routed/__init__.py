# SPDX-License-Identifier: Apache-2.0
"""An example of a third party's plugin: VIFs that the host itself routes (vif_type ``routed``)."""
