# SPDX-License-Identifier: Apache-2.0
"""One exception for each error code. The number is stable; `number // 100` is the exit code of the command."""

from __future__ import annotations


class Error(Exception):
    """What casevault raises. `code` is the number, `entry` the log entry that it concerns, if one can be named."""

    code: int = 0
    entry: int | None = None


class Internal(Error):
    """A defect of casevault, or of how it was called."""


class Cancelled(Error):
    """The progress callback asked to stop."""


class Usage(Error):
    """The call is wrong: something required is missing or contradictory, or the vault is closed."""


class WrongKey(Error):
    """Wrong passphrase or identity."""


class Refused(Error):
    """The policy, a quota or the release ledger does not admit it. It is in the log."""


class NoGrant(Error):
    """This identity holds no key for what it asked for. It is in the log."""


class Untrusted(Error):
    """The identity does not pin this vault."""


class NotFound(Error):
    """No such record, entry, principal, type or file."""


class Erased(Error):
    """The record was erased."""


class Busy(Error):
    """Somebody else holds what is needed; try again."""


class Conflict(Error):
    """A record changed meanwhile; try again."""


class Waiting(Error):
    """Approvals or shares are missing."""


class Integrity(Error):
    """Tampered, corrupt or truncated."""


class RolledBack(Integrity):
    """Older than an anchor, the log or the erasure root says it must be."""


class Unsupported(Error):
    """A format, suite or epoch that this version does not know."""


class InputOutput(Error):
    """Input or output failed; nothing changed."""


class DiskFull(InputOutput):
    """No space left; nothing changed."""


class UnknownOutcome(InputOutput):
    """The flush failed: whether it is durable is settled at the next open."""


class ErasePending(Error):
    """Unreachable, but the old root is not overwritten yet."""


class UnsafePermissions(Error):
    """A file of the vault has looser modes, a foreign owner, or is a link."""


class Degraded(Error):
    """Works, with less protection than asked for."""


class BadInput(Error):
    """Data from outside is malformed; the field or column is named."""


BY_CODE: dict[int, type[Error]] = {
    100: Internal, 101: Cancelled, 200: Usage, 300: WrongKey, 400: Refused, 401: NoGrant, 402: Untrusted, 500: NotFound, 501: Erased,
    600: Busy, 601: Conflict, 700: Waiting, 800: Integrity, 801: RolledBack, 802: Unsupported, 900: InputOutput, 901: DiskFull,
    902: UnknownOutcome, 903: ErasePending, 904: UnsafePermissions, 1000: Degraded, 1100: BadInput,
}
for _code, _kind in BY_CODE.items():
    _kind.code = _code


def make(code: int, message: str, entry: int | None) -> Error:
    error = BY_CODE.get(code, Internal)(message)
    error.entry = entry
    return error
