"""The options of the software block for a first boot: proxies, and a script of the user."""

from __future__ import annotations

import gzip
import hashlib
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from pio_tf.errors import ConfigError
from pio_tf.infra.bootstrap import USER_DATA_BYTES, check_user_data, cluster_settings, host_name, render_script
from pio_tf.infra.extra_bootstrap import read_extra_bootstrap
from tests.support.builders import make_config
from tests.support.config_samples import load_text, mistakes, text_with

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = text_with(software='software {\n  extra_bootstrap = "extra.sh"\n}\n')


def test_a_proxy_with_a_password_is_refused_without_showing_it(tmp_path: Path) -> None:
    text = text_with(software='software {\n  https_proxy = "http://ann:s3cret@proxy:3128"\n}\n')
    (mistake,) = mistakes(tmp_path, text)
    assert mistake.startswith("pio-tf.hcl:2: software.https_proxy: must be an address like")
    assert "without user and password" in mistake
    assert "s3cret" not in mistake


@pytest.mark.parametrize("host", ["a,b", "a b", "http://a"])
def test_a_host_without_a_proxy_is_one_name(tmp_path: Path, host: str) -> None:
    (mistake,) = mistakes(tmp_path, text_with(software=f'software {{\n  no_proxy = ["{host}"]\n}}\n'))
    assert "must be a host, a domain or an address" in mistake


def test_a_script_that_is_missing_or_no_script_is_refused_with_its_line(tmp_path: Path) -> None:
    config = load_text(tmp_path, SCRIPT)
    with pytest.raises(ConfigError) as caught:
        read_extra_bootstrap(config)
    assert caught.value.what == f"pio-tf.hcl:2: software.extra_bootstrap: cannot read {tmp_path / 'extra.sh'}"
    (tmp_path / "extra.sh").write_text("echo without a first line\n")
    with pytest.raises(ConfigError, match="is not a script"):
        read_extra_bootstrap(config)
    (tmp_path / "extra.sh").write_text("#!/bin/bash\necho it\n")
    assert read_extra_bootstrap(config) == "#!/bin/bash\necho it"
    check_user_data(config)


def test_a_script_that_user_data_cannot_hold_is_refused_with_the_sizes(tmp_path: Path) -> None:
    config = load_text(tmp_path, SCRIPT)
    noise = "".join(hashlib.sha512(bytes(one)).hexdigest() for one in range(100))
    (tmp_path / "extra.sh").write_text(f"#!/bin/bash\n# {noise}\n")
    with pytest.raises(ConfigError) as caught:
        check_user_data(config)
    assert "extra.sh is too long for user data" in caught.value.what
    assert "AWS accepts 16384" in caught.value.cause


def test_the_user_data_of_the_largest_cluster_fit() -> None:
    volume = {"scratch_volume": {"gib": 500}}
    config = make_config(network={"cidr": "10.20.0.0/20"}, spark={"workers": 500, **volume}, driver=volume)
    hosts = {host_name(name): str(IPv4Address("10.20.0.10") + n) for n, name in enumerate(config.machine_names)}
    script = render_script(cluster_settings(config, role="driver", hosts=hosts))
    assert len(gzip.compress(script.encode())) < USER_DATA_BYTES
