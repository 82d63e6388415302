"""The alert rules, judged by promtool: each fires on what it is for, and stays quiet while all is well."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy_kit import check_command, tool
from prometheus_kit import CONFIG, RULES, alerts

# So many minutes of one sample each; longer than any `for` and any window.
MINUTES = 130
AT = "125m"

Series = dict[str, str]


def here(**labels: str) -> str:
    more = "".join(f', {name}="{value}"' for name, value in labels.items())
    return f'{{job="tocsin", instance="n", node="alba"{more}}}'


HERE = here()


def flat(value: float) -> str:
    return f"{value}+0x{MINUTES}"


def rising(step: float) -> str:
    return f"0+{step}x{MINUTES}"


def buckets(most_below: str) -> Series:
    """Decisions of which all are below a bound."""
    bounds = ("0.01", "1.0", "10.0", "+Inf")
    return {
        f"tocsin_decision_seconds_bucket{here(le=bound)}": rising(60.0 if float(bound) >= float(most_below) else 0)
        for bound in bounds
    }


WELL: Series = {
    f"up{HERE}": flat(1),
    f"tocsin_watchdog_age_seconds{HERE}": flat(4),
    f"tocsin_mesh_up{HERE}": flat(1),
    f"tocsin_mesh_peers{HERE}": flat(3),
    f"tocsin_peer_heard_age_seconds{here(member='brook')}": flat(12),
    f"tocsin_publishing_open{HERE}": flat(1),
    # signals pass through it all the time: that is not a stuck one
    f"tocsin_outbox_signals{HERE}": "0 3 0 5 " * (MINUTES // 4),
    f"tocsin_mesh_starts_total{here(why='start')}": flat(1),
    f"tocsin_ledger_in_doubt{HERE}": flat(0),
    f"tocsin_hook_armed{here(hook='pause-vault')}": flat(1),
    f"tocsin_doctor_healthy{HERE}": flat(1),
    f"tocsin_doctor_age_seconds{HERE}": flat(80_000),
    f"tocsin_levers_in_effect{HERE}": flat(0),
    f"tocsin_actions{here(state='unknown')}": flat(0),
    f"tocsin_actions{here(state='effective')}": flat(7),
    f"tocsin_action_events_total{here(event='fail')}": flat(2),
    f"tocsin_action_events_total{here(event='confirm')}": rising(1),
    f"tocsin_waiting_for_people{HERE}": flat(0),
    **buckets("0.01"),
    f"tocsin_watcher_head_age_seconds{here(watcher='outflow')}": flat(13),
    f"tocsin_watcher_polled_age_seconds{here(watcher='outflow')}": flat(2),
    f"tocsin_endpoint_exchanges_total{here(chain='eip155:1', endpoint='a')}": rising(60),
    f"tocsin_endpoint_failures_total{here(chain='eip155:1', endpoint='a')}": rising(3),
    f"tocsin_log_faulty{HERE}": flat(0),
    f"tocsin_log_cosignatures{HERE}": flat(2),
    f"tocsin_logs_unproven{HERE}": flat(0),
    f"tocsin_dropped_total{here(reason='mesh-queue-full')}": flat(9),
    f"tocsin_feed_failures_total{HERE}": flat(1),
    f"tocsin_feed_index_behind_signals{HERE}": flat(3),
    f"tocsin_feed_export_behind_entries{HERE}": flat(40),
    f"tocsin_feed_webhooks{here(state='active')}": flat(2),
    f"tocsin_feed_webhooks{here(state='suspended')}": flat(0),
    f"tocsin_feed_dead_letters{HERE}": flat(0),
}
# What is not well, by alert: None takes a series away.
UNWELL: dict[str, dict[str, str | None]] = {
    "TocsinDown": {f"up{HERE}": flat(0)},
    "TocsinUnwatched": {f"tocsin_watchdog_age_seconds{HERE}": None},
    "TocsinDeaf": {f"tocsin_mesh_peers{HERE}": flat(0)},
    "TocsinMemberSilent": {f"tocsin_peer_heard_age_seconds{here(member='brook')}": rising(60)},
    "TocsinMute": {f"tocsin_publishing_open{HERE}": flat(0)},
    "TocsinOutboxStuck": {f"tocsin_outbox_signals{HERE}": flat(2)},
    "TocsinMeshRestarting": {f"tocsin_mesh_starts_total{here(why='died')}": rising(1)},
    "TocsinDisarmedItself": {f"tocsin_standstill{here(cause='clock')}": flat(1)},
    "TocsinLedgerInDoubt": {f"tocsin_ledger_in_doubt{HERE}": flat(1)},
    "TocsinHookDisarmed": {f"tocsin_hook_armed{here(hook='pause-vault')}": flat(0)},
    "TocsinDoctorUnhappy": {f"tocsin_doctor_age_seconds{HERE}": flat(100_000)},
    "TocsinActed": {f"tocsin_levers_in_effect{HERE}": flat(1)},
    "TocsinOutcomeUnknown": {f"tocsin_actions{here(state='unknown')}": flat(1)},
    # one use that failed, five minutes ago
    "TocsinLeverFailed": {f"tocsin_action_events_total{here(event='fail')}": "0+0x120 1+0x9"},
    "TocsinPeopleWanted": {f"tocsin_waiting_for_people{HERE}": flat(1)},
    "TocsinDecidesSlowly": dict(buckets("10.0")),
    "TocsinWatcherBlind": {f"tocsin_watcher_polled_age_seconds{here(watcher='outflow')}": rising(60)},
    "TocsinEndpointFailing": {
        f"tocsin_endpoint_failures_total{here(chain='eip155:1', endpoint='a')}": rising(30),
    },
    "TocsinLogFaulty": {f"tocsin_log_faulty{HERE}": flat(1)},
    "TocsinLogUnwitnessed": {f"tocsin_log_cosignatures{HERE}": flat(0)},
    "TocsinLogsUnproven": {f"tocsin_logs_unproven{HERE}": flat(1)},
    "TocsinDropping": {f"tocsin_dropped_total{here(reason='mesh-queue-full')}": rising(1)},
    # one request that failed, five minutes ago
    "TocsinFeedFailing": {f"tocsin_feed_failures_total{HERE}": "0+0x120 1+0x9"},
    "TocsinFeedBehind": {f"tocsin_feed_index_behind_signals{HERE}": flat(5_000)},
    "TocsinExportBehind": {f"tocsin_feed_export_behind_entries{HERE}": flat(20_000)},
    "TocsinWebhookSuspended": {f"tocsin_feed_webhooks{here(state='suspended')}": flat(1)},
    "TocsinWebhookRefused": {f"tocsin_feed_dead_letters{HERE}": flat(4)},
}


def judge(folder: Path, changes: dict[str, str | None], firing: str, count: int) -> str:
    """Have promtool say whether so many alerts fire; empty where it agrees."""
    series = {name: values for name, values in (WELL | changes).items() if values is not None}
    samples = [{"labels": "{}", "value": count}] if count else []
    test: dict[str, Any] = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [{"expr": firing, "eval_time": AT, "exp_samples": samples}],
            }
        ],
    }
    path = folder / "test.yml"
    path.write_text(yaml.safe_dump(test, width=10_000))
    command = [tool("promtool", "prometheus"), "test", "rules", str(path)]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    return "" if result.returncode == 0 else result.stdout + result.stderr


def test_promtool_has_nothing_against_config_and_rules() -> None:
    # the key that the config names is on the operator's machine only
    for words in (["config", "--syntax-only", str(CONFIG)], ["rules", "--lint-fatal", str(RULES)]):
        command = [tool("promtool", "prometheus"), "check", *words]
        result = subprocess.run(command, check=False, capture_output=True, text=True)
        assert (result.returncode, result.stderr) == (0, ""), result.stdout


def test_nothing_fires_while_all_is_well(tmp_path: Path) -> None:
    assert judge(tmp_path, {}, 'count(ALERTS{alertstate="firing"})', 0) == ""


def test_every_alert_has_its_case() -> None:
    assert sorted(UNWELL) == sorted(rule["alert"] for rule in alerts())


@pytest.mark.parametrize("alert", UNWELL)
def test_an_alert_fires_on_what_it_is_for_and_no_other_does(tmp_path: Path, alert: str) -> None:
    firing = f'count(ALERTS{{alertstate="firing", alertname="{alert}"}})'
    assert judge(tmp_path, UNWELL[alert], firing, 1) == ""
    others = f'count(ALERTS{{alertstate="firing", alertname!="{alert}"}})'
    assert judge(tmp_path, UNWELL[alert], others, 0) == ""


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_says_who_wakes_up_what_happened_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert "{{ $labels.node }}" in rule["annotations"]["summary"]
    assert rule["annotations"]["do"]
    for command in re.findall(r"`tocsin ([^`]+)`", rule["annotations"]["do"]):
        check_command(command.replace("{{ $labels.hook }}", "HOOK").split())
