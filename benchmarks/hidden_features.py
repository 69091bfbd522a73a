"""Run a process as on a processor with fewer features. Linux on x86-64 only; needs gcc.

onnxruntime reads the features by the instruction CPUID: no environment variable hides one from it.
`benchmarks/hidden_features.c`, preloaded, answers this instruction in place of the processor.
"""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = Path(__file__).with_suffix(".c")
CPUINFO = Path("/proc/cpuinfo")
NEEDED = ("cpuid_fault", "avx512_vnni")
"""Flags of CPUINFO: the intercepted CPUID, and the best instructions for sums of products."""

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
    """Compile the library into a folder; exit with an error where it cannot work."""
    flags = CPUINFO.read_text().split() if CPUINFO.exists() else []
    if missing := [flag for flag in NEEDED if flag not in flags]:
        sys.exit(
            f"error: {CPUINFO}: no {' and no '.join(missing)}: features of this processor cannot be"
            " hidden; measure under Linux on a server processor of Intel's since 2019"
        )
    if shutil.which("gcc") is None:
        sys.exit(f"error: gcc: not found; install it, it compiles benchmarks/{SOURCE.name}")
    library = folder / "hidden_features.so"
    done = subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", library, SOURCE])
    if done.returncode != 0:
        sys.exit(f"error: gcc cannot compile benchmarks/{SOURCE.name}: see above")
    return library.resolve()


def environment(library: Path, hidden: Iterable[str]) -> dict[str, str]:
    """The variables of a process that does not see the hidden features."""
    bits = ",".join("{}:{}:{}".format(*FEATURES[name]) for name in hidden)
    return {**os.environ, "LD_PRELOAD": str(library), "HIDDEN_FEATURES": bits}


def seen(library: Path, hidden: Iterable[str]) -> set[str]:
    """The features that a process still sees if these are hidden from it."""
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
    """Print the features that this process sees; `seen` has preloaded the library."""
    read = ctypes.CDLL(os.environ["LD_PRELOAD"]).read_features
    found = {subleaf: (ctypes.c_uint * len(REGISTERS))() for subleaf in (0, 1)}
    for subleaf, registers in found.items():
        read(subleaf, registers)
    for name, (subleaf, register, bit) in FEATURES.items():
        if found[subleaf][REGISTERS.index(register)] >> bit & 1:
            print(name)


if __name__ == "__main__":
    main()
