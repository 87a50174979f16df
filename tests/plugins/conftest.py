"""What every plugin's tests ask with: a framework's answer for one point of the matrix."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from avabuild.framework import Request
from avabuild.layers import Layer, Python
from avabuild.registry import Registry, check_of, installed, layers_of, requires_of, select
from avabuild.target import Device, Target


@dataclass(frozen=True)
class Answer:
    """What a framework said; `series` is the release that was chosen."""

    series: str
    requires: tuple[str, ...]
    layers: tuple[Layer, ...]
    program: str

    @property
    def requirements(self) -> tuple[str, ...]:
        return tuple(r for layer in self.layers if isinstance(layer, Python) for r in layer.requirements)

    @property
    def env(self) -> dict[str, str]:
        return {k: v for layer in self.layers if layer.kind == "env" for k, v in layer.variables}

    def parses_on_python_38(self) -> bool:
        return bool(ast.parse(self.program, feature_version=(3, 8)).body)


Ask = Callable[..., Answer]


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry(installed())


@pytest.fixture
def ask(registry: Registry) -> Ask:
    def answer(
        name: str, *, python: str = "3.11", device: str = "cpu", arch: str = "x86_64", **options: Any
    ) -> Answer:
        framework = registry.framework(name)
        chosen = framework.options(**options)
        target = Target(
            distribution="bookworm", arch=arch, python=python, device=Device.parse(device), glibc="2.36"
        )
        release = select(framework, chosen, target)
        request = Request(target=target, options=chosen, release=release)
        return Answer(
            release.version,
            requires_of(framework, chosen),
            layers_of(framework, request),
            check_of(framework, request),
        )

    return answer
