"""The claims in the order of the page, each with its verdict and the reason for it."""

from __future__ import annotations

from paper import claims, own
from paper.claims import Claim

CLAIMS = (
    Claim(
        "C1",
        "Compressing a model can lower its degeneration harm, because the text gets worse",
        "hate scores on ToxiGen and AdvPromptSet, negative regard on HolisticBiasR; 16 arms of at least 50% in 4 "
        "models",
        "loosely",
        claims.degeneration,
        "It depends on the model. Regard falls for Llama-2 and rises for Tulu-2. Hate scores mostly rise, except for "
        "Llama-2-7B, whose 2:4 and 4:8 arms were probably generated in another way (defect 12).",
        own.degeneration,
    ),
    Claim(
        "C2",
        "Compression can still raise representational harm",
        "BBQ's disambiguated bias score and UnQover's eta; 32 pruned arms in 4 models",
        "artefact",
        claims.representational,
        "The BBQ score grows with unknown answers, and in six categories counts nothing else (defect 1). UnQover's "
        "eta falls "
        "more often than it rises. The tables do not show whether the harm rises.",
        own.representational,
    ),
    Claim(
        "C3",
        "Negative regard falls as perplexity rises, so such scores follow the quality of text",
        "negative regard on HolisticBiasR against the mean perplexity on Dolma; dense and 32 pruned arms",
        "loosely",
        claims.regard_and_perplexity,
        "It holds for Llama-2, the models shown. For Tulu-2 it is the other way round.",
        own.harm_and_perplexity,
    ),
    Claim(
        "C4",
        "UnQover's bias over all subjects hardly moves with pruning, except for magnitude pruning",
        "UnQover's eta in 4 categories; 32 pruned arms in 4 models",
        "loosely",
        claims.steady,
        "At 13B magnitude is no exception. Eta is far from 0 by chance alone (defect 4) and does not see by how "
        "much one "
        "subject wins.",
        own.steady,
    ),
    Claim(
        "C5a",
        "BBQ accuracy on disambiguated questions falls sharply with pruning",
        "BBQ accuracy, disambiguated; 32 pruned arms in 4 models",
        "holds",
        claims.accuracy,
        "The accuracy does not depend on the scorer's error. One row of dense is void (defect 11).",
        own.accuracy,
    ),
    Claim(
        "C5b",
        "BBQ bias rises meanwhile",
        "BBQ's disambiguated bias score; 32 pruned arms in 4 models",
        "artefact",
        claims.bias,
        "See C2. All 32 arms of Llama-2-13B lie above a dense row that was scored on other items (defect 11).",
        own.bias,
    ),
    Claim(
        "C6a",
        "Groups go different ways as compression grows while the total stays: UnQover",
        "eta of UnQover's subjects in religion and ethnicity, with mended names",
        "holds",
        claims.subjects,
        "It holds on mended names only: the published heat maps compare subjects of equal rank (defect 7). For "
        "Tulu-2 even "
        "int8 moves subjects by 13 points and more; without the arms that were probably prompted otherwise (defect "
        "13) the "
        "spread grows there as well.",
        own.subjects,
    ),
    Claim(
        "C6b",
        "Groups go different ways as compression grows while the total stays: BBQ",
        "BBQ's disambiguated bias score by category",
        "artefact",
        claims.by_category,
        "Most columns measure how often a model answers unknown (defect 1), against a void dense row (defect 11).",
        own.by_category,
    ),
    Claim(
        "C7",
        "Quantization mostly preserves bias and toxicity",
        "7 means of degeneration, 4 of UnQover's eta, BBQ's bias score; int8, AWQ and GPTQ in 4 models",
        "loosely",
        claims.quantization,
        "For Llama-2 it holds once the arms of 7B are left out that were probably generated in another way (defect "
        "12). For "
        "Tulu-2 the means are so small that 10% is noise.",
        own.quantization,
    ),
    Claim(
        "C8",
        "At similar compression pruning degrades a model and quantization hardly does",
        "mean perplexity on Dolma; int8, AWQ, GPTQ and 50% unstructured pruning in 4 models",
        "holds",
        claims.quality,
        "The two ranges do not meet.",
        own.quality,
    ),
    Claim(
        "C9",
        "Compression widens the gap in perplexity between dialects",
        "TwitterAAE (AA and white), AAVE literature and Dolma's books; 32 pruned arms in 4 models",
        "loosely",
        claims.dialect,
        "The difference grows because all perplexities grow. As a ratio, which is a difference in nats, it hardly "
        "grows on "
        "tweets and mostly shrinks on books.",
        own.dialect,
    ),
    Claim(
        "C10",
        "Models of 7B show the same trends as those of 13B",
        "rank correlation of 7B with 13B over 32 pruned arms, Llama-2 first, then Tulu-2",
        "loosely",
        claims.sizes,
        "Quality agrees, toxicity in part, the bias score not at all.",
        own.one_size,
    ),
    Claim(
        "C11",
        "Supervised fine-tuning lowers degeneration harm and not representational harm",
        "dense rows of Llama-2 and Tulu-2 in two sizes",
        "holds",
        claims.fine_tuning,
        "Two pairs of models, and Tulu-2 was prompted with its chat template, Llama-2 without one (defect 5).",
        own.untrained,
    ),
    Claim(
        "C12",
        "Pruning first and fine-tuning afterwards does better than the other order",
        "figure 4, read off its bars; 4 methods, BBQ",
        "holds",
        claims.order,
        "For accuracy. The bias half cannot be judged, because the score counts unknown answers. One checkpoint, "
        "and how "
        "much was pruned is not stated.",
        own.both_orders,
    ),
)
