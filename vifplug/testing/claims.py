# SPDX-License-Identifier: Apache-2.0
"""What vifplug keeps of a device or a switch's bridge: shared marks, and claims in files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oslo_config import cfg

from vifplug import opts
from vifplug.kernel.claims import ClaimsFolder
from vifplug.model.mark import CLAIMS
from vifplug.query.links import RunningLinks

__all__ = ["every_claim", "kept_of", "running_links", "without_tokens"]


def running_links(lock_path: Path | None = None) -> RunningLinks:
    """Return the devices of the thread's network namespace, with their claims.

    ``lock_path`` is that of another process, where the test has none configured itself.
    """
    return RunningLinks(ClaimsFolder(str(lock_path or opts.register(cfg.CONF).lock_path)))


def kept_of(device: str, lock_path: Path | None = None) -> list[str]:
    """Return the names of ours that a device has, but the one that leads to claims; the claims."""
    links = running_links(lock_path)
    names = [name for name in links[device].altnames if name.startswith("vifplug:")]
    names = [name for name in names if not name.startswith(CLAIMS)]
    return [*names, *(str(claim) for claim in links.claims(device))]


def every_claim(lock_path: Path | None = None) -> dict[str, list[str]]:
    """Return the claims on each device that has any, and by token those on switches' bridges."""
    links = running_links(lock_path)
    claims = {name: links.claims(name) for name in links}
    files = links.claim_files
    claims |= {token: files.on(token) for token in files.tokens("")}
    return {name: sorted(map(str, found)) for name, found in claims.items() if found}


def without_tokens(dump: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dump of a namespace in which the name that leads to a device's claims has no token.

    The token is random: what it leads to is :func:`every_claim`'s.
    """
    links = {
        name: {**link, "altnames": [_without_token(altname) for altname in link["altnames"]]}
        if "altnames" in link
        else link
        for name, link in dump["links"].items()
    }
    return {**dump, "links": links}


def _without_token(altname: str) -> str:
    return CLAIMS if altname.startswith(CLAIMS) else altname
