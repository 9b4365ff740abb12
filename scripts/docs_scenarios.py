"""Writes docs/scenarios.md from the types of a scenario. A test asserts that the file is current.

What a key is for stands in the comment beside its field; only where there is none, in `_LINES`
here. A key that has neither is an error, and so is a line for a key that does not exist.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Final, NamedTuple, get_args

import msgspec
from msgspec import inspect as types

from benchsuite.arrivals import Arrivals
from benchsuite.arrivals.hawkes import HawkesClass
from benchsuite.arrivals.mmpp import MmppState
from benchsuite.arrivals.ramp import RatePoint
from benchsuite.deployment import Deployment
from benchsuite.endpoints import Endpoint
from benchsuite.endpoints.openai_server import Timeouts
from benchsuite.endpoints.reasoning_fields import ReasoningFields
from benchsuite.metrics.accelerators import ACCELERATORS, Accelerator
from benchsuite.metrics.model_shapes import MODELS, ModelShape
from benchsuite.metrics.objectives import Idle, Line, Pace
from benchsuite.metrics.slo import Slo
from benchsuite.metrics.system import Prices
from benchsuite.metrics.validity import Validity
from benchsuite.scenario import Limits, Scenario, Telemetry
from benchsuite.workloads import Workload
from benchsuite.workloads.durations import Durations
from benchsuite.workloads.formats import TraceFormat
from benchsuite.workloads.lengths import Lengths
from benchsuite.workloads.mix import Part
from benchsuite.workloads.multimodal import Pictures, Recordings
from benchsuite.workloads.priorities import Priorities
from benchsuite.workloads.tool_use import ToolKind
from benchsuite.workloads.tools import AgentTool
from benchsuite.workloads.trace import Slice
from reference_engine.behaviour import Behaviour
from reference_engine.config import EngineConfig
from reference_engine.executors import Executor
from reference_engine.policies import Policy
from reference_engine.specs import DEVICES, PRESETS, DeviceSpec
from reference_engine.timeouts import ServerTimeouts

PATH: Final = Path(__file__).parents[1] / "docs" / "scenarios.md"


class Group(NamedTuple):
    """A section of the page: one type, or the choices of a union."""

    title: str
    kind: type | UnionType
    where: str

    @property
    def choices(self) -> tuple[type, ...]:
        return get_args(self.kind) or (self.kind,)


GROUPS: Final = (
    Group("Scenario", Scenario, "The top of the file."),
    Group("Endpoints", Endpoint, "`endpoint`: which server, and how it is spoken to."),
    Group("Timeouts", Timeouts, "`endpoint.timeouts`"),
    Group("Reasoning fields", ReasoningFields, "`endpoint.reasoning`"),
    Group("Workloads", Workload, "`workload`: what is asked."),
    Group("Lengths", Lengths, "`workload.prompt_tokens`, `workload.output_tokens` of `synthetic`"),
    Group("Parts", Part, "`workload.parts` of `mix`, by class"),
    Group("Priorities", Priorities, "`priority` of a part of a `mix`"),
    Group("Durations", Durations, "Times of tools: `latency`."),
    Group("Tools", AgentTool, "`workload.tools` of `agent`"),
    Group("Tool kinds", ToolKind, "`workload.tools` of `tool_use`"),
    Group("Pictures", Pictures, "`workload.images` and `workload.video` of `multimodal`"),
    Group("Recordings", Recordings, "`workload.audio` of `multimodal`"),
    Group("Trace formats", TraceFormat, "`workload.source` of `trace`"),
    Group("Slice", Slice, "`workload.slice` of `trace`"),
    Group("Arrivals", Arrivals, "`arrivals`: when the next session starts."),
    Group("Ramp points", RatePoint, "`arrivals.points` of `ramp`"),
    Group("MMPP states", MmppState, "`arrivals.states` of `mmpp`"),
    Group("Hawkes classes", HawkesClass, "`arrivals.classes` of `hawkes`, by name"),
    Group("Limits", Limits, "`limits`"),
    Group("SLOs", Slo, "`slo`, by class of requests"),
    Group("Limits of a request", Line, "a limit of `slo`, where it depends on the request"),
    Group("Pace", Pace, "`slo.<class>.pace`: when a reader wants each token."),
    Group("Idle server", Idle, "`slo.<class>.idle`"),
    Group("Deployment", Deployment, "`deployment`"),
    Group("Model sizes", ModelShape, "`deployment.model`, in numbers"),
    Group("Accelerators", Accelerator, "`deployment.accelerator`, in numbers"),
    Group("Prices", Prices, "`deployment.prices`, or the file that it names"),
    Group("Validity", Validity, "`validity`"),
    Group("Telemetry", Telemetry, "`telemetry`: what is read beside the requests"),
    Group("Engine", EngineConfig, "`endpoint.engine` of `reference_engine` and `in_process`"),
    Group("Behaviour", Behaviour, "`endpoint.engine.behaviour`"),
    Group("Server timeouts", ServerTimeouts, "`endpoint.engine.timeouts`"),
    Group("Executors", Executor, "`endpoint.engine.executor`"),
    Group("Devices", DeviceSpec, "`endpoint.engine.executor.device` of `roofline`, in numbers"),
    Group("Policies", Policy, "`endpoint.engine.policy`"),
)

_LINES: Final = {
    "Scenario.name": "of the run; the default run folder is called after it",
    "Scenario.description": "for the report",
    "Scenario.endpoint": "which server",
    "Scenario.workload": "what is asked",
    "Scenario.arrivals": "when the next session starts",
    "Scenario.limits": "what bounds the run",
    "Scenario.workers": "processes that send; unset: chosen from the load and the cores",
    "OpenAIServer.model": "the name that the server knows",
    "OpenAIServer.headers": "further headers of every request; values may be `${env:NAME}`",
    "OpenAIServer.max_tokens_field": "the name under which the output length is asked for",
    "OpenAIServer.transport": "`wire`: our own client; `aiohttp`: for proxies and odd servers",
    "OpenAIServer.verify": "check the server's TLS certificate",
    "OpenAIServer.timeouts": "when a request is given up",
    "Timeouts.connect": "for the connection, TLS included",
    "ReferenceEngine.engine": "how the engine is set up",
    "ReferenceEngine.timeouts": "when a request is given up",
    "ReferenceEngine.start_within": "how long the engine may take to listen",
    "InProcess.engine": "how the engine is set up; its executor must be `roofline`",
    "Synthetic.prompt_tokens": "length of the prompts",
    "Synthetic.output_tokens": "length of the answers",
    "Synthetic.shared_prefix_tokens": "tokens in front of every prompt, the same for all",
    "Synthetic.rank_correlation": "Spearman's rho of prompt length and output length",
    "Resampled.source": "the file, and how it is read",
    "Resampled.slo_class": "rows of this class alone; unset: all",
    "Resampled.token_scale": "multiplies lengths",
    "Resampled.max_prompt_tokens": "longest prompt",
    "Resampled.max_output_tokens": "longest answer",
    "Resampled.on_bad_row": "stop at a broken row, or count it and leave it out",
    "Resampled.ignore_eos": "the answer has to be exactly as long as recorded",
    "ServeGen.path": "a folder of `chunk-*` files, or a JSONL with a client a line",
    "ServeGen.duration": "how much of the pool's time is played",
    "ServeGen.start": "from where on, in the pool's time",
    "ServeGen.rate_scale": "multiplies every client's rate",
    "ServeGen.token_scale": "multiplies lengths",
    "ServeGen.rank_correlation": "Spearman's rho of prompt length and output length, in a client",
    "ServeGen.max_prompt_tokens": "longest prompt",
    "ServeGen.max_output_tokens": "longest answer",
    "ServeGen.ignore_eos": "the answer has to be exactly as long as drawn",
    "Synthetic.ignore_eos": "the answer has to be exactly as long as asked",
    "Trace.source": "the file, and how it is read",
    "Trace.slice": "the piece of the trace that is replayed",
    "Trace.rate_scale": "so many times the sessions over the same time",
    "Trace.copy_shift": "copies that `rate_scale` adds are moved by up to so much",
    "Trace.time_scale": "stretches times and gaps; 2 halves the rate",
    "Trace.token_scale": "multiplies lengths, those of hash blocks too",
    "Trace.max_prompt_tokens": "longest prompt",
    "Trace.max_output_tokens": "longest answer",
    "Trace.over_limit": "shorten what is too long, or leave its session out",
    "Trace.on_bad_row": "stop at a broken row, or count it and leave it out",
    "Trace.ignore_eos": "the answer has to be exactly as long as recorded",
    "Slice.start": "sessions that start earlier are left out, in the trace's own time",
    "Slice.duration": "how long the piece is",
    "Slice.requests": "no further session starts once so many requests are in",
    "Questions.path": "JSONL, plain or gzipped, one question a line",
    "Questions.grader": "how an answer is checked",
    "Questions.max_output_tokens": "longest answer",
    "Questions.question": "the field that holds the question",
    "Questions.answer": "the field that holds the answer",
    "Questions.answer_after": "the expected answer is what follows the last of these marks",
    "Questions.template": "what is sent, with `{question}` in its place",
    "Fixed.value": "the length",
    "Uniform.low": "shortest",
    "Uniform.high": "longest",
    "LogNormal.median": "half are shorter",
    "LogNormal.p99": "99 % are shorter; this or `sigma`",
    "LogNormal.sigma": "standard deviation of the logarithm; this or `p99`",
    "LogNormal.min": "shorter ones do not occur",
    "LogNormal.max": "longer ones do not occur",
    "Empirical.values": "the lengths",
    "Empirical.weights": "one for each value, in any unit; unset: equally often",
    "Azure.path": "the CSV, plain or gzipped",
    "Mooncake.path": "the JSONL, plain or gzipped",
    "Mooncake.block_tokens": "tokens that one hash id stands for",
    "Jsonl.path": "the JSONL, plain or gzipped",
    "Jsonl.block_tokens": "tokens that one hash id stands for",
    "Constant.rate": "sessions per second",
    "Poisson.rate": "sessions per second, on average",
    "Gamma.rate": "sessions per second, on average",
    "Gamma.burstiness": "shape of the gaps: 1 is Poisson, less comes in clumps",
    "Ramp.points": "the rate over time",
    "Ramp.spacing": "independent users, or as regular as the rate allows",
    "RatePoint.at": "time from the start of the run",
    "RatePoint.rate": "sessions per second then",
    "Timestamps.speed": "how many times as fast as recorded",
    "Weibull.rate": "sessions per second, on average",
    "Weibull.shape": "of the gaps: 1 is Poisson, less comes in clumps",
    "MmppState.rate": "sessions per second in this state",
    "MmppState.stay": "how long it lasts, on average",
    "Mmpp.states": "calm, busy ...",
    "Mmpp.rate": "sessions per second on average; unset: what the states give",
    "HawkesClass.weight": "of its arrivals that nothing caused, beside other classes'",
    "HawkesClass.after": "of this class, caused by one arrival of that class on average",
    "Hawkes.rate": "sessions per second, on average",
    "Hawkes.memory": "after what time an arrival causes others, on average",
    "Hawkes.branching": "sessions that one session causes, on average",
    "Hawkes.classes": "parts of a mix that cause each other",
    "RateSeries.step": "how long each rate holds",
    "RateSeries.rates": "sessions per second, one for each step",
    "RateSeries.path": "a file with a rate, or `at,rate`, in each line",
    "RateSeries.rate": "sessions per second on average; unset: as they stand",
    "RateSeries.repeat": "begin again after the last step",
    "RateSeries.burstiness": "shape of the gaps: 1 is Poisson, less comes in clumps",
    "Diurnal.rate": "sessions per second, on average",
    "Diurnal.amplitude": "the highest rate is so much above the mean, the lowest so much below",
    "Diurnal.period": "from peak to peak",
    "Diurnal.peak": "when the rate is highest; unset: half a period after the start",
    "Diurnal.burstiness": "shape of the gaps: 1 is Poisson, less comes in clumps",
    "Bursts.size": "sessions in a burst",
    "Bursts.every": "from burst to burst",
    "Bursts.within": "how long a burst takes",
    "Bursts.rate": "sessions per second beside the bursts",
    "Users.users": "how many there are",
    "Users.think": "time from the end of a session to the same user's next, on average",
    "Users.spacing": "thinking takes exponential times, or always as long",
    "Users.arrive_within": "the users' first sessions are spread over this time",
    "Mix.parts": "by class",
    "Part.workload": "any but a mix",
    "RandomPriority.levels": "the priorities there are",
    "MarkovPriority.levels": "the priorities there are",
    "Timestamps.quantum": "step of the trace's clock, within which times are spread",
    "ClosedLoop.concurrency": "sessions in flight at all times",
    "Telemetry.server": "its `/metrics`: `auto` (asked where the endpoint is one), `off`, or a URL",
    "Slo.ttft": "time to first token",
    "Slo.ttfo": "time to first visible output",
    "Slo.tpot": "time per output token",
    "Slo.e2e_latency": "until the answer has ended",
    "Slo.normalised_latency": "`e2e_latency` per output token",
    "Slo.preset": "[what a paper or a rule sets](metrics.md#service-level-objectives)",
    "Deployment.model": f"{', '.join(MODELS)}; or a Hugging Face config.json; or its sizes",
    "Deployment.accelerator": f"{', '.join(ACCELERATORS)}; or its numbers",
    "Deployment.num_accelerators": "behind the endpoint",
    "Accelerator.memory_bytes": "how much it has",
    "ModelShape.total_params": "all weights",
    "ModelShape.active_params": "weights that a token is multiplied with",
    "ModelShape.num_layers": "decoder layers",
    "ModelShape.hidden_size": "width between layers",
    "ModelShape.num_heads": "query heads",
    "ModelShape.num_kv_heads": "heads of keys and values",
    "ModelShape.head_dim": "width of a head",
    "Prices.usd_per_accelerator_hour": "of one accelerator",
    "Prices.usd_per_million_prompt_tokens": "of prompt tokens that were not cached",
    "Prices.usd_per_million_output_tokens": "of output tokens, reasoning included",
    "Idle.ttft": "time to first token there",
    "Idle.itl": "gap between tokens there",
    "Idle.e2e_latency": "until the answer has ended, there",
    "EngineConfig.model": f"{', '.join(PRESETS)} (random weights), or a Hugging Face folder",
    "EngineConfig.model_name": "as clients call it; unset: the preset's or folder's name",
    "EngineConfig.tokenizer": "a tokenizer.json(.gz); unset: the folder's own, for a preset ours",
    "EngineConfig.max_model_len": "most tokens, prompt and answer; unset: what model and KV allow",
    "EngineConfig.executor": "how a step is carried out",
    "EngineConfig.policy": "what the next step does",
    "EngineConfig.block_size": "tokens in a KV block",
    "EngineConfig.num_blocks": "KV blocks; unset: what the executor has room for",
    "EngineConfig.max_sequences": "most sequences in one batch",
    "EngineConfig.behaviour": "what random weights cannot decide",
    "EngineConfig.timeouts": "how long the server waits for whom",
    "Behaviour.tool_call_share": "answers that are tool calls under `tool_choice: auto`",
    "Behaviour.effort": "of requests without `reasoning_effort`",
    "Behaviour.minimal_tokens": "median thinking, by effort",
    "Behaviour.low_tokens": "the same",
    "Behaviour.medium_tokens": "the same",
    "Behaviour.high_tokens": "the same",
    "Behaviour.xhigh_tokens": "also of effort `max`",
    "Behaviour.spread": "standard deviation of the logarithm of thinking lengths",
    "EngineConfig.max_queue": "requests that may wait; more are refused (429); unset: all may",
    "EngineConfig.image_tokens": "of an image, at most; larger ones are scaled down",
    "EngineConfig.encoder_cache_tokens": "kept of images and sound that nobody reads just now",
    "EngineConfig.preemption": "a sequence that gives way is computed again, or goes to the host",
    "EngineConfig.swap_blocks": "host memory of a worker, in KV blocks; unset: as many as it has",
    "EngineConfig.prefix_cache_blocks": "kept beside those in use; unset: all that are free",
    "EngineConfig.prefix_cache_ttl_s": "kept since its last use; unset: until room is needed",
    "EngineConfig.prefix_caching": "use KV again that an equal prefix has left",
    "Torch.device": "of PyTorch: `cpu`, `cuda`, `cuda:1` ...",
    "Torch.dtype": "of weights and KV; unset: `bfloat16` on CUDA, else `float32`",
    "Torch.threads": "of the model; unset: all cores but one",
    "Roofline.device": f"{', '.join(DEVICES)}, or its numbers",
    "Roofline.prefill_overhead_s": "of a step that prefills; unset: `overhead_s`",
    "Roofline.flops_efficiency": "share of the peak that is reached",
    "Roofline.bandwidth_efficiency": "share of the bandwidth that is reached",
    "DeviceSpec.peak_flops_per_s": "dense, at the model's precision",
    "DeviceSpec.bytes_per_s": "memory bandwidth",
    "DeviceSpec.memory_bytes": "for weights and KV",
    "DeviceSpec.host_bytes_per_s": "to host memory, each way",
    "Colocated.prefill_tokens": "most prompt tokens in one step",
    "ChunkedPrefill.token_budget": "tokens in one step, decodes included",
}
"""Class.key -> what it is for. Goes before the comment beside the field."""

_EXAMPLES: Final = {
    "Scenario": """
name: chat-8
description: Does the chat service keep its SLO at 8 requests/s?
seed: 1
endpoint: {type: openai_chat, url: "http://localhost:8000", model: my-model}
workload:
  type: synthetic
  prompt_tokens: {type: fixed, value: 512}
  output_tokens: {type: fixed, value: 128}
arrivals: {type: poisson, rate: 8}
limits: {duration: 2m, warmup: 20s}
slo: {default: {ttft: 500ms, tpot: 50ms}}
validity: {errors: 0.05}
tokenizer: bundled
capture: none
""",
    "OpenAIChat": """
endpoint:
  type: openai_chat
  url: "https://llm.example.com/v1"
  model: my-model
  api_key: "${env:LLM_API_KEY}"
  headers: {X-Team: benchmarks}
  body: {temperature: 0}
  vendor_fields: true
  running_usage: false
  max_tokens_field: max_tokens
  transport: wire
  timeouts: {first_token: 60s}
  verify: true
  ca_file: /etc/ssl/our-ca.pem
  ready_within: 30s
""",
    "OpenAICompletions": """
endpoint: {type: openai_completions, url: "http://localhost:8000", model: my-model}
""",
    "OpenAIResponses": """
endpoint: {type: openai_responses, url: "http://localhost:8000", model: my-model}
""",
    "OpenAIEmbeddings": """
endpoint: {type: openai_embeddings, url: "http://localhost:8000", model: my-embedder}
""",
    "Timeouts": """
endpoint:
  type: openai_chat
  url: "http://localhost:8000"
  timeouts: {connect: 2s, first_token: 60s, between_tokens: 10s, total: 5m}
""",
    "ReasoningFields": """
endpoint:
  type: openai_chat
  url: "http://localhost:8000"
  reasoning:
    effort: chat_template_kwargs.reasoning_effort
    switch: chat_template_kwargs.enable_thinking
    budget: thinking_budget
""",
    "ReferenceEngine": """
endpoint:
  type: reference_engine
  engine: {model: tiny}
  timeouts: {first_token: 60s}
  start_within: 60s
""",
    "InProcess": """
endpoint: {type: in_process, engine: {model: 8b, executor: {type: roofline, device: h200}}}
""",
    "Synthetic": """
workload:
  type: synthetic
  prompt_tokens: {type: log_normal, median: 512, p99: 4096}
  output_tokens: {type: uniform, low: 64, high: 512}
  shared_prefix_tokens: 256
  ignore_eos: true
""",
    "Trace": """
workload:
  type: trace
  source: {type: azure, path: data/azure_2023_conv_5min.csv.gz}
  slice: {duration: 60s}
  rate_scale: 0.5
  time_scale: 1
  token_scale: 0.125
  max_prompt_tokens: 1024
  max_output_tokens: 512
  max_turns: 20
  over_limit: clip
  on_bad_row: fail
  ignore_eos: true
  output_tokens: 256
  replies: recorded
arrivals: {type: timestamps}
""",
    "Questions": """
workload:
  type: questions
  path: data/gsm8k_100.jsonl.gz
  grader: number
  max_output_tokens: 320
  question: question
  answer: answer
  answer_after: "####"
  template: |-
    {question}
    End with one line: #### and the number alone.
""",
    "Agent": """
workload:
  type: agent
  tasks:
    type: questions
    path: data/gsm8k_100.jsonl.gz
    grader: number
    answer_after: "####"
    max_output_tokens: 256
  system: Use the tools. End with the number alone.
  tools:
    - {type: python, timeout: 5s}
    - {type: stub, name: lookup, latency: {type: exponential, mean: 300ms}}
  max_turns: 6
  calls: {type: uniform, low: 1, high: 3}
  keep_reasoning: false
""",
    "ToolUse": """
workload:
  type: tool_use
  turns: {type: uniform, low: 2, high: 8}
  prompt_tokens: {type: fixed, value: 256}
  output_tokens: {type: log_normal, median: 64, p99: 512}
  shared_prefix_tokens: 512
  tools:
    - name: search
      weight: 3
      latency: {type: log_normal, median: 400ms, p99: 5s}
      result_tokens: {type: log_normal, median: 512, p99: 4096}
    - {name: python, latency: {type: fixed, value: 50ms}, failures: 0.1}
  ignore_eos: true
""",
    "Multimodal": """
workload:
  type: multimodal
  prompt_tokens: {type: fixed, value: 32}
  output_tokens: {type: fixed, value: 10}
  images: {count: {type: fixed, value: 4}, sizes: [787x444]}
""",
    "Pictures": """
workload:
  type: multimodal
  prompt_tokens: {type: fixed, value: 32}
  output_tokens: {type: fixed, value: 10}
  images:
    count: {type: uniform, low: 1, high: 8}
    sizes: [313x234, 787x444, 4032x3024]
    distinct: 16
    format: png
    noise: 0.1
    detail: high
  video: {count: {type: fixed, value: 16}, folder: data/frames}
""",
    "Recordings": """
workload:
  type: multimodal
  prompt_tokens: {type: fixed, value: 32}
  output_tokens: {type: fixed, value: 10}
  audio: {seconds: {type: uniform, low: 2s, high: 30s}, distinct: 8}
""",
    "Stub": """
workload:
  type: agent
  tasks:
    type: synthetic
    prompt_tokens: {type: fixed, value: 64}
    output_tokens: {type: fixed, value: 64}
  tools:
    - type: stub
      name: weather
      description: The weather of a city.
      parameters: {type: object, properties: {city: {type: string}}, required: [city]}
      latency: {type: uniform, low: 100ms, high: 900ms}
      results: [rain, sun]
      failures: 0.05
""",
    "FixedTime": """
workload:
  type: agent
  tasks: {type: questions, path: q.jsonl, grader: exact, max_output_tokens: 64}
  tools: [{type: stub, name: slow, latency: {type: fixed, value: 2s}}]
""",
    "Fixed": """
workload:
  type: synthetic
  prompt_tokens: {type: fixed, value: 512}
  output_tokens: {type: fixed, value: 128}
""",
    "Uniform": """
workload:
  type: synthetic
  prompt_tokens: {type: fixed, value: 512}
  output_tokens: {type: uniform, low: 64, high: 512}
""",
    "LogNormal": """
workload:
  type: synthetic
  prompt_tokens: {type: log_normal, median: 512, p99: 4096, min: 16, max: 8192}
  output_tokens: {type: log_normal, median: 128, sigma: 0.8}
""",
    "Empirical": """
workload:
  type: synthetic
  prompt_tokens: {type: empirical, values: [128, 1024, 8192]}
  output_tokens: {type: empirical, values: [32, 256], weights: [9, 1]}
""",
    "Azure": """
workload: {type: trace, source: {type: azure, path: data/azure_2023_code_5min.csv.gz}}
""",
    "Mooncake": """
workload: {type: trace, source: {type: mooncake, path: data/mooncake.jsonl, block_tokens: 512}}
""",
    "Jsonl": """
workload: {type: trace, source: {type: jsonl, path: data/own.jsonl, block_tokens: 16}}
""",
    "Weka": """
workload: {type: trace, source: {type: weka, path: data/weka_5.jsonl.gz}}
""",
    "Bailian": """
workload: {type: trace, source: {type: bailian, path: data/qwen_traceA.jsonl, block_tokens: 16}}
""",
    "BurstGPT": """
workload: {type: trace, source: {type: burstgpt, path: data/BurstGPT_1.csv}}
""",
    "TraceLab": """
workload: {type: trace, source: {type: tracelab, path: data/round_trace.jsonl}}
""",
    "Otel": """
workload: {type: trace, source: {type: otel, path: data/spans.json}}
""",
    "ShareGPT": """
workload: {type: trace, source: {type: sharegpt, path: data/ShareGPT_V3.json}}
""",
    "VllmCustom": """
workload: {type: trace, source: {type: vllm_custom, path: data/prompts.jsonl}}
""",
    "AIPerfMooncake": """
workload: {type: trace, source: {type: aiperf_mooncake, path: data/trace.jsonl, block_tokens: 512}}
""",
    "AIPerfDag": """
workload: {type: trace, source: {type: aiperf_dag, path: data/agents.dag.jsonl}}
""",
    "Apex": """
workload: {type: trace, source: {type: apex, path: data/lmsys_0.5.jsonl}}
""",
    "MLCommonsAgentic": """
workload: {type: trace, source: {type: mlcommons_agentic, path: data/agentic_coding.jsonl}}
""",
    "SweAgent": """
workload: {type: trace, source: {type: swe_agent, path: data/trajectories}}
""",
    "OpenHands": """
workload: {type: trace, source: {type: openhands, path: data/output.jsonl}}
""",
    "ToolBench": """
workload: {type: trace, source: {type: toolbench, path: data/answers.jsonl}}
""",
    "TauBench": """
workload:
  type: trace
  source:
    type: tau_bench
    path: data/tau_bench_airline_5.jsonl.gz
    tools: data/tau_bench_tools.json
    domain: airline
""",
    "Bfcl": """
workload:
  type: trace
  source: {type: bfcl, path: data/BFCL_v4_multi_turn_base.json, functions: data/functions.json}
""",
    "TimedTrace": """
workload:
  type: trace
  source:
    type: timed_trace
    path: data/timed.jsonl
    timestamp: t
    input_length: in
    output_length: out
    hash_ids: blocks
    seconds: 0.001
    block_tokens: 16
""",
    "HuggingFace": """
workload:
  type: trace
  source:
    type: hugging_face
    path: HuggingFaceH4/ultrachat_200k
    split: train_sft
    messages: messages
""",
    "Slice": """
workload:
  type: trace
  source: {type: azure, path: data/azure_2023_conv_5min.csv.gz}
  slice: {start: 1m, duration: 2m, requests: 500}
""",
    "Constant": "arrivals: {type: constant, rate: 8}",
    "Poisson": "arrivals: {type: poisson, rate: 8}",
    "Gamma": "arrivals: {type: gamma, rate: 8, burstiness: 0.5}",
    "Ramp": """
arrivals:
  type: ramp
  points: [{at: 0, rate: 1}, {at: 60s, rate: 20}, {at: 90s, rate: 20}]
  spacing: poisson
""",
    "Timestamps": "arrivals: {type: timestamps, speed: 2}",
    "ClosedLoop": "arrivals: {type: closed_loop, concurrency: 64}",
    "Weibull": "arrivals: {type: weibull, rate: 8, shape: 0.6}",
    "Mmpp": """
arrivals:
  type: mmpp
  states: [{rate: 2, stay: 60s}, {rate: 30, stay: 5s}]
""",
    "Hawkes": """
arrivals: {type: hawkes, rate: 4, memory: 2s, branching: 0.7}
""",
    "HawkesClass": """
arrivals:
  type: hawkes
  rate: 4
  memory: 2s
  classes:
    chat: {weight: 3}
    agent: {weight: 1, after: {agent: 0.8, chat: 0.1}}
workload:
  type: mix
  parts:
    chat:
      workload:
        type: synthetic
        prompt_tokens: {type: fixed, value: 500}
        output_tokens: {type: fixed, value: 200}
    agent:
      workload:
        type: synthetic
        prompt_tokens: {type: fixed, value: 8000}
        output_tokens: {type: fixed, value: 50}
""",
    "Resampled": """
workload: {type: resampled, source: {type: azure, path: data/azure_2023_code_5min.csv.gz}}
""",
    "ServeGen": """
workload: {type: servegen, path: data/reason/deepseek-r1, start: 6h, duration: 10m}
arrivals: {type: timestamps}
""",
    "RateSeries": """
arrivals: {type: rate_series, step: 10m, rates: [2, 5, 9, 4], repeat: true}
""",
    "Diurnal": "arrivals: {type: diurnal, rate: 5, amplitude: 0.9, period: 24h, peak: 14h}",
    "Bursts": "arrivals: {type: bursts, size: 50, every: 30s, within: 1s, rate: 2}",
    "Users": "arrivals: {type: users, users: 40, think: 15s}",
    "Mix": """
workload:
  type: mix
  parts:
    chat:
      weight: 9
      priority: 0
      workload:
        type: synthetic
        prompt_tokens: {type: log_normal, median: 512, p99: 4096}
        output_tokens: {type: uniform, low: 64, high: 512}
    batch:
      weight: 1
      priority: 5
      tenant: nightly
      workload:
        type: synthetic
        prompt_tokens: {type: fixed, value: 6000}
        output_tokens: {type: fixed, value: 300}
slo:
  chat: {ttft: 500ms, tpot: 50ms}
  batch: {e2e_latency: 2m}
""",
    "MarkovPriority": """
workload:
  type: mix
  parts:
    chat:
      priority: {type: markov, levels: [0, 1, 2], stay: 0.9}
      workload:
        type: synthetic
        prompt_tokens: {type: fixed, value: 500}
        output_tokens: {type: fixed, value: 200}
""",
    "Limits": "limits: {requests: 1000, duration: 5m, warmup: 20s, drain: 30s}",
    "Slo": """
slo:
  default: {ttft: 500ms, tpot: 50ms, itl_p99: 200ms}
  batch: {ttfo: 5s, e2e_latency: 60s, normalised_latency: 100ms}
  long: {ttft: {base: 300ms, per_prompt_token: 250us}, tpot: 50ms, target: 0.9, strict: true}
  mlperf: {ttft: 2s, tpot: 200ms, at: p99, joint: false}
  code: {preset: distserve-code-66b, tpot: 150ms}
  stream: {itl: 100ms, at: p99}
  reader: {fluidity: 0.9, qoe: 0.95, idle_latency: 1s, pace: {first: 1s, gap: 50ms}}
""",
    "Line": """
slo: {default: {ttft: {base: 150ms, per_prompt_token: 250us, per_image: 620ms}}}
""",
    "Pace": """
slo: {default: {ttft: 500ms, pace: {first: {base: 300ms, per_prompt_token: 250us}, gap: 30ms}}}
""",
    "Idle": """
slo:
  default:
    preset: splitwise-9
    idle: {ttft: {per_prompt_token: 250us}, itl: 30ms, e2e_latency: {per_output_token: 30ms}}
""",
    "Deployment": """
deployment:
  model: llama-3.1-8b
  active_params: 8.0e+9
  accelerator: h100-sxm
  num_accelerators: 2
  prices: {usd_per_accelerator_hour: 2.5}
""",
    "ModelShape": """
deployment:
  model:
    active_params: 3.3e+9
    total_params: 30.5e+9
    num_layers: 48
    hidden_size: 2048
    num_heads: 32
    num_kv_heads: 4
    head_dim: 128
""",
    "Accelerator": """
deployment:
  accelerator: {dense_flops_per_s: 989.5e+12, sparse_flops_per_s: 1979.0e+12, bytes_per_s: 3.35e+12}
""",
    "Prices": """
deployment:
  prices:
    usd_per_accelerator_hour: 2.5
    usd_per_million_prompt_tokens: 0.1
    usd_per_million_cached_tokens: 0.025
    usd_per_million_output_tokens: 0.4
""",
    "Validity": "validity: {send_delay: 10ms, errors: 0.05, min_requests: 100}",
    "Telemetry": 'telemetry: {server: "http://localhost:9090/metrics", every: 500ms}',
    "EngineConfig": """
endpoint:
  type: reference_engine
  engine:
    model: tiny
    model_name: my-model
    seed: 7
    policy: {type: colocated}
    block_size: 16
    num_blocks: 1024
    max_sequences: 32
    max_model_len: 2048
    max_queue: 100
    image_tokens: 256
    encoder_cache_tokens: 16384
    preemption: swap
    swap_blocks: 2048
    prefix_caching: true
    prefix_cache_blocks: 512
    prefix_cache_ttl_s: 300
    timeouts: {request_s: 600, drain_s: 30}
    behaviour: {tool_call_share: 0.7, effort: low}
""",
    "ServerTimeouts": """
endpoint:
  type: reference_engine
  engine:
    timeouts: {request_s: 600, body_s: 30, idle_s: 120, stalled_s: 20, drain_s: 30}
""",
    "Behaviour": """
endpoint:
  type: reference_engine
  engine:
    behaviour:
      tool_call_share: 0.7
      effort: low
      minimal_tokens: 10
      low_tokens: 50
      medium_tokens: 200
      high_tokens: 800
      xhigh_tokens: 3000
      spread: 0.3
""",
    "Torch": """
endpoint:
  type: reference_engine
  engine: {model: 1b, executor: {type: torch, device: cuda, dtype: bfloat16}}
""",
    "Roofline": """
endpoint:
  type: in_process
  engine:
    model: 8b
    executor:
      type: roofline
      device: h100
      flops_efficiency: 0.6
      bandwidth_efficiency: 0.8
      overhead_s: 0.0005
      prefill_overhead_s: 0.01
      overhead_per_sequence_s: 0.00002
      memory_share: 0.9
""",
    "DeviceSpec": """
endpoint:
  type: in_process
  engine:
    model: 8b
    executor:
      type: roofline
      device: {peak_flops_per_s: 500.0e+12, bytes_per_s: 2.0e+12, memory_bytes: 64.0e+9}
""",
    "Colocated": """
endpoint: {type: reference_engine, engine: {policy: {type: colocated, prefill_tokens: 4096}}}
""",
    "ChunkedPrefill": """
endpoint: {type: reference_engine, engine: {policy: {type: chunked_prefill, token_budget: 256}}}
""",
    "LayeredPrefill": """
endpoint:
  type: in_process
  engine:
    model: qwen3-30b-a3b
    executor: {type: roofline, device: h200}
    policy: {type: layered_prefill, step_tokens: 512, replicas: 2}
""",
    "Deadline": """
endpoint:
  type: in_process
  engine:
    model: llama-3-8b
    executor: {type: roofline, device: h200}
    policy:
      type: deadline
      order: s_edf
      preempt: true
      step_tokens: 512
      ttft_slo_s: 6
      ttft_slo_s_by_priority: {0: 0.25, 1: 0.5}
      prediction_bias: 1
      replicas: 1
""",
    "Disaggregated": """
endpoint:
  type: in_process
  engine:
    model: llama-3-8b
    executor: {type: roofline, device: h200, link_bytes_per_s: 25.0e+9}
    policy: {type: disaggregated, prefill_workers: 2, decode_workers: 1, prefill_tokens: 4096}
""",
    "EncodePrefillDecode": """
endpoint:
  type: in_process
  engine:
    model: llama-3-8b
    executor: {type: roofline, device: h200}
    policy:
      type: encode_prefill_decode
      encode_workers: 2
      prefill_workers: 1
      decode_workers: 1
      encode_tokens: 2048
      prefill_tokens: 8192
""",
}

_INTRO: Final = """\
# Scenarios

Written by `scripts/docs_scenarios.py` from the types in `benchsuite/` and `reference_engine/`;
change it there. `benchsuite list` prints the choices, `benchsuite schema` the JSON Schema.

A scenario is one question as one YAML file (YAML 1.2). Its first comment says the question, where
the numbers come from, and how long the run takes. `benchsuite check SCENARIO` checks it and says
what it would send.

- **Unknown keys are refused**, with file, line, column and what would have been right. All that is
  wrong is said at once.
- **A choice has a `type`**; the other keys belong to that type.
- **Durations** are seconds or text: `0.5`, `500us`, `500ms`, `2s`, `3m`, `1h`.
- **Paths** are relative to the scenario's own folder. Where a name may stand too, a path is what
  has a `/` or a `.` and exists.
- **Secrets**: in `url`, `api_key` and `headers` a `${env:NAME}` stands for an environment variable.
  What is written to the run folder keeps the reference. Elsewhere it is refused.
- **Overrides**: `benchsuite run SCENARIO --set arrivals.rate=4 --set limits.duration=30s`. The
  value is YAML; an item of a list is its number (`arrivals.points.0.rate`).
- The run folder's `scenario.yaml` has every default written out and runs as it is.

An example shows its part of the file; the rest is as in the first. A dash is no default: the key
may be left out. Keys in bold must be given.

"""


def page() -> str:
    """The whole page."""
    _refuse_gaps()
    contents = "".join(f"- [{group.title}](#{_anchor(group.title)})\n" for group in GROUPS)
    return _INTRO + contents + "".join(_section(group) for group in GROUPS)


def _section(group: Group) -> str:
    text = f"\n## {group.title}\n\n{group.where}\n"
    seen: dict[str, str] = {}  # table -> the choice that has it
    for choice in group.choices:
        text += _choice(choice, seen, is_alone=len(group.choices) == 1)
    return text


def _choice(choice: type, seen: dict[str, str], *, is_alone: bool) -> str:
    info = _info(choice)
    text = "" if is_alone else f"\n### `{info.tag}`\n"
    doc = inspect.getdoc(choice)
    assert doc, f"{choice.__name__} has no docstring"
    text += "\n" + "\n\n".join(_reflowed(paragraph) for paragraph in doc.split("\n\n")) + "\n"
    if info.fields:
        table = "".join(_row(choice, field) for field in info.fields)
        same = seen.setdefault(table, str(info.tag))
        header = "| key | value | default | what |\n|---|---|---|---|\n"
        text += f"\nKeys: those of `{same}`.\n" if same != str(info.tag) else f"\n{header}{table}"
    example = _EXAMPLES.get(choice.__name__)
    return text if example is None else f"{text}\n```yaml\n{example.strip()}\n```\n"


def _reflowed(paragraph: str) -> str:
    """Lines of at most 100 characters, with no code cut in two."""
    text = re.sub(r"`[^`]+`", lambda code: code[0].replace(" ", "\0"), " ".join(paragraph.split()))
    lines = textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)
    return lines.replace("\0", " ")


def _row(choice: type, field: types.Field) -> str:
    name = f"**`{field.encode_name}`**" if field.required else f"`{field.encode_name}`"
    what = _what(choice, field.name)
    cells = (name, _value(field.type), _default(field), what)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


# What a key is for


def _what(choice: type, name: str) -> str:
    for owner in choice.__mro__:
        if line := _LINES.get(f"{owner.__name__}.{name}") or _comments(owner).get(name):
            return line
    raise ValueError(f"{choice.__name__}.{name}: write a comment beside it that says what it is")


def _comments(owner: type) -> dict[str, str]:
    """Field -> the comment on the line where its definition ends."""
    if not issubclass(owner, msgspec.Struct) or owner is msgspec.Struct:
        return {}
    source = textwrap.dedent(inspect.getsource(owner))
    lines = source.splitlines()
    (tree,) = ast.parse(source).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            _, has_comment, comment = lines[(node.end_lineno or 0) - 1].partition("  # ")
            if has_comment:
                found[node.target.id] = comment
    return found


# What a value may be


def _value(kind: types.Type) -> str:
    """In words. Bounds of numbers are said; those of texts and lists are not."""
    if isinstance(kind, types.Metadata):
        extra = kind.extra or {}
        if extra.get("unit") == "s":
            return "duration"
        words = {True: "path", "or name": "name or path"}
        return words.get(extra.get("path"), "") or _value(kind.type)
    if isinstance(kind, types.UnionType):
        return _union(kind)
    if isinstance(kind, types.StructType):
        return _link(kind.cls)
    if isinstance(kind, types.LiteralType):
        return ", ".join(f"`{value}`" for value in kind.values)
    if isinstance(kind, types.IntType | types.FloatType):
        return _number(kind)
    if isinstance(kind, types.DictType):
        return f"name: {_value(kind.value_type)}"
    if isinstance(kind, types.VarTupleType):
        return f"list of: {_value(kind.item_type)}"
    words = {types.StrType: "text", types.BoolType: "`true`, `false`", types.AnyType: "anything"}
    return words[type(kind)]


def _union(kind: types.UnionType) -> str:
    parts = [one for one in kind.types if not isinstance(one, types.NoneType)]
    found = dict.fromkeys(_value(one) for one in parts)  # choices of one group are one link
    return " or ".join(found)


def _number(kind: types.IntType | types.FloatType) -> str:
    word = "whole number" if isinstance(kind, types.IntType) else "number"
    bounds = {"≥": kind.ge, ">": kind.gt, "≤": kind.le, "<": kind.lt}
    said = [f"{sign} {bound:g}" for sign, bound in bounds.items() if bound is not None]
    return " ".join([word, ", ".join(said)]).strip()


def _link(cls: type) -> str:
    group = next((group for group in GROUPS if cls in group.choices), None)
    assert group is not None, f"{cls.__name__} belongs to no group of this script"
    return f"[{group.title}](#{_anchor(group.title)})"


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


# Defaults


def _default(field: types.Field) -> str:
    if field.required or field.default is None:
        return "" if field.required else "–"
    value = field.default
    if value is msgspec.NODEFAULT:
        value = field.default_factory()
    if value == "":
        return "–"
    is_duration = isinstance(field.type, types.Metadata) and _value(field.type) == "duration"
    text = _duration(value) if is_duration else _flow(_changed(value))
    return f"`{text}`" if text != "{}" else "its defaults" if field.default is value else "none"


def _duration(value_s: float) -> str:
    return f"{value_s:g}s" if value_s >= 1 or not value_s else f"{value_s * 1e3:g}ms"


def _changed(value: Any) -> Any:
    """A struct as its `type` and what differs from its type's own defaults."""
    if not isinstance(value, msgspec.Struct):
        return value
    info = _info(type(value))
    kept = {info.tag_field: info.tag} if info.tag_field else {}
    for field in info.fields:
        own = getattr(value, field.name)
        if field.required or own != field.default:
            kept[field.encode_name] = _changed(own)
    return kept


def _flow(value: Any) -> str:
    """YAML in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


# Nothing is left out, nothing is left over


def _refuse_gaps() -> None:
    choices = [choice for group in GROUPS for choice in group.choices]
    missing = {cls for cls in _reachable(Scenario) if cls not in choices}
    assert not missing, f"no group of this script holds {missing}"
    known = {
        f"{owner.__name__}.{field.name}"
        for choice in choices
        for owner in choice.__mro__
        for field in _info(choice).fields
    }
    stale = _LINES.keys() - known
    assert not stale, f"_LINES has keys that no type has: {sorted(stale)}"
    stale = _EXAMPLES.keys() - {choice.__name__ for choice in choices}
    assert not stale, f"_EXAMPLES has types that do not exist: {sorted(stale)}"


def _info(cls: type) -> types.StructType:
    info = types.type_info(cls)
    assert isinstance(info, types.StructType)
    return info


def _reachable(cls: type) -> Iterator[type]:
    """`cls` and every type below it that is a section of a scenario."""
    yield cls
    for field in _info(cls).fields:
        yield from _structs(field.type)


def _structs(kind: types.Type) -> Iterator[type]:
    if isinstance(kind, types.StructType):
        yield from _reachable(kind.cls)
    elif isinstance(kind, types.UnionType):
        for one in kind.types:
            yield from _structs(one)
    else:
        for name in ("type", "item_type", "value_type"):
            if isinstance(inner := getattr(kind, name, None), types.Type):
                yield from _structs(inner)


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(page(), encoding="utf-8")
    print(f"wrote {PATH}")
