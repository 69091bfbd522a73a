"""All served models, and the one that a request names."""

import random
import re
from collections.abc import Sequence

from fastapi import HTTPException, Response

from api.models.model_source import CANDIDATE, sources
from api.models.served_model import LOADING, ServedModel
from api.models.snapshot import Snapshot
from api.options import ModelOptions
from api.settings import Settings
from recognizer.detectors.registry import DETECTORS, build_detector
from recognizer.errors import ModelError


class ServedModels:
    """The versions in the settings.

    Attributes
    ----------
    all : list of ServedModel
        The first one is the default. A reload replaces the list; a request that has found its model
        keeps it.
    """

    def __init__(self, settings: Settings, snapshots: Sequence[Snapshot] = ()) -> None:
        self._settings = settings
        self.detectors = {name: build_detector(name) for name in DETECTORS}
        self.all = self._listed(snapshots)

    def _listed(self, snapshots: Sequence[Snapshot]) -> list[ServedModel]:
        """The models of these snapshots; without any, those of the settings."""
        settings = self._settings
        limits = settings.max_pixels, settings.max_faces
        if snapshots:
            folder = settings.metrics_dir
            return [
                ServedModel(each.source(folder), self.detectors, *limits, each)
                for each in snapshots
            ]
        return [ServedModel(source, self.detectors, *limits) for source in sources(settings)]

    @property
    def default(self) -> ServedModel:
        """The version for requests that name none."""
        return self.all[0]

    @property
    def candidate(self) -> ServedModel | None:
        """The model that may replace the default, if there is one and it is ready."""
        ready = (model for model in self.all if not model.problem)
        return next((model for model in ready if model.alias == CANDIDATE), None)

    @property
    def problem(self) -> str | None:
        """Why a version is not ready; None once all are ready."""
        return _problem(self.all)

    def load(self) -> None:
        """Load all versions, one after the other."""
        _load(self.all, [])

    def prepare(self, snapshots: Sequence[Snapshot] = ()) -> list[ServedModel]:
        """Load the models of the settings anew, beside those that are served.

        Raises
        ------
        ModelError
            A model cannot be loaded.
        """
        models = self._listed(snapshots)
        _load(models, self.all)
        problem = _problem(models)
        if problem:
            raise ModelError(problem)
        return models

    def choose(self, options: ModelOptions) -> ServedModel:
        """The model for a prediction: as `find`, but the candidate gets its share.

        Raises
        ------
        HTTPException
            As `find`.
        """
        share = self._settings.candidate_share
        if options.model is None and options.version is None and random.random() < share:
            return self.candidate or self.find(options)
        return self.find(options)

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
        for model in named:
            if version == model.source.name:
                return model
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
        digests = [digest[:12] for digest in reversed(served)]
        versions = ", ".join([*digests, *(m.source.name for m in named if m.source.name)])
        raise HTTPException(
            404,
            f"no version {version!r:.100} of {name or ServedModel.name} is served: expected the"
            f" SHA-256 of a served version, or at least its first 8 digits (served: {versions})",
        )


def _load(models: list[ServedModel], present: list[ServedModel]) -> None:
    """Load models; a file that `present` has already loaded is not loaded again."""
    loaded = {model.version: model.classifier for model in present if not model.problem}
    for model in models:
        model.load(loaded)
        if not model.problem:
            loaded[model.version] = model.classifier


def _problem(models: list[ServedModel]) -> str | None:
    problems = [model.problem for model in models]
    if LOADING in problems:
        return LOADING
    return next(filter(None, problems), None)


def ready_model(models: ServedModels, response: Response, options: ModelOptions) -> ServedModel:
    """The model that a request names; headers of the response say which it is."""
    model = models.find(options)
    response.headers.update(model.headers)
    return model
