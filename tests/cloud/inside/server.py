# SPDX-License-Identifier: Apache-2.0
"""A Neutron server in one process: the API, the RPC server and the plugin's workers are threads.

Run by the Python of a Neutron's environment: ``python server.py ADDRESS PORT CONF``. It writes a
line when it listens. The database is sqlite, made from Neutron's models without its migrations.
"""

import os
import socketserver
import sys
import uuid
from wsgiref import simple_server

from oslo_service import backend

backend.init_backend(backend.BackendType.THREADING)

from neutron import server, service  # noqa: E402 (the backend is chosen before)
from neutron.db.migration.models import head  # noqa: E402
from neutron.db.models import securitygroup_default_rules  # noqa: E402
from neutron.server import api  # noqa: E402
from neutron_lib.db import api as database  # noqa: E402
from neutron_lib.plugins import directory  # noqa: E402
from oslo_db import exception  # noqa: E402
from oslo_db.sqlalchemy import exc_filters  # noqa: E402
from sqlalchemy import event, exc  # noqa: E402

_PRAGMAS = ("journal_mode=WAL", "synchronous=OFF", "busy_timeout=20000")


@exc_filters.filters("sqlite", exc.OperationalError, r".*database is locked.*")
def _locked(error, match, engine_name, is_disconnect):
    # Neutron repeats a transaction only after a deadlock.
    raise exception.DBDeadlock(error)


def _prepare(connection, record):
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def make_database():
    """Make the tables, and the rules of a new security group, which a migration would insert."""
    engine = database.CONTEXT_WRITER.get_engine()
    event.listen(engine, "connect", _prepare)
    engine.dispose()
    tables = head.get_metadata()
    tables.create_all(engine)
    model = securitygroup_default_rules.SecurityGroupDefaultRule
    attributes = model.standard_attr.property.mapper.local_table
    kind = "default_security_group_rules"
    with engine.begin() as connection:
        if connection.execute(model.__table__.select()).first():
            return
        for direction in ("egress", "ingress"):
            for ethertype in ("IPv4", "IPv6"):
                added = attributes.insert().values(resource_type=kind, description="")
                (number,) = connection.execute(added).inserted_primary_key
                rule = {
                    "id": str(uuid.uuid4()),
                    "standard_attr_id": number,
                    "direction": direction,
                    "ethertype": ethertype,
                    "used_in_default_sg": True,
                    "used_in_non_default_sg": direction == "egress",
                    "remote_group_id": "PARENT" if direction == "ingress" else None,
                }
                connection.execute(model.__table__.insert().values(**rule))


def application():
    make_database()
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
