# SPDX-License-Identifier: Apache-2.0
"""Neutron's database on sqlite, made from its models without its migrations."""

import uuid

from neutron.db.migration.models import head
from neutron.db.models import securitygroup_default_rules
from neutron_lib.db import api
from oslo_db import exception
from oslo_db.sqlalchemy import exc_filters
from sqlalchemy import event, exc


@exc_filters.filters("sqlite", exc.OperationalError, r".*database is locked.*")
def _locked(error, match, engine_name, is_disconnect):
    # Neutron repeats a transaction only after a deadlock.
    raise exception.DBDeadlock(error)


def make(*, busy_timeout):
    """Make the tables, and the rules of a new security group, which a migration would insert.

    ``busy_timeout`` is for how many milliseconds a thread waits for another's transaction.
    """

    def prepare(connection, record):
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=OFF", f"busy_timeout={busy_timeout}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    engine = api.CONTEXT_WRITER.get_engine()
    event.listen(engine, "connect", prepare)
    engine.dispose()
    head.get_metadata().create_all(engine)
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
