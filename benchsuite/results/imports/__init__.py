"""IMPORTS: other tools' result files as records, so that everything here can be said of them."""

from benchsuite.results.imports import aiperf, guidellm, vllm
from benchsuite.results.imports.base import Importer

IMPORTS: dict[str, Importer] = {
    "vllm": vllm.read,
    "aiperf": aiperf.read,
    "guidellm": guidellm.read,
}
