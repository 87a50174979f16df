import pytest

from avabuild.common.errors import ResolveError
from avabuild.resolve.lock import Package
from avabuild.resolve.platforms import Platform
from avabuild.resolve.pylock import file_urls, preference_text, read_pylock

HEAD = 'lock-version = "1.0"\ncreated-by = "test"\n'
PLATFORM = Platform("3.11", "x86_64", "2.36")


def wheel(tag, sha256="aa", name="a"):
    url = f"https://example.invalid/{name}-1.0-{tag}.whl"
    return f'{{ url = "{url}", size = 7, hashes = {{ sha256 = "{sha256}" }} }}'


def package(*wheels, name="a", more=""):
    return f'[[packages]]\nname = "{name}"\nversion = "1.0"\nwheels = [{", ".join(wheels)}]\n{more}\n'


@pytest.fixture
def read(tmp_path):
    def read(text, platform=PLATFORM):
        path = tmp_path / "pylock.toml"
        path.write_text(HEAD + text)
        return read_pylock(path, platform, tmp_path, tmp_path / "stubs")

    return read


@pytest.mark.parametrize(
    ("platform", "chosen"),
    [
        (Platform("3.11", "x86_64", "2.36"), "11-new"),
        (Platform("3.11", "x86_64", "2.17"), "11-old"),
        (Platform("3.12", "x86_64", "2.36"), "12"),
        (Platform("3.13", "x86_64", "2.36"), "any"),
        (Platform("3.11", "aarch64", "2.36"), "any"),
    ],
)
def test_the_best_wheel_is_the_targets(read, platform, chosen):
    wheels = (
        wheel("py3-none-any", "any"),
        wheel("cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", "11-old"),
        wheel("cp311-cp311-manylinux_2_28_x86_64", "11-new"),
        wheel("cp312-cp312-manylinux_2_28_x86_64", "12"),
        wheel("cp311-cp311-manylinux_2_39_x86_64", "too new"),
    )
    (found,) = read(package(*wheels), platform)
    assert found.package.sha256 == chosen
    assert found.url == f"https://example.invalid/{found.package.filename}"
    assert (found.package.kind, found.package.size, found.package.url) == ("wheel", 7, "")


def test_markers_decide_for_the_target(read):
    text = package(wheel("py3-none-any", name="b"), name="b", more="marker = \"python_version < '3.11'\"")
    text += package(wheel("py3-none-any"))
    assert [one.package.name for one in read(text)] == ["a"]
    assert [one.package.name for one in read(text, Platform("3.10", "x86_64", "2.36"))] == ["a", "b"]


def test_an_sdist_is_taken_when_no_wheel_fits(read):
    sdist = 'sdist = { url = "https://example.invalid/a-1.0.tar.gz", hashes = { sha256 = "ss" } }'
    (found,) = read(package(wheel("cp312-cp312-manylinux_2_28_x86_64"), more=sdist))
    assert (found.package.kind, found.package.filename, found.package.size) == ("sdist", "a-1.0.tar.gz", 0)


def test_git_keeps_the_commit_and_loses_the_password(read):
    vcs = 'type = "git", url = "https://me:secret@example.invalid/r", commit-id = "abc", subdirectory = "s"'
    (found,) = read(f'[[packages]]\nname = "g"\nversion = "1"\nvcs = {{ {vcs} }}\n')
    assert found.package == Package(
        name="g", version="1", kind="git", url="https://example.invalid/r", commit="abc", subdirectory="s"
    )
    assert found.url == ""


def test_a_direct_url_is_the_recipes_own_and_is_kept(read):
    archive = 'url = "https://me:secret@example.invalid/a%2Bb-1-py3-none-any.whl", hashes = { sha256 = "aa" }'
    (found,) = read(f'[[packages]]\nname = "a-b"\nversion = "1"\narchive = {{ {archive} }}\n')
    assert found.package.url == "https://example.invalid/a%2Bb-1-py3-none-any.whl"
    assert found.package.filename == "a+b-1-py3-none-any.whl"
    assert "secret" in found.url


@pytest.mark.parametrize(
    "text",
    [
        "packages = 3",
        '[[packages]]\nname = "a"\n',
        package(wheel("cp312-cp312-win_amd64")),
        '[[packages]]\nname = "a"\ndirectory = { path = "a" }\n',
        package('{ url = "https://example.invalid/a-1.0-py3-none-any.whl", hashes = { md5 = "aa" } }'),
        "packages = [",
    ],
)
def test_an_answer_that_cannot_be_used_is_refused(read, text):
    with pytest.raises(ResolveError):
        read(text)


def test_urls_are_found_for_wheels_and_sdists(tmp_path):
    path = tmp_path / "pylock.toml"
    sdist = 'sdist = { path = "f/a-1.0.tar.gz", hashes = { sha256 = "ss" } }'
    path.write_text(HEAD + package(wheel("py3-none-any", "aa"), wheel("py2-none-any", "bb"), more=sdist))
    assert file_urls(path) == {
        "aa": "https://example.invalid/a-1.0-py3-none-any.whl",
        "bb": "https://example.invalid/a-1.0-py2-none-any.whl",
        "ss": (tmp_path / "f/a-1.0.tar.gz").as_uri(),
    }


def test_no_preferences_are_a_valid_file():
    assert "packages = []" in preference_text(())
