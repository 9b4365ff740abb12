"""The torch executor's tests need torch; without the `engine` extra they are not collected."""

from importlib.util import find_spec

collect_ignore = (
    []
    if find_spec("torch") and find_spec("safetensors")
    else ["test_torch_executor.py", "test_paged_executor.py"]
)
