"""The engine `hf`: transformers in process, prefix-shared."""
