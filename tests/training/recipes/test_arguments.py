"""FastChat's command lines."""

import re
import shlex
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from training.recipes import common, seq2seq, sft
from training.recipes.arguments import translated

# FastChat's README ("Fine-tuning Vicuna-7B with Local GPUs") and docs/training.md, at 0f3359e.
VICUNA = """
--model_name_or_path meta-llama/Llama-2-7b-hf --data_path data/dummy_conversation.json --bf16 True
--output_dir output_vicuna --num_train_epochs 3 --per_device_train_batch_size 2 --per_device_eval_batch_size 2
--gradient_accumulation_steps 16 --evaluation_strategy no --save_strategy steps --save_steps 1200
--save_total_limit 10 --learning_rate 2e-5 --weight_decay 0. --warmup_ratio 0.03 --lr_scheduler_type cosine
--logging_steps 1 --fsdp 'full_shard auto_wrap' --fsdp_transformer_layer_cls_to_wrap LlamaDecoderLayer --tf32 True
--model_max_length 2048 --gradient_checkpointing True --lazy_preprocess True
"""
T5 = """
--model_name_or_path google/flan-t5-xl --data_path ./data/dummy_conversation.json --bf16 True
--output_dir ./checkpoints_flant5_3b --num_train_epochs 3 --per_device_train_batch_size 1
--per_device_eval_batch_size 1 --gradient_accumulation_steps 4 --evaluation_strategy no --save_strategy steps
--save_steps 300 --save_total_limit 1 --learning_rate 2e-5 --weight_decay 0. --warmup_ratio 0.03
--lr_scheduler_type cosine --logging_steps 1 --fsdp 'full_shard auto_wrap'
--fsdp_transformer_layer_cls_to_wrap T5Block --tf32 True --model_max_length 2048
--preprocessed_path ./preprocessed_data/processed.json --gradient_checkpointing True
"""
QLORA = """
--model_name_or_path ~/model_weights/llama-7b --lora_r 8 --lora_alpha 16 --lora_dropout 0.05
--data_path ./data/dummy_conversation.json --bf16 True --output_dir ./checkpoints --num_train_epochs 3
--per_device_train_batch_size 1 --per_device_eval_batch_size 1 --gradient_accumulation_steps 1
--evaluation_strategy no --save_strategy steps --save_steps 1200 --save_total_limit 100 --learning_rate 2e-5
--weight_decay 0. --warmup_ratio 0.03 --lr_scheduler_type cosine --logging_steps 1 --tf32 True
--model_max_length 2048 --q_lora True --deepspeed training/recipes/configs/zero2_offload.json
"""
LORA = """
--model_name_or_path lmsys/vicuna-7b-v1.5 --lora_r 8 --lora_alpha 16 --lora_dropout 0.05
--lora_target_modules q_proj v_proj
--data_path a.json --output_dir out --q_lora True --model_max_length 2048 --eval_steps 100 --evaluation_strategy steps
--eval_data_path b.json
"""
NEEDS_A_GPU = re.compile(r"--(bf16 True|tf32 True|fsdp '[^']*'|fsdp_transformer\S+ \S+)\s")
GUIDE = Path(__file__).parents[3] / "docs" / "training.md"


def documented(recipe, model):
    """The command of our own guide for this recipe and model: its arguments."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    found = [
        block for block in blocks if f"training.recipes.{recipe} " in block and f"--model {model} " in block
    ]
    assert len(found) == 1
    words = shlex.split(found[0].replace("\\\n", " "))
    return words[words.index(f"training.recipes.{recipe}") + 1 :]


@pytest.mark.parametrize(
    ("recipe", "old", "model"),
    [
        (sft, VICUNA, "meta-llama/Llama-2-7b-hf"),
        (seq2seq, T5, "google/flan-t5-xl"),
        (sft, QLORA, "~/model_weights/llama-7b"),
    ],
    ids=["vicuna", "t5", "qlora"],
)
def test_each_of_fastchats_commands_is_the_one_in_the_guide(recipe, old, model):
    name = recipe.__name__.rpartition(".")[2]
    new = documented(name, model)
    parser = common.parser(**recipe.ARGUMENTS)
    for command in (shlex.split(old), new):
        assert common.misunderstood(command, **recipe.ARGUMENTS) == ""
    assert vars(parser.parse_args(new)) == vars(parser.parse_args(translated(shlex.split(old))[0]))


def test_fastchats_command_for_vicuna_is_understood():
    told = common.parse(shlex.split(NEEDS_A_GPU.sub("", VICUNA)))
    assert told.model.model == "meta-llama/Llama-2-7b-hf"
    assert told.data.data == ["data/dummy_conversation.json"]
    assert told.data.max_length == 2048
    assert told.model.method == "full"
    training = told.training
    assert (training.warmup_steps, training.learning_rate, training.num_train_epochs) == (0.03, 2e-5, 3)
    assert training.activation_checkpointing is True
    assert str(training.eval_strategy) in ("no", "IntervalStrategy.NO")


def test_fastchats_command_for_qlora_is_understood():
    told = common.parse(LORA.split())
    assert told.model.method == "qlora"
    assert told.adapter.lora_targets == ["q_proj", "v_proj"]
    assert told.data.eval_data == ["b.json"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("--fsdp full_shard auto_wrap", '--fsdp True --fsdp_config {"reshard_after_forward": true}'),
        (
            "--fsdp=shard_grad_op auto_wrap offload",
            '--fsdp True --fsdp_config {"reshard_after_forward": false, "cpu_offload": true}',
        ),
        ("--fsdp_transformer_layer_cls_to_wrap LlamaDecoderLayer", ""),
        ("--group_by_length True", "--layout padded"),
        ("--group-by-length False", ""),
        ("--flash_attn True", "--attention flash_attention_2"),
        ("--q_lora False", "--method lora"),
        ("--deepspeed x.json --tf32 True", "--deepspeed x.json --tf32 True"),
    ],
)
def test_old_names_become_new_ones(old, new):
    assert " ".join(translated(old.split(" "))[0]) == new


def test_each_translation_is_told(capsys):
    common.parse(LORA.split())
    assert "--q_lora is --method qlora" in capsys.readouterr().err


def test_an_unknown_argument_is_refused():
    with pytest.raises(ValueError, match="--no_such_thing"):
        common.parse([*LORA.split(), "--no_such_thing", "1"])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("--model x --data y --no_such_thing 1", "--no_such_thing"),
        ("--model x", "--data"),
        ("--model x --data y --max_length many", "max_length"),
        ("--model x --data y --method whole", "whole"),
        ("--model x --data y --bf16 True --fsdp full_shard", ""),
    ],
)
def test_a_command_line_is_looked_at_without_the_machine_it_is_for(arguments, reason):
    found = common.misunderstood(arguments.split())
    assert reason in found
    assert bool(found) == bool(reason)
