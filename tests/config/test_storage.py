"""Sources and repositories: what PredictionIO would not accept, or would silently take for something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from pio_tf.config.storage import ElasticsearchNode, JdbcSource, S3Source
from pio_tf.errors import ConfigError
from tests.support.config_samples import BLOCKS, load_text, mistakes, text_with

if TYPE_CHECKING:
    from pathlib import Path

JDBC = """\
source "PGSQL" {
  type       = "jdbc"
  url        = "jdbc:postgresql://db/pio"
  user       = "pio"
  password   = "x"
  driver_jar = "/lib/pg.jar"
}
"""
MYSQL = JDBC.replace("PGSQL", "MYSQL").replace("postgresql", "mysql").replace("pg.jar", "my.jar")
S3 = 'source "S3" {\n  type   = "s3"\n  bucket = "models"\n}\n'
ALL_IN_PGSQL = "".join(
    f'repository "{label}" {{\n  source = "PGSQL"\n}}\n' for label in ("metadata", "eventdata", "modeldata")
)


def without_guide(text: str) -> str:
    """Return a configuration without the blocks of the guide's layout.

    The text comes first, so that line 1 is known.
    """
    guide = ("elasticsearch", "hbase", "hdfs")
    return text + "".join(block for name, block in BLOCKS.items() if name not in guide)


def test_the_guides_layout_needs_no_word_about_sources_and_repositories(tmp_path: Path) -> None:
    config = load_text(tmp_path, text_with())
    assert [(source.name, source.path) for source in config.sources] == [
        ("ELASTICSEARCH", "elasticsearch"),
        ("HDFS", "hdfs"),
        ("HBASE", "hbase"),
    ]
    assert [(one.source, one.name) for one in config.repository.all().values()] == [
        ("ELASTICSEARCH", "pio_meta"),
        ("HBASE", "pio_event"),
        ("HDFS", "pio_model"),
    ]


def test_everything_can_be_in_one_database_and_the_guides_blocks_left_out(tmp_path: Path) -> None:
    config = load_text(tmp_path, without_guide(JDBC + ALL_IN_PGSQL))
    assert (config.elasticsearch, config.hbase, config.hdfs) == (None, None, None)
    (source,) = config.sources
    assert (source.name, source.path) == ("PGSQL", "source.PGSQL")
    assert isinstance(source.block, JdbcSource)
    assert (source.block.connections, source.block.partitions) == (8, 4)
    assert config.where("source.PGSQL.url") == "pio-tf.hcl:3"
    assert config.where("source.PGSQL.connections") == "pio-tf.hcl:1"


def test_a_labelled_source_may_take_the_place_of_a_guides_block(tmp_path: Path) -> None:
    text = 'source "ELASTICSEARCH" {\n  type  = "elasticsearch"\n  hosts = ["es"]\n}\n'
    config = load_text(tmp_path, text + "".join(BLOCKS[name] for name in BLOCKS if name != "elasticsearch"))
    assert {source.name: source.path for source in config.sources}["ELASTICSEARCH"] == "source.ELASTICSEARCH"


def test_each_node_of_elasticsearch_has_its_own_port_and_scheme_or_the_blocks(tmp_path: Path) -> None:
    text = (
        "elasticsearch {\n"
        '  hosts  = ["a", "b:9201", "https://c", "http://d:80/", "10.0.0.1:443"]\n'
        '  port   = 9243\n  scheme = "https"\n}\n'
    )
    block = load_text(tmp_path, text_with(elasticsearch=text)).elasticsearch
    assert block is not None
    assert block.nodes == (
        ElasticsearchNode("a", 9243, "https"),
        ElasticsearchNode("b", 9201, "https"),
        ElasticsearchNode("c", 9243, "https"),
        ElasticsearchNode("d", 80, "http"),
        ElasticsearchNode("10.0.0.1", 443, "https"),
    )


GUIDE_CHECKS = [
    (
        'elasticsearch {\n  hosts = ["es"]\n  user = "u"\n}\n',
        "3: elasticsearch: user and password go together",
    ),
    (
        'elasticsearch {\n  hosts = ["es"]\n  password = "hunter2"\n}\n',
        "3: elasticsearch: user and password go together",
    ),
    (
        'elasticsearch {\n  hosts = ["es"]\n  port = 9300\n}\n',
        (
            "3: elasticsearch.port: 9300 is the port of the transport client; PredictionIO 0.12 and later use REST, "
            "on port 9200"
        ),
    ),
    (
        'elasticsearch {\n  hosts = ["es:9300"]\n}\n',
        (
            "2: elasticsearch.hosts: 9300 is the port of the transport client; PredictionIO 0.12 and later use REST, "
            "on port 9200"
        ),
    ),
    ('elasticsearch {\n  hosts = ["es:99999"]\n}\n', "2: elasticsearch.hosts: es:99999: a port is at most 65535"),
]


NAMESERVICE = 'hdfs {\n  nameservice = "c"\n  namenodes = ["a", "b:8020"]\n}\n'
HADOOP_CHECKS = [
    ("hdfs {\n}\n", "1: hdfs.namenode: is required, or nameservice with its namenodes"),
    (
        NAMESERVICE.replace("namenodes", 'namenode = "nn"\n  namenodes'),
        "3: hdfs.namenode: give namenode, or nameservice with its namenodes, not both",
    ),
    (
        NAMESERVICE.replace('nameservice = "c"', 'namenode = "nn"'),
        "3: hdfs.namenodes: are those of a nameservice; name it with nameservice, or give one namenode",
    ),
    (NAMESERVICE.replace('"a", ', ""), "3: hdfs.namenodes: a nameservice has at least 2, got 1"),
    (NAMESERVICE.replace("8020", "80200"), "3: hdfs.namenodes: b:80200: a port is at most 65535"),
    (
        NAMESERVICE.replace('"c"', '"my_cluster"'),
        '2: hdfs.nameservice: must be letters, digits and hyphens, like "mycluster", got "my_cluster"',
    ),
    (
        NAMESERVICE.replace("}", '  hdfs_site = {\n    "dfs.nameservices" = "other"\n  }\n}'),
        "5: hdfs.hdfs_site.dfs.nameservices: must contain c, the nameservice of this block",
    ),
    (
        NAMESERVICE.replace("}", '  hdfs_site = {\n    "dfs.ha.namenodes.c" = "x,y"\n  }\n}'),
        "5: hdfs.hdfs_site.dfs.ha.namenodes.c: pio-tf writes this property; set namenodes instead",
    ),
    (
        'hdfs {\n  namenode = "nn"\n  core_site = {\n    "a" = 1\n    "fs.defaultFS" = "hdfs://x:9000"\n  }\n}\n',
        "5: hdfs.core_site.fs.defaultFS: pio-tf writes this property; set namenode instead",
    ),
    (
        'hdfs {\n  namenode = "nn"\n  core_site = {\n    "fs.x" = "hdfs://name_node/y"\n  }\n}\n',
        "4: hdfs.core_site.fs.x: Java finds no host in name_node",
    ),
    (
        'hdfs {\n  namenode = "nn"\n  hdfs_site = {\n    "a b" = "c"\n  }\n}\n',
        '4: hdfs.hdfs_site.a b: must be the name of a property, like "dfs.replication", got "a b"',
    ),
    (
        'hdfs {\n  namenode = "nn"\n  hdfs_site = {\n    "a" = "\\u0007"\n  }\n}\n',
        '4: hdfs.hdfs_site.a: must be one line of printable characters, got "\\u0007"',
    ),
    (
        'hbase {\n  hosts = ["h"]\n  hbase_site = { "hbase.zookeeper.property.clientPort" = 1 }\n}\n',
        (
            "3: hbase.hbase_site.hbase.zookeeper.property.clientPort: pio-tf writes this property; set "
            "zookeeper_port instead"
        ),
    ),
    (
        'hbase {\n  hosts = ["h"]\n  znode_parent = "hbase/"\n}\n',
        '3: hbase.znode_parent: must be a path in ZooKeeper, like "/hbase-secure", got "hbase/"',
    ),
]


@pytest.mark.parametrize(("text", "mistake"), HADOOP_CHECKS)
def test_a_mistake_about_hadoop_is_said_with_its_line(tmp_path: Path, text: str, mistake: str) -> None:
    assert mistakes(tmp_path, text_with(**{text.split()[0]: text})) == [f"pio-tf.hcl:{mistake}"]


@pytest.mark.parametrize(("text", "mistake"), GUIDE_CHECKS)
def test_a_mistake_about_elasticsearch_is_said_with_its_line(tmp_path: Path, text: str, mistake: str) -> None:
    assert mistakes(tmp_path, text_with(elasticsearch=text)) == [f"pio-tf.hcl:{mistake}"]


TYPES = '"elasticsearch", "elasticsearch1", "hbase", "hdfs", "localfs", "jdbc", "s3"'
LABELLED_CHECKS = [
    (
        'source "MY_DB" {\n  type = "localfs"\n}\n',
        (
            '1: source.MY_DB: must be capital letters and digits, like "PGSQL": PredictionIO reads it up to the first '
            '"_", got "MY_DB"'
        ),
    ),
    (
        'source "models" {\n  type = "localfs"\n}\n',
        (
            '1: source.models: must be capital letters and digits, like "PGSQL": PredictionIO reads it up to the first '
            '"_", got "models"'
        ),
    ),
    (
        'source "HDFS2" {\n  type = "localfs"\n}\n',
        (
            "1: source.HDFS2: PredictionIO would use the settings of HDFS2 for HDFS, too: its name starts the same; "
            "rename one"
        ),
    ),
    (
        'source "HDFS" {\n  type     = "hdfs"\n  namenode = "nn"\n}\n',
        "1: source.HDFS: the hdfs block is already this source; keep one of the two",
    ),
    (
        'source "OTHER" {\n  type     = "hdfs"\n  namenode = "nn"\n}\n',
        "1: source.OTHER: the driver has one core-site.xml, which HDFS already sets; keep one of the two",
    ),
    (
        'source "OTHER" {\n  type  = "hbase"\n  hosts = ["h"]\n}\n',
        "1: source.OTHER: the driver has one hbase-site.xml, which HBASE already sets; keep one of the two",
    ),
    (
        'source "OLD" {\n  type  = "elasticsearch1"\n  hosts = ["h"]\n}\n',
        (
            "1: source.OLD: the driver has one client of Elasticsearch (REST, or 1.x), which ELASTICSEARCH already "
            "sets; keep one of the two"
        ),
    ),
    (
        MYSQL + MYSQL.replace("MYSQL", "OTHER").replace("my.jar", "other.jar"),
        "8: source.OTHER: the driver has one MYSQL_JDBC_DRIVER, which MYSQL already sets; keep one of the two",
    ),
    ('source "X" {\n  path = "/m"\n}\n', f"1: source.X.type: is required: one of {TYPES}"),
    ('source "X" {\n  type = "mongo"\n}\n', f'2: source.X.type: must be one of {TYPES}, got "mongo"'),
    (
        'source "X" {\n  type = env("NONE")\n}\n',
        "2: source.X.type: the environment variable NONE is not set; run `export NONE=…` first, or write the value",
    ),
    (
        'source "X" {\n  type   = "localfs"\n  bucket = "b"\n}\n',
        "3: source.X.bucket: unknown name. Known here: path, type",
    ),
    (
        'source "X" {\n  type = "hdfs"\n}\n',
        "1: source.X.namenode: is required, or nameservice with its namenodes",
    ),
    (
        JDBC.replace("postgresql://db/pio", "oracle:thin"),
        (
            "3: source.PGSQL.url: must be the JDBC URL of a PostgreSQL or MySQL database, like "
            '"jdbc:postgresql://db-1:5432/pio", got "jdbc:oracle:thin"'
        ),
    ),
    (
        JDBC.replace("db/pio", "db/pio?user=u&password=hunter2"),
        "3: source.PGSQL.url: contains a password; remove it and set password = …",
    ),
    (
        JDBC.replace("//db", "//u:hunter2@db"),
        "3: source.PGSQL.url: contains a password; remove it and set password = …",
    ),
    (
        JDBC.replace("jdbc:postgresql://db", "jdbc:oracle://db?password=hunter2"),
        (
            "3: source.PGSQL.url: must be the JDBC URL of a PostgreSQL or MySQL database, like "
            '"jdbc:postgresql://db-1:5432/pio" (the value is not shown)'
        ),
    ),
    (JDBC.replace('"x"', '""'), "5: source.PGSQL.password: must not be empty (the value is not shown)"),
    (JDBC.replace('"x"', '"a\\nb"'), "5: source.PGSQL.password: must be one line (the value is not shown)"),
    (
        JDBC.replace('"x"', "7"),
        (
            '5: source.PGSQL.password: must be text in quotes, env("NAME"), ssm("/name") or secretsmanager("name") '
            "(the value is not shown)"
        ),
    ),
    (
        S3.replace("}", '  endpoint = "http://minio:9000"\n}'),
        "4: source.S3.endpoint: PredictionIO ignores it without region; give both",
    ),
    ('source {\n  type = "localfs"\n}\n', '1: source: needs one label: write source "NAME" { … }'),
    ('source "A" "B" {\n}\n', '1: source: needs one label: write source "NAME" { … }'),
    ("source = 3\n", '1: source: is a block: write source "NAME" { … }, without "="'),
    ("source = 3\n" + S3, '1: source: is a block: write source "NAME" { … }, without "="'),
    ("repository {\n}\n", '1: repository: needs one label: write repository "metadata" { … }'),
    ("repository = {}\n", '1: repository: is a block: write repository "metadata" { … }, without "="'),
    (S3 + S3, "5: source.S3: this block is already in line 1; keep one of the two"),
    (
        'repository "metdata" {\n}\n',
        '1: repository.metdata: unknown name, did you mean "metadata"? Known here: eventdata, metadata, modeldata',
    ),
    ('source "X" {\n  type = "localfs"\n  path {\n  }\n}\n', '3: source.X.path: is not a block: write "path = …"'),
    (
        'repository "modeldata" {\n  source = "HDSF"\n}\n',
        "2: repository.modeldata.source: there is no source HDSF; did you mean HDFS?",
    ),
    (
        'repository "modeldata" {\n  source = "PGSQL"\n}\n',
        '2: repository.modeldata.source: there is no source PGSQL; add source "PGSQL" { … }',
    ),
    (
        'repository "metadata" {\n  source = "HBASE"\n}\n',
        (
            "2: repository.metadata.source: HBASE can store only eventdata; types that can store metadata: "
            "elasticsearch, elasticsearch1, jdbc"
        ),
    ),
    (
        'repository "modeldata" {\n  source = "ELASTICSEARCH"\n}\n',
        (
            "2: repository.modeldata.source: ELASTICSEARCH can store only metadata and eventdata; types that can store "
            "modeldata: hdfs, localfs, jdbc, s3"
        ),
    ),
    (
        'repository "metadata" {\n  name = "Meta"\n}\n',
        (
            "2: repository.metadata.name: in ELASTICSEARCH it must be lower-case letters, digits, _ . and -: "
            "index names start with it"
        ),
    ),
    (
        'repository "eventdata" {\n  name = "pio-event"\n}\n',
        "2: repository.eventdata.name: in HBASE it must be letters, digits and _: it names an HBase namespace",
    ),
    (
        'repository "modeldata" {\n  name = "a/b"\n}\n',
        "2: repository.modeldata.name: in HDFS it must be letters, digits, _ . and -: file names start with it",
    ),
    (
        'repository "modeldata" {\n  source = "PGSQL"\n  name   = "pio-model"\n}\n' + JDBC,
        (
            "3: repository.modeldata.name: in PGSQL it must be at most 40 letters, digits and _, the first no "
            "digit: table names start with it"
        ),
    ),
]


@pytest.mark.parametrize(("text", "mistake"), LABELLED_CHECKS)
def test_a_mistake_about_sources_or_repositories_is_said_with_line_and_remedy(
    tmp_path: Path, text: str, mistake: str
) -> None:
    assert "hunter2" not in mistake
    found = mistakes(tmp_path, text + text_with())
    assert found[0] == f"pio-tf.hcl:{mistake}"
    assert all("already in line" in line for line in found[1:])  # "source = 3" and a block


def test_elasticsearch_under_another_name_is_not_found_by_the_universal_recommender(tmp_path: Path) -> None:
    text = (
        'source "ES" {\n  type  = "elasticsearch"\n  hosts = ["es"]\n}\nrepository "metadata" {\n  source = "ES"\n}\n'
    )
    assert mistakes(tmp_path, text + "".join(BLOCKS[name] for name in BLOCKS if name != "elasticsearch")) == [
        "pio-tf.hcl:1: source.ES: the Universal Recommender looks only for the name ELASTICSEARCH; rename this source"
    ]


def test_the_old_elasticsearch_uses_the_port_of_its_transport_client(tmp_path: Path) -> None:
    text = 'source "ELASTICSEARCH" {\n  type  = "elasticsearch1"\n  hosts = ["es"]\n  port  = 9200\n}\n'
    rest = "".join(BLOCKS[name] for name in BLOCKS if name != "elasticsearch")
    assert mistakes(tmp_path, text + rest) == [
        "pio-tf.hcl:4: source.ELASTICSEARCH.port: 9200 is the REST port; the transport client uses 9300"
    ]
    load_text(tmp_path, text.replace("  port  = 9200\n", "") + rest)


def test_a_block_that_no_repository_uses_may_still_be_needed(tmp_path: Path) -> None:
    jdbc_models = JDBC + 'repository "modeldata" {\n  source = "PGSQL"\n}\n'
    rest = "".join(BLOCKS[name] for name in BLOCKS if name != "hdfs")
    assert mistakes(tmp_path, jdbc_models + rest) == [
        "pio-tf.hcl: hdfs: this block is required: HBASE is HBase, which stores its files in HDFS"
    ]
    log = "spark {\n  event_log = true\n}\n"
    assert mistakes(tmp_path, log + without_guide(JDBC + ALL_IN_PGSQL)) == [
        "pio-tf.hcl:2: spark.event_log: Spark writes its event log to HDFS; add the hdfs block, or remove this line"
    ]


@pytest.mark.parametrize("version", ["0.12.1", "0.13.0"])
def test_an_old_predictionio_needs_a_profile_and_a_region_for_s3(tmp_path: Path, version: str) -> None:
    pio = f'pio {{\n  engine_dir = "/e"\n  version    = "{version}"\n}}\n'
    text = S3 + text_with(pio=pio)
    assert mistakes(tmp_path, text) == [
        (
            f"pio-tf.hcl:1: source.S3.profile: is required: PredictionIO {version} does not support instance roles; "
            "name a profile of ~/.aws/credentials on the driver"
        ),
        f"pio-tf.hcl:1: source.S3.region: is required with PredictionIO {version}",
    ]
    full = S3.replace("}", '  profile = "models"\n  region = "eu-west-1"\n}')
    block = load_text(tmp_path, full + text_with(pio=pio)).sources[-1].block
    assert isinstance(block, S3Source)
    assert block.profile == "models"


def test_an_endpoint_in_which_java_finds_no_host_is_refused(tmp_path: Path) -> None:
    block = S3.replace("}\n", '  region   = "eu-west-1"\n  endpoint = "http://my_store:9000"\n}\n')
    (line,) = mistakes(tmp_path, block + text_with())
    assert line.startswith(
        'pio-tf.hcl:5: source.S3.endpoint: must be an address like "https://s3.example.org:9000", its'
    )
    load_text(tmp_path, block.replace("my_store", "my-store") + text_with())


def test_the_newest_predictionio_takes_s3_without_either(tmp_path: Path) -> None:
    load_text(tmp_path, S3 + text_with())


def test_mistakes_between_blocks_are_told_together_with_those_in_blocks(tmp_path: Path) -> None:
    text = 'spark {\n  workers = 0\n}\nrepository "metadata" {\n  source = "HBASE"\n}\n' + S3.replace("S3", "HDFS1")
    assert [line.split(": ")[:2] for line in mistakes(tmp_path, text + text_with())] == [
        ["pio-tf.hcl:2", "spark.workers"],
        ["pio-tf.hcl:5", "repository.metadata.source"],
        ["pio-tf.hcl:7", "source.HDFS1"],
    ]


def test_what_could_not_be_read_is_not_taken_for_the_default(tmp_path: Path) -> None:
    text = 'repository "modeldata" {\n  source = env("STORE")\n}\n'
    rest = "".join(BLOCKS[name] for name in BLOCKS if name != "hdfs")
    (line,) = mistakes(tmp_path, text + rest)
    assert line.startswith("pio-tf.hcl:2: repository.modeldata.source: the environment variable STORE is not set")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('spark {\n  home = ssm("/p")\n}\n', "spark.home"),
        ('spark {\n  workers = ssm("/p")\n}\n', "spark.workers"),
        ('spark {\n  conf = { "spark.x" = ssm("/p") }\n}\n', "spark.conf.spark.x"),
        ('spark {\n  conf = ssm("/p")\n}\n', "spark.conf"),
        ('train {\n  pio_arguments = [ssm("/p")]\n}\n', "train.pio_arguments[0]"),
        ('train {\n  keep_up = ssm("/p")\n}\n', "train.keep_up"),
        ('terraform {\n  directory = ssm("/p")\n}\n', "terraform.directory"),
        ('terraform {\n  backend "s3" {\n    bucket = ssm("/p")\n  }\n}\n', "terraform.backend.bucket"),
        ('repository "metadata" {\n  name = ssm("/p")\n}\n', "repository.metadata.name"),
        ('source "X" {\n  type = "localfs"\n  path = ssm("/p")\n}\n', "source.X.path"),
    ],
)
def test_only_a_password_may_be_a_reference_to_a_secret(tmp_path: Path, text: str, name: str) -> None:
    line = next(number for number, words in enumerate(text.splitlines(), start=1) if "ssm" in words)
    assert mistakes(tmp_path, text + text_with()) == [
        f'pio-tf.hcl:{line}: {name}: only a password can be ssm("/p"); write the value itself'
    ]


def test_a_type_that_is_a_reference_is_no_type(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, 'source "X" {\n  type = ssm("/p")\n}\n' + text_with())
    assert line.startswith("pio-tf.hcl:2: source.X.type: must be one of")


@pytest.mark.parametrize("value", ['"hunter2"', 'env("PASSWORD")', '"${env("PASSWORD")}"'])
def test_a_password_is_not_in_what_a_configuration_shows_of_itself(tmp_path: Path, value: str) -> None:
    text = JDBC.replace('"x"', value)
    config = load_text(tmp_path, text + text_with(), {"PASSWORD": "hunter2"})
    block = config.sources[-1].block
    assert isinstance(block, JdbcSource)
    assert isinstance(block.password, SecretStr)
    assert block.password.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(config) + str(config) + str(config.model_dump()) + config.model_dump_json()


@pytest.mark.parametrize(
    "text",
    [
        'elasticsearch {\n  password = ["hunter2"]\n}\n',
        'elasticsearch {\n  hosts = ["https://pio:hunter2@es"]\n}\n',
        'elasticsearch {\n  hosts = ["es"]\n  password = { service = "ssm", name = "hunter2" }\n}\n',
        'elasticsearch {\n  hosts = ["es"]\n  password = "hunter2\\n"\n}\n',
        'elasticsearch {\n  hosts = ["es"]\n  password = "hunter2"\n  passwort = "hunter2"\n}\n',
    ],
)
def test_a_password_is_not_in_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, text_with(elasticsearch=text))
    assert "hunter2" not in str(caught.value) + repr(caught.value.details) + repr(caught.value.__cause__)
