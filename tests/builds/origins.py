"""Where packages come from in tests: an index of Python packages, a signed repository of Debian packages."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import threading
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Index:
    """A package index of the test's own (PEP 503), on a free port of the loopback address."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.requests: list[str] = []
        index = self

        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args, directory=str(directory))

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
                index.requests.append(self.path)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/simple"

    def add(self, name: str, *files: Path) -> None:
        page = self.directory / "simple" / name
        page.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copy(file, page / file.name)
        links = [
            f'<a href="{f.name}#sha256={hashlib.sha256(f.read_bytes()).hexdigest()}">{f.name}</a>'
            for f in sorted(page.iterdir())
            if f.name != "index.html"
        ]
        (page / "index.html").write_text("<!DOCTYPE html><html><body>" + "\n".join(links) + "</body></html>")


@dataclass
class Repo:
    """A signed APT repository in a directory: `suite` with the component main, and the same flat at `/`."""

    directory: Path
    home: Path
    who: str = "ava-test@example.invalid"

    def gpg(self, *argv: str, data: bytes | None = None) -> bytes:
        command = [
            "gpg",
            "--homedir",
            str(self.home),
            "--batch",
            "--yes",
            "--quiet",
            "--pinentry-mode",
            "loopback",
        ]
        return subprocess.run([*command, *argv], input=data, capture_output=True, check=True).stdout

    def new_key(self, who: str, expires: str = "never", *faked: str) -> Path:
        """Make a key; return the file of its public half."""
        self.gpg(*faked, "--passphrase", "", "--quick-gen-key", who, "rsa2048", "sign", expires)
        path = self.directory.parent / f"{who.partition('@')[0]}.asc"
        path.write_bytes(self.gpg("--armor", "--export", who))
        return path

    def add(
        self, name: str, version: str, files: dict[str, bytes | str], depends: str = "", postinst: str = ""
    ) -> None:
        """Build a package with `files`, links where the content is a text."""
        tree = self.directory.parent / "trees" / f"{name}_{version}"
        for path, content in files.items():
            place = tree / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                place.symlink_to(content)
            else:
                place.write_bytes(content)
        control = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: Test <t@example.invalid>\n"
        control += (f"Depends: {depends}\n" if depends else "") + "Description: a test's\n"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN" / "control").write_text(control)
        if postinst:
            (tree / "DEBIAN" / "postinst").write_text(postinst)
            (tree / "DEBIAN" / "postinst").chmod(0o755)
        pool = self.directory / "pool"
        pool.mkdir(parents=True, exist_ok=True)
        built = ["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(tree), str(pool)]
        subprocess.run(built, capture_output=True, check=True)

    def publish(self, suite: str = "stable", who: str | None = None, *faked: str) -> None:
        """Write the lists and sign them."""
        scan = ["dpkg-scanpackages", "--multiversion", "pool"]
        packages = subprocess.run(scan, cwd=self.directory, capture_output=True, check=True).stdout
        for top, inner in (
            (self.directory / "dists" / suite, "main/binary-amd64/Packages"),
            (self.directory, "Packages"),
        ):
            (top / inner).parent.mkdir(parents=True, exist_ok=True)
            (top / inner).write_bytes(packages)
            digest = hashlib.sha256(packages).hexdigest()
            release = f"Suite: {suite}\nCodename: {suite}\nArchitectures: amd64\nComponents: main\n"
            release += f"Date: Tue, 24 Nov 2020 00:00:00 UTC\nSHA256:\n {digest} {len(packages)} {inner}\n"
            (top / "InRelease").unlink(missing_ok=True)
            signed = self.gpg(*faked, "--local-user", who or self.who, "--clearsign", data=release.encode())
            (top / "InRelease").write_bytes(signed)

    def fingerprint(self, who: str | None = None) -> str:
        lines = self.gpg("--list-keys", "--with-colons", who or self.who).decode().splitlines()
        return next(line.split(":")[9] for line in lines if line.startswith("fpr"))
