"""`manage.py train cloud`: a local command line as a SkyPilot task."""

import importlib.util
import json
import shlex
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from training import cloud

yaml = pytest.importorskip("yaml")

MACHINES = cloud.Machines("A100:4", nodes=2, infra="gcp/us-central1")
BUCKET = cloud.Bucket("my-runs", "gcs")


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "my talks.jsonl"
    path.write_text("{}\n")
    return path


def task(*command, **more):
    given = {"name": "pippin", "machines": MACHINES, "bucket": BUCKET, "product": Path(settings.BASE_DIR)}
    return cloud.task([str(part) for part in command], **{**given, **more})


def launched(made):
    """The words of the launched command, as a shell would take them."""
    line = made["run"].replace("\\\n", " ").splitlines()[-1]
    return shlex.split(line)


def test_a_local_command_runs_on_spot_machines_and_writes_to_the_bucket(data):
    made = task("sft", "--model", "meta-llama/Llama-2-7b-hf", "--data", data, "--method", "lora")
    assert made["resources"]["accelerators"] == "A100:4"
    assert made["resources"]["use_spot"] is True
    assert made["resources"]["infra"] == "gcp/us-central1"
    assert made["num_nodes"] == 2
    assert made["file_mounts"]["/output"]["name"] == "my-runs"
    assert made["file_mounts"]["/data/my talks.jsonl"] == str(data)
    words = launched(made)
    assert words[words.index("-m") + 1] == "training.recipes.sft"
    assert words[words.index("--data") + 1] == "/data/my talks.jsonl"
    assert words[words.index("--model") + 1] == "meta-llama/Llama-2-7b-hf"
    assert words[words.index("--output_dir") + 1] == "/output/pippin"


def test_a_checkpoint_of_this_machine_travels_and_the_products_own_files_are_there_already(data, tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    made = task(
        "sft", f"--model={folder}", "--data", data, "--deepspeed", "training/recipes/configs/zero3.json"
    )
    assert made["file_mounts"]["/model/weights"] == str(folder)
    words = launched(made)
    assert words[words.index("--model") + 1] == "/model/weights"
    assert words[words.index("--deepspeed") + 1] == "training/recipes/configs/zero3.json"


def test_two_files_of_one_name_do_not_meet(data, tmp_path):
    other = tmp_path / "other" / data.name
    other.parent.mkdir()
    other.write_text("{}\n")
    made = task("sft", "--model", "x/y", "--data", data, "--eval_data", other)
    words = launched(made)
    first, second = words[words.index("--data") + 1], words[words.index("--eval_data") + 1]
    assert first != second
    assert made["file_mounts"][first] == str(data)
    assert made["file_mounts"][second] == str(other)


def test_data_may_lie_in_a_bucket():
    made = task("sft", "--model", "x/y", "--data", "s3://talks/train.jsonl")
    assert made["file_mounts"]["/data/train.jsonl"] == "s3://talks/train.jsonl"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ([], "must begin with a recipe"),
        (["train.py"], "must begin with a recipe"),
        (["sft", "--model", "x"], "needs --data"),
        (["sft", "--data", "s3://a/b.jsonl"], "needs --model"),
        (["sft", "--model", "x", "--data", "nowhere.jsonl"], r"nowhere\.jsonl is not there"),
        (["sft", "--model", "x", "--data", "s3://a/b", "--output_dir", "o"], "Leave --output_dir out"),
        (["sft", "--model", "package:a/b.gguf", "--data", "s3://a/b"], "this machine only"),
        (["sft", "x"], "no --name in front"),
    ],
)
def test_a_command_that_cannot_run_there_is_refused(command, reason):
    with pytest.raises(cloud.BadCommand, match=reason):
        task(*command)


def test_what_is_written_is_the_task(data):
    made = task("sft", "--model", "x/y", "--data", data, "--sample_prompt", 'Who: "are" you?', "It's # no")
    assert yaml.safe_load(cloud.to_yaml(made, heading="Start it\nso")) == made
    words = launched(made)
    at = words.index("--sample_prompt")
    assert words[at + 1 : at + 3] == ['Who: "are" you?', "It's # no"]


def test_the_shell_understands_its_script(data):
    made = task("sft", "--model", "x/y", "--data", data)
    for part in ("setup", "run"):
        checked = subprocess.run(["bash", "-n"], input=made[part], text=True, capture_output=True)
        assert checked.returncode == 0, checked.stderr


def test_a_run_that_was_finished_before_ends_well_at_once(data, tmp_path):
    """What stands in front of the launch is run truly, with the machine's folders in a temporary one."""
    script = task("sft", "--model", "x/y", "--data", data)["run"]
    (tmp_path / "chatsite-venv" / "bin").mkdir(parents=True)
    (tmp_path / "chatsite-venv" / "bin" / "activate").touch()
    (tmp_path / "pippin").mkdir()
    (tmp_path / "pippin" / "manifest.json").write_text("{}")
    here = script.replace("/output/pippin/manifest", f"{tmp_path}/pippin/manifest")
    done = subprocess.run(
        ["bash"],
        input=here,
        text=True,
        capture_output=True,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert (done.returncode, done.stdout) == (0, "Finished before.\n")


class TestCommand:
    def test_it_writes_a_file(self, data, tmp_path):
        out, target = StringIO(), tmp_path / "task.yaml"
        given = ["--bucket", "my-runs", "--store", "s3", "--name", "pippin", "--out", str(target)]
        recipe = ["sft", "--model", "x/y", "--data", str(data)]
        call_command("train", "cloud", *given, "--", *recipe, stdout=out)
        made = yaml.safe_load(target.read_text())
        assert made["name"] == "pippin"
        assert made["file_mounts"]["/output"]["store"] == "s3"
        assert f"sky jobs launch {target}" in out.getvalue()

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (["--bucket", "Bad_Name"], "--bucket"),
            (["--bucket", "ok", "--accelerators", "4 cards"], "--accelerators"),
            (["--bucket", "ok", "--nodes", "0"], "--nodes"),
            (["--bucket", "ok", "--out", "/nowhere/at/all.yaml"], "cannot be written"),
        ],
    )
    def test_what_no_cloud_takes_is_refused(self, data, arguments, reason):
        recipe = ["sft", "--model", "x/y", "--data", str(data)]
        with pytest.raises(CommandError, match=reason):
            call_command("train", "cloud", *arguments, "--", *recipe, stdout=StringIO())

    def test_a_recipes_misspelt_argument_is_noticed_before_anything_is_rented(self, data):
        pytest.importorskip("transformers")
        recipe = ["sft", "--model", "x/y", "--data", str(data), "--bf16", "True", "--lora_rank", "8"]
        with pytest.raises(CommandError, match="--lora_rank"):
            call_command("train", "cloud", "--bucket", "ok", "--", *recipe, stdout=StringIO())


SKY = """
import json, sys
import sky
task = sky.Task.from_yaml(sys.argv[1])
resources = next(iter(task.resources))
print(json.dumps({"spot": resources.use_spot, "name": task.name, "mounts": sorted(task.storage_mounts)}))
"""


def sky_python():
    """The interpreter that has SkyPilot, whose own pins keep it out of this environment as a rule."""
    if importlib.util.find_spec("sky"):
        return sys.executable
    command = shutil.which("sky")
    first = Path(command).read_text(errors="replace").splitlines()[0] if command else ""
    return first.removeprefix("#!") if first.startswith("#!") else ""


def test_skypilots_own_parser_takes_it(data, tmp_path):
    python = sky_python()
    if not python:
        pytest.skip("SkyPilot is not installed: its command `sky` is not on the PATH.")
    target = tmp_path / "task.yaml"
    target.write_text(cloud.to_yaml(task("sft", "--model", "x/y", "--data", data)))
    found = subprocess.run([python, "-c", SKY, str(target)], text=True, capture_output=True, timeout=120)
    assert found.returncode == 0, found.stderr[-2000:]
    said = json.loads(found.stdout.splitlines()[-1])
    assert said == {"spot": True, "name": "pippin", "mounts": ["/output"]}
