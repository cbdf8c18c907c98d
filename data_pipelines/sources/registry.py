"""The data sets that `place prepare` knows, by name. Each is imported when it is asked for, and
nothing heavy before: `place --help` reads the names.
"""

import dataclasses
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from data_pipelines.records import Source

_CLASSES: Mapping[str, str] = {
    "chexpert": "chexpert:ChexpertSource",
    "covidx": "covidx:CovidxSource",
    "folder": "folder:FolderSource",
    "mimic_cxr": "mimic_cxr:MimicCxrSource",
    "ms_cxr": "ms_cxr:MsCxrSource",
    "nih_cxr14": "nih_cxr14:NihCxr14Source",
    "object_cxr": "object_cxr:ObjectCxrSource",
    "openi": "openi:OpeniSource",
    "phantom": "phantom:PhantomSource",
    "rsna_pneumonia": "rsna_pneumonia:RsnaPneumoniaSource",
    "siim_pneumothorax": "siim_pneumothorax:SiimPneumothoraxSource",
}
NAMES = tuple(_CLASSES)


def make_source(name: str, options: Mapping[str, Any]) -> "Source":
    """A source from what a user gave; options that are None were not given.

    Raises:
      BadInput: unknown_source, unknown_option or missing_option.
    """
    from data_pipelines.records import BadInput

    if name not in _CLASSES:
        raise BadInput("unknown_source", f"source {name!r} is none of {', '.join(NAMES)}")
    module, kind = _CLASSES[name].split(":")
    source = getattr(importlib.import_module(f"data_pipelines.sources.{module}"), kind)
    fields = {f.name: f for f in dataclasses.fields(source) if f.init and f.name != "name"}
    given = {key: value for key, value in options.items() if value is not None}
    flags = {key: "--" + key.replace("_", "-") for key in (*given, *fields)}
    for key in given:
        if key not in fields:
            takes = ", ".join(flags[field] for field in fields)
            raise BadInput("unknown_option", f"{name} takes no {flags[key]}, only {takes}")
    for key, field in fields.items():
        needed = field.default is field.default_factory is dataclasses.MISSING
        if needed and not given.get(key):
            raise BadInput("missing_option", f"{name} needs {flags[key]}")
    return source(**given)
