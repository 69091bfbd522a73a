"""Packages that only some inputs and options need; the extras in pyproject.toml install them."""

DISTRIBUTION = "facial-expression-recognition"

DISTRIBUTIONS = {"PIL": "pillow", "pillow_heif": "pillow-heif"}
"""The packages whose modules have another name."""


class MissingPackageError(ImportError):
    """A package that a call needs is not installed."""


def needs_package(subject: str, error: ModuleNotFoundError, extra: str) -> str:
    """Return the sentence for a missing package.

    Parameters
    ----------
    subject : str
        What needs the package, such as "a video".
    error : ModuleNotFoundError
        Names the missing package.
    extra : str
        The extra of this distribution that installs the package.
    """
    module = (error.name or "").partition(".")[0]
    package = DISTRIBUTIONS.get(module, module)
    return (
        f"{subject} needs the package {package}, which is not installed:"
        f" pip install '{DISTRIBUTION}[{extra}]'"
    )
