"""What every reader of completions asks of a text: which part is thinking, and whether it is empty or broken."""
