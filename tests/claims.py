# SPDX-License-Identifier: Apache-2.0
"""What vifplug keeps of a device: shared marks among its names, and claims in files."""

from __future__ import annotations

from oslo_config import cfg

from vifplug.kernel.claims import ClaimsFolder
from vifplug.model.mark import CLAIMS
from vifplug.query.links import RunningLinks


def running_links() -> RunningLinks:
    """Return the devices of the thread's network namespace, with their claims."""
    return RunningLinks(ClaimsFolder(cfg.CONF.vifplug.lock_path))


def kept_of(device: str) -> list[str]:
    """Return the names of ours that a device has, but the one that leads to claims; the claims."""
    links = running_links()
    names = [name for name in links[device].altnames if name.startswith("vifplug:")]
    names = [name for name in names if not name.startswith(CLAIMS)]
    return [*names, *(str(claim) for claim in links.claims(device))]


def every_claim() -> dict[str, list[str]]:
    """Return the claims on each device that has any."""
    links = running_links()
    claims = {name: sorted(str(claim) for claim in links.claims(name)) for name in links}
    return {name: texts for name, texts in claims.items() if texts}
