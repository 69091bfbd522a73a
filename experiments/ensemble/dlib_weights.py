"""Make dlib_face_resnet.npz: `python -m experiments.ensemble.dlib_weights SDIST`.

SDIST is face_recognition_models-0.3.0.tar.gz, as `pip download --no-deps --no-binary :all:
face_recognition_models==0.3.0` brings it (100 MB). dlib writes a network layer by layer, from the
input to the output; after a layer's name comes the tensor of its weights.
"""

import argparse
import hashlib
import re
import tarfile
from pathlib import Path

import numpy as np

from experiments.ensemble.face_resnet import BLOCKS, WEIGHTS, WIDTHS
from recognizer.atomic_file import written_atomically
from stages.artifacts import write_arrays
from stages.errors import UserError

MEMBER = "dlib_face_recognition_resnet_model_v1.dat"
SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"


def read_layers(content: bytes) -> list[tuple[str, np.ndarray]]:
    """Read the convolutions and affine layers of dlib's file, from the input to the output.

    Returns
    -------
    list of (kind, float32 [n])
        `con_4`: kernels [out, in, height, width], then biases [out]. `affine_`: scales, shifts.
    """
    found = []
    for match in re.finditer(rb"con_4|affine_", content):
        position, shape = match.end(), []
        _version, position = _integer(content, position)
        for _ in range(4):
            extent, position = _integer(content, position)
            shape.append(extent)
        values = np.frombuffer(content, "<f4", int(np.prod(shape)), position)
        found.append((match.group().decode(), values))
    return found


def _integer(content: bytes, position: int) -> tuple[int, int]:
    """dlib's integer: a byte that says how many bytes follow, and these, the lowest first."""
    end = position + 1 + (content[position] & 0x0F)
    return int.from_bytes(content[position + 1 : end], "little"), end


def as_arrays(layers: list[tuple[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Pair convolutions with the affine layers behind them, in Keras's layout.

    Returns
    -------
    dict of float32 arrays
        For each convolution `NAME.kernel` [height, width, in, out], `NAME.scale` [out] and
        `NAME.shift` [out], with its name in `face_resnet`. The first kernel takes grey.
    """
    names = ["stem"] + [
        f"{width}.{block}.{convolution}"
        for width, blocks in zip(WIDTHS, BLOCKS, strict=True)
        for block in range(blocks)
        for convolution in range(2)
    ]
    arrays = {}
    for name, (_, convolution), (_, affine) in zip(names, layers[::2], layers[1::2], strict=False):
        scale, shift = np.split(affine, 2)
        bias = convolution[-len(scale) :]
        size, channels = (7, 3) if name == "stem" else (3, -1)
        kernel = convolution[: -len(scale)].reshape(len(scale), channels, size, size)
        kernel = kernel.transpose(2, 3, 1, 0)
        # Grey is the same in red, green and blue. The means that dlib subtracts from them only
        # add a constant behind the first convolution, which batch normalisation takes away.
        arrays[f"{name}.kernel"] = kernel.sum(2, keepdims=True) if name == "stem" else kernel
        arrays[f"{name}.scale"] = scale
        arrays[f"{name}.shift"] = shift + scale * bias
    return arrays


def main(sdist: Path) -> None:
    """Read, check, and write the weights that `face_resnet` can use."""
    try:
        with tarfile.open(sdist) as archive:
            name = next(name for name in archive.getnames() if name.endswith(MEMBER))
            member = archive.extractfile(name)
            content = member.read() if member else b""
    except (OSError, tarfile.TarError, StopIteration):
        raise UserError(f"{sdist}: not an archive that holds {MEMBER}") from None
    if (found := hashlib.sha256(content).hexdigest()) != SHA256:
        raise UserError(f"{sdist}: {MEMBER} has the digest {found}, expected {SHA256}")
    arrays = as_arrays(read_layers(content))
    with written_atomically(WEIGHTS) as temporary:
        write_arrays(
            temporary, **{name: array.astype(np.float16) for name, array in arrays.items()}
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sdist", type=Path)
    try:
        main(parser.parse_args().sdist)
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
