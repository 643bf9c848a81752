from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pio_tf.config.sizing import InstanceSpec, heap_mib, size_cluster, usable_types
from pio_tf.errors import ConfigError
from tests.support.config_samples import load_text, text_with

if TYPE_CHECKING:
    from pathlib import Path

    from pio_tf.config.schema import Config

SPECS = {
    name: InstanceSpec(name, memory, vcpus, "x86_64")
    for name, memory, vcpus in [
        ("r3.xlarge", 31232, 4),
        ("r3.2xlarge", 62464, 8),
        ("r5.24xlarge", 786432, 96),
        ("m5.xlarge", 16384, 4),
        ("m5.large", 8192, 2),
        ("t3.small", 2048, 2),
        ("t3.micro", 1024, 2),
    ]
}


def configure(directory: Path, *, driver: str = "", spark: str = "") -> Config:
    return load_text(directory, f"driver {{\n{driver}\n}}\nspark {{\n{spark}\n}}\n" + text_with())


def refusal(config: Config) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        size_cluster(config, SPECS)
    assert caught.value.next_step
    return caught.value


def test_sizes_follow_from_the_instance_types(tmp_path: Path) -> None:
    sizing = size_cluster(configure(tmp_path, spark="workers = 3"), SPECS)
    assert (sizing.driver_memory, sizing.executor_memory) == ("26972m", "26972m")
    assert (sizing.executor_cores, sizing.executors, sizing.warnings) == (4, 3, ())


@pytest.mark.parametrize(("total", "heap"), [(2048, 640), (8192, 6516), (31232, 26972), (786432, 679190)])
def test_the_heap_is_what_the_formula_says(total: int, heap: int) -> None:
    assert heap_mib(total) == heap


@pytest.mark.parametrize("total", [2048, 4096, 5632, 16384, 20480, 31232, 62464, 786432])
def test_system_heap_and_overhead_fit_into_the_machine(total: int) -> None:
    heap = heap_mib(total)
    system, overhead = max(1024, 0.05 * total), max(384, 0.1 * heap)
    assert heap + system + overhead <= total
    assert heap + system + overhead > total - 3  # and nothing is wasted
    assert heap <= total - 1024  # what a standalone worker offers by itself


def test_what_the_user_sets_wins(tmp_path: Path) -> None:
    config = configure(
        tmp_path, driver='memory = "20g"', spark='executor_memory = "2048m"\nexecutor_cores = 1\nworkers = 1'
    )
    sizing = size_cluster(config, SPECS)
    assert (sizing.driver_memory, sizing.executor_memory) == ("20480m", "2048m")
    assert (sizing.executor_cores, sizing.executors, sizing.warnings) == (1, 1, ())


def test_a_heap_that_the_machine_cannot_hold_is_refused_with_its_line(tmp_path: Path) -> None:
    assert refusal(configure(tmp_path, driver='memory = "30g"')).what == (
        "pio-tf.hcl:2: driver.memory: 30g is more than r3.xlarge can hold: of its 30.5 GiB, the operating "
        "system leaves 29670m"
    )
    assert refusal(configure(tmp_path, spark='executor_memory = "29671m"')).what.startswith(
        "pio-tf.hcl:5: spark.executor_memory: 29671m is more"
    )


def test_a_heap_that_leaves_little_for_the_jvm_is_a_warning(tmp_path: Path) -> None:
    sizing = size_cluster(configure(tmp_path, driver='memory = "28g"'), SPECS)
    assert sizing.driver_memory == "28672m"
    (warning,) = sizing.warnings
    assert warning.startswith("pio-tf.hcl:2: driver.memory: 28g leaves 998 MiB on r3.xlarge")
    assert "26972m is safe" in warning


def test_more_cores_than_vcpus_are_refused(tmp_path: Path) -> None:
    assert refusal(configure(tmp_path, spark="executor_cores = 5")).what == (
        "pio-tf.hcl:5: spark.executor_cores: must be at most 4, the vCPUs of r3.xlarge, got 5"
    )


def test_a_driver_under_16_gib_is_refused_unless_allowed(tmp_path: Path) -> None:
    small = 'instance_type = "m5.large"'
    error = refusal(configure(tmp_path, driver=small, spark=small))
    assert error.what.startswith("pio-tf.hcl:2: driver.instance_type: m5.large has 8 GiB of memory")
    assert "allow_small_memory" in error.next_step
    allowed = size_cluster(configure(tmp_path, driver=small + "\nallow_small_memory = true", spark=small), SPECS)
    assert allowed.driver_memory == "6516m"


def test_exactly_16_gib_is_enough(tmp_path: Path) -> None:
    enough = 'instance_type = "m5.xlarge"'
    assert size_cluster(configure(tmp_path, driver=enough, spark=enough), SPECS).warnings == ()


def test_a_driver_that_differs_from_the_workers_is_a_warning_with_both_numbers(tmp_path: Path) -> None:
    sizing = size_cluster(configure(tmp_path, spark='instance_type = "r3.2xlarge"'), SPECS)
    assert (sizing.driver_memory, sizing.executor_memory, sizing.executor_cores) == ("26972m", "53945m", 8)
    (warning,) = sizing.warnings
    assert "30.5 GiB" in warning
    assert "61 GiB" in warning


def test_a_machine_too_small_for_spark_is_refused(tmp_path: Path) -> None:
    error = refusal(configure(tmp_path, spark='instance_type = "t3.micro"'))
    assert error.what.startswith("pio-tf.hcl:5: spark.instance_type: t3.micro has 1 GiB of memory")


def test_a_heap_under_sparks_own_minimum_is_refused(tmp_path: Path) -> None:
    error = refusal(configure(tmp_path, spark='executor_memory = "400m"'))
    assert error.what == "pio-tf.hcl:5: spark.executor_memory: must be at least 512m, Spark's minimum, got 400m"


def test_the_smallest_worker_decides_for_all_executors(tmp_path: Path) -> None:
    config = configure(tmp_path)
    sizing = size_cluster(
        config, SPECS, driver_type="r3.2xlarge", worker_types=("r5.24xlarge", "m5.large", "r3.xlarge")
    )
    assert (sizing.driver_memory, sizing.executor_memory, sizing.executor_cores) == ("53945m", "6516m", 2)


def test_types_that_replace_each_other_are_no_different_sizes(tmp_path: Path) -> None:
    specs = {**SPECS, "r5.xlarge": InstanceSpec("r5.xlarge", 32768, 4, "x86_64")}
    assert size_cluster(configure(tmp_path), specs, driver_type="r5.xlarge").warnings == ()


@pytest.mark.parametrize(
    ("blocks", "problem"),
    [
        (
            {"driver": 'instance_types = ["r3.xlarge", "m5.xlarge"]\nmemory = "20g"'},
            "pio-tf.hcl:3: driver.memory: 20g is more than m5.xlarge can hold",
        ),
        (
            {"driver": 'instance_types = ["r3.xlarge", "m5.large"]'},
            "pio-tf.hcl:2: driver.instance_types: m5.large has 8 GiB of memory",
        ),
        (
            {"spark": 'instance_types = ["r3.xlarge", "m5.large"]\nexecutor_cores = 3'},
            "pio-tf.hcl:6: spark.executor_cores: must be at most 2, the vCPUs of m5.large",
        ),
        ({"spark": 'instance_types = ["r3.xlarge", "q9.huge"]'}, "pio-tf.hcl:5: spark.instance_types: the instance"),
    ],
)
def test_each_type_of_a_list_must_hold_what_is_asked_for(tmp_path: Path, blocks: dict[str, str], problem: str) -> None:
    config = configure(tmp_path, **blocks)
    with pytest.raises(ConfigError) as caught:
        usable_types(config, SPECS, "driver" if "driver" in blocks else "worker")
    assert caught.value.what.startswith(problem)


def test_pio_tf_leaves_out_a_type_of_its_own_that_does_not_fit(tmp_path: Path) -> None:
    assert usable_types(configure(tmp_path), SPECS, "worker") == ("r3.xlarge",)  # the region has neither r5 nor r6i
    small = {**SPECS, "r5.xlarge": InstanceSpec("r5.xlarge", 16384, 4, "x86_64")}
    config = configure(tmp_path, driver='memory = "20g"')
    assert usable_types(config, small, "driver") == ("r3.xlarge",)
    assert usable_types(config, small, "master") == ("r3.xlarge", "r5.xlarge")


def test_a_small_machine_with_two_gib_works(tmp_path: Path) -> None:
    small = 'instance_type = "t3.small"'
    sizing = size_cluster(configure(tmp_path, driver=small + "\nallow_small_memory = true", spark=small), SPECS)
    assert sizing.executor_memory == "640m"


def test_an_instance_type_that_aws_does_not_have_is_refused(tmp_path: Path) -> None:
    error = refusal(configure(tmp_path, spark='instance_type = "q9.huge"'))
    assert error.what == "pio-tf.hcl:5: spark.instance_type: the instance type q9.huge does not exist in eu-west-1"
