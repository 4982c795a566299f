# SPDX-License-Identifier: Apache-2.0
"""Have Neutron's programs use redis as the message bus, and no privileged helpers.

A folder on PYTHONPATH: Python imports this module at the start of each program. The helper
processes would take 100 MB and 1.5 s each, and the programs are root already. Programs that use
eventlet can't do without them: ``KEEP_HELPERS`` in the environment says so.
"""

import collections
import importlib.util
import os
import sys


def _bus(module):
    # oslo.messaging registers handlers for events that only RabbitMQ has.
    begin = module.Channel.__init__

    def with_events(self, *words, **options):
        self.events = collections.defaultdict(set)
        begin(self, *words, **options)

    module.Channel.__init__ = with_events


def _fanout(module):
    # oslo.messaging subscribes to a fanout with a key, and publishes to it without one.
    module.Channel.fanout_patterns = False


def _unprivileged(module):
    begin = module.PrivContext.__init__

    def in_process(self, *words, **options):
        begin(self, *words, **options)
        self.set_client_mode(False)

    module.PrivContext.__init__ = in_process


_CHANGES = {
    "kombu.transport.virtual.base": _bus,
    "kombu.transport.redis": _fanout,
}
if "KEEP_HELPERS" not in os.environ:
    _CHANGES["oslo_privsep.priv_context"] = _unprivileged


class _Changed:
    """Finds a module that is changed after its import."""

    def find_spec(self, name, path=None, target=None):
        change = _CHANGES.pop(name, None)
        found = importlib.util.find_spec(name) if change else None
        if change is None or found is None or found.loader is None:
            return None
        execute = found.loader.exec_module

        def execute_and_change(module):
            execute(module)
            change(module)

        found.loader.exec_module = execute_and_change
        return found


sys.meta_path.insert(0, _Changed())
