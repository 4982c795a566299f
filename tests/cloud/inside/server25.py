# SPDX-License-Identifier: Apache-2.0
"""A Neutron server of 2024.2 in one process, which eventlet shares out among its workers.

Run by the Python of a Neutron's environment: ``python server25.py ADDRESS PORT CONF``. It writes a
line when it listens.
"""

import sys

import neutron.cmd.eventlet  # noqa: F401, isort: skip - patches the standard library

import database
import eventlet.wsgi
from neutron import server, service
from neutron.api import wsgi
from neutron.common import config
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.plugins import directory


def application():
    # Short, because a green thread that waits for sqlite lets no other go on.
    database.make(busy_timeout=50)
    app = config.load_paste_app("neutron")
    for event in (events.BEFORE_SPAWN, events.AFTER_INIT):
        registry.publish(resources.PROCESS, event, wsgi.WorkerService)
    return app


def main():
    address, port, conf = sys.argv[1:]
    sys.argv[1:] = ["--config-file", conf]
    app = server.boot_server(application)
    workers = [
        service.RpcWorker(directory.get_plugins().values(), worker_process_count=0),
        service.RpcReportsWorker([directory.get_plugin()], worker_process_count=0),
        *service._get_plugins_workers(),
    ]
    for worker in workers:
        worker._worker_process_count = 0
        worker.start()
    listening = eventlet.listen((address, int(port)))
    print("listening", flush=True)
    eventlet.wsgi.server(listening, app, log_output=False)


if __name__ == "__main__":
    main()
