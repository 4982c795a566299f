# SPDX-License-Identifier: Apache-2.0
"""An example of a third party's plugin: VIFs of OpenSDN's vRouter (vif_type ``vrouter``)."""
