# SPDX-License-Identifier: Apache-2.0
"""Seeded histories of a host: plugs, crashes, reboots and other programs' acts.

Each is carried out on a simulated host, and some also on the real kernel and a real Open vSwitch.
``python -m tests.histories`` runs them.
"""
