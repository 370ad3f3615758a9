"""AdvPromptSet: prompts that mention people."""
