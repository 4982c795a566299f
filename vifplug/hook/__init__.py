# SPDX-License-Identifier: Apache-2.0
"""libvirt's hooks: what vifplug does when a guest starts, stops or moves; and their installation.

``50-vifplug`` is the script that libvirt runs. It passes guests that are not ours, and sees to it
that no guest dies of a vifplug that can't run.
"""
