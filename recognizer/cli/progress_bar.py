"""The progress bar of tqdm. Without tqdm, which is an optional package, nothing is drawn."""

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TextIO, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    from tqdm import tqdm
else:
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:

        class tqdm(Generic[T]):  # noqa: N801
            """The part of tqdm's interface that the command line uses."""

            def __init__(self, iterable: Iterable[T] = (), *_: Any, **__: Any):
                self._iterable = iterable

            def __iter__(self) -> Iterator[T]:
                return iter(self._iterable)

            def update(self) -> None: ...

            def set_postfix_str(self, *_: Any, **__: Any) -> None: ...

            def close(self) -> None: ...

            @staticmethod
            def write(line: str, file: TextIO = sys.stdout) -> None:
                print(line, file=file)


__all__ = ["tqdm"]
