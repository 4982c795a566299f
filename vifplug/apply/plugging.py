# SPDX-License-Identifier: Apache-2.0
"""VIFs plugged: each whole or not at all, then looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from vifplug.apply.means import Means, log_each
from vifplug.apply.outcome import Applied, Outcome, undo, words
from vifplug.errors import PlugFailed, VifplugError
from vifplug.model.host import Host
from vifplug.operations.links import RemoveLink
from vifplug.operations.operation import Operation, SwitchOperation
from vifplug.parts import CORE, Part
from vifplug.plan.compare import compare
from vifplug.plan.move import in_order, leave
from vifplug.plan.place import leaves, require_one_place, strays
from vifplug.switch import Departure, Order, Refused, SomeFailed, Wanted

PLANNING = "the comparison with the host"
LOOK = "the look at the result"
CLEARING = "the end of the move"


@dataclass(kw_only=True)
class Plugging:
    """A VIF being plugged, and the operations performed so far, oldest first.

    ``step`` is the operation at work. ``elsewhere`` are names by which another vif_type may have
    left the VIF somewhere else. ``gone`` removes the devices that a moved VIF needs no more.
    """

    wanted: Wanted
    elsewhere: Sequence[str] = ()
    performed: list[Operation] = field(default_factory=list)
    step: str = "the first step"
    gone: Sequence[RemoveLink] = ()
    outcome: Outcome | None = None

    @property
    def vif_id(self) -> str:
        """The VIF's id."""
        return self.wanted.owner.vif_id

    @property
    def names(self) -> Sequence[str]:
        """Names by which the VIF may be found somewhere: a caller may keep some to itself."""
        ports = (name for part in self.wanted.parts for name in part.ports)
        return tuple(dict.fromkeys([*self.elsewhere, *self.wanted.devices, *ports]))

    def at_switch(self, order: Order) -> None:
        """Note that the switch's changes are the step at work."""
        if order.inside:
            self.step = str(order.inside[0])

    def forget_switch(self) -> None:
        """Leave out the switch's changes: it made none of them."""
        self.performed = [o for o in self.performed if not isinstance(o, SwitchOperation)]

    def fail(self, error: BaseException, take_back: Callable[[Operation], None]) -> None:
        """Undo what was performed; the error is what becomes of the VIF."""
        left = undo(self.performed, take_back)
        self.performed = []
        if isinstance(error, VifplugError) and not left:
            self.outcome = error.about(self.vif_id)
        else:
            self.outcome = PlugFailed(self.vif_id, self.step, words(error), left)


def plug(vifs: Sequence[Plugging], means: Means) -> list[Outcome]:
    """Make each VIF's parts exist, or leave the host as it was; one that fails hurts no other.

    The switch's changes go in one transaction for all VIFs, split where it is refused.
    """
    _together(list(vifs), means)
    return [vif.outcome or Applied(changed=False, devices=()) for vif in vifs]


def _together(vifs: list[Plugging], means: Means) -> None:
    try:
        elsewhere = (name for vif in vifs for name in vif.names)
        host = means.look_for([vif.wanted for vif in vifs], elsewhere=elsewhere).planning()
        means.kernel.claims.require_sound()
    except Exception as error:
        for vif in vifs:
            vif.step = "reading the host"
            vif.fail(error, means.take_back)
        return
    plans: list[tuple[Plugging, Order]] = []
    for vif in vifs:
        try:
            order = _planned(vif, host, means, alone=len(vifs) == 1)
        except Exception as error:
            vif.fail(error, means.take_back)
            continue
        if _performed(vif, order.before, means):
            plans.append((vif, order))
    if any(order.inside for _, order in plans):
        if not _committed(plans, means):
            return
        plans = [(vif, order) for vif, order in plans if vif.outcome is None]
        if plans:
            _settle(plans, means)
    for vif, order in plans:
        if vif.outcome is None:
            _performed(vif, order.after, means)
    _verify([vif for vif, _ in plans if vif.outcome is None], means)


def _planned(vif: Plugging, host: Host, means: Means, *, alone: bool) -> Order:
    """Compare a VIF's parts with the host; return its operations in their order."""
    wanted = vif.wanted
    means.kernel.claims.require_read(vif.vif_id)
    if not wanted.move:
        require_one_place(wanted, host, means.kinds, vif.names)
    elif leaves(wanted, host, means.kinds, vif.names):
        return _moved(vif, host, means)
    operations = _operations(wanted, host, means)
    if means.switch is None:
        return Order(before=tuple(operations))
    return means.switch.order(operations, alone=wanted if alone else None)


def _moved(vif: Plugging, host: Host, means: Means) -> Order:
    """Return the operations that bring a VIF over from another vif_type or process."""
    wanted = vif.wanted
    departure = Departure(vif_id=vif.vif_id, interface_id=wanted.interface_id)
    in_switch = means.switch.leaving(departure) if means.switch else ()
    leaving = leave(departure, host, means.kinds, in_switch, wanted=wanted)
    operations = _operations(wanted, host, means)
    if means.switch is None:
        arrival = Order(before=tuple(operations))
    else:
        arrival = means.switch.order(operations, alone=None)
    vif.gone = leaving.gone
    return in_order(leaving, arrival)


def _operations(wanted: Wanted, host: Host, means: Means) -> list[Operation]:
    steps = compare(wanted.owner, _in_time(wanted, means), host)
    return [operation for step in steps for operation in step.operations]


def _in_time(wanted: Wanted, means: Means) -> Iterator[Part]:
    """Yield a VIF's parts. Raises DeadlineExceeded, because others wait for the locks."""
    for part in wanted.parts:
        means.require_time(wanted.owner.vif_id, PLANNING)
        yield part


def _left(wanted: Wanted, host: Host, means: Means) -> list[Operation]:
    """Return what is still to do for a VIF on a host.

    A scratch pad is a copy of what the switch has, so it is made only where something is left.
    """
    if any(part.operations(wanted.owner, host) for part in wanted.parts):
        return _operations(wanted, host, means)
    return []


def _performed(vif: Plugging, operations: Sequence[Operation], means: Means) -> bool:
    """Make changes on the kernel; where one fails, undo all that was performed for the VIF."""
    if failure := _stopped_by(vif, operations, means):
        _fail(vif, failure, means)
    return failure is None


def _fail(vif: Plugging, failure: BaseException, means: Means) -> None:
    """Undo what was performed for a VIF. The end of the process is raised again after that."""
    vif.fail(failure, means.take_back)
    if not isinstance(failure, Exception):
        raise failure


def _stopped_by(
    vif: Plugging, operations: Sequence[Operation], means: Means
) -> BaseException | None:
    """Make changes on the kernel until one fails; return its error, and undo nothing."""
    try:
        for operation in operations:
            vif.step = str(operation)
            means.require_time(vif.vif_id, vif.step)
            # Noted before it is tried, because an operation that failed half-way is undone too.
            vif.performed.append(operation)
            means.perform(operation, vif_id=vif.vif_id)
    except BaseException as error:
        return error
    return None


def _committed(plans: Sequence[tuple[Plugging, Order]], means: Means) -> bool:
    """Change the switch, for all VIFs in one transaction; False where it was split instead."""
    assert means.switch is not None  # noqa: S101 - only its parts have such operations
    for vif, order in plans:
        vif.at_switch(order)
        vif.performed += order.inside
    stopped: list[tuple[Plugging, str, BaseException]] = []
    try:
        means.require_time(plans[0][0].vif_id, plans[0][0].step)
        for vif, order in plans:
            log_each(order.inside, vif.vif_id)
        means.switch.send([order.inside for _, order in plans])
        for vif, order in plans:
            if failure := _stopped_by(vif, order.meanwhile, means):
                stopped.append((vif, vif.step, failure))
            vif.at_switch(order)
        means.switch.confirm()
    except Refused as refused:
        _split([vif for vif, _ in plans], refused, means)
        return False
    except SomeFailed as some:
        for position, (operation, error) in some.failed.items():
            vif = plans[position][0]
            vif.step = str(operation)
            vif.fail(error, means.take_back)
    except Exception as error:
        for vif, _ in plans:
            if isinstance(error, VifplugError):
                vif.forget_switch()
            vif.fail(error, means.take_back)
        return False
    for vif, step, failure in stopped:
        if vif.outcome is None:
            vif.step = step
            _fail(vif, failure, means)
    return True


def _settle(plans: Sequence[tuple[Plugging, Order]], means: Means) -> None:
    """Wait for the switch; undo the VIFs that it did not take."""
    assert means.switch is not None  # noqa: S101 - as above
    for vif, order in plans:
        vif.at_switch(order)
    try:
        means.require_time(plans[0][0].vif_id, plans[0][0].step)
        groups = [order.inside for _, order in plans]
        answers = means.switch.settled(groups, meanwhile=means.use_the_time)
    except Exception as error:
        for vif, _ in plans:
            vif.fail(error, means.take_back)
        return
    for (vif, _), why in zip(plans, answers, strict=True):
        if why:
            vif.fail(PlugFailed(vif.vif_id, vif.step, why), means.take_back)


def _split(vifs: list[Plugging], refused: Refused, means: Means) -> None:
    """Go on without the VIF that was refused, or in halves where nothing tells which it was."""
    for vif in vifs:
        vif.forget_switch()
    if len(vifs) == 1:
        vifs[0].fail(refused, means.take_back)
        return
    if refused.culprit is not None:
        vifs[refused.culprit].fail(refused, means.take_back)
        rest = [vif for vif in vifs if vif.outcome is None]
        return _together(rest, means)
    half = len(vifs) // 2
    _together(vifs[:half], means)
    _together(vifs[half:], means)


def _verify(vifs: list[Plugging], means: Means) -> None:
    """Look at the host again: only what is really there counts as plugged."""
    # A move that was killed at its end has only devices of the old place left to remove.
    changed = [vif for vif in vifs if vif.performed or vif.gone]
    for vif in vifs:
        _accept(vif, means)
    if not changed:
        return
    try:
        host = means.look_for([vif.wanted for vif in changed])
    except Exception as error:
        for vif in changed:
            vif.step = LOOK
            vif.fail(error, means.take_back)
        return
    for vif in changed:
        vif.step = LOOK
        try:
            left = _left(vif.wanted, host, means)
            if _undone_by_the_switch(vif, left, means):
                again = means.look(batch=False)
                left = _operations(vif.wanted, replace(host, links=again.links), means)
            if differs := "; ".join(map(str, left)) or _still_there(vif, host, means):
                reason = f"the host did not keep what was done: {differs}"
                if wrong := _never_true(vif.wanted, host):
                    reason += f" ({wrong} asks for this again once it is done: it is wrong)"
                raise PlugFailed(vif.vif_id, vif.step, reason)
            means.require_time(vif.vif_id, vif.step)
        except Exception as error:
            vif.fail(error, means.take_back)
        else:
            _clear(vif, means)


def _never_true(wanted: Wanted, host: Host) -> str:
    """Return the plugin's kind of part that its own operations don't satisfy; "" if none is so."""
    for part in (part for part in wanted.parts if type(part) not in CORE):
        trial = host.trial()
        for operation in part.operations(wanted.owner, trial):
            operation.foresee(trial)
        if part.operations(wanted.owner, trial):
            return f"{type(part).__module__}.{type(part).__name__}"
    return ""


def _accept(vif: Plugging, means: Means) -> None:
    """Note what was done for a VIF. Where nothing was to be done, the deadline counts too."""
    vif.outcome = _applied(vif)
    if not vif.performed:
        try:
            means.require_time(vif.vif_id, PLANNING)
        except VifplugError as error:
            vif.outcome = error


def _still_there(vif: Plugging, host: Host, means: Means) -> str:
    """Return where a moved VIF still is besides its new place, or has a claim; "" if nowhere.

    The devices that it needs no more go once all is well.
    """
    wanted, owner = vif.wanted, vif.wanted.owner
    if not wanted.move:
        return ""
    later = host.trial()
    for operation in vif.gone:
        operation.foresee(later)
    found = strays(wanted, later, means.kinds, vif.names)
    places = [f"{place.device} {place}" for place in found]
    places += [
        f"{device} has this VIF's claim ({claim.vif_type})"
        for device, claim in host.claims_of(vif.vif_id)
        if (claim.vif_type, claim.process) != (owner.vif_type, owner.process)
    ]
    return "; ".join(places)


def _clear(vif: Plugging, means: Means) -> None:
    """Remove the devices that a moved VIF has left: the VIF itself is where it should be."""
    left = []
    for operation in vif.gone:
        try:
            means.perform(operation, vif_id=vif.vif_id)
        except Exception as error:
            left.append(f"{operation}: {words(error)}")
    if vif.gone and not left:
        host = means.look(batch=False)
        left = [f"{each}: still to do" for each in vif.gone if host.link(each.device)]
    if left:
        reason = "the VIF is moved, but devices of its old place are left"
        vif.outcome = PlugFailed(vif.vif_id, CLEARING, reason, left)


def _undone_by_the_switch(vif: Plugging, left: Sequence[Operation], means: Means) -> bool:
    """Repair what the switch itself has changed since; return whether that was all."""
    if not left or not means.switch or not all(map(means.switch.is_its_doing, left)):
        return False
    for operation in left:
        means.perform(operation, vif_id=vif.vif_id)
    return True


def _applied(vif: Plugging) -> Applied:
    performed = [*vif.performed, *vif.gone]
    return Applied.by(performed, changed=bool(performed), devices=vif.wanted.devices)
