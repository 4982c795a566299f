# SPDX-License-Identifier: Apache-2.0
"""Nova's libvirt driver with vifplug's plugins (``compute_driver = vifplug.LibvirtDriver``)."""
