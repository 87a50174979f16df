"""What every plugin's tests ask with: a framework's answer for one point of the matrix."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from avabuild.plugins.framework import Release, Request
from avabuild.plugins.kinds import Apt, Layer, Python
from avabuild.plugins.registry import Registry, check_of, choose, installed, layers_of, requires_of, select
from avabuild.plugins.target import Device, Target


@dataclass(frozen=True)
class Answer:
    """What a framework said about the release that was chosen."""

    release: Release
    requires: tuple[str, ...]
    layers: tuple[Layer, ...]
    program: str

    @property
    def series(self) -> str:
        return self.release.version

    @property
    def requirements(self) -> tuple[str, ...]:
        return tuple(r for layer in self.layers if isinstance(layer, Python) for r in layer.requirements)

    @property
    def env(self) -> dict[str, str]:
        return {k: v for layer in self.layers if layer.kind == "env" for k, v in layer.variables}

    @property
    def alone(self) -> tuple[str, ...]:
        return tuple(pin for layer in self.layers if isinstance(layer, Python) for pin in layer.alone)

    @property
    def apt(self) -> tuple[str, ...]:
        own = tuple(p for layer in self.layers if isinstance(layer, Apt) for p in layer.packages)
        return tuple(sorted({*own, *self.release.apt}))

    def parses_on_python_38(self) -> bool:
        return bool(ast.parse(self.program, feature_version=(3, 8)).body)

    def parses_on_python_27(self) -> bool:
        """No parser of 2.7 is at hand: what it lacks, of all that our checks might use, is looked for."""
        tree = ast.parse(self.program)
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        typed = any(function.returns or function.args.kwonlyargs for function in functions)
        printing = self.program.startswith("from __future__ import print_function\n")
        return printing and not typed and not any(isinstance(node, _LATER) for node in ast.walk(tree))


# What Python 2.7 has no syntax for.
_LATER = (
    ast.AnnAssign, ast.AsyncFunctionDef, ast.Await, ast.JoinedStr, ast.MatMult, ast.NamedExpr, ast.Nonlocal,
    ast.Starred, ast.YieldFrom,
)  # fmt: skip

Ask = Callable[..., Answer]


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry(installed())


@pytest.fixture
def ask(registry: Registry) -> Ask:
    def answer(
        name: str,
        *,
        python: str = "3.11",
        device: str = "cpu",
        arch: str = "x86_64",
        distribution: str = "bookworm",
        glibc: str = "2.36",
        others: Mapping[str, Release] | None = None,
        **options: Any,
    ) -> Answer:
        framework = registry.framework(name)
        chosen = framework.options(**options)
        target = Target(
            distribution=distribution, arch=arch, python=python, device=Device.parse(device), glibc=glibc
        )
        release = select(framework, chosen, target)
        request = Request(target=target, options=chosen, release=release, others=others or {})
        return Answer(
            release,
            requires_of(framework, chosen),
            layers_of(framework, request),
            check_of(framework, request),
        )

    return answer


@pytest.fixture
def beside(registry: Registry) -> Callable[..., dict[str, str]]:
    """Return a function from frameworks with their versions to the series that are chosen together."""

    def answer(*, python: str = "3.11", device: str = "cpu", **versions: str) -> dict[str, str]:
        target = Target(
            distribution="bookworm", arch="x86_64", python=python, device=Device.parse(device), glibc="2.36"
        )
        frameworks = [registry.framework(name) for name in versions]
        asked = [(f, f.options(version=versions[f.name])) for f in frameworks]
        return {name: release.version for name, release in choose(asked, target).items()}

    return answer
