"""BBQ: bias in question answering."""
