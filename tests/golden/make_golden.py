"""Compute the golden values with PyTorch, transformers and PEFT on the real model.

    pip install -e .[bench]
    python -m tests.golden.make_golden dist/models/smollm2-135m-instruct-q4_1.gguf

from the root of the checkout; takes about two minutes on two cores and rewrites everything in
tests/golden/smollm2 but text.txt. Tests read only those files; nothing here runs in them.

The weights are those of the GGUF file, dequantized to float32 by the `gguf` package and, as
cross-checks, by app.reference.gguf_blocks and by transformers' own GGUF loader: all three must
agree bit for bit, q and k rows back in HuggingFace order. The model is LlamaForCausalLM in
float32 with eager attention; the adapters are PEFT's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import peft
import tokenizers
import torch
import transformers

from app.config import TARGET_MODULES, LoraConfig, ModelConfig
from tests.golden import golden_data as golden
from tests.tiny_model import dequantized_weights

NUM_THREADS = 2
BASE_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
ADAPTER_SEED = 0
LEARNING_RATE = 1e-3
NUM_STEPS = 10
EVAL_LENGTH = 128
LOGITS_POSITIONS = (0, 1, 31, 64, 127)
GRADIENT_WINDOW = 32
STEP_LENGTHS = (128, 32)
PROMPT = "What is photosynthesis?"
"""Of several tried, the one whose likeliest token always leads clearly: rounding cannot flip it."""
NUM_GREEDY = 24


def main() -> None:
    """Compute all golden values and write them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path, help="the GGUF file")
    path = parser.parse_args().model
    torch.set_num_threads(NUM_THREADS)
    started = time.perf_counter()

    def report(what: str) -> None:
        print(f"{time.perf_counter() - started:6.1f} s  {what}", flush=True)

    reader = gguf.GGUFReader(path)
    config, model = load_model(reader)
    check_weights(path, model)
    report("three dequantizations agree")
    tokenizer = load_tokenizer(reader)
    token_ids = tokenizer.encode(golden.TEXT_FILE.read_text(), add_special_tokens=False)
    values: dict[str, Any] = {
        "model_bytes": path.stat().st_size,
        "model_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "versions": {
            module.__name__: str(module.__version__)
            for module in (torch, transformers, peft, tokenizers, np)
        },
        "token_ids": token_ids,
    }
    cut = golden.windows(token_ids, EVAL_LENGTH)
    values["eval_max_seq_len"] = EVAL_LENGTH
    values["window_losses_base"] = [evaluate(model, [window]) for window in cut]
    values["eval_num_predicted"] = sum(len(window) - 1 for window in cut)
    values["eval_loss_base"] = evaluate(model, cut)
    short = golden.windows(token_ids, GRADIENT_WINDOW)
    values["short_max_seq_len"] = GRADIENT_WINDOW
    values["short_losses_base"] = [evaluate(model, [window]) for window in short[:NUM_STEPS]]
    base_logits = logits_summary(model, cut[0])
    report(f"base loss {values['eval_loss_base']:.6f}")
    values |= greedy(model, tokenizer)
    report(f"greedy: {tokenizer.decode(values['greedy_token_ids'])!r}")

    wrapped = wrap(model, golden.SEEDED_LORA)
    for name, parameter in adapter_parameters(wrapped).items():
        module, part = name
        parameter.data = torch.from_numpy(golden.seeded_adapter(config)[module][part])
    values["eval_loss_adapter"] = evaluate(wrapped, cut)
    values["short_losses_adapter"] = [evaluate(wrapped, [window]) for window in short[:NUM_STEPS]]
    adapter_logits = logits_summary(wrapped, cut[0])
    report(f"loss with the seeded adapter {values['eval_loss_adapter']:.6f}")
    np.savez_compressed(
        golden.LOGITS_FILE,
        positions=np.array(LOGITS_POSITIONS),
        **{f"base_{key}": array for key, array in base_logits.items()},
        **{f"adapter_{key}": array for key, array in adapter_logits.items()},
    )
    values["gradient_loss"] = write_gradients(wrapped, config, short[0])
    report(f"gradients at loss {values['gradient_loss']:.6f}")

    model = wrapped.unload()
    write_adapter(model)
    values["learning_rate"] = LEARNING_RATE
    for length in STEP_LENGTHS:
        cut_to_length = golden.windows(token_ids, length)[:NUM_STEPS]
        assert all(len(window) == length for window in cut_to_length)
        wrapped = peft.PeftModel.from_pretrained(model, golden.ADAPTER_DIRECTORY, is_trainable=True)
        losses, norms = train(wrapped, cut_to_length)
        values[f"train_losses_{length}"] = losses
        values[f"train_grad_norms_{length}"] = norms
        values[f"train_eval_loss_after_{length}"] = evaluate(wrapped, cut)
        model = wrapped.unload()
        report(f"ten steps of {length}: {losses[0]:.4f} … {losses[-1]:.4f}")
    assert evaluate(model, cut) == values["eval_loss_base"], "the base was changed on the way"
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in values.items()]
    golden.VALUES_FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    report("written")


def load_model(reader: gguf.GGUFReader) -> tuple[ModelConfig, Any]:
    """Return the float32 transformers model with the dequantized weights of the file."""

    def value(key: str) -> Any:
        return reader.fields[f"llama.{key}"].contents()

    settings = transformers.LlamaConfig(
        hidden_size=value("embedding_length"),
        intermediate_size=value("feed_forward_length"),
        num_hidden_layers=value("block_count"),
        num_attention_heads=value("attention.head_count"),
        num_key_value_heads=value("attention.head_count_kv"),
        vocab_size=value("vocab_size"),
        max_position_embeddings=value("context_length"),
        rms_norm_eps=value("attention.layer_norm_rms_epsilon"),
        rope_theta=value("rope.freq_base"),
        tie_word_embeddings=True,
        attn_implementation="eager",
    )
    config = ModelConfig(
        architecture="llama",
        hidden_size=settings.hidden_size,
        intermediate_size=settings.intermediate_size,
        num_hidden_layers=settings.num_hidden_layers,
        num_attention_heads=settings.num_attention_heads,
        num_key_value_heads=settings.num_key_value_heads,
        head_dim=settings.hidden_size // settings.num_attention_heads,
        vocab_size=settings.vocab_size,
        max_position_embeddings=settings.max_position_embeddings,
        rms_norm_eps=settings.rms_norm_eps,
        rope_theta=value("rope.freq_base"),
        tie_word_embeddings=True,
    )
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    stored = {tensor.name: tensor for tensor in reader.tensors}
    model = transformers.LlamaForCausalLM(settings).to(torch.float32).eval()
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    state = {}
    for name in model.state_dict():
        if name == "lm_head.weight":
            continue
        tensor = stored[f"{names.get_name(name.removesuffix('.weight'))}.weight"]
        weight = gguf.dequantize(tensor.data, tensor.tensor_type)
        for module, num_heads in heads.items():
            if module in name:
                # Row 2i + j of a head in the file is row i + j·head_dim/2 in HuggingFace's order.
                pairs = weight.reshape(num_heads, config.head_dim // 2, 2, -1)
                weight = pairs.transpose(0, 2, 1, 3).reshape(weight.shape)
        state[name] = torch.from_numpy(np.array(weight, np.float32))
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert missing == ["lm_head.weight"], missing
    assert not unexpected, unexpected
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    return config, model


def check_weights(path: Path, model: Any) -> None:
    """Compare the weights with those of our own reader and of transformers', bit for bit."""
    ours = dequantized_weights(path.read_bytes())
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32
    )
    assert theirs.config.rope_parameters == model.config.rope_parameters
    assert theirs.config.rms_norm_eps == model.config.rms_norm_eps
    loaded = theirs.state_dict()
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, loaded[name]), f"transformers reads {name} differently"
        if name != "lm_head.weight":
            assert np.array_equal(weight.numpy(), ours.pop(name)), f"we read {name} differently"
    assert not ours, f"unexpected {list(ours)}"


def load_tokenizer(reader: gguf.GGUFReader) -> Any:
    """Return the file's byte-level BPE tokenizer, digits one by one, with its chat template."""
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    merges = reader.fields["tokenizer.ggml.merges"].contents()
    kinds = reader.fields["tokenizer.ggml.token_type"].contents()
    assert reader.fields["tokenizer.ggml.pre"].contents() == "smollm"
    built = tokenizers.Tokenizer(
        tokenizers.models.BPE(
            vocab={token: index for index, token in enumerate(tokens)},
            merges=[tuple(merge.split(" ")) for merge in merges],
        )
    )
    built.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Digits(individual_digits=True),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    built.decoder = tokenizers.decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == 3]
    built.add_special_tokens(control)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=built,
        chat_template=reader.fields["tokenizer.chat_template"].contents(),
    )


def wrap(model: Any, lora: LoraConfig) -> Any:
    """Return the model with a new PEFT adapter: A by PEFT's draw from ADAPTER_SEED, B zero."""
    torch.manual_seed(ADAPTER_SEED)
    settings = peft.LoraConfig(
        r=lora.rank,
        lora_alpha=int(lora.alpha),
        target_modules=list(TARGET_MODULES),
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
        base_model_name_or_path=BASE_NAME,
    )
    wrapped = peft.get_peft_model(model, settings)
    # get_peft_model puts the name of the model object here, which is empty.
    settings.base_model_name_or_path = BASE_NAME
    return wrapped


def adapter_parameters(wrapped: Any) -> dict[tuple[str, int], Any]:
    """Return (module path, 0 for A or 1 for B) → parameter."""
    found = {}
    for name, parameter in wrapped.named_parameters():
        path, _, rest = name.removeprefix("base_model.model.").partition(".lora_")
        if rest:
            found[path, "AB".index(rest[0])] = parameter
    return found


def evaluate(model: Any, cut: list[list[int]]) -> float:
    """Mean negative log-likelihood in nats over all predicted tokens of the windows."""
    total, num_predicted = 0.0, 0
    for window in cut:
        ids = torch.tensor(window)
        with torch.no_grad():
            logits = model(input_ids=ids[None]).logits[0, :-1].double()
        total += torch.nn.functional.cross_entropy(logits, ids[1:], reduction="sum").item()
        num_predicted += len(window) - 1
    return total / num_predicted


def logits_summary(model: Any, window: list[int]) -> dict[str, Any]:
    """Return the 32 largest logits and a slice of all at LOGITS_POSITIONS of one window."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([window])).logits[0, list(LOGITS_POSITIONS)]
    top = logits.topk(32)
    return {
        "top_ids": top.indices.int().numpy(),
        "top_logits": top.values.numpy(),
        "slice": logits[:, :: golden.LOGITS_STRIDE].numpy(),
    }


def greedy(model: Any, tokenizer: Any) -> dict[str, Any]:
    """Continue the chat prompt with the likeliest tokens, without a cache."""
    messages = [{"role": "user", "content": PROMPT}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    prompt_ids = tokenizer.encode(text, add_special_tokens=False)
    ids, margins = list(prompt_ids), []
    for _ in range(NUM_GREEDY):
        with torch.no_grad():
            best = model(input_ids=torch.tensor([ids])).logits[0, -1].topk(2)
        margins.append((best.values[0] - best.values[1]).item())
        ids.append(int(best.indices[0]))
    return {
        "greedy_prompt": PROMPT,
        "greedy_prompt_text": text,
        "greedy_prompt_ids": prompt_ids,
        "greedy_token_ids": ids[len(prompt_ids) :],
        "greedy_smallest_margin": min(margins),
    }


def write_gradients(wrapped: Any, config: ModelConfig, window: list[int]) -> float:
    """Write the gradients of every adapter tensor on one window and return the loss."""
    ids = torch.tensor([window])
    loss = wrapped(input_ids=ids, labels=ids).loss
    loss.backward()
    parameters = adapter_parameters(wrapped)
    gradients = {
        path: (parameters[path, 0].grad.numpy(), parameters[path, 1].grad.numpy())
        for path in golden.module_paths(config)
    }
    full = {golden.full_key(path, i): gradients[path][i] for path, i in golden.FULL_GRADIENTS}
    summary = golden.summarize(gradients)
    np.savez_compressed(golden.GRADIENTS_FILE, summary=summary, **full)
    value: float = loss.item()
    return value


def write_adapter(model: Any) -> None:
    """Let PEFT write a fresh adapter, in float16 to keep the checkout small."""
    wrapped = wrap(model, golden.TRAINED_LORA)
    for parameter in adapter_parameters(wrapped).values():
        parameter.data = parameter.data.half()
    wrapped.save_pretrained(golden.ADAPTER_DIRECTORY)
    (golden.ADAPTER_DIRECTORY / "README.md").unlink(missing_ok=True)
    wrapped.unload()


def train(wrapped: Any, cut: list[list[int]]) -> tuple[list[float], list[float]]:
    """Take one AdamW step a window; return losses and gradient norms before each update."""
    parameters = list(adapter_parameters(wrapped).values())
    assert all(parameter.dtype == torch.float32 for parameter in parameters)
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.0)
    losses, norms = [], []
    for window in cut:
        ids = torch.tensor([window])
        loss = wrapped(input_ids=ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.get_total_norm([p.grad for p in parameters]).item())
        optimizer.step()
        losses.append(loss.item())
    return losses, norms


if __name__ == "__main__":
    main()
