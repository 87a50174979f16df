import pytest

from avabuild.errors import ResolveError
from avabuild.lock import Package
from avabuild.resolve.requirements import pin_line, requirement_line


@pytest.mark.parametrize(
    "text",
    [
        "requests",
        "requests[socks]>=2,<3",
        'tomli>=2; python_version < "3.11"',
        "git+https://example.invalid/r.git@v1",
    ],
)
def test_requirements_and_urls_pass(text, tmp_path):
    assert requirement_line(f" {text} ", tmp_path) == text


@pytest.mark.parametrize(
    "text", ["./wheels/mine-1.0-py3-none-any.whl", "wheels/mine-1.0-py3-none-any.whl[gpu]"]
)
def test_a_file_of_the_recipe_becomes_absolute_and_keeps_its_extras(text, tmp_path):
    wheel = tmp_path / "wheels" / "mine-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.touch()
    extras = "[gpu]" if "gpu" in text else ""
    assert requirement_line(text, tmp_path) == f"mine{extras} @ {wheel.as_uri()}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("./gone-1.0.tar.gz", "does not exist"),
        ("./mine.whl", "not named as a wheel"),
        ("./project", "is a directory"),
        ("--index-url https://me:secret@example.invalid", "is no requirement"),
        ("requests\n-r other.txt", "is no requirement"),
        ("git+https://example.invalid/r\n--pre", "is no requirement"),
        ("requests >", "is no requirement"),
        ("", "is no requirement"),
    ],
)
def test_what_is_no_requirement_is_refused_with_a_reason(text, reason, tmp_path):
    (tmp_path / "project").mkdir()
    (tmp_path / "mine.whl").touch()
    with pytest.raises(ResolveError, match=reason) as caught:
        requirement_line(text, tmp_path)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("package", "line"),
    [
        (Package(name="a", version="1"), "a==1"),
        (
            Package(name="a", version="1", url="https://example.invalid/a-1.zip"),
            "a @ https://example.invalid/a-1.zip",
        ),
        (
            Package(
                name="a",
                version="1",
                kind="git",
                url="https://example.invalid/r",
                commit="c",
                subdirectory="s",
            ),
            "a @ git+https://example.invalid/r@c#subdirectory=s",
        ),
    ],
)
def test_a_pin_allows_one_package(package, line, tmp_path):
    assert pin_line(package, tmp_path) == line
