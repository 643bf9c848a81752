"""Whole processes, as a user waits for them: ``pio-tf --help``, and a client for EC2 from nothing.

``Aws(config).client("ec2")`` is the wait before the first call of every command that asks AWS.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from scripts.bench.local_aws import ROOT, local_aws
from scripts.bench.timing import alternate_processes, milliseconds

AWSCLI = ROOT / "build" / "bench-awscli"
AWS = f"import sys; sys.path.insert(0, {str(AWSCLI)!r}); from awscli.clidriver import main; sys.exit(main())"


def bench(*, starts: int) -> None:
    """Run both benchmarks."""
    bench_help(starts)
    with local_aws() as aws:
        bench_client(aws.write_config("client"), starts=max(starts // 2, 3))


def bench_help(starts: int) -> None:
    """Time ``--help`` as a user waits for it."""
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "pio-tf --help": [str(Path(sys.executable).with_name("pio-tf")), "--help"],
    }
    problem = install_awscli()
    if not problem:
        commands["aws --help"] = [sys.executable, "-c", AWS, "--help"]
    times = alternate_processes(commands, starts=starts)
    bare = times["python -c pass"]
    print("\nprocess             median   above bare Python")
    for name, seconds in times.items():
        print(f"{name:<17} {milliseconds(seconds)}   {milliseconds(seconds - bare)}")
    if problem:
        print(f"aws --help: left out, the PyPI package awscli could not be installed: {problem}")


def bench_client(config: Path, *, starts: int) -> None:
    """Time a client in a new process."""
    ours = "from pio_tf.config.load import load_config; from pio_tf.aws.session import Aws"
    commands = {
        "boto3.client": [sys.executable, "-c", "import boto3; boto3.client('ec2', region_name='eu-west-1')"],
        "Aws(config).client": [
            sys.executable,
            "-c",
            f"{ours}; Aws(load_config({str(config)!r}, environ={{}})).client('ec2')",
        ],
        "config alone": [sys.executable, "-c", f"{ours}; load_config({str(config)!r}, environ={{}})"],
    }
    times = alternate_processes(commands, starts=starts)
    print("\nEC2 client, new process   median")
    for name, seconds in times.items():
        print(f"{name:<23} {milliseconds(seconds)}")


def install_awscli() -> str:
    """Install PyPI's awscli under build/, once, apart from the project's environment. Return the error, or nothing."""
    if (AWSCLI / "awscli").is_dir():
        return ""
    environment = {key: value for key, value in os.environ.items() if key != "PIP_CONSTRAINT"}
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(AWSCLI), "awscli"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stderr.strip().splitlines() or ["no reason given"]
    return lines[-1] if done.returncode else ""
