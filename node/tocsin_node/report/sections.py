"""The sections of the page that are tables."""

from __future__ import annotations

from collections.abc import Sequence

from tocsin_protocol.log.note import decode_note
from tocsin_protocol.postmortem.entries import (
    Acted,
    AnyEntry,
    Asked,
    Decided,
    Earned,
    Found,
    Head,
    Lesson,
    Proof,
    Recovered,
    Ruled,
    Said,
)
from tocsin_protocol.postmortem.report import Report
from tocsin_protocol.postmortem.words import money_text, span_text

from .markup import code, safe, short, table, time_text
from .stages import STAGES, Stages

_TIERS = ("notify", "tighten", "freeze", "pause")
_SUMS = ("before anybody spoke", "others report", "our own detector", "others dispute", "who keeps silent")
# Decisions shown in full; more stand in the timeline with their sentence, and in the JSON.
MAX_DECISIONS_SHOWN = 40
MAX_SUBJECTS_SHOWN = 4
# Origin, size, root, and the first signatures.
MAX_HEAD_LINES = 12


def said_html(entries: Sequence[AnyEntry]) -> str:
    """Every signal that is shown, with how it stood."""
    rows = []
    for entry in sorted((e for e in entries if isinstance(e, Said)), key=lambda e: e.received_ms):
        told = entry.statement
        about, what = "", "cannot be read"
        if told is not None:
            subjects = [safe(short(subject)) for subject in told.subjects[:MAX_SUBJECTS_SHOWN]]
            if len(told.subjects) > MAX_SUBJECTS_SHOWN:
                subjects.append(f"and {len(told.subjects) - MAX_SUBJECTS_SHOWN} more")
            about = "<br>".join(subjects)
            what = f"{safe(told.category)}, {told.severity}, {told.confidence} %"
            what += f"<br>{money_text(told.observed_micro_usd)} lost" if told.observed_micro_usd else ""
            what += f"<br>{money_text(told.at_risk_micro_usd)} at risk" if told.at_risk_micro_usd else ""
            claims = "1 claim" if len(told.claims) == 1 else f"{len(told.claims)} claims"
            what += f"<br>{claims} to check" if told.claims else ""
        rows.append(
            (
                time_text(entry.received_ms)[11:],
                safe(entry.member or "stranger", 80) + (" (we)" if entry.own else ""),
                what,
                about,
                safe(entry.standing, 80),
                f"<code>{entry.digest[:12]}</code><br>TLP:{entry.tlp.value.upper()}",
            )
        )
    return table(("arrived", "member", "what", "about", "standing", "signal"), rows, "tw--ww") if rows else ""


def stages_html(entries: Sequence[AnyEntry], stages: Sequence[Stages]) -> str:
    """Each action with when it reached each stage, in ms after the first that is known, and what is on chain of it."""
    if not stages:
        return ""
    shown = [stage for stage in STAGES if any(stage in dict(row.known) for row in stages)]
    rows = []
    for row in stages:
        at, start_ms = dict(row.known), row.known[0][1]
        cells = [f"{at[stage] - start_ms:,}" if stage in at else "" for stage in shown]
        rows.append((safe(row.hook, 80), safe(row.state), *cells))
    head = ("lever", "state now", *(f"{stage}, ms" for stage in shown))
    return table(head, rows, "ww" + "n" * len(shown)) + "".join(
        f"<p>{safe(action.hook, 80)} at {code(action.target)}: transaction {code('0x' + transaction)}</p>"
        for action in (entry for entry in entries if isinstance(entry, Acted))
        for transaction in action.transactions
    )


def decisions_html(entries: Sequence[AnyEntry]) -> str:
    """Each decision: its sentence, the arithmetic of belief, the levers, and what would have used them."""
    decisions = sorted((e for e in entries if isinstance(e, Decided)), key=lambda e: e.number)
    parts = [_decision(decision) for decision in decisions[:MAX_DECISIONS_SHOWN]]
    if len(decisions) > MAX_DECISIONS_SHOWN:
        parts.append(f'<p class="faint">… and {len(decisions) - MAX_DECISIONS_SHOWN} more in the JSON.</p>')
    return "".join(parts)


def _decision(decision: Decided) -> str:
    sums = ", ".join(
        f"{safe(value, 20)} {name}" for value, name in zip(decision.sums, _SUMS, strict=False) if float(value)
    )
    voices = ", ".join(
        f"{safe(voice.member or ('we' if voice.source == 'own' else 'a stranger'), 80)} {safe(voice.weight, 20)}"
        + ("" if voice.answer == "counted" else f" (not counted: {safe(voice.answer, 40)})")
        for voice in decision.voices[:12]
    )
    stakes = ", ".join(f"{safe(stake.scope, 80)} {money_text(stake.loss_micro_usd)}" for stake in decision.stakes[:12])
    parts = [
        f"<h3>Decision {decision.number}, {time_text(decision.at_ms)[11:]}</h3><p>{safe(decision.sentence, 1200)}</p>",
        f'<p class="faint">Belief in nats (2.303 of them are ten to one): {sums}.'
        + (f" Voices: {voices}." if voices else "")
        + (f" At stake if it is real and nothing is done: {stakes}." if stakes else "")
        + f" Evidence: {safe(decision.evidence, 300)} Policy <code>{decision.policy[:16]}</code>.</p>",
    ]
    if decision.levers:
        head = ("lever", "tier", "ruled", "cost of using it", "cost of waiting", "would have been used with")
        parts.append(table(head, [_lever(lever) for lever in decision.levers], "wwwnn-"))
    return "".join(parts)


def _lever(lever: Ruled) -> tuple[str, ...]:
    is_priced = lever.verdict in ("fires", "not-worth-it") and lever.tier > 0
    tier = _TIERS[lever.tier] if lever.tier < len(_TIERS) else str(lever.tier)
    return (
        safe(lever.hook, 80),
        tier,
        "<b>used</b>" if lever.verdict == "fires" else safe(lever.verdict),
        money_text(lever.cost_micro_usd) if is_priced else "",
        money_text(lever.observe_micro_usd) if is_priced else "",
        safe(" and ".join(lever.would_with)),
    )


def people_html(entries: Sequence[AnyEntry]) -> str:
    """What the operators were asked and answered, and where the way back went."""
    asked = [entry for entry in entries if isinstance(entry, Asked)]
    recovered = [entry for entry in entries if isinstance(entry, Recovered)]
    parts = []
    if asked:
        rows = [
            (
                time_text(request.asked_ms)[11:],
                safe(request.effect),
                ", ".join(f"{safe(a.name, 80)} after {span_text(a.at_ms - request.asked_ms)}" for a in request.answers),
                safe(request.state)
                + (f" after {span_text(request.closed_ms - request.asked_ms)}" if request.closed_ms else ""),
            )
            for request in asked
        ]
        parts.append(table(("asked", "what it would do", "approved by", "came to"), rows, "t--w"))
    if recovered:
        rows = [(time_text(r.at_ms)[11:], safe(r.scope, 80), safe(r.stage), safe(r.why)) for r in recovered]
        styles = ["bad" if entry.alarm else "" for entry in recovered]
        parts.append("<h3>The way back</h3>" + table(("UTC", "holding", "stage", "why"), rows, "tww-", styles))
    return "".join(parts)


def outcome_html(entries: Sequence[AnyEntry]) -> str:
    """The operator's finding, and what each publisher earned by it."""
    found = [entry for entry in entries if isinstance(entry, Found)]
    parts = [
        f"<p><b>{entry.finding.value}</b> ({safe(entry.category)}), said at {time_text(entry.at_ms)}</p>"
        for entry in found
    ]
    earned = [entry for entry in entries if isinstance(entry, Earned)]
    if earned:
        rows = [
            (
                safe(entry.member or entry.publisher, 80),
                entry.verdict.value,
                "" if entry.delay_ms is None else span_text(entry.delay_ms),
            )
            for entry in earned
        ]
        parts.append(table(("member", "earned", "after the first word"), rows, "--n"))
    return "".join(parts)


def lessons_html(entries: Sequence[AnyEntry]) -> str:
    """Facts that follow from the entries, each with its question."""
    return "".join(
        f'<div class="lesson"><p>{safe(entry.fact, 1600)}</p><p><i>Open: {safe(entry.question)}</i></p></div>'
        for entry in entries
        if isinstance(entry, Lesson)
    )


def proofs_html(report: Report) -> str:
    """The root, how to check it, and the entries of the audit log that the report stands on."""
    root = (
        f"<p>This report is {len(report.leaves)} entries under one root:</p><p>{code(report.root.hex())}</p>"
        '<p class="faint">Each entry is hashed with a salt of its own; the root is the hash of all of them in order.'
        " The JSON beside this page has entries, salts and, of what is withheld, the hashes. <code>tocsin report verify"
        " FILE</code> computes the root again, <code>tocsin report verify PUBLIC FULL</code> says whether one is a part"
        " of the other. specs/report.md has the rules for any other program.</p>"
    )
    proofs = sorted((e for e in report.entries if isinstance(e, Proof)), key=lambda e: e.sequence)
    if not proofs:
        more = (
            "<p>The paths from here into the node's audit log are withheld: they hold hashes of what stands beside.</p>"
        )
        return root + (more if report.withheld else "")
    rows = [
        # By its index, which `tocsin log entry` asks for.
        (f"{proof.sequence - 1:,}", time_text(proof.at_ms)[11:], safe(proof.kind), code(proof.digest))
        for proof in proofs
    ]
    said = "<h3>What it stands on in the node's audit log</h3>"
    heads = [entry for entry in report.entries if isinstance(entry, Head)]
    proven = (
        "<p>Each entry has a path to the root of this signed head; <code>tocsin report verify FILE --key KEY</code>,"
        " with the key of the node's log, checks them all.</p>" + "".join(map(_head, heads))
        if heads
        else "<p>This database has no signed head of its log, so nothing here can be proven by it.</p>"
    )
    return root + said + proven + table(("entry", "UTC", "kind", "leaf"), rows, "ntw-")


def _head(head: Head) -> str:
    lines = "<br>".join(map(code, head.note.splitlines()[:MAX_HEAD_LINES]))
    # Of its signatures the first is the log's own.
    others = len(decode_note(head.note.encode()).signatures) - 1
    said = {0: "No other node has cosigned it.", 1: "One other node has cosigned it."}
    return f"<p>{lines}</p><p>{said.get(others, f'{others} other nodes have cosigned it.')}</p>"
