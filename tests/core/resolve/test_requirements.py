import io
import tarfile
import zipfile

import pytest

from avabuild.common.errors import ResolveError
from avabuild.resolve.lock import Package
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
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("mine-1.0.dist-info/METADATA", "Name: mine\n")
    extras = "[gpu]" if "gpu" in text else ""
    assert requirement_line(text, tmp_path) == f"mine{extras} @ {wheel.as_uri()}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("./gone-1.0.tar.gz", "does not exist"),
        ("./mine.whl", "can't be read"),
        ("./two words.zip", "names no project|not named as"),
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
    with zipfile.ZipFile(tmp_path / "two words.zip", "w") as archive:
        archive.writestr("setup.py", "")
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


@pytest.mark.parametrize("name", ["local zip pkg-0.2.0.zip", "local zip pkg-0.2.0.tar.gz", "no version.zip"])
def test_a_source_with_spaces_in_its_name_is_of_the_project_that_its_metadata_names(name, tmp_path):
    path, info = tmp_path / name, b"Metadata-Version: 2.1\nName: Local_Zip.Pkg\nVersion: 0.2.0\n"
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x/local.egg-info/PKG-INFO", "Name: another")
            archive.writestr("x/PKG-INFO", info)
    else:
        with tarfile.open(path, "w:gz") as tar:
            member = tarfile.TarInfo("x/PKG-INFO")
            member.size = len(info)
            tar.addfile(member, io.BytesIO(info))
    assert requirement_line(f"./{name}", tmp_path) == f"local-zip-pkg @ {path.as_uri()}"
    assert "%20" in path.as_uri()
