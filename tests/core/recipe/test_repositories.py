"""`[[packages.repositories]]`: what it becomes, and how it can be wrong."""

from __future__ import annotations

import pytest

from avabuild.common.errors import RecipeError
from avabuild.plugins.kinds import Repository
from avabuild.recipe import load, variants

TABLE = '[[packages.repositories]]\nname = "mine"\nsuite = "stable"\n'
FINGERPRINT = "EB69 3B30 35CD 5710 E231  E123 A4B4 6996 3BF8 63CC"


@pytest.fixture
def write(tmp_path):
    (tmp_path / "mine.asc").write_text("a key")

    def written(text, name="a.toml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'name = "demo"\n{text}')
        return path

    return written


def test_an_entry_is_a_repository(write):
    entry = f'uri = "https://x"\nkey = "mine.asc"\nfingerprint = "{FINGERPRINT}"\n'
    (one,) = load(write(TABLE + entry)).packages.repositories
    assert one.value == Repository(
        name="mine", suite="stable", uri="https://x", key="mine.asc", fingerprint=FINGERPRINT.replace(" ", "")
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TABLE + 'uri = "https://x"\n', "needs the key that signs it"),
        (TABLE + 'key = "mine.asc"\n', "needs a uri"),
        (TABLE + 'uri = "https://x"\nkey = "gone.asc"\n', 'there is no "gone.asc"'),
        (TABLE + 'uri = "nvidia"\nkey = "mine.asc"\n', '"nvidia" is no address'),
        (TABLE + 'fingerprint = "3bf863cc"\n', "40 hexadecimal digits"),
        (TABLE + "components = []\n", "needs its components"),
        (TABLE.replace("mine", "My Own"), "is no name of a repository"),
        (TABLE + TABLE, 'two repositories are named "mine"'),
        (TABLE + "trusted = true\n", "trusted"),
        ('[[packages.repositories]]\nname = "mine"\n', "suite"),
    ],
)
def test_a_wrong_entry_is_told_with_its_line(write, text, words):
    with pytest.raises(RecipeError) as caught:
        load(write(text))
    assert words in str(caught.value)
    assert "a.toml:" in str(caught.value)


def test_a_recipe_on_another_finds_the_others_key(write, tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "mine.asc").write_text("a key")
    write(TABLE + 'uri = "https://x"\nkey = "mine.asc"\n', "inner/b.toml")
    whole = variants(load(write('base = { recipe = "inner/b.toml" }\n')), load)[0].recipe
    (one,) = whole.packages.repositories
    assert one.key == "./inner/mine.asc"
