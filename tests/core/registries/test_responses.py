"""What an answer of a registry means."""

from __future__ import annotations

import pytest

from avabuild.common.errors import DiskFullError, UnavailableError
from avabuild.registries.responses import failure


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (500, b'{"errors":[{"detail":{"DriverName":"filesystem","Enclosed":{"Op":"write","Err":28}}}]}', DiskFullError),
        (500, b'{"errors":[{"detail":{"Enclosed":{"Err": 122}}}]}', DiskFullError),
        (500, b'{"errors":[{"detail":{"Enclosed":{"Err":5}}}]}', UnavailableError),
        (500, b'{"errors":[{"detail":{"Enclosed":{"Err":280}}}]}', UnavailableError),
        (500, b"write /data: no space left on device", DiskFullError),
        (507, b"", DiskFullError),
    ],
    ids=["ENOSPC", "EDQUOT", "EIO", "another number", "words", "status"],
)  # fmt: skip
def test_a_full_disk_is_told_from_what_may_pass(status, body, kind):
    """distribution's drivers tell of some failures by the operating system's number alone."""
    assert isinstance(failure("registry.example.com", "push x", status, body), kind)
