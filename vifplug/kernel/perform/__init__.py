# SPDX-License-Identifier: Apache-2.0
"""How the kernel performs operations: one module for each of ``vifplug.operations``."""

from vifplug.kernel.perform import addressing, altnames, claims, functions, links, routes
from vifplug.kernel.perform.dispatch import Kernel, WrongDevice, perform

__all__ = [
    "Kernel",
    "WrongDevice",
    "addressing",
    "altnames",
    "claims",
    "functions",
    "links",
    "perform",
    "routes",
]
