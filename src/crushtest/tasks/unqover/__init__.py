"""UnQover: stereotyping in underspecified questions."""
