# SPDX-License-Identifier: Apache-2.0
"""The privileged side, as a plugin's author sees it.

A plugin's own ``privileged`` module is a few lines: a :class:`Context` named for the module, and
the entrypoints ``plug`` and ``unplug`` that hand their request to the functions below. The core
checks each request again, since this side trusts no caller. A plugin that has operations of its
own registers with ``@perform.register`` how the kernel performs them.
"""

from vifplug.daemon.context import Context
from vifplug.daemon.serve import plug, unplug
from vifplug.kernel.perform import Kernel, WrongDevice, perform

__all__ = ["Context", "Kernel", "Reply", "WrongDevice", "perform", "plug", "unplug"]

Reply = dict[str, object]
"""What an entrypoint returns for one VIF: a ``vifplug.daemon.request.Reply`` as plain data."""
