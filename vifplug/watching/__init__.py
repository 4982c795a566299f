# SPDX-License-Identifier: Apache-2.0
"""Watches VIFs: hears of changes of the host, tells which VIF differs, and mends it if asked to."""
