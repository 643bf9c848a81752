"""The reader of pio-tf.hcl: HCL2 as plain data, with the line of every name.

Most files are plain, and :mod:`pio_tf.config.hcl_plain` reads them. Any other text, and any mistake, is python-hcl2's:
its parser, with the tables of HCL's whole grammar, takes 0.15 s of CPU time to load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pio_tf.config.hcl_plain import read_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pio_tf.config.hcl_document import HclDocument


def read_hcl(text: str, *, environ: Mapping[str, str], labelled: Mapping[str, str] | None = None) -> HclDocument:
    """Read a text.

    Args:
        text: the HCL2 text.
        environ: the variables for ``env("NAME")``.
        labelled: by dotted name, the blocks that may occur several times with different labels, and an example label
            in quotes. ``source "A" { x = 1 }`` gives ``{"source": {"A": {"x": 1}}}``, and ``source.A.x`` has a line.

    Raises:
        UnreadableHcl: the text is not HCL. All lesser mistakes are in the document's problems.
    """
    document = read_plain(text, environ=environ, labelled=labelled or {})
    if document is not None:
        return document
    from pio_tf.config.hcl_tree import read_tree

    return read_tree(text, environ=environ, labelled=labelled or {})
