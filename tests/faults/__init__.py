# SPDX-License-Identifier: Apache-2.0
"""Faults at every step of a plug and an unplug, for every plugin: see matrix.py."""
