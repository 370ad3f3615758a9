"""Load anything: hub id, folder, GGUF file, quantized formats as found, `demo`."""
