"""FastChat's command lines."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from training.recipes import common
from training.recipes.arguments import translated

# From FastChat's README ("Fine-tuning Vicuna-7B with Local GPUs") and its docs/training.md. Without --bf16, --tf32
# and --fsdp, which need a GPU.
VICUNA = """
--model_name_or_path meta-llama/Llama-2-7b-hf --data_path data/dummy_conversation.json --output_dir output_vicuna
--num_train_epochs 3 --per_device_train_batch_size 2 --per_device_eval_batch_size 2 --gradient_accumulation_steps 16
--evaluation_strategy no --save_strategy steps --save_steps 1200 --save_total_limit 10 --learning_rate 2e-5
--weight_decay 0. --warmup_ratio 0.03 --lr_scheduler_type cosine --logging_steps 1 --model_max_length 2048
--gradient_checkpointing True --lazy_preprocess True
"""
LORA = """
--model_name_or_path lmsys/vicuna-7b-v1.5 --lora_r 8 --lora_alpha 16 --lora_dropout 0.05
--lora_target_modules q_proj v_proj
--data_path a.json --output_dir out --q_lora True --model_max_length 2048 --eval_steps 100 --evaluation_strategy steps
--eval_data_path b.json
"""


def test_fastchats_command_for_vicuna_is_understood():
    told = common.parse(VICUNA.split())
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
