"""Fine-tune a model on instructions: an example for the study of training before and after pruning.

    python train.py demo -o tuned
    python train.py pruned -o pruned-tuned --keep-zeros

The instructions are those that people wrote for Self-Instruct (Wang et al., ACL 2023; Apache-2.0): seed_tasks.jsonl and
user_oriented_instructions.jsonl of github.com/yizhongw/self-instruct. A few hundred steps move a small model a little.
They show the order of training and compression, and do not make a good model.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import DataCollatorForSeq2Seq, Trainer, TrainerCallback, TrainingArguments

from crushtest import load_model

LOSS_IGNORES = -100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a folder, a hub id, a .gguf file, or demo")
    parser.add_argument("-o", "--out", type=Path, required=True, help="a new folder for the trained model")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="the files of instructions")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=2, help="examples per step")
    parser.add_argument("--longest", type=int, default=96, help="tokens per example; longer ones are left out")
    parser.add_argument("--rate", type=float, default=2e-5, help="learning rate, falling to 0")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep-zeros", action="store_true", help="weights that are 0 stay 0: the model remains pruned")
    how = parser.parse_args()
    if how.out.exists():
        parser.error(f"{how.out} exists already")

    loaded = load_model(how.model)
    loaded.network.requires_grad_(True)
    examples = [example for path in how.data for example in read_examples(path, loaded.tokenizer, how.longest)]
    print(f"{len(examples)} examples of at most {how.longest} tokens")
    trainer = Trainer(
        loaded.network,
        TrainingArguments(
            output_dir=str(how.out),
            max_steps=how.steps,
            per_device_train_batch_size=how.batch,
            learning_rate=how.rate,
            lr_scheduler_type="linear",
            warmup_steps=how.steps // 20,
            weight_decay=0.0,
            logging_steps=max(1, how.steps // 15),
            save_strategy="no",
            report_to=[],
            dataloader_pin_memory=False,
            seed=how.seed,
        ),
        data_collator=DataCollatorForSeq2Seq(loaded.tokenizer, label_pad_token_id=LOSS_IGNORES),
        train_dataset=examples,
        callbacks=[KeepZeros(loaded.network)] if how.keep_zeros else [],
    )
    trainer.train()
    loaded.network.save_pretrained(how.out)
    loaded.tokenizer.save_pretrained(how.out)


def read_examples(path: Path, tokenizer: Any, longest: int) -> Iterator[dict[str, list[int]]]:
    """Yield each instruction and its answer as token ids; only the answer has labels."""
    with path.open(encoding="utf-8") as lines:
        for task in map(json.loads, lines):
            for instance in task["instances"]:
                request = "\n\n".join(part for part in (task["instruction"], instance["input"]) if part)
                asked = [{"role": "user", "content": request}]
                whole = [*asked, {"role": "assistant", "content": instance["output"]}]
                before = ids(tokenizer, asked, add_generation_prompt=True)
                tokens = ids(tokenizer, whole)
                if tokens[: len(before)] == before and len(tokens) <= longest:
                    yield {"input_ids": tokens, "labels": [LOSS_IGNORES] * len(before) + tokens[len(before) :]}


def ids(tokenizer: Any, messages: list[dict[str, str]], **how: bool) -> list[int]:
    return tokenizer(tokenizer.apply_chat_template(messages, tokenize=False, **how), add_special_tokens=False)[
        "input_ids"
    ]


class KeepZeros(TrainerCallback):
    """Set the weights of linear layers that were 0 before training to 0 again after each step."""

    def __init__(self, network: nn.Module) -> None:
        linear = [module.weight for module in network.modules() if isinstance(module, nn.Linear)]
        self.pruned = [(weight, weight.detach() == 0) for weight in linear if (weight == 0).any()]
        if not self.pruned:
            raise SystemExit("--keep-zeros: no weight of this model is 0")

    def on_step_end(self, *args: Any, **more: Any) -> None:
        with torch.no_grad():
            for weight, zeros in self.pruned:
                weight[zeros] = 0


if __name__ == "__main__":
    main()
