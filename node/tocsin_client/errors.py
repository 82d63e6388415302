"""What the client raises on purpose. A class of its own only where a caller acts differently."""

from __future__ import annotations


class ClientError(Exception):
    """Base of all errors of the client; the message is a sentence for who asked."""


class Unreachable(ClientError):
    """No answer, or not all of it in time: ask again later."""


class BadAnswer(ClientError):
    """An answer that is not one of a feed: too long, no JSON, without a field."""


class Problem(ClientError):
    """What the feed refused with (RFC 9457). `retry_after_s` is how long it asks to wait, if it does."""

    def __init__(self, status: int, detail: str, code: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(f"the feed answered {status}: {detail}")
        self.status = status
        self.detail = detail
        self.code = code
        self.retry_after_s = retry_after_s

    @property
    def is_passing(self) -> bool:
        """Whether the same question may be answered later."""
        return self.status in (408, 425, 429) or self.status >= 500


class NotVerified(ClientError):
    """Something shown that its signer did not sign, or whose signer is not to be believed. It was not handed on."""


class NotLoggedYet(ClientError):
    """The signed head of the log does not reach so far yet: ask again when there is a newer one."""


class RecordReplaced(ClientError):
    """The node's record is shorter than it was: it was replaced by an older one, or is another node's."""


class LogRolledBack(NotVerified):
    """A head of the log that is smaller than one seen before; both notes are kept here."""

    def __init__(self, text: str, seen: bytes, shown: bytes) -> None:
        super().__init__(text)
        self.seen = seen
        self.shown = shown


class LogSplit(LogRolledBack):
    """Two heads of one log, signed both, that cannot both be true: `seen` and `shown` are the evidence."""
