"""model.keras, written so that the same network gives the same bytes."""

import json
import re
import zipfile
from pathlib import Path

import keras

from recognizer.atomic_file import written_atomically


def save_network(network: keras.Model, path: Path) -> None:
    """Write Keras's archive; the same weights give the same bytes.

    Keras stores the time of saving, and numbers shared objects by their address in memory. The
    time is removed and the objects are numbered in order.
    """
    with written_atomically(path) as temporary:
        network.save(temporary)
        with zipfile.ZipFile(temporary) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        metadata = json.loads(files["metadata.json"])
        del metadata["date_saved"]
        files["metadata.json"] = json.dumps(metadata).encode()
        numbers: dict[bytes, int] = {}
        files["config.json"] = re.sub(
            rb'(?<="shared_object_id": )\d+',
            lambda address: b"%d" % numbers.setdefault(address[0], len(numbers) + 1),
            files["config.json"],
        )
        with zipfile.ZipFile(temporary, "w") as archive:
            for name, content in sorted(files.items()):
                archive.writestr(zipfile.ZipInfo(name), content)
