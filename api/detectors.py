"""The face detectors of one server: built once, shared by all model versions and threads."""

import logging

from api.settings import Settings
from recognizer.errors import DetectorError
from recognizer.faces import DETECTORS, Detector, build_detector

log = logging.getLogger(__name__)


class Detectors:
    """Each detector by its name. One whose model file is not there is not replaced by another.

    Attributes
    ----------
    problem : str or None
        Why the detector whose file the settings name is not there.
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        self._built: dict[str, Detector] = {}
        self._missing: dict[str, str] = {}
        self.problem: str | None = None

    def build(self) -> None:
        """Build all that can be built here; what is missing is logged."""
        path = self._settings.yunet_path
        for name in DETECTORS:
            try:
                self._built[name] = build_detector(name, path, self._settings.yunet_sha256)
            except DetectorError as error:
                self._missing[name] = f"this server has no detector {name!r}: {error}"
                if path is not None:  # somebody counts on it
                    self.problem = self._missing[name]
                log.log(logging.ERROR if path else logging.INFO, "%s", self._missing[name])

    @property
    def names(self) -> list[str]:
        """The detectors that can be asked for here."""
        return list(self._built)

    def __getitem__(self, name: str) -> Detector:
        """The detector of this name; DetectorError says why this server has none."""
        if name in self._missing:
            raise DetectorError(self._missing[name])
        return self._built[name]
