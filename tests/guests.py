# SPDX-License-Identifier: Apache-2.0
"""What the tests with guests have in common."""

DISCOVERED = 45.0
"""Seconds until a guest without KVM, on a busy machine, has surely asked for an address."""

FIREWALL = "nova.virt.libvirt.firewall.IptablesFirewallDriver"
"""A value of firewall_driver with which the host must apply a firewall."""
