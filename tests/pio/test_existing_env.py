"""A pio-env.sh that pio-tf did not write: what becomes a block, and what is kept and named."""

from __future__ import annotations

import pytest

from pio_tf.pio.existing_env import read_env

GUIDE = """\
#!/usr/bin/env bash
SPARK_HOME=/usr/local/spark
HADOOP_CONF_DIR=/usr/local/hadoop/etc/hadoop
PIO_FS_BASEDIR=$HOME/.pio_store
PIO_FS_ENGINESDIR=$PIO_FS_BASEDIR/engines   # of the guide
PIO_STORAGE_REPOSITORIES_METADATA_NAME=pio_meta
PIO_STORAGE_REPOSITORIES_METADATA_SOURCE=ELASTICSEARCH
PIO_STORAGE_SOURCES_ELASTICSEARCH_TYPE=elasticsearch
PIO_STORAGE_SOURCES_ELASTICSEARCH_HOSTS=es-1,es-2,es-3
PIO_STORAGE_SOURCES_ELASTICSEARCH_PORTS=9200,9200
PIO_STORAGE_SOURCES_HDFS_TYPE=hdfs
export PIO_STORAGE_SOURCES_HDFS_PATH="hdfs://nn:9000/models"
"""


def test_the_guides_file_becomes_blocks_and_nothing_is_left() -> None:
    env = read_env(GUIDE)
    assert env.values["PIO_FS_ENGINESDIR"] == "~/.pio_store/engines"
    assert env.blocks == {
        "elasticsearch": {"hosts": ["http://es-1:9200"]},  # SCHEMES has one entry: the shortest list decides
        "hdfs": {"namenode": "nn", "port": 9000, "models_path": "/models"},
    }
    assert (env.kept, env.unread) == ((), ())


def test_what_no_block_says_is_kept_by_its_name() -> None:
    env = read_env(
        f"{GUIDE}TRAINING_OWNER='team $HOME'\nPIO_STORAGE_SOURCES_PGSQL_TYPE=jdbc\nMYSQL_JDBC_DRIVER=/opt/mysql.jar\n"
    )
    assert env.kept == ("TRAINING_OWNER", "PIO_STORAGE_SOURCES_PGSQL_TYPE", "MYSQL_JDBC_DRIVER")
    assert env.values["TRAINING_OWNER"] == "team $HOME"


@pytest.mark.parametrize(
    "line",
    [
        'SPARK_HOME=$(readlink -f "$HOME/spark")',
        "if [ -d /opt/es ]; then ES=1; fi",
        ". /etc/environment",
        "NAMES='first",
        "A=`hostname`",
    ],
)
def test_a_line_that_is_no_plain_assignment_is_named_and_never_run(line: str) -> None:
    env = read_env(f"X=1\n{line}\nY=2")
    assert env.unread[0] == 2
    assert env.values.get("X") == "1"


@pytest.mark.parametrize(
    "more",
    [
        "PIO_STORAGE_SOURCES_ELASTICSEARCH_PASSWORD=secret",
        "PIO_STORAGE_SOURCES_ELASTICSEARCH_PORTS=9300,9300",
        "PIO_STORAGE_SOURCES_ELASTICSEARCH_HOSTS=localhost",
    ],
)
def test_an_elasticsearch_that_a_block_cannot_say_stays_in_the_file_with_its_password(more: str) -> None:
    env = read_env(f"{GUIDE}{more}\n")
    assert "elasticsearch" not in env.blocks
    assert "PIO_STORAGE_SOURCES_ELASTICSEARCH_HOSTS" in env.kept
    assert "secret" not in " ".join(env.kept)
