# SPDX-License-Identifier: Apache-2.0
"""Whether this host's firewall drops what crosses its bridges: looked at only, never changed.

A frame passes the chains of nftables' family ``bridge``. With br_netfilter an IP packet also
passes those for forwarded packets: on all bridges by a sysctl, or on one by the bridge's own
setting. Many firewalls end with a rule that drops what no rule accepts. Then a guest is off the
net, without a word.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What is known of packets that cross bridges.

    ``dropping`` are chains that drop those which no rule before accepts. ``unsure`` is what was
    not followed to its end: chains with a rule that may drop some packets, and what can't be read.
    ``host`` are chains that drop what guests send to the host itself.
    """

    dropping: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()
    host: tuple[str, ...] = ()


def look(bridges: Sequence[str] | None = None) -> Statement:
    """Return what is known of packets that cross some bridges; None stands for all there are.

    For the network namespace of the calling thread. A bridge that is missing is one that will be
    made. Never raises: what may not be looked at is ``unsure``.
    """
    # Loaded here, since most VIFs' plugs look at no firewall.
    from vifplug.query.firewall.looking import Looking

    return Looking().at(bridges)


def warn_of(dropping: Iterable[str]) -> None:
    """Warn of chains that drop what guests send over a bridge, once of each."""
    for chain in dict.fromkeys(dropping):
        LOG.warning("%s drops bridged packets that no rule of it accepts", chain)
