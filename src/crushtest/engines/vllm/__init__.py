"""The `vllm` engine: a model in vLLM, in this process."""
