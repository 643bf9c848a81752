"""A cluster in the sandbox that pio-tf did not make: instances of boto3's, set up after the guide.

Its machines have several security groups, an unencrypted gp2 disk, public addresses, an Elastic IP, a second network
interface, a user and homes of their own. No unit starts Spark: its own start-all.sh does.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any

import asyncssh

from pio_tf.sandbox.control import sandbox_status
from tests.support.background import wait_until
from tests.support.sandbox_project import sandbox_client

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.sandbox.layout import SandboxInfo

USER = "hadoop"
SPARK, PIO, ENGINE = "opt/spark", "opt/PredictionIO-0.14.0", "engines/recommender"
"""The homes, in the user's home directory."""
_NAMES = ("spark-driver", "spark-master", "spark-worker-1", "spark-worker-2")

_PIO_ENV = """\
#!/usr/bin/env bash
# Edited after the guide.
SPARK_HOME=$HOME/{spark}
PIO_FS_BASEDIR=$HOME/.pio_store
PIO_FS_ENGINESDIR=$PIO_FS_BASEDIR/engines
PIO_FS_TMPDIR=$PIO_FS_BASEDIR/tmp
HBASE_CONF_DIR=$HOME/opt/hbase/conf
HADOOP_CONF_DIR=$HOME/opt/hadoop/etc/hadoop
PIO_STORAGE_REPOSITORIES_METADATA_NAME=pio_meta
PIO_STORAGE_REPOSITORIES_METADATA_SOURCE=ELASTICSEARCH
PIO_STORAGE_REPOSITORIES_EVENTDATA_NAME=pio_event
PIO_STORAGE_REPOSITORIES_EVENTDATA_SOURCE=HBASE
PIO_STORAGE_REPOSITORIES_MODELDATA_NAME=pio_model
PIO_STORAGE_REPOSITORIES_MODELDATA_SOURCE=LOCALFS
PIO_STORAGE_SOURCES_LOCALFS_TYPE=localfs
PIO_STORAGE_SOURCES_LOCALFS_PATH=$PIO_FS_BASEDIR/models
PIO_STORAGE_SOURCES_ELASTICSEARCH_TYPE=elasticsearch
PIO_STORAGE_SOURCES_ELASTICSEARCH_HOSTS={host}
PIO_STORAGE_SOURCES_ELASTICSEARCH_PORTS={elasticsearch}
PIO_STORAGE_SOURCES_ELASTICSEARCH_SCHEMES=http
PIO_STORAGE_SOURCES_HBASE_TYPE=hbase
# Of our own
export TRAINING_OWNER='team recommendations'
[ -z "$PROXY" ] || export http_proxy=$PROXY
"""
_HBASE_SITE = """\
<configuration>
  <property><name>hbase.zookeeper.quorum</name><value>{host}</value></property>
  <property><name>hbase.zookeeper.property.clientPort</name><value>{zookeeper}</value></property>
</configuration>
"""
_START_ALL = """\
#!/bin/bash
# As Spark's own, which its Python package leaves out: the master here, and over SSH a worker on each of conf/slaves.
export SPARK_HOME=$(cd "$(dirname "$0")/.." && pwd)
. "$SPARK_HOME/conf/spark-env.sh"
"$SPARK_HOME/sbin/spark-daemon.sh" start org.apache.spark.deploy.master.Master 1 \\
  --host "$SPARK_LOCAL_IP" --port 7077 --webui-port 8080
for host in $(cat "$SPARK_HOME/conf/slaves"); do
  ssh "$host" "~/opt/spark/sbin/start-slave.sh spark://$SPARK_LOCAL_IP:7077"
done
"""
_START_SLAVE = """\
#!/bin/bash
export SPARK_HOME=$(cd "$(dirname "$0")/.." && pwd)
. "$SPARK_HOME/conf/spark-env.sh"
"$SPARK_HOME/sbin/spark-daemon.sh" start org.apache.spark.deploy.worker.Worker 1 \\
  --host "$SPARK_LOCAL_IP" --webui-port 8081 --work-dir ~/work --cores 2 --memory 3g "$1"
"""
_SSH = """\
#!{python}
# The client that a machine of the sandbox lacks: `ssh HOST COMMAND`.
import asyncio, os, sys
import asyncssh

async def main(host, command):
    key = os.environ["HOME"] + "/.ssh/id_ed25519"
    where = dict(port={port}, username="{user}", client_keys=[key], known_hosts=None, config=[], agent_path=None)
    async with asyncssh.connect(host, **where) as connection:
        done = await connection.run(command)
        print(done.stdout, end="")
        print(done.stderr, end="", file=sys.stderr)
        return done.exit_status

sys.exit(asyncio.run(main(*sys.argv[1:])))
"""


@dataclass(frozen=True)
class Handmade:
    """The cluster: instance ids by the tag ``Name``."""

    sandbox: SandboxInfo
    key: Path
    ids: dict[str, str]
    network: str
    eip: str

    @property
    def driver(self) -> str:
        return self.ids["spark-driver"]

    @property
    def master(self) -> str:
        return self.ids["spark-master"]

    @property
    def workers(self) -> list[str]:
        return [self.ids[name] for name in _NAMES[2:]]

    def home(self, instance_id: str) -> Path:
        """Return the home directory of a machine's user, on its disk."""
        return self.sandbox.directory / "machines" / instance_id / "home"


def make_handmade(sandbox: SandboxInfo, directory: Path, *, cidr: str) -> Handmade:
    """Make the instances, and install and configure what the guide does.

    Args:
        directory: for the SSH key.
        cidr: the network of the machines, in the sandbox's range.
    """
    ec2 = sandbox_client(sandbox, "ec2")
    key = asyncssh.generate_private_key("ssh-ed25519")
    path = directory / "team.pem"
    key.write_private_key(path)
    ec2.import_key_pair(KeyName="team", PublicKeyMaterial=key.export_public_key())
    vpc, subnet = _make_network(ec2, cidr)
    groups = [
        ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"] for name in ("ssh", "spark")
    ]
    image = ec2.describe_images(Owners=["099720109477"], Filters=[{"Name": "name", "Values": ["*jammy-22.04*"]}])
    ids = {}
    for number, name in enumerate(_NAMES, 10):
        (instance,) = ec2.run_instances(
            ImageId=image["Images"][0]["ImageId"],
            InstanceType="t3.medium",
            KeyName="team",
            MinCount=1,
            MaxCount=1,
            SubnetId=subnet,
            SecurityGroupIds=groups,
            PrivateIpAddress=str(IPv4Network(cidr)[number]),
            BlockDeviceMappings=[
                {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 100, "VolumeType": "gp2", "Encrypted": False}}
            ],
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}],
        )["Instances"]
        ids[name] = instance["InstanceId"]
    second = ec2.create_network_interface(SubnetId=subnet, Groups=groups[:1])["NetworkInterface"]["NetworkInterfaceId"]
    ec2.get_waiter("instance_running").wait(InstanceIds=[*ids.values()], WaiterConfig={"Delay": 1})
    ec2.attach_network_interface(NetworkInterfaceId=second, InstanceId=ids["spark-worker-1"], DeviceIndex=1)
    address = ec2.allocate_address(Domain="vpc")
    ec2.associate_address(AllocationId=address["AllocationId"], InstanceId=ids["spark-driver"])
    made = Handmade(sandbox, path, ids, vpc, address["PublicIp"])
    assert wait_until(lambda: _booted(made) == {*ids.values()}, within=60)
    addresses = {name: str(IPv4Network(cidr)[number]) for number, name in enumerate(_NAMES, 10)}
    for name, one in ids.items():
        _install(made, name, made.home(one), addresses)
    return made


def _make_network(ec2: Any, cidr: str) -> tuple[str, str]:  # noqa: ANN401 - boto3 makes its methods
    """Return a network with an internet gateway, and a subnet whose machines get public addresses."""
    vpc = ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=cidr)["Subnet"]["SubnetId"]
    ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    return vpc, subnet


def _booted(made: Handmade) -> set[str]:
    return {one.instance_id for one in sandbox_status(made.sandbox.directory).machines if one.power == "on"}


def _install(made: Handmade, name: str, home: Path, addresses: dict[str, str]) -> None:
    """Install on one machine, over its disk, what its user would install over SSH."""
    software = home.parent / "software"
    spark = home / SPARK
    shutil.copytree(software / "spark", spark, symlinks=True)
    (spark / "sbin").unlink()
    shutil.copytree((software / "spark" / "sbin").resolve(), spark / "sbin")
    settings = spark / "conf" / "spark-env.sh"
    settings.write_text(settings.read_text() + 'SPARK_PID_DIR="$TMPDIR"\n')
    workers = [address for one, address in addresses.items() if "worker" in one]
    (spark / "conf" / "slaves").write_text("".join(f"{one}\n" for one in workers))
    _program(spark / "sbin" / "start-all.sh", _START_ALL)
    _program(spark / "sbin" / "start-slave.sh", _START_SLAVE)
    if name == "spark-master":
        (home / ".ssh").mkdir(mode=0o700)
        shutil.copyfile(made.key, home / ".ssh" / "id_ed25519")
        _program(
            home.parent / "bin" / "ssh",
            _SSH.format(python=shlex.quote(sys.executable), port=made.sandbox.ssh_port, user=USER),
        )
    if name == "spark-driver":
        services = made.sandbox.services
        values = {"spark": SPARK, "host": services.host, "elasticsearch": services.elasticsearch}
        shutil.copytree(software / "pio", home / PIO)
        (home / PIO / "conf" / "pio-env.sh").write_text(_PIO_ENV.format(**values))
        shutil.copytree(software / "engine", home / ENGINE)
        hbase = home / "opt" / "hbase" / "conf"
        hbase.mkdir(parents=True)
        (hbase / "hbase-site.xml").write_text(_HBASE_SITE.format(host=services.host, zookeeper=services.zookeeper))


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
