"""What docs/configuration.md says beside the schema: its introduction, its examples and the kinds of value."""

from __future__ import annotations

INTRODUCTION = """\
<!-- Written by `make docs` from the models in pio_tf/config. Change them, not this. -->

# Configuration

A cluster is described by one file, `pio-tf.hcl`, in HCL 2, the language of Terraform's files. `pio-tf init` writes one
with comments. Every command reads the file that `-c`/`--config` names, else the one that the variable `PIO_TF_CONFIG`
names, else `pio-tf.hcl` in the working directory.

The file is data: values are literals. The one thing that is evaluated is `env("NAME")`, the value of an environment
variable, alone or in a string (`"https://${env("HOST")}/"`). A variable that is not set is a mistake; `null` is as if
the option were not there. A password may also be a reference to where AWS keeps it: see
[storage.md](storage.md#passwords). A number or a truth value may stand in quotes, as it does when it comes from `env`.

Mistakes are reported all at once, each with its line:

```
pio-tf.hcl:12: spark.workers: must be at least 1, got 0
pio-tf.hcl:15: ssh.kye: unknown name, did you mean "key"? Known here: address, bastion, key, key_pair, port, user
```

A value that comes from the environment, or whose name looks like that of a secret, is never shown.
"""

SOURCES = """\
Any other store that PredictionIO keeps data in. The label is its name; its type decides which options it has. What is
written here is written into pio-env.sh, whether a repository uses it or not. [storage.md](storage.md) tells which type
may keep what, and what each version of PredictionIO makes of it.
"""

EXAMPLES = {
    "cluster": """
cluster {
  name         = "ur-training"
  tags         = { team = "recommendations" }
  stop_timeout = "20m"
}
""",
    "aws": """
aws {
  region  = "eu-west-1"
  profile = "training"

  assume_role {
    role_arn = "arn:aws:iam::123456789012:role/pio-tf"
  }
}
""",
    "network": """
network {
  vpc_id     = "vpc-0a1b2c3d4e5f60718"
  subnet_id  = "subnet-0a1b2c3d4e5f60718"
  first_host = 40 # driver at host 40 of the subnet, master 41, worker-1 42 …
  ssh_cidrs  = ["10.0.8.0/24"]
}
""",
    "driver": """
driver {
  instance_type = "r5.2xlarge"

  ami_filter {
    owner = "self"
    name  = "predictionio-driver-*"
  }
}
""",
    "spark": """
spark {
  workers              = 4
  instance_type        = "r5.2xlarge"
  master_instance_type = "m5.large"
  root_volume_gib      = 100

  conf = {
    "spark.serializer"                = "org.apache.spark.serializer.KryoSerializer"
    "spark.kryoserializer.buffer.max" = "512m"
  }
}
""",
    "ssh": """
ssh {
  key     = "~/.ssh/id_ed25519"
  bastion = "ops@bastion.example.org"
}
""",
    "pio": """
pio {
  engine_dir = "/home/aml/universal-recommender"
  version    = "0.14.0"
}
""",
    "elasticsearch": """
elasticsearch {
  hosts        = ["es-1.example.internal", "https://es-2.example.internal:9243"]
  user         = "pio"
  password     = ssm("/pio/elasticsearch/password")
  cluster_name = "production"
}
""",
    "hbase": """
hbase {
  hosts            = ["hbase-1.example.internal"]
  zookeeper_quorum = ["zk-1.example.internal", "zk-2.example.internal", "zk-3.example.internal"]
}
""",
    "hdfs": """
hdfs {
  namenode = "hdfs-1.example.internal"
}
""",
    "source": """
source "PGSQL" {
  type       = "jdbc"
  url        = "jdbc:postgresql://db-1.example.internal:5432/pio"
  user       = "pio"
  password   = secretsmanager("pio/database", "password")
  driver_jar = "/usr/local/pio/lib/postgresql-42.2.18.jar"
}
""",
    "repository": """
repository "metadata" {
  name = "pio_meta_staging" # in the source ELASTICSEARCH, as the guide has it
}
""",
    "software": """
software {
  mirrors = ["s3://recommendations/pio-tf", "https://archive.apache.org/dist"]

  elasticsearch {
    version = "6.8.23"
  }
}
""",
    "train": """
train {
  spark_arguments = ["--conf", "spark.locality.wait=1s"]
}
""",
    "terraform": """
terraform {
  lock_timeout = "2m"

  backend "s3" {
    bucket = env("STATE_BUCKET")
  }
}
""",
    "failsafe": """
failsafe {
  idle_after           = "6h"
  permissions_boundary = "arn:aws:iam::123456789012:policy/boundary"
}
""",
    "guard": """
guard {
  max_workers              = 8
  instance_types           = ["r5.*", "m5.large"]
  max_monthly_cost_usd     = 250
  training_hours_per_month = 12
  hourly_prices            = { "r5.xlarge" = 0.282 } # eu-west-1

  waive "PTF009" {
    reason = "the subnet gives every machine a public address; its network ACL lets nobody in"
  }
}
""",
}
"""By block. All together they are a whole configuration, which a test loads (with STATE_BUCKET set)."""

KINDS = """\
## Kinds of value

| type | how it is written |
| --- | --- |
| text, name, id, host … | `"text"`. Escapes are `\\n`, `\\r`, `\\t`, `\\"`, `\\\\`, `\\uNNNN`; `$${` means `${` |
| whole number, port | `7`; a port is 1 to 65535 |
| number | `7` or `0.25` |
| true or false | `true`, `false` |
| duration | `"90s"`, `"15m"`, `"2h"`, or a whole number of seconds |
| memory | a heap as Spark writes it, in MiB or GiB: `"2048m"`, `"20g"` |
| address range | IPv4 in CIDR notation, from its first address: `"10.20.0.0/24"`. Without a length it is one address |
| path on this computer | `~` is your home; a relative path is meant from the directory of pio-tf.hcl |
| path on the machine | absolute, or from the home of `ssh.user`: `"~/.pio_store"` |
| name or path | a name is looked up on PATH; with a slash it is a path on this computer |
| secret | `"text"`, `env("NAME")`, `ssm("/name")`, `secretsmanager("name")` or `secretsmanager("name", "key")` |
| list | `["a", "b"]` |
| map | `{ key = "value", "a.key.with.dots" = 7 }` |
| block | `name { … }`, at most once; with a label, like `source "NAME" { … }` or `waive "ID" { … }`, once a label |

## Heaps and cores

Where `driver.memory`, `spark.executor_memory` and `spark.executor_cores` are not set, they follow from what AWS says of
the instance types:

```
usable = total - max(1024 MiB, 5 % of total)          for the operating system
heap   = min(usable / 1.10, usable - 384 MiB)         the rest is what the JVM needs beside its heap
cores  = vCPUs
```

There is one executor a worker. An r3.xlarge (30.5 GiB, 4 vCPUs) has a heap of 26972 MiB and 4 cores. A heap that does
not fit is refused; one that leaves the JVM little beside it, and a driver with more or less memory than the workers,
give a warning.
"""
