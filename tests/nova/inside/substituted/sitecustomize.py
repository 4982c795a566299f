# SPDX-License-Identifier: Apache-2.0
"""Puts our VIF driver in the place of Nova's own, in a Python that has this folder on its path."""

import importlib.abc
import importlib.util
import sys


class _Substitution(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "nova.virt.libvirt.vif":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def substitute(module):
            load(module)
            from vifplug_nova.vif import VIFDriver

            module.LibvirtGenericVIFDriver = VIFDriver

        spec.loader.exec_module = substitute
        return spec


sys.meta_path.insert(0, _Substitution())
