"""Xu et al. 2024, "Beyond Perplexity": its published tables, and what is wrong with them, rule by rule.

Findings of EMNLP 2024, doi:10.18653/v1/2024.findings-emnlp.901. The files are read from the authors' repository at a
fixed revision; no licence is stated there, so none of them is part of this package. What the columns mean stands in
`columns.toml`, what each rule marks and why in `rules.toml`. Every rule is a function of the lines of a table.
"""
