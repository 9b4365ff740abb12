"""EXPORTS: a run in the files of other tools."""

from benchsuite.results.exports import github, llm_d, trace, vllm
from benchsuite.results.exports.base import Export

EXPORTS: dict[str, Export] = {
    "vllm": vllm.write,
    "llm-d": llm_d.write,
    "github": github.write,
    "trace": trace.write,
}
