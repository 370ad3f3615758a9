"""A text classifier of a few thousand weights, made here: the hub's are too large to ship and not at hand."""

from __future__ import annotations

from pathlib import Path

WORDS = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "a", "is", "was", "for", "good", "bad", "vile", "kind"),
    *("man", "woman", "person", "known", "xyz", "lake", "they", "had", "day", ".", ",", "!", "##s", "his", "songs"),
)


def make_classifier(
    folder: Path,
    labels: tuple[str, ...] = ("0", "1"),
    *,
    logits: tuple[float, ...] | None = None,
    independent: bool = False,
    positions: int = 64,
) -> Path:
    """A random BERT in `folder`, saved as the hub's models are.

    logits       makes it answer these to everything
    independent  its labels have probabilities of their own
    positions    tokens it reads
    """
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=positions).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=positions,
        initializer_range=0.5,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
        problem_type="multi_label_classification" if independent else None,
    )
    model = BertForSequenceClassification(config)
    if logits is not None:
        torch.nn.init.zeros_(model.classifier.weight)
        model.classifier.bias.data = torch.tensor(logits)
    model.save_pretrained(folder)
    return folder
