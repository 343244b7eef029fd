"""What all tests stand on."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import wharfie

ROOT = Path(__file__).resolve().parents[2]
TESTDATA = ROOT / "testdata"


def pytest_configure() -> None:
    # What users install is what is tested.
    if os.environ.get("WHARFIE_WHEEL") and "site-packages" not in wharfie.__file__:
        raise pytest.UsageError(f"not the wheel: {wharfie.__file__}")


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test uses the store or the credentials of who runs it."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_AUTH_CONFIG", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WHARFIE_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def command(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    """Runs the command line that came with the wheel."""
    program = Path(sys.executable).with_name("wharfie")
    run = subprocess.run([program, *map(str, arguments)], capture_output=True, timeout=120)
    if check and run.returncode != 0:
        raise AssertionError(run.stderr.decode())
    return run


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Debian's docker-registry on this machine, with the sample image as `sample:1`."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed")
    folder = tmp_path_factory.mktemp("registry")
    host = f"127.0.0.1:{free_port()}"
    (folder / "reg.yml").write_text(
        "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\nhttp: {{addr: '{host}'}}\n"
    )
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen([program, "serve", str(folder / "reg.yml")], stdout=log, stderr=log)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", int(host.rpartition(":")[2]))) == 0:
                    break
            time.sleep(0.1)
        command("copy", "--all", f"oci-archive:{TESTDATA}/sample/sample.oci.tar", f"docker://{host}/sample:1")
        yield host
    finally:
        server.kill()
        server.wait()
