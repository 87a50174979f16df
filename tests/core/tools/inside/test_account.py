"""Whom an image's config means by `User`."""

from __future__ import annotations

import pytest

from avabuild.tools.inside.account import Account, account


@pytest.fixture
def root(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1001::/home/ada:/bin/sh\nbroken\n"
    )
    (tmp_path / "etc/group").write_text("root:x:0:\nada:x:1001:\nvideo:x:44:bob,ada\naudio:x:29:bob\n")
    return tmp_path


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", Account()),
        ("0", Account()),
        ("root", Account()),
        ("ada", Account(1000, 1001, (44,), "/home/ada")),
        ("1000", Account(1000, 1001, (44,), "/home/ada")),
        ("ada:video", Account(1000, 44, (), "/home/ada")),
        ("ada:7", Account(1000, 7, (), "/home/ada")),
        ("4711", Account(4711, 0, (), "/")),
        ("4711:4712", Account(4711, 4712, (), "/")),
    ],
)
def test_a_user_is_found_in_the_images_own_files(root, user, expected):
    assert account(user, root) == expected


@pytest.mark.parametrize(("user", "words"), [("eve", "no user eve"), ("ada:eve", "no group eve")])
def test_a_name_that_is_not_there_is_said(root, user, words):
    with pytest.raises(ValueError, match=words):
        account(user, root)


def test_an_image_without_such_files_has_numbers_and_root(tmp_path):
    assert account("", tmp_path) == Account(home="/root")
    assert account("12:13", tmp_path) == Account(12, 13, (), "/")
