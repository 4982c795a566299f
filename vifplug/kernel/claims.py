# SPDX-License-Identifier: Apache-2.0
"""The folder of the claims on shared devices and switches' bridges, in one network namespace.

A shared device bears the alternative name ``vifplug:claims:<token>``. Its claims are the files
``<folder>/<token>/<vif id>``. Every user may read them; only the daemons' user writes them. A
folder whose token no device bears is void: a device that goes takes its claims with it.

The token of a switch's bridge begins with the switch's key and names the bridge's row, see
``is_token``. Only the switch can tell whether its folder is void.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from vifplug.errors import PrivilegeError
from vifplug.fields import UUID, NotAllowed
from vifplug.kernel import files, flock, namespace
from vifplug.model.mark import Mark, is_namesake, is_token

_LOCK_WAIT = 5.0
"""Seconds for which a daemon waits for another one that writes a claim."""

_PAUSE = 0.002
"""Seconds between two tries: to write a claim takes less."""

_MOST = 64
"""Claims of one VIF on one device: further ones would make its file too large to be read."""


class ClaimsFolder:
    """Reads and writes claims. ``problems`` are what could not be read so far, and why."""

    def __init__(self, lock_path: str) -> None:
        """``lock_path`` is the option's; the claims are this network namespace's."""
        self.folder = namespace.folder(lock_path) / "claims"
        self.problems: dict[Path, str] = {}
        self._sound = False
        self._only_claims: set[str] = set()

    # Reading.

    def tokens(self, switch: str | None = None) -> tuple[str, ...]:
        """Return the tokens of devices that have a folder, or those of a switch's bridges.

        With "" for its key, those of all switches.
        """
        return tuple(sorted(name for name in self._names(self.folder) if is_token(name, switch)))

    @property
    def _every_token(self) -> tuple[str, ...]:
        return tuple(sorted(name for name in self._names(self.folder) if _is_a_token(name)))

    def claimants(self, token: str) -> set[str]:
        """Return the ids of the VIFs that have a claim under a token."""
        return {
            name for name in self._names(self.folder / token) if not files.is_half_written(name)
        }

    def namesakes(self, vif_id: str) -> frozenset[str]:
        """Return the other VIFs with claims whose devices would have the same names."""
        ids = (name for token in self._every_token for name in self.claimants(token))
        return frozenset(other for other in ids if is_namesake(other, vif_id))

    def is_empty(self, token: str) -> bool:
        """Whether a token's folder holds no claim. Of one that can't be read, that is not known."""
        try:
            return not self._has_any(token)
        except OSError:
            return False

    def _has_any(self, token: str, *, but: str = "") -> bool:
        """Whether there is a claim under a token, ``but`` a VIF's. Raises OSError.

        The folder is looked at no further than to the first: it may hold thousands.
        """
        with os.scandir(self.folder / token) as entries:
            return any(not files.is_half_written(e.name) and e.name != but for e in entries)

    def on(self, token: str) -> tuple[Mark, ...]:
        """Return the claims under a token."""
        ids = sorted(self.claimants(token))
        return tuple(claim for vif_id in ids for claim in self.by(token, vif_id))

    def of(self, vif_id: str) -> dict[str, tuple[Mark, ...]]:
        """Return a VIF's claims on devices, by token."""
        found = ((token, self.by(token, vif_id)) for token in self.tokens())
        return {token: claims for token, claims in found if claims}

    def _names(self, folder: Path) -> list[str]:
        try:
            with os.scandir(folder) as entries:
                return [entry.name for entry in entries]
        except FileNotFoundError:
            return []
        except OSError as error:
            self._note(folder, error.strerror or str(error))
            return []

    def by(self, token: str, vif_id: str) -> tuple[Mark, ...]:
        """Return the claims of one VIF under a token."""
        path = self.folder / token / vif_id
        try:
            UUID.check(vif_id, lenient=False)
            return _parsed(files.read(path), vif_id)
        except FileNotFoundError:
            return ()
        except NotAllowed:
            self._note(path, "not a VIF's id")
        except OSError as error:
            self._note(path, error.strerror or str(error))
        except ValueError as error:
            self._note(path, str(error))
        return ()

    def _note(self, path: Path, why: str) -> None:
        self.problems[path] = why

    # Checking.

    def strange(self) -> dict[Path, str]:
        """Return what is wrong with the folder as any user sees it, and what holds no claims.

        The daemon that makes it makes the folder above too: both have one owner.
        """
        try:
            owner = self.folder.parent.lstat().st_uid
        except OSError:
            return {}
        if why := namespace.why_not_of((owner,), self.folder):
            return {self.folder: why}
        found = self._strangers()
        for token in self._every_token:
            if why := namespace.why_not_of((owner,), self.folder / token):
                found[self.folder / token] = why
            else:
                found |= self._strangers_among(token, self.claimants(token))
        return found

    def _strangers(self) -> dict[Path, str]:
        names = self._names(self.folder)
        strange = (name for name in names if not _is_a_token(name))
        return {self.folder / name: "it holds no claims" for name in strange}

    def _strangers_among(self, token: str, claimants: Iterable[str]) -> dict[Path, str]:
        ids = (i for i in claimants if not UUID.pattern.fullmatch(i))
        return {self.folder / token / i: "not a VIF's id" for i in ids}

    def require_ours(self) -> None:
        """Raise PrivilegeError unless the folder is our user's, and nobody else may write there."""
        for folder in (self.folder, *(self.folder / token for token in self._every_token)):
            if why := namespace.why_not_of((os.geteuid(),), folder) or self.problems.get(folder):
                raise _unusable(folder, why)

    def require_sound(self) -> None:
        """Raise PrivilegeError unless the folder is ours, and holds nothing but tokens'.

        It is looked at once: a request may plug thousands.
        """
        if not self._sound:
            self.require_ours()
            _require_none(self._strangers())
        self._sound = True

    def require_claims_only(self, token: str) -> None:
        """Raise PrivilegeError unless a token's folder holds nothing but claims; looked at once."""
        if token not in self._only_claims:
            _require_none(self._strangers_among(token, self.users(token)))
        self._only_claims.add(token)

    def unread(self, name: str) -> dict[Path, str]:
        """Return what of a VIF, or under a token, could not be read so far, and why."""
        return {p: why for p, why in self.problems.items() if name in (p.name, p.parent.name)}

    def is_unread(self, vif_id: str) -> bool:
        """Whether a claim of a VIF could not be read so far."""
        return bool(self.unread(vif_id))

    def require_read(self, name: str) -> None:
        """Raise PrivilegeError where :meth:`unread` has anything."""
        _require_none(self.unread(name))

    # Writing.

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other daemons from changing any claim, for the length of a block.

        Raises PrivilegeError where the folder can't be used.
        """
        descriptor = self._open()
        try:
            try:
                flock.lock(descriptor, until=time.monotonic() + _LOCK_WAIT, longest=_PAUSE)
            except TimeoutError:
                raise _unusable(self.folder, "another daemon holds its lock") from None
            yield
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        try:
            namespace.make(self.folder.parent)
            namespace.make_folder(self.folder, files.FOLDER)
            return os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise _unusable(self.folder, error.strerror or str(error)) from error

    def add(self, token: str, claim: Mark) -> None:
        """Write a VIF's claim. Raises PrivilegeError; then no claim has changed."""
        kept = [known for known in self.by(token, claim.vif_id) if known != claim]
        if len(kept) >= _MOST:
            mend = "unplug the VIF"
            path = self.folder / token / claim.vif_id
            raise PrivilegeError(f"claims {path}", f"it holds {len(kept)} claims", mend)
        self._write(token, claim.vif_id, [*kept, claim])

    def holds(self, token: str, claim: Mark) -> bool:
        """Whether there is this claim under a token."""
        return claim in self.by(token, claim.vif_id)

    def users(self, token: str) -> set[str]:
        """Return what :meth:`claimants` does. Raises PrivilegeError where it can't be read."""
        found = self.claimants(token)
        if why := self.problems.get(self.folder / token):
            raise _unusable(self.folder / token, why)
        return found

    def remains(self, token: str, claim: Mark) -> bool:
        """Whether another claim is left under a token once this one is gone."""
        try:
            if self._has_any(token, but=claim.vif_id):
                return True
        except OSError as error:
            raise _unusable(self.folder / token, error.strerror or str(error)) from error
        return any(known != claim for known in self.by(token, claim.vif_id))

    def remove(self, token: str, claim: Mark) -> None:
        """Remove a VIF's claim, while others remain under the token."""
        kept = [known for known in self.by(token, claim.vif_id) if known != claim]
        if kept:
            self._write(token, claim.vif_id, kept)
        else:
            (self.folder / token / claim.vif_id).unlink(missing_ok=True)

    def clear(self, token: str) -> None:
        """Remove the folder of a token with everything in it. A folder that is gone is as good."""
        folder = self.folder / token
        for name in self._names(folder):
            with contextlib.suppress(FileNotFoundError):
                (folder / name).unlink()
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()

    def sweep(self, void: Iterable[str]) -> None:
        """Remove the folders of some tokens. Call it while locked."""
        for token in void:
            with contextlib.suppress(OSError):
                self.clear(token)

    def _write(self, token: str, vif_id: str, claims: list[Mark]) -> None:
        path = self.folder / token / vif_id
        try:
            files.write(path, json.dumps({"claims": [str(claim) for claim in claims]}))
        except OSError as error:
            raise _unusable(path, error.strerror or str(error)) from error


def _is_a_token(name: str) -> bool:
    """Whether a name is the token of a device, or of a switch's bridge."""
    return is_token(name) or is_token(name, "")


def _parsed(raw: bytes, vif_id: str) -> tuple[Mark, ...]:
    """Return the claims that a file holds. Raises ValueError."""
    try:
        texts = json.loads(raw)["claims"]
        claims = [Mark.parse(text) for text in texts]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("no claims can be read from it") from None
    good = tuple(claim for claim in claims if claim and claim.claim and claim.vif_id == vif_id)
    if len(good) != len(claims):
        raise ValueError("it holds what is no claim of this VIF")
    return good


def _require_none(problems: Mapping[Path, str]) -> None:
    for path, why in problems.items():
        raise _unusable(path, why)


def _unusable(path: Path, why: str) -> PrivilegeError:
    mend = "remove it, or let [vifplug] lock_path name a folder of the daemon's user"
    return PrivilegeError(f"claims {path}", why, mend)
