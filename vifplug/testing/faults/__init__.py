# SPDX-License-Identifier: Apache-2.0
"""Faults at every step of a plug and an unplug, for any plugin.

:mod:`~vifplug.testing.faults.every_step` has the tests, :mod:`~vifplug.testing.faults.matrix` what
each fault must leave, :mod:`~vifplug.testing.faults.saboteur` the faults. The pytest plugin
:mod:`~vifplug.testing.faults.report` prints what was tried.
"""
