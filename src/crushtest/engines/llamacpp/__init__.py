"""llama.cpp in this process: GGUF files as they are deployed."""
