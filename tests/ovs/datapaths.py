# SPDX-License-Identifier: Apache-2.0
"""Both datapaths of Open vSwitch, for tests that must hold on each."""

from __future__ import annotations

import pytest

SYSTEM = pytest.param("system", marks=pytest.mark.kernel("openvswitch"))

on_both_datapaths = pytest.mark.parametrize("ovs", ["netdev", SYSTEM], indirect=True)
on_the_kernels_datapath = pytest.mark.parametrize("ovs", [SYSTEM], indirect=True)
