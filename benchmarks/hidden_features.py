"""Run a process whose onnxruntime sees a processor with fewer features. x86-64 Linux only.

onnxruntime reads the features by the instruction CPUID: no environment variable hides one from it.
In a copy of its library, an invalid instruction stands in the place of each CPUID, and
`benchmarks/hidden_features.c`, preloaded, answers it. Needs gcc and objdump.
"""

import ctypes
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = Path(__file__).with_suffix(".c")
CPUINFO = Path("/proc/cpuinfo")
NEEDED = "avx512_vnni"
"""The flag of CPUINFO for the best instructions for sums of products, the first to be hidden."""
CPUID, UD0 = b"\x0f\xa2", b"\x0f\xff"

DOT_PRODUCTS = {
    "avx512_vnni": (0, "ecx", 11),
    "amx_bf16": (0, "edx", 22),
    "amx_tile": (0, "edx", 24),
    "amx_int8": (0, "edx", 25),
    "avx_vnni": (1, "eax", 4),
    "amx_fp16": (1, "eax", 21),
    "avx_vnni_int8": (1, "edx", 4),
    "amx_complex": (1, "edx", 8),
    "avx_vnni_int16": (1, "edx", 10),
}
"""Instructions for sums of products, which older processors with AVX-512 lack."""

LARGE_VECTORS = {
    "avx512f": (0, "ebx", 16),
    "avx512dq": (0, "ebx", 17),
    "avx512ifma": (0, "ebx", 21),
    "avx512cd": (0, "ebx", 28),
    "avx512bw": (0, "ebx", 30),
    "avx512vl": (0, "ebx", 31),
    "avx512vbmi": (0, "ecx", 1),
    "avx512_vbmi2": (0, "ecx", 6),
    "avx512_bitalg": (0, "ecx", 12),
    "avx512_vpopcntdq": (0, "ecx", 14),
    "avx512_vp2intersect": (0, "edx", 8),
    "avx512_fp16": (0, "edx", 23),
    "avx512_bf16": (1, "eax", 5),
    "avx_ifma": (1, "eax", 23),
    "avx_ne_convert": (1, "edx", 5),
    "avx10": (1, "edx", 19),
}
"""The other instructions that are younger than AVX2."""

FEATURES = DOT_PRODUCTS | LARGE_VECTORS
"""Subleaf, register and bit of each feature in the answer of CPUID, leaf 7.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, CPUID.
"""

REGISTERS = ("eax", "ebx", "ecx", "edx")


def build(folder: Path) -> Path:
    """Compile the preloaded library, and copy onnxruntime, into a folder.

    Exits with an error where the machine lacks what this needs.
    """
    flags = CPUINFO.read_text().split() if CPUINFO.exists() else []
    if NEEDED not in flags:
        sys.exit(
            f"error: {CPUINFO}: no {NEEDED}: nothing to compare; measure under Linux on a server"
            " processor of Intel's since 2019, or of AMD's since 2022"
        )
    purposes = {"gcc": f"compiles benchmarks/{SOURCE.name}", "objdump": "finds CPUID"}
    for tool, purpose in purposes.items():
        if shutil.which(tool) is None:
            sys.exit(f"error: {tool}: not found; install it, it {purpose}")
    library = folder.resolve() / "hidden_features.so"
    done = subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", library, SOURCE])
    if done.returncode != 0:
        sys.exit(f"error: gcc cannot compile benchmarks/{SOURCE.name}: see above")
    (installed,) = importlib.util.find_spec("onnxruntime").submodule_search_locations
    unused = shutil.ignore_patterns("transformers", "tools", "libonnxruntime.so*", "__pycache__")
    copy = shutil.copytree(installed, packages(library) / "onnxruntime", ignore=unused)
    for file in copy.glob("capi/onnxruntime_pybind11_state*.so"):
        without_cpuid(file)
    return library


def packages(library: Path) -> Path:
    """The folder beside the preloaded library that holds the copy of onnxruntime."""
    return library.with_name("packages")


def without_cpuid(file: Path) -> None:
    """Write UD0 in the place of each CPUID of a library.

    objdump finds them: the same two bytes are also parts of other instructions.
    """
    headers = run_objdump("--section-headers", file)
    header = next(line for line in headers.splitlines() if " .text " in line)
    _, name, _, address, _, offset, *_ = header.split()
    shift = int(offset, 16) - int(address, 16)
    code = run_objdump("--disassemble", "--no-show-raw-insn", f"--section={name}", file)
    content = bytearray(file.read_bytes())
    for found in re.finditer(r"^ *(\w+):\tcpuid", code, re.MULTILINE):
        start = int(found[1], 16) + shift
        if content[start : start + 2] != CPUID:
            sys.exit(f"error: {file}: no CPUID at {start:#x}, where objdump shows one")
        content[start : start + 2] = UD0
    file.write_bytes(content)


def run_objdump(*arguments: str | Path) -> str:
    """What objdump prints."""
    return subprocess.run(
        ["objdump", *arguments], stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def environment(library: Path, hidden: Iterable[str]) -> dict[str, str]:
    """The variables of a process whose onnxruntime does not see the hidden features."""
    bits = ",".join("{}:{}:{}".format(*FEATURES[name]) for name in hidden)
    paths = filter(None, [str(packages(library)), os.environ.get("PYTHONPATH")])
    return {
        **os.environ,
        "LD_PRELOAD": str(library),
        "HIDDEN_FEATURES": bits,
        "PYTHONPATH": os.pathsep.join(paths),
    }


def seen(library: Path, hidden: Iterable[str]) -> set[str]:
    """The features that onnxruntime still sees if these are hidden from it."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.hidden_features"],
        cwd=ROOT,
        env=environment(library, hidden),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def main() -> None:
    """Print the features that onnxruntime sees; `seen` has preloaded the library."""
    import onnxruntime  # noqa: F401 - it asks for the features when it is imported

    preloaded = ctypes.CDLL(os.environ["LD_PRELOAD"])
    answered = ((ctypes.c_uint * len(REGISTERS)) * 2).in_dll(preloaded, "answered")
    for name, (subleaf, register, bit) in FEATURES.items():
        if answered[subleaf][REGISTERS.index(register)] >> bit & 1:
            print(name)


if __name__ == "__main__":
    main()
