"""For the tests of plugins: pytest fixtures, and the conformance kit as a test.

A pytest plugin that is active where it is asked for, by a line of a `conftest.py`::

    pytest_plugins = ["avabuild.testing"]

It imports pytest alone; the rest comes with the first test that uses it.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from avabuild.authoring.conformance.results import Answer, BuildFailed, Image

if TYPE_CHECKING:
    from avabuild.authoring.conformance.finding import Verdict

__all__ = ["Answer", "Ask", "BuildFailed", "BuildImage", "Image", "conformance"]

MARK = "avabuild_image"


class Ask(Protocol):
    """The fixture `ask`."""

    def __call__(
        self,
        name: str,
        *,
        python: str,
        device: str = "cpu",
        distribution: str = "bookworm",
        arch: str = "x86_64",
        glibc: str = "2.36",
        **options: Any,
    ) -> Answer:
        """Return what the framework `name` answers there with `options`; raises as a build does."""


class BuildImage(Protocol):
    """The fixture `build_image`."""

    def __call__(self, recipe: str) -> Image:
        """Build the text of a recipe with one target, check the image, and return it; raises BuildFailed."""


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known that tests with real images bear."""
    config.addinivalue_line("markers", f"{MARK}: makes a real image; skipped where buildah is not installed")


def conformance(subject: str, *, image: bool = True) -> Callable[..., None]:
    """Return a test, one per rule of the contract, of all that `subject` provides.

    `subject` is what `avabuild plugins check` takes: a framework, a distribution, its directory or a local
    plugin's path. With `image`, its newest release is built too, under the mark `avabuild_image`::

        test_it_keeps_the_contract = conformance("avabuild-jax")
    """
    from avabuild.authoring.conformance.finding import IMAGE, RULES

    rules: list[Any] = list(RULES)
    if image:
        rules.append(pytest.param(IMAGE, marks=getattr(pytest.mark, MARK)))

    @pytest.mark.parametrize("rule", rules)
    def test_conformance(rule: str) -> None:
        if rule == IMAGE:
            _require_builder()
            problems = _built(subject)
        else:
            problems = [
                f"{verdict.name}: {finding}\n  {finding.fix}"
                for verdict in _verdicts(subject)
                for finding in verdict.broken(rule)
            ]
        if problems:
            title = RULES.get(rule, "an image of the newest release can be made, and its check runs in it")
            pytest.fail(f"{rule}: {title}\n" + "\n".join(problems), pytrace=False)

    return test_conformance


@functools.cache
def _verdicts(subject: str) -> tuple[Verdict, ...]:
    from avabuild.authoring.conformance.check import held
    from avabuild.authoring.conformance.subject import opened
    from avabuild.common.errors import PluginError
    from avabuild.run.config import trust_of

    try:
        with opened(subject, trust_of(os.environ)) as found:
            return held(found)
    except PluginError as error:
        pytest.fail(str(error), pytrace=False)


def _built(subject: str) -> list[str]:
    from avabuild.authoring.conformance.image import checked
    from avabuild.authoring.conformance.subject import opened
    from avabuild.run.config import trust_of

    problems: list[str] = []
    with opened(subject, trust_of(os.environ)) as found:
        names = [one.name for one in found.providers if one.kind == "framework"]
        if not names:
            pytest.skip(f"{subject} provides no framework")
        for name in names:
            _, findings = checked(found, name)
            problems += [f"{finding}\n  {finding.fix}" for finding in findings]
    return problems


def _require_builder() -> None:
    from avabuild.authoring.conformance.image import BUILDER, is_there

    if not is_there():
        pytest.skip(f"{BUILDER} is not installed")


@pytest.fixture
def ask() -> Ask:
    """Ask an installed framework for its layers and its check; nothing is built and no index is asked."""
    from avabuild.authoring.conformance.answer import asked

    return asked


@pytest.fixture
def build_image(tmp_path: Path) -> BuildImage:
    """Build real images; the test is skipped where buildah is not installed."""
    _require_builder()
    from avabuild.authoring.conformance.answer import built

    return functools.partial(built, tmp_path)
