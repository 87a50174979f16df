"""Run as a user of the tests who has no other way into their image storage: what it is asked, inside.

`inside.py run IMAGE SHELL` runs a shell text in a container of the image, as its users would;
`inside.py buildah ARGUMENT...` runs buildah.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing

from avabuild.common.errors import AvabuildError
from avabuild.host.host import probe
from avabuild.run.run import Workplace
from avabuild.tools.container import container
from avabuild.tools.events import Report


def main(act: str, *arguments: str) -> int:
    with closing(Workplace.on(probe(os.environ))) as workplace:
        tools = workplace.tools(Report(lambda _: None), "test")
        try:
            if act == "buildah":
                said = tools.buildah(arguments)
            else:
                image, shell = arguments
                with container(tools, image, f"test-{os.getpid()}") as box:
                    said = box.run_as_image(["sh", "-c", shell], place="test")
        except AvabuildError as error:
            sys.stderr.write(f"{error}\n")
            return 1
    sys.stdout.write(said)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
