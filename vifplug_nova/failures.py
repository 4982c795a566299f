# SPDX-License-Identifier: Apache-2.0
"""Our errors as those that Nova handles.

nova-compute survives, at its start, only a plug that fails with VirtualInterfacePlugException; a
clean-up goes on past a NovaException and nothing else. Nova's own classes are raised, no
subclasses: they cross its message bus by name.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from nova import exception
from oslo_concurrency import processutils

from vifplug import VifplugError

LOG = logging.getLogger(__name__)

_NOVA_HANDLES = (
    exception.VirtualInterfacePlugException,
    exception.PciDeviceNotFoundById,
    NotImplementedError,
)


@contextlib.contextmanager
def plugging() -> Iterator[None]:
    """Have whatever goes wrong in a plug of ours end that plug, and nothing more."""
    with _as(exception.VirtualInterfacePlugException, but_for=_NOVA_HANDLES[:1]):
        yield


@contextlib.contextmanager
def otherwise() -> Iterator[None]:
    """Have whatever goes wrong in get_config() or an unplug be a NovaException."""
    with _as(exception.InternalError, but_for=(exception.NovaException,)):
        yield


@contextlib.contextmanager
def plugging_by_nova(why_not_ours: str, *, moving: bool) -> Iterator[None]:
    """Have a plug of Nova's own fail as one of ours does, and say why it was Nova's to do.

    Before a live migration, of a VM that is ``moving``, Nova tries again on a failed command.
    """
    try:
        yield
    except _NOVA_HANDLES:
        raise
    except Exception as error:  # whatever it is, it must not end nova-compute at its start
        if moving and isinstance(error, processutils.ProcessExecutionError):
            raise
        raise exception.VirtualInterfacePlugException(f"{error} ({why_not_ours})") from error


@contextlib.contextmanager
def _as(kind: Any, *, but_for: Any) -> Iterator[None]:
    try:
        yield
    except but_for:
        raise
    except (VifplugError, exception.NovaException) as error:
        raise kind(str(error)) from error
    except Exception as error:
        LOG.exception("vifplug failed in a way that it should not")
        raise kind(f"vifplug: {type(error).__name__}: {error}") from error
