"""pio-env.sh, read as PredictionIO reads it: sourced by bash under `set -a`."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from pio_tf.pio.env_file import render_pio_env
from pio_tf.pio.secrets import Secrets
from tests.remote.builders import make_config

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.config.schema import Config

NASTY = """it's a "dir" with $HOME, `id`, $(id), \\ and *"""
GUIDE = (
    "SPARK_HOME",
    "ES_CONF_DIR",
    "HADOOP_CONF_DIR",
    "HBASE_CONF_DIR",
    "PIO_FS_BASEDIR",
    "PIO_FS_ENGINESDIR",
    "PIO_FS_TMPDIR",
    "PIO_STORAGE_REPOSITORIES_METADATA_NAME",
    "PIO_STORAGE_REPOSITORIES_METADATA_SOURCE",
    "PIO_STORAGE_REPOSITORIES_EVENTDATA_NAME",
    "PIO_STORAGE_REPOSITORIES_EVENTDATA_SOURCE",
    "PIO_STORAGE_REPOSITORIES_MODELDATA_NAME",
    "PIO_STORAGE_REPOSITORIES_MODELDATA_SOURCE",
    "PIO_STORAGE_SOURCES_ELASTICSEARCH_TYPE",
    "PIO_STORAGE_SOURCES_ELASTICSEARCH_HOME",
    "PIO_STORAGE_SOURCES_ELASTICSEARCH_CLUSTERNAME",
    "PIO_STORAGE_SOURCES_ELASTICSEARCH_HOSTS",
    "PIO_STORAGE_SOURCES_ELASTICSEARCH_PORTS",
    "PIO_STORAGE_SOURCES_ELASTICSEARCH_SCHEMES",
    "PIO_STORAGE_SOURCES_HDFS_TYPE",
    "PIO_STORAGE_SOURCES_HDFS_PATH",
    "PIO_STORAGE_SOURCES_HBASE_TYPE",
    "PIO_STORAGE_SOURCES_HBASE_HOME",
    "PIO_STORAGE_SOURCES_HBASE_HOSTS",
    "PIO_STORAGE_SOURCES_HBASE_PORTS",
)
"""The guide's variables in its order, and SCHEMES, which PredictionIO 0.12 reads beside HOSTS and PORTS."""


def sourced(config: Config, tmp_path: Path) -> dict[str, str]:
    """The environment that sourcing the file adds to an empty one."""
    file = tmp_path / "pio-env.sh"
    file.write_text(render_pio_env(config, Secrets()))
    script = 'set -euo pipefail; set -a; . "$0"; set +a; exec env -0'
    done = subprocess.run(
        ["/bin/bash", "-c", script, file],
        env={"HOME": "/home/ubuntu", "PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
    pairs = (item.split("=", 1) for item in done.stdout.decode().split("\0") if item)
    return {name: value for name, value in pairs if name not in {"HOME", "PATH", "PWD", "OLDPWD", "SHLVL", "_"}}


def test_the_environment_is_the_guides(tmp_path: Path) -> None:
    config = make_config(
        elasticsearch={"hosts": ["es1", "10.0.0.2", "es3"], "cluster_name": "search", "scheme": "https"},
        hbase={"hosts": ["hb1", "hb2"]},
        hdfs={"namenode": "nn.example.org", "port": 9001},
    )
    expected = {
        "SPARK_HOME": "/usr/local/spark",
        "ES_CONF_DIR": "/usr/local/elasticsearch",
        "HADOOP_CONF_DIR": "/usr/local/hadoop/etc/hadoop",
        "HBASE_CONF_DIR": "/usr/local/hbase/conf",
        "PIO_FS_BASEDIR": "/home/ubuntu/.pio_store",
        "PIO_FS_ENGINESDIR": "/home/ubuntu/.pio_store/engines",
        "PIO_FS_TMPDIR": "/home/ubuntu/.pio_store/tmp",
        "PIO_STORAGE_REPOSITORIES_METADATA_NAME": "pio_meta",
        "PIO_STORAGE_REPOSITORIES_METADATA_SOURCE": "ELASTICSEARCH",
        "PIO_STORAGE_REPOSITORIES_EVENTDATA_NAME": "pio_event",
        "PIO_STORAGE_REPOSITORIES_EVENTDATA_SOURCE": "HBASE",
        "PIO_STORAGE_REPOSITORIES_MODELDATA_NAME": "pio_model",
        "PIO_STORAGE_REPOSITORIES_MODELDATA_SOURCE": "HDFS",
        "PIO_STORAGE_SOURCES_ELASTICSEARCH_TYPE": "elasticsearch",
        "PIO_STORAGE_SOURCES_ELASTICSEARCH_HOME": "/usr/local/elasticsearch",
        "PIO_STORAGE_SOURCES_ELASTICSEARCH_CLUSTERNAME": "search",
        "PIO_STORAGE_SOURCES_ELASTICSEARCH_HOSTS": "es1,10.0.0.2,es3",
        "PIO_STORAGE_SOURCES_ELASTICSEARCH_PORTS": "9200,9200,9200",
        "PIO_STORAGE_SOURCES_ELASTICSEARCH_SCHEMES": "https,https,https",
        "PIO_STORAGE_SOURCES_HDFS_TYPE": "hdfs",
        "PIO_STORAGE_SOURCES_HDFS_PATH": "hdfs://nn.example.org:9001/models",
        "PIO_STORAGE_SOURCES_HBASE_TYPE": "hbase",
        "PIO_STORAGE_SOURCES_HBASE_HOME": "/usr/local/hbase",
        "PIO_STORAGE_SOURCES_HBASE_HOSTS": "hb1,hb2",
        "PIO_STORAGE_SOURCES_HBASE_PORTS": "0,0",
    }
    assert sourced(config, tmp_path) == expected


def test_the_variables_stand_in_the_guides_order() -> None:
    assert re.findall(r"^([A-Z_]+)=", render_pio_env(make_config(), Secrets()), re.MULTILINE) == list(GUIDE)


def test_values_that_bash_would_act_on_arrive_as_they_are(tmp_path: Path) -> None:
    config = make_config(
        spark={"home": f"/opt/{NASTY}"},
        pio={"fs_basedir": f"~/{NASTY}"},
        elasticsearch={"home": f"~/{NASTY}", "cluster_name": f"{NASTY} ; rm -rf / # & | ~ = ümlaut"},
        hbase={"home": f"/opt/{NASTY}"},
        hdfs={"hadoop_home": f"~/{NASTY}", "models_path": "/m'o\"d$HOME`id`"},
    )
    found = sourced(config, tmp_path)
    assert found["SPARK_HOME"] == f"/opt/{NASTY}"
    assert found["PIO_FS_BASEDIR"] == f"/home/ubuntu/{NASTY}"
    assert found["PIO_FS_TMPDIR"] == f"/home/ubuntu/{NASTY}/tmp"  # noqa: S108
    assert found["ES_CONF_DIR"] == f"/home/ubuntu/{NASTY}"
    assert found["HADOOP_CONF_DIR"] == f"/home/ubuntu/{NASTY}/etc/hadoop"
    assert found["HBASE_CONF_DIR"] == f"/opt/{NASTY}/conf"
    assert found["PIO_STORAGE_SOURCES_ELASTICSEARCH_CLUSTERNAME"] == f"{NASTY} ; rm -rf / # & | ~ = ümlaut"
    assert found["PIO_STORAGE_SOURCES_HDFS_PATH"] == "hdfs://nn:9000/m'o\"d$HOME`id`"
    assert sorted(found) == sorted(GUIDE)
