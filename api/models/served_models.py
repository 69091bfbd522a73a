"""All served models, and the one that a request names."""

import re
from collections.abc import Sequence
from itertools import zip_longest

from fastapi import HTTPException, Response

from api.models.model_source import sources
from api.models.served_model import LOADING, ServedModel
from api.models.snapshot import Snapshot
from api.options import ModelOptions
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

    def find(self, options: ModelOptions) -> ServedModel:
        """The model with this name and this version; the default where neither is given.

        Of several versions with the same name, the first one is used.

        Raises
        ------
        HTTPException
            404 if no such model is served, 503 if it is not ready.
        """
        name, version = options.model, options.version
        if name is None and version is None:
            if self.default.problem:
                raise HTTPException(503, self.default.problem)
            return self.default
        ready = [model for model in self.all if not model.problem]
        named = [model for model in ready if name in (None, model.classifier.dataset)]
        if named and version is None:
            return named[0]
        served = {model.version: model for model in reversed(named)}
        if version and re.fullmatch("[0-9a-f]{8,64}", version):
            found = [model for digest, model in served.items() if digest.startswith(version)]
            if len(found) == 1:
                return found[0]
        if self.problem == LOADING:
            raise HTTPException(503, LOADING)
        if not named:
            names = ", ".join(dict.fromkeys(model.classifier.dataset for model in ready)) or "none"
            raise HTTPException(404, f"no model {name!r:.100} is served (served: {names})")
        versions = ", ".join(digest[:12] for digest in reversed(served))
        raise HTTPException(
            404,
            f"no version {version!r:.100} of {name or ServedModel.name} is served: expected the"
            f" SHA-256 of a served version, or at least its first 8 digits (served: {versions})",
        )


def ready_model(models: ServedModels, response: Response, options: ModelOptions) -> ServedModel:
    """The model that a request names; its SHA-256 becomes a header of the response."""
    model = models.find(options)
    response.headers["X-Model-Version"] = model.version
    return model
