"""compose.yaml and monitoring/: every metric and label that they name is one of the server's."""

import json
import re
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import numpy as np
import promql_parser as promql
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from api.app import create_app
from api.metrics import REASONS
from api.settings import Settings
from recognizer.training_distribution import measure
from tests.model_fixture import LABELS, write_tiny_model

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "monitoring"
RULES = [
    rule
    for group in yaml.safe_load((MONITORING / "rules.yml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((MONITORING / "grafana/dashboard.json").read_text())
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())

OF_PROMETHEUS = {"up": {"job": {"fer"}, "instance": {""}}}
"""The metric that Prometheus itself makes, with its labels."""


def expressions():
    """Every expression, with the name of its rule or panel."""
    for rule in RULES:
        yield pytest.param(rule["expr"], id=rule.get("alert") or rule["record"])
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            expression = target["expr"].replace("$__rate_interval", "1m")
            yield pytest.param(expression, id=f"{panel['title']} {target['refId']}")


def selectors(expression):
    """The names, the matchers, and the labels of `by`, `on` and `group_left` of an expression."""
    found, labels = [], set()

    def visit(node):
        if isinstance(node, promql.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, promql.VectorSelector):
            found.append(node)

    promql.walk(promql.parse(expression), visit)
    for names in re.findall(r"\b(?:by|on|group_left) \(([\w, ]*)\)", expression):
        labels.update(name.strip() for name in names.split(",") if name.strip())
    return found, labels


@pytest.fixture(scope="module")
def exported(serve_app, photo, tmp_path_factory):
    """The values of each label of each metric, of a server that has done everything once."""
    folder = tmp_path_factory.mktemp("models")
    stable = write_tiny_model(folder / "stable.onnx", metadata=measured())
    write_tiny_model(folder / "candidate.onnx", seed=1)
    metrics = folder / "metrics"
    (metrics / "tiny/plots").mkdir(parents=True)
    settings = Settings(
        model_path=stable, model_dir=folder, metrics_dir=metrics, candidate_shadow=True
    )
    app = create_app(settings)
    version = create_and_load(app)
    evaluation = {"model": {"version": version}}
    (metrics / "tiny/evaluation.json").write_text(json.dumps(evaluation))
    (metrics / "tiny/plots/reliability.csv").write_text("confidence,images\n0.5,1\n")
    rows = [f"{label},0.5,0.5,10" for label in LABELS]
    (metrics / "tiny/plots/per_class.csv").write_text(
        "\n".join(["emotion,recall,precision,images", *rows])
    )
    with serve_app(app) as client:
        assert client.post("/predict", content=photo).status_code == 200
        app.state.server.shadow._thread.shutdown()  # waits for the candidate
        assert client.post("/predict", content=b"no image").status_code == 422
        text = client.get("/metrics").text
    labels = {}
    for family in text_string_to_metric_families(text):
        labels.setdefault(family.name, {})
        for sample in family.samples:
            values = labels.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                values.setdefault(name, set()).add(value)
    labels["fer_shadow_skipped_faces_total"] = {"reason": {"busy", "failed"}}
    labels["fer_rejected_requests_total"]["reason"].update(REASONS.values())
    labels["fer_shadow_faces_total"]["agrees"].update({"true", "false"})
    return labels


def measured():
    """The metadata of a file whose export has measured Training."""
    faces = np.arange(7 * 48 * 48).reshape(7, 48, 48).astype(np.uint8)
    distribution = measure(faces, np.arange(7, dtype=np.uint8), LABELS)
    return {"training_distribution": json.dumps(asdict(distribution))}


def create_and_load(app):
    """The version of the default model."""
    models = app.state.server.models
    models.load()
    return models.default.version


@pytest.mark.parametrize("expression", list(expressions()))
def test_every_metric_of_an_expression_exists(exported, expression):
    known = {**exported, **OF_PROMETHEUS}
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    found, grouped = selectors(expression)
    assert found
    for selector in found:
        if selector.name in recorded:
            continue
        assert selector.name in known, selector.name
        labels = known[selector.name]
        for matcher in selector.matchers.matchers:
            assert matcher.name in labels, f"{selector.name} has no label {matcher.name}"
            if matcher.op == promql.MatchOp.Equal:
                assert matcher.value in labels[matcher.name], f"{matcher.name}={matcher.value}"
    names = {name for labels in known.values() for name in labels}
    assert grouped <= names


def test_the_check_of_expressions_can_fail(exported):
    for expression in (
        "rate(fer_request_total[5m])",
        'fer_face_pixels_bucket{le="50.0"}',
        'fer_requests_total{code="500"}',
        "sum by (route_name) (fer_requests_total)",
    ):
        with pytest.raises(AssertionError):
            test_every_metric_of_an_expression_exists(exported, expression)
    with pytest.raises(ValueError):
        promql.parse("sum by (le (fer_requests_total)")


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_the_alerts_find_what_they_are_for():
    command = ["promtool", "test", "rules", str(MONITORING / "rules_test.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case():
    """Also where promtool is not installed."""
    cases = yaml.safe_load((MONITORING / "rules_test.yml").read_text())["tests"]
    tested = {case["alertname"] for group in cases for case in group["alert_rule_test"]}
    assert tested == {rule["alert"] for rule in RULES if "alert" in rule}


def test_every_alert_says_what_is_wrong():
    alerts = [rule for rule in RULES if "alert" in rule]
    assert len({rule["alert"] for rule in alerts}) == len(alerts)
    for rule in alerts:
        assert rule["for"] and rule["annotations"]["summary"]


def test_the_expected_shares_are_those_of_the_committed_metrics(serve_app):
    """The released models; their PrivateTest has the shares that the alerts compare with."""
    with serve_app(create_app(Settings())) as client:
        for model in client.get("/models").json()["models"]:
            shares = model["model"]["emotion_shares"]
            assert list(shares) == model["model"]["labels"]
            assert sum(shares.values()) == pytest.approx(1, abs=0.001)
            folder = ROOT / "metrics" / model["model"]["dataset"]
            rows = (folder / "plots/confusion.csv").read_text().splitlines()[1:]
            predicted = [row.split(",")[1] for row in rows]
            for emotion, share in shares.items():
                counted = predicted.count(emotion) / len(predicted)
                assert share == pytest.approx(counted, abs=0.001)
            version = model["model"]["version"]
            metrics = client.get("/metrics").text
            assert f'fer_expected_share{{emotion="{emotion}",model_version="{version}"}}' in metrics
            assert f'fer_expected_confidence{{le="1.0",model_version="{version}"}} 1.0' in metrics


def test_the_buckets_of_faces_are_those_of_training(exported):
    """Otherwise an alert would compare nothing."""
    for kind in ("brightness", "contrast"):
        served = exported[f"fer_face_{kind}_bucket"]["le"]
        assert served - {"+Inf"} == exported[f"fer_training_{kind}"]["le"]
    assert exported["fer_training_share"]["emotion"] == set(LABELS)


# ---------------------------------------------------------------- compose and Grafana


def test_the_files_that_compose_mounts_exist_where_they_are_read():
    targets = {}
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", []):
            source, target, *options = volume.split(":")
            if source.startswith("./"):
                assert (ROOT / source).is_file() and options == ["ro"], volume
                targets[target] = ROOT / source
            else:
                assert source in COMPOSE["volumes"]
    prometheus = yaml.safe_load(targets["/etc/prometheus/prometheus.yml"].read_text())
    assert set(prometheus["rule_files"]) <= set(targets)
    (job,) = prometheus["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    host, port = target.split(":")
    assert host in COMPOSE["services"] and port == "8000"
    # Otherwise the server answers 421.
    assert COMPOSE["services"][host]["environment"]["ALLOWED_HOSTS"] == host
    (provider,) = yaml.safe_load((MONITORING / "grafana/dashboards.yml").read_text())["providers"]
    assert f"{provider['options']['path']}/dashboard.json" in targets
    home = COMPOSE["services"]["grafana"]["environment"][
        "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"
    ]
    assert home in targets


def test_compose_uses_fixed_images_and_settings_of_the_server():
    for name, service in COMPOSE["services"].items():
        assert "build" in service or re.search(r":v?\d+\.\d+\.\d+$", service["image"])
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        if name == "server":
            assert service["read_only"] is True
            known = {field.upper() for field in Settings.model_fields}
            assert set(service["environment"]) <= known


def test_the_dashboard_uses_the_provisioned_datasource():
    (datasource,) = yaml.safe_load((MONITORING / "grafana/datasource.yml").read_text())[
        "datasources"
    ]
    host, port = re.fullmatch(r"http://(\w+):(\d+)", datasource["url"]).groups()
    assert any(each.endswith(f":{port}") for each in COMPOSE["services"][host]["ports"])
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in DASHBOARD["panels"]:
        assert panel["datasource"] == {"type": datasource["type"], "uid": datasource["uid"]}
