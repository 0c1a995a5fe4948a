"""What Prometheus and Grafana are given is PromQL, by promql-parser, which checks types as well.

Prometheus's own `promtool` reads the rules where it is installed; no package of PyPI or npm was
found to hold it. That the figures exist is for test_compose.py.
"""

import json
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.doc_blocks import ROOT

promql_parser = pytest.importorskip("promql_parser")

MONITORING = ROOT / "examples" / "monitoring"
RULE_KEYS = {"alert", "expr", "for", "keep_firing_for", "labels", "annotations"}
COMPARISONS = {"==", "!=", ">", "<", ">=", "<="}
# Of Grafana's, filled in before Prometheus sees them.
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h"}


def rules() -> list[dict[str, Any]]:
    file = yaml.safe_load((MONITORING / "alerts.yml").read_text(encoding="utf-8"))
    assert set(file) == {"groups"}
    for group in file["groups"]:
        assert set(group) <= {"name", "interval", "rules"} and group["name"]
    return [rule for group in file["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_is_a_comparison_that_prometheus_reads(rule: dict[str, Any]) -> None:
    assert {"alert", "expr"} <= set(rule) <= RULE_KEYS
    read = promql_parser.parse(rule["expr"])
    assert isinstance(read, promql_parser.BinaryExpr) and str(read.op) in COMPARISONS
    if "for" in rule:
        assert promql_parser.parse_duration(rule["for"]).total_seconds() >= 60


def test_what_the_dashboard_asks_is_read() -> None:
    dashboard = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    for expression in asked:
        for name, value in VARIABLES.items():
            expression = expression.replace(name, value)
        promql_parser.parse(expression)


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_promtool_reads_them_too() -> None:
    subprocess.run(["promtool", "check", "rules", MONITORING / "alerts.yml"], check=True)
