"""As a user of `make bench-rootless`: the seconds of probing, of opening the namespace and of steps, as JSON.

Arguments: a directory with a root file system that is the user's, and how many steps to run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from avabuild.host.host import probe
from avabuild.host.survey import means_of, survey
from avabuild.tools.inside.namespace import Namespace
from avabuild.tools.inside.step import PATH, Step


def main(root: str, count: int) -> dict[str, float | str]:
    """Measure, each thing once or `count` times."""
    host = probe(os.environ)
    found: dict[str, float | str] = {}
    began = time.perf_counter()
    survey(host, os.environ, anew=True)
    found["probe"] = time.perf_counter() - began
    began = time.perf_counter()
    means = means_of(host, os.environ)
    found["probe again"] = time.perf_counter() - began
    found["mode"] = means.mode
    with closing(Namespace(lambda: means, os.environ)) as namespace:
        began = time.perf_counter()
        namespace.open()
        found["enter"] = time.perf_counter() - began
        nothing = os.open(os.devnull, os.O_WRONLY)
        step = Step(root, ("/bin/true",), {"PATH": PATH})
        taken, alone = [], []
        for _ in range(count):
            began = time.perf_counter()
            if namespace.step(step, nothing, 2).wait():
                raise SystemExit("the step failed")
            taken.append(time.perf_counter() - began)
            began = time.perf_counter()
            subprocess.run([f"{root}/bin/true"], check=True)
            alone.append(time.perf_counter() - began)
        found["step"], found["command"] = sorted(taken)[count // 2], sorted(alone)[count // 2]
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(str(Path(sys.argv[1])), int(sys.argv[2]))))
