"""Readers of quantized weights, one file per format: from the stored parts of a layer to its weight."""
