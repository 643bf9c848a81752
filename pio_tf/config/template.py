"""The pio-tf.hcl that `pio-tf init` writes for AWS."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from pio_tf.config.kinds import ClusterName, Region
from pio_tf.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_TEMPLATE = """\
# pio-tf.hcl: one Spark driver, one Spark master and some workers, which train PredictionIO models.
#
# Edit what is marked EDIT; the rest works as it is. Lines that are commented out show defaults, or examples.
# Every option: docs/configuration.md. The value of an environment variable: env("NAME"), or "text ${env("NAME")} text".

cluster {
  name = @cluster@ # the tag pio-tf:cluster on everything that is created
  # tags          = { team = "recommendations" } # more tags
  # start_timeout = "15m" # how long `up` waits for machines, SSH and Spark
  # stop_timeout  = "15m" # how long `down` waits for every machine to be stopped
  # capacity_wait = "5m"  # how long to ask again for machines that AWS has no capacity for
  # force_stop_after = "8m" # how long a machine may be stopping before it is stopped by force
}

aws {
  region = @region@
  # Credentials come from where the AWS CLI takes them: environment, ~/.aws, SSO, instance role.
  # profile          = "training"
  # credentials_file = "~/.aws/credentials"
  # assume_role {
  #   role_arn     = "arn:aws:iam::123456789012:role/pio-tf"
  #   session_name = "pio-tf"
  #   external_id  = "from the role's trust policy"
  # }
}

network {
  # EDIT: the subnet from which Elasticsearch, HBase and HDFS can be reached. Machines need a way out of it (NAT) to
  # install themselves.
  vpc_id    = "vpc-00000000000000000"
  subnet_id = "subnet-00000000000000000"

  # Or a new network, instead of the two lines above:
  # cidr              = "10.20.0.0/24"
  # availability_zone = @zone@
  # public_ips        = true # a way out without NAT; AWS charges for each by the hour, while the machine runs

  # EDIT: from where SSH connections to the driver may come: you or your bastion, like ["203.0.113.0/24"].
  # While it is empty nobody can connect, and so pio-tf can't either.
  ssh_cidrs = []

  # Fixed private addresses: driver = host 10 of the subnet, master 11, worker-1 12 … They must be free.
  # first_host = 10

  # A public address of its own for the driver, which it keeps. AWS charges for it by the hour, always.
  # driver_eip = false
}

# The machine that runs `pio train`. It needs about as much memory as a worker, and 16 GiB at the very least.
driver {
  instance_type = "r3.xlarge" # 4 vCPUs, 30.5 GiB
  # root_volume_gib = 50
  # memory          = "20g" # heap of the Spark driver; by default what the instance type can hold
  # ami             = "ami-00000000000000000" # your own image, perhaps with PredictionIO on it
  # ami_filter {
  #   owner = "099720109477" # Canonical
  #   name  = "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*"
  # }
  # allow_small_memory = false # accept less than 16 GiB
}

spark {
  workers       = 2
  # min_workers   = 1 # so many are enough where AWS has no capacity for all; default: all
  instance_type = "r3.xlarge" # of workers, and of the master unless it has its own:
  # master_instance_type = "m5.large"
  # root_volume_gib      = 50
  # ami                  = "ami-00000000000000000"
  # ami_filter {
  #   owner = "099720109477"
  #   name  = "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*"
  # }

  # Heap and cores of an executor; there is one a worker. By default what the instance type can hold.
  # executor_memory = "20g"
  # executor_cores  = 4

  # The Spark that new machines install. PredictionIO 0.14.0 goes with Spark 2.1 to 2.4.
  # version         = "2.4.8"
  # home            = "/usr/local/spark"
  # download_url    = "https://example.org/spark-2.4.8.tgz" # a build of your own; by default software.mirrors has it
  # download_sha512 = env("SPARK_SHA512") # goes with it
  # master_port     = 7077
  # master_ui_port  = 8080

  # Write what each training did to HDFS, for a Spark history server.
  # event_log     = true
  # event_log_dir = "/spark-events"

  # More settings for spark-defaults.conf:
  # conf = { "spark.serializer" = "org.apache.spark.serializer.KryoSerializer" }
}

ssh {
  key = "~/.ssh/id_ed25519" # EDIT: your private key; the public one is the same name with .pub
  # user     = "ubuntu"
  # port     = 22
  # key_pair = "existing-key-pair" # by default one is made from the public key
  # bastion  = "ops@bastion.example.org:22"
  # address  = "auto" # of the driver: auto, private or public
}

pio {
  engine_dir = "/home/ubuntu/universal-recommender" # EDIT: the same path as on the prediction server
  # version    = "0.14.0"
  # home       = "/usr/local/pio"
  # fs_basedir = "~/.pio_store"
}

# EDIT: the services that exist already. These hosts are examples.
elasticsearch {
  hosts        = ["es-1.example.internal", "es-2.example.internal"]
  cluster_name = "elasticsearch" # cluster.name in elasticsearch.yml
  # port     = 9200 # the REST port, not 9300; a host may have its own: "https://es-1.example.internal:9243"
  # scheme   = "http"
  # user     = "pio"
  # password = env("ELASTICSEARCH_PASSWORD") # or ssm("/name"), or secretsmanager("name", "key")
  # home     = "/usr/local/elasticsearch"
}

hbase {
  hosts = ["hbase-1.example.internal"]
  # zookeeper_quorum = ["zk-1.example.internal", "zk-2.example.internal"] # by default the hosts above
  # zookeeper_port   = 2181
  # home             = "/usr/local/hbase"
}

hdfs {
  namenode = "hdfs-1.example.internal"
  # port        = 9000
  # models_path = "/models"
  # hadoop_home = "/usr/local/hadoop"
}

# What is kept where. The three above are the sources ELASTICSEARCH, HBASE and HDFS; docs/storage.md tells of others.
# repository "metadata" {
#   source = "ELASTICSEARCH"
#   name   = "pio_meta"
# }
# repository "eventdata" {
#   source = "HBASE"
#   name   = "pio_event"
# }
# repository "modeldata" {
#   source = "HDFS"
#   name   = "pio_model"
# }
# source "PGSQL" {
#   type       = "jdbc"
#   url        = "jdbc:postgresql://db-1.example.internal:5432/pio"
#   user       = "pio"
#   password   = ssm("/pio/database/password")
#   driver_jar = "/usr/local/pio/lib/postgresql-42.2.18.jar"
# }

# What new machines install, checked by SHA-512. By default all of it from Apache's archive.
software {
  # user    = "aml" # whom Spark runs as
  # mirrors = ["s3://bucket/pio-tf", "https://mirror.example.org/apache"] # tried in turn; `pio-tf mirror` fills one

  # Java 8 as a tarball: where the image has none, and its distribution no package of it (Debian).
  # java {
  #   url     = "https://example.org/OpenJDK8U-jre_x64_linux.tar.gz"
  #   sha512  = env("JAVA_SHA512")
  #   version = "8u402"
  #   home    = "/usr/local/java"
  # }

  # Other versions than those that go with pio.version, or other archives.
  # hadoop {
  #   version = "2.7.7"
  #   url     = "https://example.org/hadoop-2.7.7.tar.gz"
  #   sha512  = env("HADOOP_SHA512")
  # }
  # hbase {
  #   version = "1.2.6"
  #   url     = "https://example.org/hbase-1.2.6.tar.gz"
  #   sha512  = env("HBASE_SHA512")
  # }
  # elasticsearch {
  #   version = "6.8.23" # of the Elasticsearch that runs
  # }

  # PredictionIO before 0.14.0, which Apache has no binaries of: what make-distribution.sh makes.
  # pio {
  #   url    = "s3://bucket/PredictionIO-0.12.1.tar.gz"
  #   sha512 = env("PIO_SHA512")
  # }
}

train {
  # keep_up         = false # leave the machines running after a training
  # max_runtime     = "8h" # from their start; then AWS stops the machines, whatever happens here
  # pio_arguments   = ["--verbose"] # pio train … --
  # spark_arguments = ["--conf", "spark.locality.wait=1s"] # pio train -- …
  # upload          = "s3://example-logs/pio-tf" # the log and the record of each run, besides this computer
}

terraform {
  # binary          = "tofu" # by default terraform or tofu from PATH, else the one that comes with pio-tf[terraform]
  # parallelism     = 10 # by default it follows the number of machines
  # directory       = "stack" # by default .pio-tf/<cluster>/stack beside this file
  # cli_config_file = "~/.terraformrc"

  # lock_timeout    = "10s" # how long to wait for a state that somebody else has locked

  # Where the state is kept: in the stack's directory, unless it is shared (docs/state.md). `pio-tf init --backend`
  # makes such a bucket.
  # backend "s3" {
  #   bucket = "my-terraform-states"
  #   region = @region@
  # }
}

# What stops the machines when nobody does; docs/failsafe.md tells all about it. train.max_runtime is their deadline.
failsafe {
  # idle_after           = "4h" # then an alarm stops a driver or worker that does nothing
  # idle_alarms          = true
  # role                 = true # the role that AWS stops them with at their deadline
  # role_path            = "/pio-tf/"
  # permissions_boundary = "arn:aws:iam::123456789012:policy/boundary"
  # role_arn             = "arn:aws:iam::123456789012:role/stopper" # instead, where IAM may not be touched
}

# What plans may lead to; docs/guard.md lists the rules that hold anyway.
guard {
  # max_workers              = 8
  # instance_types           = ["r3.*", "m5.large"] # by default any
  # max_monthly_cost_usd     = 250 # estimated for so many hours of training:
  # training_hours_per_month = 20
  # hourly_prices            = { "r3.xlarge" = 0.371 } # USD; by default those of us-east-1
  # waive "PTF009" {
  #   reason = "why this rule is not to refuse a plan"
  # }
}
"""


def render_template(*, cluster: str, region: str) -> str:
    """A commented pio-tf.hcl for AWS that loads as it is; its network, key, engine and service hosts are examples.

    Args:
        cluster: the cluster's name.
        region: the AWS region.

    Raises:
        ConfigError: the name or the region is not one that the file may have.
    """
    _check("the cluster's name", cluster, TypeAdapter(ClusterName))
    _check("the region", region, TypeAdapter(Region))
    values = {"@cluster@": cluster, "@region@": region, "@zone@": f"{region}a"}
    text = _TEMPLATE
    for mark, value in values.items():
        text = text.replace(mark, _quote(value))
    return text


def with_backend(text: str, block: str) -> str:
    """A new pio-tf.hcl with a backend in its ``terraform`` block, in place of the example."""
    text = re.sub(r'^  # backend "s3" \{\n(  #   .*\n)*  # \}\n', "", text, flags=re.MULTILINE)
    return re.sub(r"^terraform \{\n", lambda found: f"{found[0]}{block}\n", text, count=1, flags=re.MULTILINE)


def write_new(directory: Path, text: str) -> Path:
    """Write ``pio-tf.hcl`` into a directory, which is made when missing; never over another one. Returns its path.

    Raises:
        ConfigError: there is one already, or it cannot be written.
    """
    path = directory / "pio-tf.hcl"
    try:
        if not directory.is_dir():
            directory.mkdir(parents=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise ConfigError(
            f"{path if directory.is_dir() else directory} exists already",
            next_step="remove or rename it, or give another directory with --dir",
        ) from error
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}", cause=str(error), next_step="give another directory with --dir"
        ) from error
    return path


def _check(what: str, value: str, adapter: TypeAdapter[str]) -> None:
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        rule = error.errors()[0]["ctx"]["error"]
        raise ConfigError(f"{what} {rule}, got {json.dumps(value)}", next_step="give another one") from None


def _quote(value: str) -> str:
    """As an HCL string. JSON's escapes are HCL's; templates have to be marked as text."""
    return json.dumps(value, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")
