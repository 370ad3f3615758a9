"""HolisticBias: sentences from descriptors."""
