"""A client of a Tocsin feed that believes nothing it can check itself (specs/client.md). No node, no mesh, no chain."""

from .async_client import AsyncFeedClient
from .client import FeedClient
from .errors import (
    BadAnswer,
    ClientError,
    LogRolledBack,
    LogSplit,
    NotLoggedYet,
    NotVerified,
    Problem,
    RecordReplaced,
    Unreachable,
)
from .key import FeedKey
from .results import Action, FeedSignal, Incident, LiveEvent, Publisher, RiskWord
from .state import StateFile
from .trust import Pin

__all__ = [
    "Action",
    "AsyncFeedClient",
    "BadAnswer",
    "ClientError",
    "FeedClient",
    "FeedKey",
    "FeedSignal",
    "Incident",
    "LiveEvent",
    "LogRolledBack",
    "LogSplit",
    "NotLoggedYet",
    "NotVerified",
    "Pin",
    "Problem",
    "Publisher",
    "RecordReplaced",
    "RiskWord",
    "StateFile",
    "Unreachable",
]
