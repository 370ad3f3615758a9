"""Peak memory of `crushtest compress` on a Llama of 3.2 billion random weights in bfloat16 (6.4 GB of safetensors).

    python benchmarks/big_model.py FOLDER [--recipes wanda:sparsity=0.5 ...] [--offloads none disk]

FOLDER takes the model (made once, kept) and, for the time of a run, the result: 13 GB in all. Measured in a process of
its own: the highest resident memory (VmHWM, which counts pages of memory-mapped files, too) and, sampled five times a
second, the highest part of it that is not such pages (RssAnon).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

SHAPE = {
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_hidden_layers": 28,
    "num_attention_heads": 24,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 128256,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}


def make(folder: Path) -> None:
    """Write the model, a file for each block, so that no more than that is in memory."""
    import torch
    from accelerate import init_empty_weights
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, LlamaConfig

    from crushtest.models.load import load_model

    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    config = LlamaConfig(**SHAPE, architectures=["LlamaForCausalLM"], dtype="bfloat16")
    with init_empty_weights():
        network = AutoModelForCausalLM.from_config(config)
    network.tie_weights()
    shards: dict[str, list[str]] = {}
    for name, _ in network.named_parameters():
        part = name.split(".")[2] if ".layers." in name else "rest"
        shards.setdefault(f"model-{part}.safetensors", []).append(name)
    generator = torch.Generator().manual_seed(0)
    places = {}
    for file, names in shards.items():
        tensors = {}
        for name in names:
            shape = network.get_parameter(name).shape
            # as trained models have them: norms near 1, weights that keep the size of what passes
            drawn = torch.ones(shape) if len(shape) == 1 else torch.randn(shape, generator=generator) * 0.02
            tensors[name] = drawn.to(torch.bfloat16)
        save_file(tensors, partial / file, metadata={"format": "pt"})
        places |= dict.fromkeys(names, file)
    index = {"metadata": {}, "weight_map": places}
    (partial / "model.safetensors.index.json").write_text(json.dumps(index))
    config.save_pretrained(partial)
    load_model("demo").tokenizer.save_pretrained(partial)
    partial.rename(folder)


def measure(command: list[str]) -> tuple[float, int, int, str]:
    """Seconds, VmHWM and highest RssAnon in bytes, and what a command printed."""
    highest = {"VmHWM": 0, "RssAnon": 0}
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def sample() -> None:
        while process.poll() is None:
            try:
                lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            except OSError:
                return
            for line in lines:
                key, _, value = line.partition(":")
                if key in highest:
                    highest[key] = max(highest[key], int(value.split()[0]) * 1024)
            time.sleep(0.2)

    sampler = threading.Thread(target=sample)
    sampler.start()
    output = process.communicate()[0]
    sampler.join()
    if process.returncode:
        sys.exit(output[-2000:])
    return time.monotonic() - start, highest["VmHWM"], highest["RssAnon"], output.splitlines()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recipes", nargs="+", default=["magnitude:sparsity=0.5", "wanda:sparsity=0.5"])
    parser.add_argument("--offloads", nargs="+", default=["none", "disk"])
    parser.add_argument("--sequences", type=int, default=4)
    parser.add_argument("--length", type=int, default=128)
    options = parser.parse_args()
    model, out = options.folder / "dense", options.folder / "out"
    if not model.is_dir():
        make(model)
    size = sum(path.stat().st_size for path in model.glob("*.safetensors"))
    print(f"weights {size / 1e9:.2f} GB, {options.sequences} x {options.length} calibration tokens")
    for recipe in options.recipes:
        for offload in options.offloads:
            shutil.rmtree(out, ignore_errors=True)
            command = [
                sys.executable,
                "-m",
                "crushtest.cli",
                "compress",
                str(model),
                "-r",
                recipe,
                "-o",
                str(out),
            ]
            command += ["--dtype", "bfloat16", "--offload", offload]
            command += ["--sequences", str(options.sequences), "--length", str(options.length)]
            seconds, peak, own, said = measure(command)
            print(
                f"{recipe}  offload={offload}  {seconds:.0f} s  VmHWM {peak / 1e9:.2f} GB  RssAnon {own / 1e9:.2f} GB"
            )
            print(f"    {said.partition(': ')[2]}", flush=True)
            shutil.rmtree(out, ignore_errors=True)


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
