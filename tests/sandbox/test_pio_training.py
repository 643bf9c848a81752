"""The stand-in's training: its numbers against a reference in plain Python, on a local Spark."""

from __future__ import annotations

import json
import math
import shlex
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from pio_tf.sandbox.home import MachineFiles, lay_out
from pio_tf.sandbox.processes import end_processes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("spark")

ADDRESS = "127.77.127.10"
EVENTS = [
    *(("purchase", user, item) for user in ("u1", "u2") for item in ("a", "b")),
    ("purchase", "u3", "c"),
    ("purchase", "u3", "c"),  # twice is as good as once
    ("purchase", "u4", "c"),
    ("purchase", "u4", "d"),
    *(("view", user, "c") for user in ("u1", "u3", "u4")),
    *(("view", user, "e") for user in ("u1", "u2")),
    ("view", "u5", "a"),  # never buys: does not count
    ("view", "u5", "e"),
]


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[MachineFiles]:
    files = MachineFiles(tmp_path / "driver")
    lay_out(files, role="driver", address=ADDRESS)
    (files.home / "pio" / "conf" / "pio-env.sh").write_text("SPARK_HOME=$HOME/spark\nPIO_FS_BASEDIR=$HOME/store\n")
    write_events(files, EVENTS)
    yield files
    assert end_processes(files.root) == []


def write_events(files: MachineFiles, events: list[tuple[str, str, str]]) -> None:
    lines = [
        {"event": name, "entityType": "user", "entityId": user, "targetEntityType": "item", "targetEntityId": item}
        for name, user, item in events
    ]
    text = "".join(
        json.dumps(line) + "\n" for line in [*lines, {"event": "$set", "entityType": "item", "entityId": "a"}]
    )
    (files.home / "engine" / "events.jsonl").write_text(text)


def write_engine(files: MachineFiles, indicators: list[dict[str, Any]], **more: object) -> None:
    engine = {"algorithms": [{"name": "ur", "params": {"indicators": indicators}}], **more}
    (files.home / "engine" / "engine.json").write_text(json.dumps(engine))


def train(files: MachineFiles, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = shlex.join(["../pio/bin/pio", "train", *arguments, "--", "--master", "local[1]"])
    return subprocess.run(
        ["/bin/bash", "-c", command],
        cwd=files.home / "engine",
        env=files.environment("ubuntu"),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def entropy(*counts: int) -> float:
    total = sum(counts)
    return -sum(count * math.log(count / total) for count in counts if count)


def reference(primary: str, indicator: str) -> dict[str, dict[str, float]]:
    """item -> correlator -> ratio, by Dunning's formula as it stands in the paper."""
    pairs = set(EVENTS)
    buyers = {user for event, user, _ in pairs if event == primary}
    first = {(user, item) for event, user, item in pairs if event == primary}
    second = {(user, item) for event, user, item in pairs if event == indicator and user in buyers}
    both = Counter(
        (a, b) for user, a in first for other, b in second if user == other and (indicator != primary or a != b)
    )
    model: dict[str, dict[str, float]] = {}
    for (a, b), k11 in both.items():
        k12 = sum(item == a for _, item in first) - k11
        k21 = sum(item == b for _, item in second) - k11
        k22 = len(buyers) - k11 - k12 - k21
        rows, columns = entropy(k11 + k12, k21 + k22), entropy(k11 + k21, k12 + k22)
        ratio = 2 * (rows + columns - entropy(k11, k12, k21, k22))
        if ratio > 1e-6:
            model.setdefault(a, {})[b] = ratio
    return model


def test_the_model_is_the_one_of_the_formula(driver: MachineFiles) -> None:
    write_engine(driver, [{"name": "purchase"}, {"name": "view", "maxCorrelatorsPerItem": 1}])
    result = train(driver)
    assert result.stdout.splitlines()[-1] == "[INFO] [CoreWorkflow$] Training completed successfully.", result.stderr
    assert (result.returncode, result.stderr) == (0, "")
    (directory,) = (driver.home / "store" / "models").iterdir()
    model = {item["id"]: item for item in map(json.loads, (directory / "model.jsonl").read_text().splitlines())}
    assert sorted(model) == ["a", "b", "c", "d"]
    # By hand: 2 of 4 users have both, the other 2 neither: 4 n ln 2 with n = 2.
    assert model["a"]["purchase"][0] == {"item": "b", "llr": pytest.approx(8 * math.log(2), abs=1e-6)}
    purchases = reference("purchase", "purchase")
    for item in model:
        found = {one["item"]: one["llr"] for one in model[item].get("purchase", [])}
        assert found == pytest.approx(purchases.get(item, {}), abs=1e-6)
    for item, expected in reference("purchase", "view").items():
        strongest = min(expected, key=lambda one: (-round(expected[one], 6), one))
        assert model[item]["view"] == [{"item": strongest, "llr": pytest.approx(expected[strongest], abs=1e-6)}]
    metadata = json.loads((directory / "metadata.json").read_text())
    assert metadata["items"] == 4
    assert metadata["correlators"]["purchase"] == sum(map(len, purchases.values()))


def test_a_training_that_is_told_to_stop_ends_well_without_a_model(driver: MachineFiles) -> None:
    result = train(driver, "--stop-after-read")
    assert "Training interrupted by org.apache.predictionio.workflow.StopAfterReadInterruption." in result.stdout
    assert "Training completed successfully." not in result.stdout
    assert result.returncode == 0
    assert not (driver.home / "store").exists()


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("{", "is not a valid engine variant (JSONDecodeError"),
        ('{"algorithms": []}', "is not a valid engine variant (IndexError"),
        ('{"algorithms": [{"params": {"indicators": []}}]}', "names no indicator"),
    ],
)
def test_an_engine_that_is_not_one_ends_the_training_before_spark_starts(
    driver: MachineFiles, engine: str, said: str
) -> None:
    (driver.home / "engine" / "engine.json").write_text(engine)
    result = subprocess.run(
        [sys.executable, driver.home / "pio" / "lib" / "train.py", "--engine-variant", "engine.json"],
        cwd=driver.home / "engine",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert said in result.stdout
    assert result.stdout.splitlines()[-1].endswith("Aborting.")
    assert (result.returncode, result.stderr) == (1, "")
