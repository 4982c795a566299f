# SPDX-License-Identifier: Apache-2.0
"""Whether rootwrap lets our daemons start: ``python filtered.py FILTERS_FOLDER NOVA_CONF BIN``.

Prints what each plugin's daemon is started by, as nova-compute would, and ends with an error where
no filter lets it pass.
"""

import importlib
import sys

import nova.conf
from oslo_privsep import priv_context
from oslo_rootwrap import wrapper

SOCKET = "/tmp/vifplug-privsep-ab12_xyz/privsep.sock"


def main():
    folder, conf, programs = sys.argv[1:]
    nova.conf.CONF([], project="nova", default_config_files=[conf])
    filters = wrapper.load_filters([folder])
    for name in ("bridge", "ovs", "vepa"):
        context = importlib.import_module(f"vifplug_{name}.privileged").context
        # Not ours: that knows that root needs no rootwrap.
        command = priv_context.PrivContext.helper_command(context, SOCKET)
        command = [word.replace(conf, "/etc/nova/nova.conf") for word in command]
        at = command.index("privsep-helper")
        wrapper.match_filter(filters, command[at:], exec_dirs=[programs])
        print(*command[at:])


if __name__ == "__main__":
    main()
