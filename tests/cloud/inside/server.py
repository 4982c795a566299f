# SPDX-License-Identifier: Apache-2.0
"""A Neutron server in one process: the API, the RPC server and the plugin's workers are threads.

Run by the Python of a Neutron's environment: ``python server.py ADDRESS PORT CONF``. It writes a
line when it listens.
"""

import os
import socketserver
import sys
from wsgiref import simple_server

from oslo_service import backend

backend.init_backend(backend.BackendType.THREADING)

import database  # noqa: E402 (the backend is chosen before)
from neutron import server, service  # noqa: E402
from neutron.server import api  # noqa: E402
from neutron_lib.plugins import directory  # noqa: E402


def application():
    database.make(busy_timeout=20000)
    return api.api_server()


class _Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self):
        # The original asks for the address' name, and a namespace has no resolver.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]
        self.setup_environ()


class _Silent(simple_server.WSGIRequestHandler):
    def log_message(self, *words):
        pass

    def address_string(self):
        return self.client_address[0]


def main():
    address, port, conf = sys.argv[1:]
    sys.argv[1:] = ["--config-file", conf]
    os.environ["OS_NEUTRON_CONFIG_FILES"] = conf
    # The OVN driver shares its work among so many API processes.
    os.environ["ASGI_WORKERS"] = "1"
    app = server.boot_server(application)
    plugins = directory.get_plugins()
    workers = [
        service.RpcWorker(plugins.values(), worker_process_count=0),
        service.RpcReportsWorker([directory.get_plugin()], worker_process_count=0),
        *service._get_plugins_workers(),
    ]
    for worker in workers:
        worker._worker_process_count = 0
        worker.start()
    kinds = {"server_class": _Server, "handler_class": _Silent}
    with simple_server.make_server(address, int(port), app, **kinds) as listening:
        print("listening", flush=True)
        listening.serve_forever()


if __name__ == "__main__":
    main()
