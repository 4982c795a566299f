# SPDX-License-Identifier: Apache-2.0
"""The VIFs that ``vifplug gc`` keeps: files of VIFs or of ids, checked whole before use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from vifplug.cli.folder import read_folder
from vifplug.cli.reading import Invalid, Rejected, documents_in, named, vif_in
from vifplug.errors import InvalidVIF, VifplugError, shown
from vifplug.fields import UUID, NotAllowed


def read_ids(names: Sequence[str], *, source: str | None = None) -> list[str]:
    """Return the ids in all files: each holds VIFs, or ids alone. A folder is as ``apply`` has it.

    ``source`` names the system whose model the files hold. Raises Invalid with every error.
    """
    ids: list[str] = []
    errors: list[Rejected] = []
    for name in names:
        try:
            ids += _ids_in(name, source)
        except Invalid as invalid:
            errors += invalid.errors
        except VifplugError as error:
            errors.append(Rejected(error=error, file=name))
    if errors:
        raise Invalid(errors, [])
    return ids


def _ids_in(name: str, source: str | None) -> Iterator[str]:
    if Path(name).is_dir():
        yield from (given.vif.id for given in read_folder(name, lambda vif: None, {}))
        return
    for place, document in documents_in(name, source):
        if isinstance(document, str):
            yield _id(document, place)
        else:
            yield named(partial(vif_in, document, source), place).id


def _id(text: str, place: str) -> str:
    try:
        return str(UUID.check(text, lenient=False))
    except NotAllowed:
        raise InvalidVIF(place, "id", shown(text), UUID.allowed) from None
