# SPDX-License-Identifier: Apache-2.0
"""One actor and one kind of VIF: what it does, whether check tells it, whether watch mends it."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.actors.actor import Actor
from tests.actors.scene import WITHIN, Scene
from tests.actors.shapes import ID, Shape
from tests.cli.watching import Watching, watching


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a trial. ``did`` are the differences of the VIF's devices and port.

    ``reached``: the guest reached its network in between. ``told``: check said so, with ``words``.
    ``told_in``, ``mended_in``: seconds from the end of the act to the watch's event. ``left`` are
    the differences that the watch leaves, and ``after`` is what check says then; it is empty where
    all is well. ``reaches``: the guest reaches its network again. ``wrong``: frames of the guest in
    another network.
    """

    actor: str
    shape: str
    did: tuple[str, ...]
    reached: bool
    told: bool
    words: str
    told_in: float | None
    mended_in: float | None
    left: tuple[str, ...]
    after: str
    reaches: bool
    wrong: int

    @property
    def harmed(self) -> bool:
        """Whether the actor changed the VIF, or cut its guest off."""
        return bool(self.did) or not self.reached

    @property
    def warned(self) -> bool:
        """Whether check names a firewall that cuts the guest off, which no repair changes."""
        return not self.did and "drops bridged packets" in self.words

    @property
    def well(self) -> bool:
        """Whether all is as before in the end."""
        return self.reaches and not self.left and not self.after


def trial(actor: Actor, shape: Shape, folder: Path) -> Outcome:
    """Have an actor act on a VIF twice: once without a watch, once under one that repairs.

    One that can act once only does so under a watch that tells. Another one mends it afterwards.
    """
    with contextlib.ExitStack() as stack:
        scene = Scene(shape, folder, stack)
        if actor.libvirt:
            scene.start_libvirt()
        actor.prepare(scene)
        scene.plug()
        assert scene.reaches(within=WITHIN)
        before = scene.state()
        told_in = mended_in = None
        with scene.sending():
            if actor.once:
                with watching(scene.vifplug, scene.file) as watch:
                    actor.act(scene)
                    ended = time.monotonic()
                    watch.event_of("drift", ID)
                    told_in = time.monotonic() - ended
            else:
                actor.act(scene)
        did = scene.differs(before)
        code, words = scene.check()
        reached = scene.reaches(within=1.0)
        with watching(scene.vifplug, "--repair", scene.file) as watch, scene.sending():
            if actor.once:
                mended_in = watch.event_of("mended", ID)["seconds"]
            else:
                _well(scene, before)
                watch.more()
                actor.act(scene)
                ended = time.monotonic()
                if code:
                    told_in, mended_in = _events(watch, ended)
            # libvirt's own record of a guest that it has moved stays.
            left, after = _well(scene, before, anyhow=actor.misplaces)
        return Outcome(
            actor=actor.name,
            shape=shape.name,
            did=tuple(did),
            reached=reached,
            told=code != 0,
            words=words,
            told_in=told_in,
            mended_in=mended_in,
            left=tuple(left),
            after=after,
            reaches=scene.reaches(within=WITHIN),
            wrong=scene.went_wrong(),
        )


def _events(watch: Watching, ended: float) -> tuple[float, float]:
    """Return how long after a time the drift is told, and how long after it is mended."""
    watch.event_of("drift", ID)
    told = max(time.monotonic() - ended, 0.0)
    event = watch.event_of("mended", ID)
    return told, max(time.monotonic() - ended, event["seconds"])


def _well(scene: Scene, before: dict[str, Any], *, anyhow: bool = False) -> tuple[list[str], str]:
    """Wait until the VIF is as before; return what still differs, and what check says of it.

    ``anyhow``: it may say something although the devices are as before.
    """
    until = time.monotonic() + WITHIN / 3
    while True:
        left = scene.differs(before)
        code, words = scene.check()
        if not left and code == 0:
            return [], ""
        if (not left and anyhow) or time.monotonic() > until:
            return left, words
        time.sleep(0.05)
