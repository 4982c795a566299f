# SPDX-License-Identifier: Apache-2.0
"""What the guest attaches to: libvirt's <interface>, its filter, a tap made beforehand. Pure."""
