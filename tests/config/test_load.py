from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from pio_tf.config.load import load_config
from pio_tf.errors import ConfigError
from tests.support.config_samples import BLOCKS, load_text, mistakes, text_with


def test_the_shortest_configuration_loads_with_the_documented_defaults(tmp_path: Path) -> None:
    config = load_text(tmp_path, text_with())
    assert config.cluster.name == "trainer"
    assert config.network.cidr == IPv4Network("10.20.0.0/24")
    assert (config.spark.workers, config.types("worker").first, config.types("driver").first) == (
        2,
        "r3.xlarge",
        "r3.xlarge",
    )
    assert config.machine_names == ("driver", "master", "worker-1", "worker-2")
    assert config.path == tmp_path / "pio-tf.hcl"
    assert config.work_dir == tmp_path / ".pio-tf" / "trainer"


def test_every_kind_of_value_arrives(tmp_path: Path) -> None:
    text = text_with(
        cluster='cluster {\n name = "t"\n tags = { team = "x", cost = 7, live = true }\n stop_timeout = "2m"\n}\n',
        aws='aws {\n region = env("R")\n assume_role {\n  role_arn = "arn:aws:iam::123456789012:role/x"\n }\n}\n',
        spark='spark {\n workers = env("N")\n conf = { "spark.cores.max" = 8, "spark.ui.enabled" = false }\n'
        ' ami_filter {\n  owner = "self"\n }\n}\n',
        terraform='terraform {\n backend "s3" {\n  bucket = "b"\n  use_lockfile = true\n  max_retries = 3\n'
        '  endpoints = { s3 = "http://127.0.0.1" }\n }\n}\n',
    )
    config = load_text(tmp_path, text, {"R": "eu-west-1", "N": "3"})
    assert config.cluster.tags == {"team": "x", "cost": "7", "live": "true"}
    assert config.cluster.stop_timeout == 120
    assert config.aws.region == "eu-west-1"
    assert config.aws.assume_role is not None
    assert config.aws.assume_role.session_name == "pio-tf"
    assert config.spark.workers == 3
    assert config.spark.conf == {"spark.cores.max": "8", "spark.ui.enabled": "false"}
    assert config.spark.ami_filter is not None
    assert config.spark.ami_filter.owner == "self"
    assert config.terraform.backend is not None
    assert config.terraform.backend.type == "s3"
    assert config.terraform.backend.arguments == {
        "bucket": "b",
        "use_lockfile": True,
        "max_retries": 3,
        "endpoints": {"s3": "http://127.0.0.1"},
    }


def test_paths_are_meant_from_the_files_directory_and_a_tilde_is_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/u")
    text = text_with(
        ssh='ssh { key = "keys/id" }\n',
        aws='aws {\n region = "eu-west-1"\n credentials_file = "~/creds"\n}\n',
        terraform='terraform {\n binary = "bin/terraform"\n directory = "/abs"\n}\n',
    )
    config = load_text(tmp_path, text)
    assert config.ssh.key == tmp_path / "keys" / "id"
    assert config.aws.credentials_file == Path("/home/u/creds")
    assert config.terraform.binary == str(tmp_path / "bin" / "terraform")
    assert config.stack_dir == Path("/abs")


def test_a_bare_terraform_name_stays_a_name_for_path(tmp_path: Path) -> None:
    assert load_text(tmp_path, text_with(terraform='terraform { binary = "tofu" }\n')).terraform.binary == "tofu"


def test_where_gives_the_line_of_a_value_else_of_its_block(tmp_path: Path) -> None:
    config = load_text(tmp_path, text_with(network='network {\n\n  cidr = "10.20.0.0/24"\n}\n'))
    assert config.where("network.cidr") == "pio-tf.hcl:3"
    assert config.where("network.subnet_id") == "pio-tf.hcl:1"
    assert config.where("spark.workers") == "pio-tf.hcl"


# Finding and reading the file


def test_the_argument_wins_over_the_variable_and_the_variable_over_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("argument", "variable", "pio-tf"):
        (tmp_path / f"{name}.hcl").write_text(text_with(cluster=f'cluster {{ name = "{name}" }}\n'))
    monkeypatch.chdir(tmp_path)
    environ = {"PIO_TF_CONFIG": "variable.hcl"}
    assert load_config("argument.hcl", environ=environ).cluster.name == "argument"
    assert load_config(environ=environ).cluster.name == "variable"
    assert load_config(environ={"PIO_TF_CONFIG": ""}).cluster.name == "pio-tf"
    assert load_config(environ={}).path == tmp_path / "pio-tf.hcl"


def test_a_missing_file_leads_to_init(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "none.hcl", environ={})
    assert caught.value.what == f"there is no file {tmp_path / 'none.hcl'}"
    assert "pio-tf init" in caught.value.next_step
    assert caught.value.exit_code == 2


def test_a_directory_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a directory") as caught:
        load_config(tmp_path, environ={})
    assert str(tmp_path / "pio-tf.hcl") in caught.value.next_step


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="the device is Linux's")
def test_a_device_without_an_end_is_no_configuration() -> None:
    with pytest.raises(ConfigError, match=r"^/dev/zero is longer than 1 MiB") as caught:
        load_config("/dev/zero", environ={})
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "file/below/a.hcl", "~no-such-user-here/x.hcl"])
def test_a_name_that_no_file_can_have_is_a_config_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError) as caught:
        load_config(name, environ={})
    assert caught.value.next_step


def test_bytes_that_are_not_utf8_are_reported_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "pio-tf.hcl").write_bytes(b'cluster {\n  name = "tr\xe4iner"\n}\n')
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "pio-tf.hcl", environ={})
    assert caught.value.what == "pio-tf.hcl:2: is not UTF-8 text (byte 0xe4)"


def test_a_windows_file_loads(tmp_path: Path) -> None:
    (tmp_path / "pio-tf.hcl").write_bytes(b"\xef\xbb\xbf" + text_with().replace("\n", "\r\n").encode())
    assert load_config(tmp_path / "pio-tf.hcl", environ={}).where("aws.region") == "pio-tf.hcl:5"


# Mistakes


def test_an_empty_file_lists_the_blocks_that_it_needs(tmp_path: Path) -> None:
    why = {
        "elasticsearch": ': repository "metadata" stores its data in ELASTICSEARCH',
        "hbase": ': repository "eventdata" stores its data in HBASE',
        "hdfs": ': repository "modeldata" stores its data in HDFS',
    }
    assert mistakes(tmp_path, "") == [
        f"pio-tf.hcl: {name}: this block is required{why.get(name, '')}" for name in sorted(BLOCKS)
    ]


def test_a_syntax_error_is_one_line_with_its_place(tmp_path: Path) -> None:
    assert mistakes(tmp_path, text_with(cluster='cluster {\n  name = "x\n}\n')) == [
        'pio-tf.hcl:2: the string is not closed: expected another " before the end of the line'
    ]


CHECKS = [
    ("spark {\n  workers = 0\n}", "2: spark.workers: must be at least 1, got 0"),
    ("spark {\n  workers = 501\n}", "2: spark.workers: must be at most 500, got 501"),
    ('spark {\n  workers = "two"\n}', '2: spark.workers: must be a whole number, got "two"'),
    ("spark {\n  workers = 2.5\n}", "2: spark.workers: must be a whole number, got 2.5"),
    ("spark {\n  workers = [2]\n}", "2: spark.workers: must be a whole number, got a list"),
    ("spark {\n  home = 7\n}", "2: spark.home: must be text in quotes, got 7"),
    ('spark {\n  conf = "x"\n}', '2: spark.conf: must be a map, like { key = "value" }, got "x"'),
    (
        'spark {\n  conf = { "a b" = 1 }\n}',
        '2: spark.conf.a b: must be the name of a setting, like "spark.local.dir", got "a b"',
    ),
    ('spark {\n  conf = {\n    a = "x\\ny"\n  }\n}', '3: spark.conf.a: must be one line, got "x\\ny"'),
    ("spark {\n  conf {\n  }\n}", '2: spark.conf: is not a block: write "conf = …"'),
    ("spark = 3", '1: spark: is a block: write "spark { … }", without "="'),
    ("spark {\n  ami_filter = {}\n}", '2: spark.ami_filter: is a block: write "ami_filter { … }", without "="'),
    (
        'spark "big" {\n}',
        '1: spark: has no label: write "spark {"; for a name, write name = "big" inside',
    ),
    (
        'spark {\n  executor_memory = "20 GB"\n}',
        '2: spark.executor_memory: must be a whole number of MiB or GiB, like "20g" or "2048m", got "20 GB"',
    ),
    (
        "spark {\n  instance_types = []\n}",
        "2: spark.instance_types: must have at least 1 item, got an empty list",
    ),
    (
        'spark {\n  instance_types = ["r3.xlarge", "r5.xlarge", "r3.xlarge"]\n}',
        "2: spark.instance_types: names r3.xlarge twice",
    ),
    (
        'driver {\n  instance_type = "r3.xlarge"\n  instance_types = ["r3.xlarge", "r5.xlarge"]\n}',
        "2: driver: give instance_type or instance_types, not both",
    ),
    (
        'spark {\n  master_instance_type = "m5.large"\n  master_instance_types = ["m5.large"]\n}',
        "2: spark: give master_instance_type or master_instance_types, not both",
    ),
    (
        'spark {\n  instance_type = "big"\n}',
        '2: spark.instance_type: must be an EC2 instance type, like "r3.xlarge", got "big"',
    ),
    (
        'spark {\n  ami = "ami-1"\n\n  ami_filter {\n  }\n}',
        "2: spark: give only one of ami, ami_parameter and ami_filter",
    ),
    ('train {\n  keep_up = "perhaps"\n}', '2: train.keep_up: must be true or false, got "perhaps"'),
    ('train {\n  pio_arguments = "--x"\n}', '2: train.pio_arguments: must be a list, like ["a", "b"], got "--x"'),
    ("train {\n  pio_arguments = [\n    1\n  ]\n}", "3: train.pio_arguments[0]: must be text in quotes, got 1"),
    (
        "terraform {\n  backend {\n  }\n}",
        '2: terraform.backend: needs one label, the type of backend: write backend "s3" { … }',
    ),
    (
        'terraform {\n  backend "s3" {\n    endpoints = [{}]\n  }\n}',
        ("3: terraform.backend.endpoints: must be text, a whole number, true or false, or a list or map of text"),
    ),
    (
        'terraform {\n  backend "s3" {\n    bucket     = "b"\n    secret_key = "hunter2"\n  }\n}',
        "4: terraform.backend.secret_key: would be written into the stack's backend.tf; leave it to the environment",
    ),
    (
        'terraform {\n  backend "s3" {\n    region = "eu-west-1"\n  }\n}',
        "2: terraform.backend.bucket: is required; `pio-tf init --backend` makes one",
    ),
    (
        'terraform {\n  backend "s3" {\n    bucket = "b"\n    key    = "/state"\n  }\n}',
        '4: terraform.backend.key: must be the name of an object, like "pio-tf/ur/terraform.tfstate"',
    ),
    (
        'terraform {\n  workspace = "prod"\n}',
        (
            "2: terraform.workspace: pio-tf does not use Terraform's workspaces: a cluster has one state, under a "
            "key of its own. For a second environment, use a cluster with another name"
        ),
    ),
    (
        'terraform {\n  backend "S 3" {\n  }\n}',
        '2: terraform.backend: must be a backend of Terraform, like "s3", got "S 3"',
    ),
    (
        "terraform {\n  parallelism = file(1)\n}",
        ('2: terraform.parallelism: file(…): only env("NAME") is evaluated in this file; write the value itself'),
    ),
]


@pytest.mark.parametrize(("text", "mistake"), CHECKS)
def test_a_mistake_in_an_optional_block_is_said_with_line_name_rule_and_value(
    tmp_path: Path, text: str, mistake: str
) -> None:
    assert mistakes(tmp_path, text + "\n" + text_with()) == [f"pio-tf.hcl:{mistake}"]


CIDR = 'network.cidr: must be an IPv4 address range, like "10.20.0.0/24", got '
REQUIRED_BLOCK_CHECKS = [
    (
        'cluster {\n  name = "My Cluster"\n}\n',
        (
            "2: cluster.name: must be 1 to 40 lower-case letters, digits and hyphens, beginning with a letter and not "
            'ending with a hyphen, got "My Cluster"'
        ),
    ),
    (
        'cluster {\n  name = "x"\n  tags = { Name = "y" }\n}\n',
        "3: cluster.tags: Name is reserved; choose another key",
    ),
    (
        f'cluster {{\n  name = "x"\n  tags = {{ {", ".join(f"t{n} = 1" for n in range(47))} }}\n}}\n',
        "3: cluster.tags: must be at most 46: AWS takes 50 of a resource, and pio-tf adds 4",
    ),
    (
        f'cluster {{\n  name = "x"\n  tags = {{ a = "{"x" * 257}" }}\n}}\n',
        "3: cluster.tags: AWS takes keys of 1 to 128 characters and values of up to 256; see 'a'",
    ),
    (
        f'cluster {{\n  name = "x"\n  tags = {{ {"k" * 129} = "" }}\n}}\n',
        f"3: cluster.tags: AWS takes keys of 1 to 128 characters and values of up to 256; see '{'k' * 40}'",
    ),
    (
        'aws {\n  region = "eu-west-1"\n  allowed_account_ids = ["12345"]\n}\n',
        '3: aws.allowed_account_ids[0]: must be an AWS account id, like "123456789012", got "12345"',
    ),
    (
        'aws {\n  region = "eu-west-1"\n  default_tags = { "pio-tf:machine" = "x" }\n}\n',
        "3: aws.default_tags: pio-tf:machine is reserved; choose another key",
    ),
    (
        'aws {\n  region = "eu-west-1"\n  ignore_tags {\n    key_prefixes = ["pio-tf:m"]\n  }\n}\n',
        "3: aws.ignore_tags: would hide pio-tf:machine, which pio-tf sets and needs",
    ),
    (
        'aws {\n  region = "eu-west-1"\n  default_tags = { a = 1 }\n  ignore_tags {\n    keys = ["a"]\n  }\n}\n',
        "4: aws.ignore_tags: covers the tag a, which pio-tf.hcl sets",
    ),
    (
        'cluster {\n  name = "x"\n  stop_timeout = "5 min"\n}\n',
        '3: cluster.stop_timeout: must be a number with a unit, like "90s", "15m" or "2h", got "5 min"',
    ),
    (
        'cluster {\n  name = "x"\n  stop_timeout = "0s"\n}\n',
        '3: cluster.stop_timeout: must be more than 0, got "0s"',
    ),
    ('aws {\n  region = "Ireland"\n}\n', '2: aws.region: must be an AWS region, like "eu-west-1", got "Ireland"'),
    ('network {\n  cidr = "10.0.0.0/33"\n}\n', f'2: {CIDR}"10.0.0.0/33"'),
    ('network {\n  cidr = "10.0.0.300/24"\n}\n', f'2: {CIDR}"10.0.0.300/24"'),
    ('network {\n  cidr = "fd00::/64"\n}\n', f'2: {CIDR}"fd00::/64"'),
    ("network {\n  cidr = 10\n}\n", f"2: {CIDR}10"),
    (
        'network {\n  cidr = "10.0.0.7/24"\n}\n',
        '2: network.cidr: must begin at the first address of the range, as "10.0.0.0/24" does, got "10.0.0.7/24"',
    ),
    (
        'network {\n\n  cidr = "10.0.0.0/8"\n}\n',
        "3: network.cidr: 10.0.0.0/8 must be between /16 and /28, as AWS allows",
    ),
    (
        'network {\n  first_host = 13\n  cidr = "10.0.0.0/28"\n}\n',
        "3: network.cidr: 10.0.0.0/28 has no room for 4 machines from host 13",
    ),
    ('network {\n\n  vpc_id = "vpc-1"\n}\n', "3: network: vpc_id and subnet_id go together"),
    (
        'network {\n  vpc_id = "vpc-1"\n  subnet_id = "net"\n}\n',
        '3: network.subnet_id: must be a subnet id, like "subnet-0a1b2c3d", got "net"',
    ),
    (
        'network {\n  cidr = "10.0.0.0/24"\n  vpc_id = "vpc-1"\n}\n',
        "3: network: give vpc_id and subnet_id for an existing network, or cidr for a new one, not both",
    ),
    ('ssh {\n  key = ""\n}\n', '2: ssh.key: must not be empty, got ""'),
    (
        'ssh {\n  key = "k"\n  address = "ipv6"\n}\n',
        '3: ssh.address: must be one of "auto", "private", "public" or "instance-id", got "ipv6"',
    ),
    ('ssh {\n  key = "k"\n  port = 70000\n}\n', "3: ssh.port: must be at most 65535, got 70000"),
    (
        'ssh {\n  key = "k"\n  bastion = "a b"\n}\n',
        '3: ssh.bastion: must be a jump host, like "ops@bastion.example.org:22", got "a b"',
    ),
    (
        'pio {\n  engine_dir = "engine"\n}\n',
        '2: pio.engine_dir: must be absolute, or start with "~/" for the home of ssh.user, got "engine"',
    ),
    (
        'pio {\n  engine_dir = "/e"\n  version = "0.9"\n}\n',
        '3: pio.version: must be one of "0.12.1", "0.13.0" or "0.14.0", got "0.9"',
    ),
    ("elasticsearch {\n  hosts = []\n}\n", "2: elasticsearch.hosts: must have at least 1 item, got an empty list"),
    (
        'elasticsearch {\n  hosts = ["es 1"]\n}\n',
        (
            '2: elasticsearch.hosts[0]: must be a host, like "es-1", "es-1:9200" or "https://es-1:9243", without an '
            'underscore, and with a letter first after its last dot: Java finds no other host in a URI, got "es 1"'
        ),
    ),
    (
        'elasticsearch {\n  hosts = ["es_1"]\n}\n',
        (
            '2: elasticsearch.hosts[0]: must be a host, like "es-1", "es-1:9200" or "https://es-1:9243", without an '
            'underscore, and with a letter first after its last dot: Java finds no other host in a URI, got "es_1"'
        ),
    ),
    (
        'hdfs {\n  namenode = "name_node"\n}\n',
        (
            "2: hdfs.namenode: must be a host name or an IPv4 address, without an underscore, and with a letter first "
            'after its last dot: Java finds no other host in a URI, got "name_node"'
        ),
    ),
    (
        'hdfs {\n  namenode = "hdfs://nn:9000"\n}\n',
        (
            "2: hdfs.namenode: must be a host name or an IPv4 address, without an underscore, and with a letter first "
            'after its last dot: Java finds no other host in a URI, got "hdfs://nn:9000"'
        ),
    ),
]


@pytest.mark.parametrize(("text", "mistake"), REQUIRED_BLOCK_CHECKS)
def test_a_mistake_in_a_required_block_is_said_with_its_line(tmp_path: Path, text: str, mistake: str) -> None:
    block = text.split()[0]
    assert mistakes(tmp_path, text_with(**{block: text})) == [f"pio-tf.hcl:{mistake}"]


def test_an_unknown_name_suggests_a_close_one_and_lists_the_valid_ones(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, text_with(aws='aws {\n  region = "eu-west-1"\n  profil = "x"\n}\n'))
    assert line == (
        'pio-tf.hcl:3: aws.profil: unknown name, did you mean "profile"? Known here: allowed_account_ids, '
        "assume_role, credentials_file, default_tags, endpoint_url, ignore_tags, profile, region"
    )


@pytest.mark.parametrize("text", ["sparc {\n}\n", "sparc = 1\n"])
def test_an_unknown_block_lists_the_valid_ones(tmp_path: Path, text: str) -> None:
    (line,) = mistakes(tmp_path, text + text_with())
    assert line.startswith('pio-tf.hcl:1: sparc: unknown name, did you mean "spark"? Known here: aws, cluster, driver,')


def test_an_unknown_block_inside_a_block_is_refused(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, "spark {\n  zzz {\n  }\n}\n" + text_with())
    assert line.startswith("pio-tf.hcl:2: spark.zzz: unknown name. Known here: ami, ami_filter, ami_parameter, conf,")


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        ("spot = true", "driver.spot"),
        ('spot_price = "0.10"', "driver.spot_price"),
        ('instance_market_options {\n    market_type = "spot"\n  }', "driver.instance_market_options"),
        ('market_type = "spot"', "driver.market_type"),
        ('purchase = "spot"', "driver.purchase"),
    ],
)
def test_a_spot_request_is_refused_with_the_reason(tmp_path: Path, lines: str, name: str) -> None:
    (line,) = mistakes(tmp_path, f"driver {{\n  {lines}\n}}\n" + text_with())
    assert line.startswith(
        f"pio-tf.hcl:2: {name}: Spot instances are not supported: they cannot be stopped and started again"
    )
    assert "on demand" in line


def test_a_block_for_spot_machines_is_refused_with_the_reason(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, "spot {\n  max_price = 1\n}\n" + text_with())
    assert line.startswith("pio-tf.hcl:1: spot: Spot instances are not supported")


def test_a_missing_option_gets_the_line_of_its_block(tmp_path: Path) -> None:
    text = text_with(pio='\npio {\n  version = "0.14.0"\n}\n')
    assert mistakes(tmp_path, text) == ["pio-tf.hcl:2: pio.engine_dir: is required, and this block does not have it"]


def test_null_is_as_if_the_option_were_not_there(tmp_path: Path) -> None:
    assert load_text(tmp_path, "spark {\n  workers = null\n}\n" + text_with()).spark.workers == 2
    assert mistakes(tmp_path, text_with(ssh="ssh {\n  key = null\n}\n")) == [
        "pio-tf.hcl:2: ssh.key: is required, and this block does not have it"
    ]


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = (
        'cluster {\n  name = "UP"\n}\n'
        'aws {\n  region = env("NOT_SET")\n}\n'
        'network {\n  cidr = "10.0.0.0/99"\n}\n'
        "spark {\n  workers = 0\n  workers = 1\n  conf = [1]\n  wrokers = 2\n}\n"
        'pio = "x"\n'
        "ssh {\n}\n"
    )
    found = mistakes(tmp_path, text)
    assert [line.split(": ")[:2] for line in found] == [
        ["pio-tf.hcl", "elasticsearch"],
        ["pio-tf.hcl", "hbase"],
        ["pio-tf.hcl", "hdfs"],
        ["pio-tf.hcl:2", "cluster.name"],
        ["pio-tf.hcl:5", "aws.region"],
        ["pio-tf.hcl:8", "network.cidr"],
        ["pio-tf.hcl:11", "spark.workers"],
        ["pio-tf.hcl:12", "spark.workers"],
        ["pio-tf.hcl:13", "spark.conf"],
        ["pio-tf.hcl:14", "spark.wrokers"],
        ["pio-tf.hcl:16", "pio"],
        ["pio-tf.hcl:17", "ssh.key"],
    ]


def test_what_could_not_be_read_is_not_also_called_missing_or_inconsistent(tmp_path: Path) -> None:
    text = text_with(network='network {\n  vpc_id = env("VPC")\n  subnet_id = "subnet-1"\n}\n')
    (line,) = mistakes(tmp_path, text)
    assert line.startswith("pio-tf.hcl:2: network.vpc_id: the environment variable VPC is not set")


def test_programs_get_the_mistakes_as_data(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, "spark {\n  workers = 0\n}\n" + text_with())
    assert caught.value.details == {
        "file": str(tmp_path / "pio-tf.hcl"),
        "problems": [{"line": 2, "name": "spark.workers", "message": "must be at least 1, got 0"}],
    }


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ('spark {\n  conf = { "my.password" = ["hunter2"] }\n}\n', {}),
        ('terraform {\n  backend "s3" {\n    secret_key = ["hunter2"]\n  }\n}\n', {}),
        ('terraform {\n  backend "s3" {\n    token = { a = "hunter2" }\n  }\n}\n', {}),
        ('spark {\n  password = "hunter2"\n}\n', {}),
        ('spark {\n  workers = env("N")\n}\n', {"N": "hunter2"}),
        ('spark {\n  home = "${env("N")}"\n}\n', {"N": "hunter2"}),
        ('train {\n  pio_arguments = [["${env("N")}"]]\n}\n', {"N": "hunter2"}),
    ],
)
def test_no_secret_and_no_value_of_the_environment_is_shown(tmp_path: Path, text: str, environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, text + text_with(), environ)
    assert "hunter2" not in str(caught.value) + repr(caught.value.details) + repr(caught.value.__cause__)
    assert caught.value.__suppress_context__


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, text_with(aws='aws {\n  region = "' + "x" * 500 + '"\n}\n'))
    assert len(line) < 200
