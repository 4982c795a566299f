# SPDX-License-Identifier: Apache-2.0
"""How the kernel is read and changed: netlink, /proc, taps."""
