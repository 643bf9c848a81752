"""pio-env.sh, read as PredictionIO reads it: sourced by bash under `set -a`."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from pio_tf.config.kinds import SecretReference
from pio_tf.config.schema import Config
from pio_tf.pio.files import render_pio_env
from pio_tf.pio.secrets import Secrets, hide_password
from tests.support.builders import make_config

if TYPE_CHECKING:
    from pathlib import Path


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


def sourced(config: Config, tmp_path: Path, secrets: Secrets | None = None) -> dict[str, str]:
    """Return the environment that sourcing the file adds to an empty one."""
    file = tmp_path / "pio-env.sh"
    file.write_text(render_pio_env(config, (secrets or Secrets()).reveal))
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
    assert re.findall(r"^([A-Z_]+)=", render_pio_env(make_config(), Secrets().reveal), re.MULTILINE) == list(GUIDE)


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


# Other sources

PASSWORD = NASTY + "=,;é{}!~#"
S3 = {"type": "s3", "bucket": NASTY, "base_path": "a/b'$x", "region": "eu-west-1", "profile": NASTY}
JDBC = {"type": "jdbc", "url": "jdbc:postgresql://db/p?a='$x\"&b=`id`\\", "user": NASTY, "driver_jar": f"~/{NASTY}.jar"}
SOURCES: dict[str, tuple[dict[str, object], dict[str, str]]] = {
    "elasticsearch": (
        {"hosts": ["a", "b:9201", "https://c:443"], "user": NASTY, "home": f"~/{NASTY}", "cluster_name": NASTY},
        {
            "TYPE": "elasticsearch",
            "HOME": f"/home/ubuntu/{NASTY}",
            "CLUSTERNAME": NASTY,
            "HOSTS": "a,b,c",
            "PORTS": "9200,9201,443",
            "SCHEMES": "http,http,https",
            "USERNAME": NASTY,
            "PASSWORD": PASSWORD,
        },
    ),
    "elasticsearch1": (
        {"hosts": ["a", "b"], "home": f"/opt/{NASTY}", "cluster_name": NASTY},
        {
            "TYPE": "elasticsearch",
            "HOME": f"/opt/{NASTY}",
            "CLUSTERNAME": NASTY,
            "HOSTS": "a,b",
            "PORTS": "9300,9300",
        },
    ),
    "hbase": (
        {"hosts": ["a", "b"], "home": f"~/{NASTY}"},
        {"TYPE": "hbase", "HOME": f"/home/ubuntu/{NASTY}", "HOSTS": "a,b", "PORTS": "0,0"},
    ),
    "hdfs": (
        {"namenode": "nn", "port": 8020, "models_path": "/m'\"$x`id`\\"},
        {"TYPE": "hdfs", "PATH": "hdfs://nn:8020/m'\"$x`id`\\"},
    ),
    "localfs": ({"path": f"~/{NASTY}"}, {"TYPE": "localfs", "PATH": f"/home/ubuntu/{NASTY}"}),
    "jdbc": (
        {**JDBC, "connections": 3, "partitions": 9},
        {
            "TYPE": "jdbc",
            "URL": "jdbc:postgresql://db/p?a='$x\"&b=`id`\\",
            "USERNAME": NASTY,
            "PASSWORD": PASSWORD,
            "CONNECTIONS": "3",
            "PARTITIONS": "9",
        },
    ),
    "s3": (
        {**S3, "endpoint": "http://minio:9000"},
        {
            "TYPE": "s3",
            "BUCKET_NAME": NASTY,
            "BASE_PATH": "a/b'$x",
            "REGION": "eu-west-1",
            "ENDPOINT": "http://minio:9000",
        },
    ),
}
"""Options of each type, but for its password, and the keys that PredictionIO is to find."""
NAMES = {"elasticsearch": "ELASTICSEARCH", "elasticsearch1": "ELASTICSEARCH"}


def config_without(*guides: str, **blocks: object) -> Config:
    """Return a configuration without these blocks of the guide's layout, and with others."""
    minimal = make_config()
    kept = {name: getattr(minimal, name) for name in ("cluster", "aws", "network", "ssh", "pio")}
    kept |= {name: getattr(minimal, name) for name in ("elasticsearch", "hbase", "hdfs") if name not in guides}
    return Config.model_validate({**kept, **blocks})


def config_with(kind: str, options: dict[str, object], version: str, password: object) -> Config:
    """Return a configuration with a single source of this type."""
    if "PASSWORD" in SOURCES[kind][1]:
        options = {**options, "password": password}
    name = NAMES.get(kind, "STORE")
    used = {"hbase": "eventdata", "hdfs": "modeldata"}.get(kind)
    guide = kind.removesuffix("1")
    return config_without(
        *([guide] if guide in ("elasticsearch", "hbase", "hdfs") else []),
        pio={"engine_dir": "/e", "version": version},
        source={name: {"type": kind, **options}},
        repository={used: {"source": name}} if used else {},
    )


@pytest.mark.parametrize("version", ["0.12.1", "0.13.0", "0.14.0"])
@pytest.mark.parametrize("kind", list(SOURCES))
@pytest.mark.parametrize("where", ["plain", "ssm"])
def test_each_type_of_source_arrives_as_it_is_asked_for(tmp_path: Path, kind: str, version: str, where: str) -> None:
    options, expected = SOURCES[kind]
    reference = SecretReference("ssm", "/p")
    config = config_with(kind, options, version, PASSWORD if where == "plain" else reference)
    secrets = Secrets({reference: PASSWORD} if where == "ssm" else {})
    if kind == "s3" and version != "0.14.0":
        expected = {**expected, "DISABLE_CHUNKED_ENCODING": "true"}
    prefix = f"PIO_STORAGE_SOURCES_{NAMES.get(kind, 'STORE')}_"
    found = sourced(config, tmp_path, secrets)
    assert {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)} == expected
    assert render_pio_env(config, secrets.reveal) == render_pio_env(config, secrets.reveal)


def test_a_source_sets_what_stands_for_the_whole_driver(tmp_path: Path) -> None:
    mysql = {**JDBC, "url": "jdbc:mysql://db/pio", "driver_jar": "/lib/my.jar", "password": "x"}
    config = make_config(source={"PGSQL": {**JDBC, "password": "x"}, "MYSQL": mysql, "S3": S3})
    found = sourced(config, tmp_path)
    assert found["POSTGRES_JDBC_DRIVER"] == f"/home/ubuntu/{NASTY}.jar"
    assert found["MYSQL_JDBC_DRIVER"] == "/lib/my.jar"
    assert found["AWS_PROFILE"] == NASTY
    assert found["SPARK_HOME"] == "/usr/local/spark"


def test_the_repositories_name_their_sources(tmp_path: Path) -> None:
    repositories = {
        "metadata": {"source": "PGSQL", "name": "meta"},
        "eventdata": {"source": "PGSQL", "name": "event"},
        "modeldata": {"source": "PGSQL", "name": "model"},
    }
    source = {"PGSQL": {**JDBC, "password": "x"}}
    config = config_without("elasticsearch", "hbase", "hdfs", source=source, repository=repositories)
    found = sourced(config, tmp_path)
    for label, repository in repositories.items():
        prefix = f"PIO_STORAGE_REPOSITORIES_{label.upper()}"
        assert found[f"{prefix}_NAME"] == repository["name"]
        assert found[f"{prefix}_SOURCE"] == "PGSQL"
    unused = ("ES_CONF_DIR", "HADOOP_CONF_DIR", "HBASE_CONF_DIR", "AWS_PROFILE", "MYSQL_JDBC_DRIVER")
    assert not set(found) & set(unused)
    assert not [name for name in found if re.search("ELASTICSEARCH|HBASE|HDFS", name)]


def test_a_password_that_is_hidden_is_not_in_the_file() -> None:
    config = make_config(elasticsearch={"user": "pio", "password": "hunter2"})
    text = render_pio_env(config, hide_password)
    assert "hunter2" not in text
    assert "PIO_STORAGE_SOURCES_ELASTICSEARCH_PASSWORD='********'\n" in text
