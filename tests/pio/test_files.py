"""The files for the driver, read back as Hadoop and Spark read them."""

from __future__ import annotations

from typing import NoReturn
from xml.etree import ElementTree as ET

import pytest

from pio_tf.config.kinds import SecretReference
from pio_tf.config.schema import Config
from pio_tf.errors import ConfigError
from pio_tf.pio.command import ui_port
from pio_tf.pio.files import render_files
from pio_tf.pio.secrets import Secrets, hide_password, resolve_secrets
from tests.pio.sizes import SIZING
from tests.support.builders import OUTPUTS, make_config


def content(config: Config, name: str) -> str:
    return next(file.content for file in render_files(config, OUTPUTS, SIZING, Secrets().reveal) if file.name == name)


def properties(text: str) -> dict[str | None, str | None]:
    root = ET.fromstring(text)  # noqa: S314 - our own text
    assert root.tag == "configuration"
    return {item.findtext("name"): item.findtext("value") for item in root.findall("property")}


def settings(text: str) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in text.splitlines())


def test_there_are_five_files_each_at_its_place_with_its_mode() -> None:
    config = make_config(spark={"home": "~/spark"}, pio={"home": "~/pio"}, hbase={"home": "/opt/hb"})
    files = render_files(config, OUTPUTS, SIZING, Secrets().reveal)
    assert [(file.name, file.path, oct(file.mode)) for file in files] == [
        ("pio-env.sh", "~/pio/conf/pio-env.sh", "0o600"),
        ("log4j.properties", "~/pio/conf/log4j.properties", "0o644"),
        ("core-site.xml", "/usr/local/hadoop/etc/hadoop/core-site.xml", "0o644"),
        ("hbase-site.xml", "/opt/hb/conf/hbase-site.xml", "0o644"),
        ("spark-defaults.conf", "~/spark/conf/spark-defaults.conf", "0o600"),
    ]
    assert files == render_files(config, OUTPUTS, SIZING, Secrets().reveal)


def test_without_hdfs_and_hbase_their_files_are_not_written() -> None:
    minimal = make_config()
    kept = {name: getattr(minimal, name) for name in ("cluster", "aws", "network", "ssh", "pio")}
    database = {
        "type": "jdbc",
        "url": "jdbc:mysql://db/pio",
        "user": "pio",
        "password": SecretReference("ssm", "/p"),
        "driver_jar": "/my.jar",
    }
    repositories = {label: {"source": "MYSQL"} for label in ("metadata", "eventdata", "modeldata")}
    config = Config.model_validate({**kept, "source": {"MYSQL": database}, "repository": repositories})
    files = render_files(config, OUTPUTS, SIZING, Secrets({SecretReference("ssm", "/p"): "hunter2"}).reveal)
    assert [(file.name, oct(file.mode)) for file in files] == [
        ("pio-env.sh", "0o600"),
        ("log4j.properties", "0o644"),
        ("spark-defaults.conf", "0o600"),
    ]
    assert [file.name for file in files if "hunter2" in file.content] == ["pio-env.sh"]


def test_predictionio_logs_to_its_output_only_in_its_own_form() -> None:
    given = dict(
        line.split("=", 1) for line in content(make_config(), "log4j.properties").splitlines() if line[:1] not in "#"
    )
    assert given["log4j.rootLogger"] == "INFO, console"
    assert given["log4j.appender.console.layout.ConversionPattern"] == "[%p] [%c{1}] %m%n%throwable{0}"
    assert [name for name in given if name.startswith("log4j.appender.") and name.count(".") == 2] == [
        "log4j.appender.console"
    ]


def test_core_site_names_the_file_system() -> None:
    config = make_config(hdfs={"namenode": "nn.example.org", "port": 8020})
    assert properties(content(config, "core-site.xml")) == {"fs.defaultFS": "hdfs://nn.example.org:8020"}


def test_hbase_site_names_zookeeper_which_is_on_hbases_hosts_unless_told() -> None:
    text = content(make_config(hbase={"hosts": ["hb1", "hb2"]}), "hbase-site.xml")
    assert properties(text) == {
        "hbase.rootdir": "hdfs://nn:9000/hbase",
        "hbase.cluster.distributed": "true",
        "hbase.zookeeper.quorum": "hb1,hb2",
        "hbase.zookeeper.property.clientPort": "2181",
    }
    config = make_config(hbase={"zookeeper_quorum": ["z1", "z2", "z3"], "zookeeper_port": 2182})
    found = properties(content(config, "hbase-site.xml"))
    assert found["hbase.zookeeper.quorum"] == "z1,z2,z3"
    assert found["hbase.zookeeper.property.clientPort"] == "2182"


NAMESERVICE = {"namenode": None, "nameservice": "mycluster", "namenodes": ["nn-a", "nn-b:8021"], "port": 8020}


def test_a_nameservice_is_the_file_system_and_its_name_nodes_are_in_hdfs_site() -> None:
    config = make_config(hdfs=NAMESERVICE, spark={"event_log": True})
    assert properties(content(config, "core-site.xml")) == {"fs.defaultFS": "hdfs://mycluster"}
    assert properties(content(config, "hdfs-site.xml")) == {
        "dfs.nameservices": "mycluster",
        "dfs.ha.namenodes.mycluster": "nn1,nn2",
        "dfs.namenode.rpc-address.mycluster.nn1": "nn-a:8020",
        "dfs.namenode.rpc-address.mycluster.nn2": "nn-b:8021",
        "dfs.client.failover.proxy.provider.mycluster": (
            "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider"
        ),
    }
    assert properties(content(config, "hbase-site.xml"))["hbase.rootdir"] == "hdfs://mycluster/hbase"
    assert "PATH=hdfs://mycluster/models\n" in content(config, "pio-env.sh")
    assert settings(content(config, "spark-defaults.conf"))["spark.eventLog.dir"] == "hdfs://mycluster/spark-events"


def test_further_properties_stand_beside_ours_and_win_where_no_option_says_the_same() -> None:
    provider = "dfs.client.failover.proxy.provider.mycluster"
    core_site = {"hadoop.security.authentication": "kerberos", "x": "<&${user.name}"}
    hdfs = {
        **NAMESERVICE,
        "core_site": core_site,
        "hdfs_site": {"dfs.nameservices": "other,mycluster", provider: "a.B", "dfs.replication": 2},
    }
    hbase = {"znode_parent": "/hbase-secure", "hbase_site": {"hbase.rootdir": "/hb", "hbase.client.pause": "50"}}
    config = make_config(hdfs=hdfs, hbase=hbase)
    assert properties(content(config, "core-site.xml")) == {"fs.defaultFS": "hdfs://mycluster", **core_site}
    found = properties(content(config, "hdfs-site.xml"))
    assert found.items() >= {"dfs.nameservices": "other,mycluster", provider: "a.B", "dfs.replication": "2"}.items()
    found = properties(content(config, "hbase-site.xml"))
    assert found["zookeeper.znode.parent"] == "/hbase-secure"
    assert (found["hbase.rootdir"], found["hbase.client.pause"]) == ("/hb", "50")


def test_a_secret_among_hadoops_properties_is_shown_as_stars_and_makes_its_file_private() -> None:
    config = make_config(hdfs={"core_site": {"fs.s3a.secret.key": "s3cr3t"}, "hdfs_site": {"a": "b"}})
    modes = {file.name: oct(file.mode) for file in render_files(config, OUTPUTS, SIZING, hide_password)}
    assert (modes["core-site.xml"], modes["hdfs-site.xml"]) == ("0o600", "0o644")
    shown = {file.name: file.content for file in render_files(config, OUTPUTS, SIZING, hide_password)}
    assert properties(shown["core-site.xml"])["fs.s3a.secret.key"] == "********"
    assert properties(content(config, "core-site.xml"))["fs.s3a.secret.key"] == "s3cr3t"
    assert resolve_secrets(config, _no_client).values == ("s3cr3t",)


def test_spark_defaults_carry_the_cluster_and_the_sizes() -> None:
    assert content(make_config(), "spark-defaults.conf").splitlines() == [
        "spark.master spark://10.0.0.11:7077",
        "spark.driver.host 10.0.0.10",
        "spark.driver.memory 20g",
        "spark.executor.memory 22g",
        "spark.executor.cores 4",
    ]


def test_a_secret_among_sparks_settings_is_shown_as_stars_and_written_as_it_is() -> None:
    secret = {"spark.authenticate.secret": "s3cr3t-one", "spark.hadoop.fs.s3a.secret.key": "s3cr3t-two"}
    config = make_config(spark={"conf": {**secret, "spark.authenticate": "true"}})
    written = settings(content(config, "spark-defaults.conf"))
    assert written.items() >= secret.items()
    files = {file.name: file.content for file in render_files(config, OUTPUTS, SIZING, hide_password)}
    shown = settings(files["spark-defaults.conf"])
    assert {shown[name] for name in secret} == {"********"}
    assert shown["spark.authenticate"] == "true"
    assert {*resolve_secrets(config, _no_client).values} == {*secret.values()}  # hidden in logs, too


def _no_client(service: str) -> NoReturn:
    raise AssertionError(service)


def test_the_clusters_secret_goes_into_sparks_settings_which_only_their_owner_reads() -> None:
    config = make_config(spark={"conf": {"spark.network.crypto.enabled": "false"}})
    files = render_files(config, OUTPUTS, SIZING, Secrets().reveal, spark_secret="s3cr3t")
    (file,) = (one for one in files if "s3cr3t" in one.content)
    assert (file.name, oct(file.mode)) == ("spark-defaults.conf", "0o600")
    found = settings(file.content)
    assert (found["spark.authenticate"], found["spark.authenticate.secret"]) == ("true", "s3cr3t")
    assert found["spark.network.crypto.enabled"] == "false"  # the user's
    assert "authenticate" not in content(config, "spark-defaults.conf")


def test_the_event_log_goes_to_hdfs_where_it_is_asked_for() -> None:
    config = make_config(spark={"event_log": True}, hdfs={"namenode": "nn.example.org", "port": 8020})
    found = settings(content(config, "spark-defaults.conf"))
    assert found["spark.eventLog.enabled"] == "true"
    assert found["spark.eventLog.dir"] == "hdfs://nn.example.org:8020/spark-events"
    spark = {"event_log": True, "event_log_dir": "/logs", "conf": {"spark.eventLog.compress": "true"}}
    found = settings(content(make_config(spark=spark), "spark-defaults.conf"))
    assert found["spark.eventLog.dir"] == "hdfs://nn:9000/logs"
    assert found["spark.eventLog.compress"] == "true"


@pytest.mark.parametrize(
    ("settings", "port"),
    [({}, 4040), ({"spark.ui.port": "4050"}, 4050), ({"spark.ui.port": "no"}, 4040), ({"spark.ui.enabled": "x"}, 4040)],
)
def test_the_page_of_sparks_driver_is_at_its_port_or_at_sparks_own(settings: dict[str, str], port: int) -> None:
    assert ui_port(settings) == port


def test_the_users_settings_win_and_stand_once() -> None:
    conf = {
        "spark.executor.cores": "2",
        "spark.executor.extraJavaOptions": "-Da=b -Dpath=C:\\x",
        "spark.x": "#!:=",
        "spark.y": "=1",
    }
    found = settings(content(make_config(spark={"conf": conf}), "spark-defaults.conf"))
    assert found["spark.executor.cores"] == "2"
    assert found["spark.executor.extraJavaOptions"] == r"-Da=b -Dpath=C:\\x"  # Java properties: one backslash
    assert found["spark.x"] == "#!:="
    assert found["spark.y"] == r"\=1"  # or it would take the place of the separator
    assert len(found) == 8


@pytest.mark.parametrize("key", ["executor.cores", "spark.a\\b", "spark.!x"])
def test_a_setting_that_would_break_the_file_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match="not a name of a Spark setting") as caught:
        content(make_config(spark={"conf": {key: "2"}}), "spark-defaults.conf")
    assert caught.value.what.startswith("pio-tf.hcl")
