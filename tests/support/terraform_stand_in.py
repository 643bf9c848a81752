"""A program that stands where Terraform does and prints what it was given, byte by byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.config.load import parse_config
from tests.support.config_samples import BLOCKS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pio_tf.config.schema import Config

_PROGRAM = """\
#!/bin/sh
case "$1" in
version) echo 'PRODUCT v1.9.0' ;;
init) mkdir -p .terraform/providers/registry/hashicorp/aws/3.39.0/linux_amd64; : >.terraform.lock.hcl ;;
plan)
    if [ -e "HERE/before-plan" ]; then . "HERE/before-plan"; fi
    if [ -e "HERE/refused" ] && grep -q "prevent_destroy = true" modules/machine/main.tf; then
        for option; do case "$option" in -out=*) cp "HERE/refused-show" "${option#-out=}" ;; esac; done
        cat "HERE/refused"
        exit 1
    fi
    for option; do case "$option" in -out=*) cp "HERE/show" "${option#-out=}" ;; esac; done
    cat "HERE/plan"
    exit "$(cat HERE/status)" ;;
apply)
    echo >>"HERE/applies"
    cat "HERE/apply" ;;
show) for file; do :; done; cat "$file" ;;
state)
    [ "$2" = pull ] && if [ -e "HERE/plain" ]; then cat "HERE/plain"; else cat terraform.tfstate; fi && exit
    for file; do :; done
    grep -q encrypted_data "$file" && echo "Error: This state file is encrypted" >&2 && exit 1
    cp "$file" "HERE/pushed" ;;
get) : >.terraform-modules ;;
providers) shift 2; [ -e .terraform-modules ] && echo "# $*" >>.terraform.lock.hcl ;;
output) cat "HERE/output" ;;
*) exit 3 ;;
esac
"""


class TerraformStandIn:
    """The output of the stand-in, and a configuration that names it."""

    def __init__(self, directory: Path, blocks: Mapping[str, str] = BLOCKS, *, product: str = "Terraform") -> None:
        self._directory = directory
        program = directory / "terraform"
        program.write_text(_PROGRAM.replace("HERE", str(directory)).replace("PRODUCT", product))
        program.chmod(0o755)
        (directory / "id_ed25519.pub").write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK0wmN x\n")
        text = "".join(blocks.values()) + f'terraform {{\n  binary = "{program}"\n}}\n'
        (directory / "pio-tf.hcl").write_text(text)
        self.config: Config = parse_config(text, path=directory / "pio-tf.hcl", environ={})
        self.prints()

    @property
    def applies(self) -> int:
        """The number of applies so far."""
        file = self._directory / "applies"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def prints(
        self,
        *,
        plan: bytes = b"",
        apply: bytes | None = None,
        show: bytes = b"{}",
        output: bytes = b"{}",
        status: int = 2,
    ) -> None:
        """Set the output of its commands from now on.

        Args:
            apply: default: as ``plan``.
            status: how `plan` ends.
        """
        files = {"plan": plan, "apply": plan if apply is None else apply, "show": show, "output": output}
        for name, data in {**files, "status": b"%d" % status}.items():
            (self._directory / name).write_bytes(data)
        stack = self.config.stack_dir
        stack.mkdir(parents=True, exist_ok=True)
        (stack / "terraform.tfstate").write_bytes(b'{"version": 4, "serial": 1, "lineage": "the-only"}')

    def before_plan(self, script: str) -> None:
        """Let `plan` begin with these lines of a shell script."""
        (self._directory / "before-plan").write_text(script)

    def refuses(self, plan: bytes, *, show: bytes | None) -> None:
        """Let `plan` print this and fail while the modules have ``prevent_destroy``.

        Args:
            show: the plan file that it writes all the same; None: it writes none.
        """
        (self._directory / "refused").write_bytes(plan)
        if show is not None:
            (self._directory / "refused-show").write_bytes(show)
