"""All served versions of the model, and the one that a request names."""

import re
from collections.abc import Sequence
from itertools import zip_longest

from fastapi import HTTPException, Response

from api.models.model_source import sources
from api.models.served_model import LOADING, ServedModel
from api.models.snapshot import Snapshot
from api.settings import Settings
from recognizer.detectors.registry import DETECTORS, build_detector


class ServedModels:
    """The versions in the settings; the first one is the default."""

    def __init__(self, settings: Settings, snapshots: Sequence[Snapshot] = ()) -> None:
        self.detectors = {name: build_detector(name) for name in DETECTORS}
        limits = settings.max_pixels, settings.max_faces
        self.all = [
            ServedModel(source, self.detectors, *limits, snapshot)
            for source, snapshot in zip_longest(sources(settings), snapshots)
        ]

    @property
    def default(self) -> ServedModel:
        """The version for requests that name none."""
        return self.all[0]

    @property
    def problem(self) -> str | None:
        """Why a version is not ready; None once all are ready."""
        problems = [model.problem for model in self.all]
        if LOADING in problems:
            return LOADING
        return next(filter(None, problems), None)

    def load(self) -> None:
        """Load all versions, one after the other."""
        for model in self.all:
            model.load()

    def find(self, version: str | None) -> ServedModel:
        """The version with this SHA-256, or with these first digits; None means the default.

        Raises
        ------
        HTTPException
            404 if no such version is served, 503 if it is not ready.
        """
        if version is None:
            if self.default.problem:
                raise HTTPException(503, self.default.problem)
            return self.default
        served = {model.version: model for model in reversed(self.all) if not model.problem}
        if re.fullmatch("[0-9a-f]{8,64}", version):
            found = [model for name, model in served.items() if name.startswith(version)]
            if len(found) == 1:
                return found[0]
        if self.problem == LOADING:
            raise HTTPException(503, LOADING)
        names = ", ".join(name[:12] for name in reversed(served)) or "none"
        raise HTTPException(
            404,
            f"no version {version[:100]!r} of {ServedModel.name} is served: expected the SHA-256 of"
            f" a served version, or at least its first 8 digits (served: {names})",
        )


def ready_model(models: ServedModels, response: Response, version: str | None) -> ServedModel:
    """The version that a request names; its SHA-256 becomes a header of the response."""
    model = models.find(version)
    response.headers["X-Model-Version"] = model.version
    return model
