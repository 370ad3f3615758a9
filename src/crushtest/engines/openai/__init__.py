"""The engine `openai`: models behind an address."""
