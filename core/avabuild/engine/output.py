"""Outputs: where a finished image goes: the local storage, an OCI layout, or an archive."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from avabuild.common.value import Value
from avabuild.engine.archive import write_docker_archive, write_oci_archive
from avabuild.engine.context import Context
from avabuild.engine.layout import Composed, write_layout
from avabuild.store.store import disk_errors

Kind = Literal["storage", "nowhere", "oci", "oci-archive", "docker-archive"]
_OUTPUT = re.compile(r"(?P<kind>oci|oci-archive|docker-archive):(?P<path>[^:]+)")
_ELSEWHERE = "name another place with --output"


class Output(Value):
    """One destination; `path` is None for the local storage, and for `nowhere` but the registry.

    `shared` says that images of several recipes go there: in a layout each has its name before its tag then.
    """

    kind: Kind = "storage"
    path: Path | None = None
    shared: bool = False

    @classmethod
    def parse(cls, text: str) -> Output:
        """Read `storage`, `oci:DIR`, `oci-archive:FILE` or `docker-archive:FILE`; ValueError for others.

        A path with a colon is refused: the tools would take its end for a tag, which is the recipe's.
        """
        if text == "storage":
            return LOCAL
        found = _OUTPUT.fullmatch(text)
        if not found:
            raise ValueError(
                f'"{text}" is no output; write storage, oci:DIR, oci-archive:FILE or docker-archive:FILE'
            )
        return cls.model_validate({"kind": found["kind"], "path": Path(found["path"]).absolute()})

    def __str__(self) -> str:
        return f"{self.kind}:{self.path}" if self.path else "local storage"


LOCAL, NOWHERE = Output(), Output(kind="nowhere")


def write_output(context: Context, composed: Composed, output: Output, name: str) -> None:
    """Write the image to a directory or archive, under the tag of `name`; archives appear when complete."""
    if output.path is None:  # the local storage is the importer's
        return
    tag = name.partition("/")[2] if output.shared else name.rpartition(":")[2]
    with context.report.step(f"write {output}", "output"), disk_errors(output.path.parent, _ELSEWHERE):
        output.path.parent.mkdir(parents=True, exist_ok=True)
        if output.kind == "oci":
            with context.store.lock("layout", str(output.path)):
                write_layout(context.store, composed, output.path, tag)
            return
        partial = output.path.with_name(f".{output.path.name}.{context.scratch.build}")
        try:
            if output.kind == "oci-archive":
                write_oci_archive(context.store, composed, partial, tag)
            else:
                inflating = context.scratch.directory("inflating")
                write_docker_archive(context.store, composed, partial, name, inflating)
            partial.replace(output.path)
        finally:
            partial.unlink(missing_ok=True)
