"""What a running node can be asked over its control socket, and what it answers."""

from __future__ import annotations

from enum import StrEnum


class Verb(StrEnum):
    """A request by name. Bytes travel as hex without 0x, times as UTC ms; every result is a JSON object.

    STATUS: {} → whatever the node knows about itself: member, publisher, peer_id, network, epoch, members,
        publishing, mesh, peers, feeds, hooks, counters.
    HEALTH: {} → {"healthy", "reasons": [text]}: what /healthz says.
    METRICS: {} → {"text"}: Prometheus' text format.
    PUBLISH: {"signals": [signals as `signal_json.draft_signal` reads them]} → {"sealed": [{"digest", "lane",
        "sequence"}], "drafts": how many wait for their place in the feed, and count for our own decisions already}.
    ARM, DISARM: {"hook": name} → {"hook", "armed", "epoch"}, and for ARM "kept_from": recent incidents on which
        it would have acted had it been armed; it acts on them only when their next signal comes.
        Refused with code "policy" while the policy may not be armed, "ledger" while the ledger is in doubt, and
        "standstill" while something keeps this node from acting.
    DISARM_ALL: {} → {"disarmed": [hooks that were armed]}.
    DISARM_STATEMENT: {"statement": text by an offline key} → {"disarmed"}.
    DOCTOR: {} → {"healthy", "at_ms", "checks": [{"area", "check", "answer": "ok", "not-ok" or "not-known", "sentence",
        "valid_until_ms": when what is right today ends, or null}]}; it is recorded, too.
    ADJUDICATE: {"incident": id, "finding": "confirmed" or "false", "category": of it} → {"incident", "publishers": how
        many it concerns}: what each of them earned counts from the next decision on.
    LOG_REPORT: {"incident": id, "root": of its report, "leaves": how many} → {"index": of the entry, "signature"}.
    CONFIRM_LOG: {} → {"size"}: the operator says that no later head of a backup's log was shown to anybody.
    PRUNE_LOG: {"to": entries that are exported, "before_ms"} → {"pruned": how many entries from the first have gone}.
    RELOAD_POLICY: {} → {"policy": hash of the file, "warnings": [text]}; a policy that is wrong is refused with code
        "config", and the one in force stays.
    RESUME: {} → {"publishing": why it is open}: the operator says that publishing may go on with no peer in reach.
    LEDGER: {} → {"doubt": why hooks may not act, "anchor" and "database": {"ledger", "sequence"}, "anchor_fault",
        "actions", "hooks": [{"hook", "target", "anchor_epoch", "database_epoch"}]}.
    CONFIRM_LEDGER: {} → {"ledger", "sequence"}: the operator takes a ledger in doubt for this node's own.
    LIFTED: {"action": id} → {"action", "state"}: the operator says that the effect of an action is over.
    SETTLE: {"action": id, "effect": bool} → {"action", "state"}: the operator says whether an action of unknown outcome
        took effect. Refused with code "not-unknown" in any other state, and "signed" where its bytes may be mined yet.
    REQUESTS: {} → {"requests": what the operators were asked, newest first, as `request_view` writes it}.
    APPROVE: {"approval": the text of an approval's file} → {"request", "state": "open" or "granted", "sentence"};
        refused with a word of specs/approval.md, or "unknown-request", "not-open", "not-this-step".
    DECLINE: {"request": its whole id} → {"request", "state"}: what waits for it is never done.
    CONFIRM_TIME: {} → {"now_ms", "record_ms"}: the operator says that the clock is right, whatever later time the
        record shows.
    RECOVERY: {"incident": id} → the plan of its scopes as `recovery_view` writes it.
    ASK_STEP: {"scope": name} → the request for its next step, new or open already, as `request_view` writes it.
    OPENED: {"scope": name} → {"scope", "stage"}: the operator says that the calls of its next step were made; refused
        with a note of specs/recovery.md where that does not count.
    ROSTER: {} → {"roster": the signed roster in force}.
    APPLY_ROSTER: {"roster": a signed roster} → {"epoch", "hash"}.
    """

    STATUS = "status"
    HEALTH = "health"
    METRICS = "metrics"
    PUBLISH = "publish"
    ARM = "arm"
    DISARM = "disarm"
    DISARM_ALL = "disarm-all"
    DISARM_STATEMENT = "disarm-statement"
    DOCTOR = "doctor"
    ADJUDICATE = "adjudicate"
    LOG_REPORT = "log-report"
    CONFIRM_LOG = "confirm-log"
    PRUNE_LOG = "prune-log"
    RELOAD_POLICY = "reload-policy"
    RESUME = "resume"
    LEDGER = "ledger"
    CONFIRM_LEDGER = "confirm-ledger"
    LIFTED = "lifted"
    SETTLE = "settle"
    REQUESTS = "requests"
    APPROVE = "approve"
    DECLINE = "decline"
    CONFIRM_TIME = "confirm-time"
    RECOVERY = "recovery"
    ASK_STEP = "ask-step"
    OPENED = "opened"
    ROSTER = "roster"
    APPLY_ROSTER = "apply-roster"
