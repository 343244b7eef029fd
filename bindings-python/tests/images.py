"""Images for tests, made here."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
from dataclasses import dataclass, field

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest(data: bytes) -> str:
    """Its sha256, as images write it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar(files: dict[str, bytes]) -> bytes:
    """A tar of files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as made:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mtime = 1000
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


@dataclass
class Made:
    """An image: its blobs by digest, and the manifest."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifest: bytes = b""
    layers: list[str] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """Of its manifest."""
        return digest(self.manifest)


def image(*layers: dict[str, bytes]) -> Made:
    """An image of these layers, from the bottom."""
    made = Made()
    descriptors, diff_ids = [], []
    for files in layers:
        plain = tar(files)
        blob = gzip.compress(plain, 1, mtime=0)
        made.blobs[digest(blob)] = blob
        made.layers.append(digest(blob))
        diff_ids.append(digest(plain))
        descriptors.append({"mediaType": LAYER, "digest": digest(blob), "size": len(blob)})
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["A=b"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
    ).encode()
    made.blobs[digest(config)] = config
    made.manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": digest(config), "size": len(config)},
            "layers": descriptors,
        }
    ).encode()
    return made


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that no codec makes smaller."""
    return random.Random(seed).randbytes(size)
