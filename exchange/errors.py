"""Every error a person or a system can meet, in one tree.

ExchangeError
├── SettingError            a setting is missing or wrong; names itself
├── KeyMissing              the master key is not there, or is not the one this data was sealed with
├── CatalogueError          a catalogue file breaks a rule; carries every finding
├── ParcelRefused           a push that changes nothing
│   ├── DigestMismatch      the bytes are not the ones the provider digested
│   ├── CountMismatch       the rows are not as many as the provider counted
│   ├── MissingColumns      a required item has no column
│   ├── Unreadable          not a table in any accepted format
│   ├── Truncated           a table that ends in the middle
│   ├── EmptyParcel         no bytes, or a header and nothing else
│   ├── BatchReused         the batch number already stands for other bytes
│   ├── BatchOutdated       a newer batch of the resource has landed already
│   ├── BaselineNeeded      key or type changed: a full push comes first
│   ├── BatchTooFar         a batch number far beyond the expected one: nothing could follow it
│   ├── ParcelTooLarge      above the limit, refused before the body
│   ├── NoRoom              the disk can't take it, refused before the body
│   ├── UnsafeName          a file name that is a path
│   └── NotAFile            a link, a folder or a pipe, or a file we may not read
├── RequestInvalid          a request that can't be read: says which part and what is expected
├── NotAuthenticated        we don't know who is calling
├── AccessRefused           we know, and the answer is no; says what is missing and whom to ask
├── NotFound                no such push, resource, base, client, grant or record
│   └── AgedOut             it was there, and went when no setting kept it any more; says when, and which setting
├── WrongState              right thing, wrong moment
│   ├── ThemeUnfit          a theme's SELECT does not give what it declares, on the data or the catalogue there is now
│   └── Busy                somebody else is at it just now
└── Unavailable             a part we need is not answering; try again

Each error speaks Chinese first and English beside it. `facts` are for machines and never hold
personal values. The doors translate classes into HTTP status and exit codes; nothing else does.
"""

from typing import ClassVar


class ExchangeError(Exception):
    """Something a caller can act on. `code` is stable; the sentences may improve."""

    code: ClassVar[str] = "error"

    def __init__(self, zh: str, en: str, **facts: object) -> None:
        super().__init__(f"{zh} / {en}")
        self.zh = zh
        self.en = en
        self.facts = facts


class SettingError(ExchangeError):
    """A setting is missing or cannot be used."""

    code = "setting"


class KeyMissing(ExchangeError):
    """Data sealed with a master key that is not here cannot be read by anyone."""

    code = "key-missing"


class CatalogueError(ExchangeError):
    """The catalogue files break rules. `findings` lists every one of them, so nobody mends them one at a time."""

    code = "catalogue"

    def __init__(self, findings: list[str]) -> None:
        count = len(findings)
        text = "\n".join(findings)
        super().__init__(f"目录有 {count} 处不符合规则：\n{text}", f"{count} finding(s) in the catalogue, listed above")
        self.findings = findings


class ParcelRefused(ExchangeError):
    """A push that was refused. Nothing changed."""

    code = "parcel-refused"


class DigestMismatch(ParcelRefused):
    """The digest of what arrived differs from the digest declared."""

    code = "digest-mismatch"


class CountMismatch(ParcelRefused):
    """The rows that arrived are not as many as declared."""

    code = "count-mismatch"


class MissingColumns(ParcelRefused):
    """A required item of the catalogue has no column in the file."""

    code = "missing-columns"


class Unreadable(ParcelRefused):
    """Not a table in any format we accept."""

    code = "unreadable"


class Truncated(ParcelRefused):
    """A table that ends in the middle of a row or of its container."""

    code = "truncated"


class EmptyParcel(ParcelRefused):
    """No bytes, or a header without rows."""

    code = "empty-parcel"


class BatchReused(ParcelRefused):
    """This batch number already has a receipt for other bytes."""

    code = "batch-reused"


class BatchOutdated(ParcelRefused):
    """A newer batch of this resource has landed: an older one could never be pooled any more."""

    code = "batch-outdated"


class BaselineNeeded(ParcelRefused):
    """Key or type of the resource changed, and what the pool holds can't be changed row by row: a full push comes first."""

    code = "baseline-needed"


class BatchTooFar(ParcelRefused):
    """A batch number so far ahead that it is a slip of the hand: what followed would have to be larger still."""

    code = "batch-too-far"


class ParcelTooLarge(ParcelRefused):
    """Larger than EXCHANGE_MAX_PARCEL."""

    code = "parcel-too-large"


class NoRoom(ParcelRefused):
    """The disk has too little free space to land it safely."""

    code = "no-room"


class UnsafeName(ParcelRefused):
    """A file name that tries to be a path."""

    code = "unsafe-name"


class NotAFile(ParcelRefused):
    """A name that stands for something else than a plain file, or for one that we may not read."""

    code = "not-a-file"


class RequestInvalid(ExchangeError):
    """A request (not a push) that is malformed: the caller's program is wrong, not its rights."""

    code = "request-invalid"


class NotAuthenticated(ExchangeError):
    """No token, or one that is expired, revoked or forged."""

    code = "not-authenticated"


class AccessRefused(ExchangeError):
    """The caller is known and may not do this."""

    code = "access-refused"


class NotFound(ExchangeError):
    """It does not exist, or not for this caller."""

    code = "not-found"


class AgedOut(NotFound):
    """It was here and has been removed, as a setting says."""

    code = "aged-out"


class WrongState(ExchangeError):
    """The thing exists but its state does not allow this now."""

    code = "wrong-state"


class ThemeUnfit(WrongState):
    """The SELECT of a theme does not give what the theme declares, on the data or the catalogue there is now."""

    code = "theme-unfit"


class Busy(WrongState):
    """Somebody else is at it; try again in a moment."""

    code = "busy"


class Unavailable(ExchangeError):
    """A part of the house is not answering."""

    code = "unavailable"
