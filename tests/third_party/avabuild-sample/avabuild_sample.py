"""The framework `sample` for avabuild: micrograd, an autograd engine small enough to read at one sitting."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from avabuild.api import File, Files, Framework, Options, Python, Release, Request, hookimpl

EXAMPLE = """\
from micrograd.nn import MLP

model = MLP(3, [4, 1])
print(model([2.0, 3.0, -1.0]))
"""

CHECK = """\
from importlib.metadata import version
from micrograd.engine import Value

x, y = Value(3.0), Value(4.0)
(x * y + x).backward()
assert (x.grad, y.grad) == (5.0, 3.0), (x.grad, y.grad)
print("micrograd", version("micrograd"), "gradients are right")
"""


class SampleOptions(Options):
    """What a recipe may say of sample."""

    example: bool = Field(default=False, description="put a first program at /workspace/micrograd_example.py")


def layers(request: Request) -> Iterator[Python | Files]:
    yield Python(requirements=(f"micrograd{request.requirement}",))
    if request.options.example:
        yield Files(files=(File(target="/workspace/micrograd_example.py", content=EXAMPLE),))


@hookimpl
def avabuild_frameworks() -> list[Framework]:
    pythons = tuple(f"3.{minor}" for minor in range(8, 15))
    return [
        Framework(
            name="sample",
            summary="micrograd, an autograd engine small enough to read at one sitting",
            releases=(Release(version="0.1", pythons=pythons, devices=("any",)),),
            layers=layers,
            check=lambda _request: CHECK,
            options=SampleOptions,
            source="the one release there is",
            checked="2026-11-23",
        )
    ]
