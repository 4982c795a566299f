# SPDX-License-Identifier: Apache-2.0
"""An example of a third party's plugin: VIFs on VDE's switch (vif_type ``vde``)."""
