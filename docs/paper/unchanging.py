"""Sentences on defects that name lines of code or of a table, with nothing to count."""

from __future__ import annotations

PROTOCOL = (
    "From the code: options are scored with left padding and one prefix length for a batch, so shorter options are "
    "charged "
    "for the last tokens of the prompt (`src/multi_qa.py`, lines 109 to 123). The last window of a text is shorter "
    "and weighs as "
    "much as a full one (`src/test_perplexity.py`, lines 169 to 190). Completions have at least 30 new tokens by "
    "default, so no model "
    "can stop earlier, and are greedy unless a switch is given (`src/run_generation.py`). Tulu's chat template is "
    "used where the "
    "model's path contains “tulu” (`src/multi_qa.py`, lines 19 and 35), which a path of a quantized or pruned copy "
    "need not."
)
NOMINAL = (
    "The column is the dense size times (1 - sparsity), in units of 2^30, embeddings included, for pruned models, "
    "and dense "
    "size for quantized ones (12.122 x 0.9 = 10.910, in lines 2 and 4 of realtoxicityprompts.csv). It was not "
    "counted, so it is left out here."
)
SHIFTED = (
    "Lines 74 to 76 end in three empty cells: each of the three blocks (perplexity, ToxiGen score, hate score) has "
    "one subgroup "
    "fewer than the header, in another order. The last cells of each block are its pooled numbers and can be put "
    "back; the groups "
    "cannot be told."
)
SINGLE = (
    "WikiText-2 in line 10 (6.5) and line 139 (4.87, below dense) is low, in line 142 (6.44) high; peS2o in line "
    "137 (6.97) is "
    "high, and the mean of six with it. Against dense each rose otherwise than the other corpora of its arm, by "
    "more than in "
    "any other model. Wanda of Tulu-2-7B is 8 to 28% worse than magnitude from 10 to 40%; in the other models by "
    "less than 2%."
)
