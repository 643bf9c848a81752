"""The command line that trains a model, as bash and PIO read it."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import ConfigError
from pio_tf.pio.command import check_arguments, settings_in_force, train_command
from tests.pio.sizes import SIZING
from tests.support.builders import OUTPUTS, make_config

if TYPE_CHECKING:
    from collections.abc import Sequence
from pathlib import Path
from typing import Any

OURS = "--master spark://10.0.0.11:7077 --driver-memory 20g --executor-memory 22g --conf spark.driver.host=10.0.0.10"


def words(*extra: str, **blocks: dict[str, Any]) -> list[str]:
    command = train_command(make_config(Path("/nowhere"), **blocks), OUTPUTS, SIZING, extra=extra)
    before, _, rest = command.partition(" -- ")
    assert before.endswith("/usr/local/pio/bin/pio train")
    return shlex.split(rest)


def test_the_command_is_the_guides() -> None:
    command = train_command(make_config(), OUTPUTS, SIZING)
    assert command == f'cd "$HOME/ur" && /usr/local/pio/bin/pio train -- {OURS}'


def test_bash_runs_it_in_the_engines_directory_with_every_word_whole(tmp_path: Path) -> None:
    home = tmp_path / "home"
    engine = home / "an engine's $HOME"
    engine.mkdir(parents=True)
    pio = home / "p i o" / "bin" / "pio"
    pio.parent.mkdir(parents=True)
    pio.write_text('#!/bin/bash\npwd\nprintf "%s\\n" "$@"\n')
    pio.chmod(0o755)
    config = make_config(
        pio={"home": "~/p i o", "engine_dir": "~/an engine's $HOME"},
        train={"pio_arguments": ["--variant", "$x;'\"`id`"]},
    )
    command = train_command(config, OUTPUTS, SIZING, extra=["--name", "$HOME;id"])
    done = subprocess.run(
        ["/bin/bash", "-c", command], env={"HOME": str(home), "PATH": "/usr/bin:/bin"}, capture_output=True, check=True
    )
    assert done.stdout.decode().splitlines() == [
        str(engine),
        *["train", "--variant", "$x;'\"`id`", "--", *OURS.split(), "--name", "$HOME;id"],
    ]


def test_the_configurations_arguments_follow_ours() -> None:
    train = {"spark_arguments": ["--total-executor-cores", "8", "--verbose"]}
    assert words(train=train) == [*OURS.split(), "--total-executor-cores", "8", "--verbose"]


def test_what_the_user_asks_for_wins_and_nothing_is_given_twice() -> None:
    train = {"spark_arguments": ["--driver-memory", "8g", "--conf", "spark.a=1"]}
    found = words("--conf=spark.a=2", "--executor-memory=9g", "-c", "spark.driver.host=10.9.9.9", train=train)
    assert found == [
        *["--master", "spark://10.0.0.11:7077", "--driver-memory", "8g", "--executor-memory", "9g"],
        *["--conf", "spark.driver.host=10.9.9.9", "--conf", "spark.a=2"],
    ]


def test_a_setting_that_has_an_option_is_given_by_that_option_which_spark_prefers() -> None:
    found = words("--conf", "spark.driver.memory=30g", spark={"conf": {"spark.executor.memory": "5g"}})
    assert found[2:6] == ["--driver-memory", "30g", "--executor-memory", "5g"]
    assert "spark.driver.memory=30g" not in found


def test_only_the_form_with_a_space_is_written() -> None:
    found = words("--executor-cores=2", "--archives=/a=b", "--conf=spark.x=y=z")
    assert found[-6:] == ["--executor-cores", "2", "--archives", "/a=b", "--conf", "spark.x=y=z"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--conf", "spark.x=a b"], "has a blank"),
        (["--driver-java-options=-Da -Db"], "has a blank"),
        (["--name", ""], "is empty"),
        (["--archives", "/data/*.zip"], r"has the wildcard \*"),
        (["--conf", "spark.x=a[12]"], r"has the wildcard \["),
        (["--name", "what?"], r"has the wildcard \?"),
        (["--driver-memory", "lots"], "--driver-memory: 'lots' cannot work"),
        (["--driver-memory=20"], "--driver-memory: '20' cannot work"),
        (["--driver-memory=20gb"], "--driver-memory: '20gb' cannot work"),
        (["--conf", "spark.executor.memory=some"], "--executor-memory: 'some' cannot work"),
        (["--executor-cores", "0"], "--executor-cores: '0' cannot work"),
        (["--total-executor-cores", "all"], "--total-executor-cores: 'all' cannot work"),
        (["--conf", "spark.driver.host=my_host"], "spark.driver.host: 'my_host' cannot work"),
        (["--conf", "spark.eventLog.dir=hdfs://n_n:9000/x"], "spark.eventLog.dir: n_n:9000 cannot work"),
        (["--help"], "--help would not train"),
        (["-h"], "-h would not train"),
        (["--version"], "--version would not train"),
        (["--deploy-mode", "cluster"], "--deploy-mode cluster cannot work"),
        (["--conf", "spark.submit.deployMode=cluster"], "--deploy-mode cluster cannot work"),
        (["--deploy-mode=cluster"], "--deploy-mode cluster cannot work"),
        (["--master", "local"], "--master local cannot work"),
        (["--master=local[8]"], r"--master local\[8\] cannot work"),
        (["--master", "spark://elsewhere:7077"], "--master spark://elsewhere:7077 cannot work"),
        (["--conf", "spark.master=local"], "--master local cannot work"),
        (["-c", "spark.master=local"], "--master local cannot work"),
        (["--conf=spark.master=local[*]"], "--master .* cannot work"),
        (["--jars", "/a.jar"], "--jars /a.jar cannot work"),
        (["--conf", "spark.jars=/a.jar"], "--jars /a.jar cannot work"),
        (["--files=/a"], "--files /a cannot work"),
        (["--class", "a.B"], "--class a.B cannot work"),
        (["--properties-file", "/a.conf"], "--properties-file /a.conf cannot work"),
        (["--executor-cores"], "--executor-cores has no value"),
        (["--executor-cores", "--verbose"], "--executor-cores has no value"),
        (["--conf", "spark.x"], "has no value"),
        (["app.jar"], "'app.jar' is not an option"),
        (["--"], "'--' is not an option"),
    ],
)
def test_an_argument_that_would_not_arrive_or_cannot_work_is_refused_before_any_machine(
    extra: Sequence[str], message: str
) -> None:
    for call in (
        lambda: check_arguments(make_config(), extra=extra),
        lambda: train_command(make_config(), OUTPUTS, SIZING, extra=extra),
    ):
        with pytest.raises(ConfigError, match=message) as caught:
            call()
        assert caught.value.next_step


def test_the_arguments_of_the_configuration_are_refused_with_their_place() -> None:
    with pytest.raises(ConfigError, match=r"pio-tf\.hcl: train\.spark_arguments: --conf: .* has a blank"):
        check_arguments(make_config(train={"spark_arguments": ["--conf", "spark.x=a b"]}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spark.master", "local[4]"),
        ("spark.submit.deployMode", "cluster"),
        ("spark.files", "/a"),
        ("spark.jars", "/b"),
        ("spark.eventLog.dir", "hdfs://name_node:9000/events"),
        ("spark.hadoop.fs.defaultFS", "hdfs://my_service"),
        ("spark.hadoop.dfs.namenode.rpc-address.c.nn1", "nn_1:8020"),
    ],
)
def test_a_setting_of_the_configuration_that_would_go_elsewhere_or_be_lost_is_refused_with_its_place(
    name: str, value: str
) -> None:
    config = make_config(spark={"conf": {name: value}})
    for call in (lambda: check_arguments(config), lambda: train_command(config, OUTPUTS, SIZING)):
        with pytest.raises(ConfigError, match=r"^pio-tf\.hcl: spark\.conf: --.* cannot work") as caught:
            call()
        assert caught.value.cause
        assert caught.value.next_step


def test_the_settings_in_force_are_the_files_with_the_arguments_over_them() -> None:
    config = make_config(
        spark={"conf": {"spark.a": "file", "spark.b": "file", "spark.executor.cores": "2"}},
        train={"spark_arguments": ["--conf", "spark.b=train", "--executor-memory", "9g", "--verbose", "--name", "x"]},
    )
    assert settings_in_force(config, OUTPUTS, SIZING, extra=["--conf=spark.c=extra", "--executor-memory=8g"]) == {
        "spark.master": "spark://10.0.0.11:7077",
        "spark.driver.host": "10.0.0.10",
        "spark.driver.memory": "20g",
        "spark.executor.memory": "8g",
        "spark.executor.cores": "2",
        "spark.a": "file",
        "spark.b": "train",
        "spark.c": "extra",
    }


def test_client_mode_may_be_said() -> None:
    assert words("--deploy-mode", "client")[-2:] == ["--deploy-mode", "client"]


@pytest.mark.parametrize("arguments", [["--variant", "a b"], ["--"]])
def test_an_argument_of_pio_itself_that_would_not_arrive_is_refused(arguments: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"train\.pio_arguments"):
        check_arguments(make_config(train={"pio_arguments": arguments}))


def test_mistakes_in_other_blocks_are_found_before_any_machine_too() -> None:
    with pytest.raises(ConfigError, match="not a name of a Spark setting"):
        check_arguments(make_config(spark={"conf": {"cores": "1"}}))
    check_arguments(make_config(), extra=["--executor-cores", "2"])
