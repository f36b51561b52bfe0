"""The pages match the code: links, commands, config keys, options, run folder, diffs, Python, API reference, site."""

from __future__ import annotations

import ast
import importlib.util
import json
import pkgutil
import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers.carla_clients import require_carla
from helpers.composing import Composer
from hydra import compose, initialize_config_module
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from omegaconf import open_dict

import cosmos_exp as cx
from cosmos_exp.cli import main as cli
from cosmos_exp.config import schema, validate
from cosmos_exp.models.transfer1 import family, weights_folder
from cosmos_exp.models.transfer1.nano import nano_config
from cosmos_exp.pipeline.run import run
from cosmos_exp.serving.api import router
from cosmos_exp.serving.config import settings
from cosmos_exp.sweeps.callbacks import cell_overrides
from cosmos_exp.train.config import TrainConfig
from cosmos_exp.visualization.interval_plot import Svg

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
PAGES = sorted(p for p in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("notebooks/*.md")))
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
GROUPS = {p.name: {o.stem for o in p.glob("*.yaml")} for p in CONF.iterdir() if list(p.glob("*.yaml"))}
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
MACHINE = (
    "guardrails.lists: no file",
    "guardrails.weights=",
    "scene.log: no file",
    "scene.map: no file",
    "scene.root: no folder",
    "hardware.device=cuda",
    "hardware.processes=2: each takes its own GPU",
    "tracking.mode='online' needs",
    "model.endpoint: ",
    "cannot read the weights file",  # of the folder that holds a contract alone
)
OF_RECIPES = ("model=flat",)  # options that a recipe of CONTRIBUTING.md adds
FILES = (".yaml", ".json", ".safetensors")
PACKAGES = sorted(path.parent.name for path in ROOT.glob("cosmos_exp/*/__init__.py"))


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    language: str
    text: str


def fenced(page: Path) -> list[Block]:
    found = []
    for match in FENCE.finditer(page.read_text()):
        indent = len(match["indent"])
        lines = [line[indent:] for line in match["text"].splitlines(keepends=True)]
        found.append(Block(page, match["language"], "".join(line or "\n" for line in lines)))
    return found


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


BLOCKS = [block for page in PAGES for block in fenced(page)]


def command_lines() -> list[tuple[str, list[str]]]:
    """(page, words) of every shell line of the pages, comments and leading variables removed."""
    found = []
    for block in BLOCKS:
        for line in block.text.splitlines() if block.language == "bash" else ():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            if words:
                found.append((block.page.name, words))
    return found


COMMANDS = [(page, words[1:]) for page, words in command_lines() if words[0] == "cosmos-exp"]
OTHERS = [(page, words) for page, words in command_lines() if words[0] != "cosmos-exp"]


def ids(values: list) -> list[str]:
    return [f"{page}: {' '.join(words)}"[:90] for page, words in values]


@pytest.fixture(scope="module")
def nano_folder(tmp_path_factory) -> Path:
    """A model folder that holds the nano contract alone, which is all that checking a config needs."""
    folder = tmp_path_factory.mktemp("nano")
    (folder / "model.json").write_text(json.dumps(nano_config()))
    return folder


@pytest.fixture(scope="module")
def own_options(tmp_path_factory) -> Path:
    """The YAML blocks that name a file of the reader's own, as files."""
    folder = tmp_path_factory.mktemp("options")
    for block in BLOCKS:
        if block.language == "yaml" and (named := re.search(r"^# (mine/\S+\.yaml)$", block.text, re.M)):
            path = folder / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve(page: Path) -> None:
    broken = []
    for target in LINK.findall(prose(page)):
        if re.match(r"https?://", target):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(target)
    assert broken == []


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) > 15
    assert [p.name for p in PAGES if p.name == "README.md"]


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=ids(COMMANDS))
def test_a_command_is_accepted(page: str, words: list[str], nano_folder: Path, own_options: Path) -> None:
    if words and words[0] in cli.MODULES:
        importlib.import_module(f"cosmos_exp.cli.commands.{words[0].replace('-', '_')}").command_line().parse(words[1:])
    elif words and words[0] == "train":
        compose_words(words[1:], "train", own_options)
    else:
        assert not words or not cli._is_command(words[0])
        for cfg in compose_words(words, "config", own_options):
            if "weights" in cfg.model:
                cfg.model.weights = str(nano_folder)
            problems = [p for p in validate.validate(cfg) if not p.startswith(MACHINE)]
            assert problems == []


@cache
def composer_of(name: str) -> Composer:
    return Composer(name)


def compose_words(words: list[str], name: str, own_options: Path) -> list:
    """The configs that a command line makes: one, or one for each setting of a sweep."""
    given = get_args_parser().parse_args(words)
    if name == "train":
        importlib.import_module("cosmos_exp.train.main")  # registers its config type
    composer = composer_of(name)
    extra = [f"hydra.searchpath=[file://{own_options / given.config_dir}]"] if given.config_dir else []
    if name == "train":
        return [composer(*given.overrides, *extra)]
    plain = [word for word in given.overrides if not re.search(r"=[^\['\"]*,", word)]
    if not given.multirun and not any(word.startswith("+sweep=") for word in plain):
        assert plain == given.overrides
        return [composer(*given.overrides, *extra)]
    with initialize_config_module("cosmos_exp.conf", version_base="1.3"):
        config = compose(name, overrides=[*plain, *extra], return_hydra_config=True)
        with open_dict(config):
            config.hydra.overrides.task = list(given.overrides)
        cells = cell_overrides(GlobalHydra.instance().config_loader(), config)
    assert len(cells) > 1
    settings = {tuple(word for word in cell if not re.match(r"\w+\.seed=", word)): cell for cell in cells}
    return [composer(*cell, *extra) for cell in settings.values()]


@pytest.mark.parametrize(("page", "words"), OTHERS, ids=ids(OTHERS))
def test_another_command_exists(page: str, words: list[str]) -> None:
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif words[1:2] == ["-m"] and "python" in words[0]:
        assert importlib.util.find_spec(words[2])
        assert all((ROOT / w).exists() for w in words[3:] if w.startswith("tests"))
    elif words[0] in ("docker", "sky"):
        files = [word for word in words if word.startswith("deploy/")]
        assert all((ROOT / file).exists() for file in files if file != "deploy/token.txt")
        assert files or words[:2] in (["docker", "run"], ["sky", "status"])
    elif words[0] == "curl":
        (path,) = (re.sub(r"\b[0-9a-f]{20}\b", "{job}", w) for w in words if w.startswith("http://"))
        assert any(re.match(route, path.split("8080", 1)[1]) for route in api_routes()), path
    elif words[0] == "python3":
        assert words[1] == "-c" and ast.parse(words[2])
    elif words[0] == "torchrun":
        assert importlib.util.find_spec(f"{words[words.index('-m') + 1]}.__main__")
    else:
        assert words[0] in ("source", "export", "pip", ".venv/bin/jupyter", "vllm_env/bin/pip"), words


def api_routes() -> list[str]:
    """The routes of the job API, as patterns."""
    return [re.sub(r"\\{\w+\\}", "[^/]+", re.escape(route.path)) + "$" for route in router.routes]


def test_every_key_of_the_server_is_in_the_table_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \|", (ROOT / "docs" / "serve.md").read_text(), re.MULTILINE)
    defaults = {key: "null" if value is None else f"{value:g}" if type(value) is float else str(value)
                for key, value in vars(settings().serve).items()}  # fmt: skip
    assert {key: default.strip("`") for key, default in rows if key in defaults} == defaults


def test_pip_names_extras_that_exist() -> None:
    extras = set(re.findall(r"`?\.\[(\w+)\]", (ROOT / "README.md").read_text()))
    declared = re.search(r"optional-dependencies\]\n(.*?)\n\n", (ROOT / "pyproject.toml").read_text(), re.DOTALL)
    assert extras == set(re.findall(r"^(\w+) =", declared[1], re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_config_keys_and_options_exist(page: Path) -> None:
    known = {*schema.keys(), *schema.keys(TrainConfig)}
    unknown = []
    for code in CODE.findall(prose(page)):
        for word in code.split():
            key, equals, value = word.lstrip("+").partition("=")
            if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", key) and key.split(".")[0] in GROUPS and not key.endswith(".py"):
                unknown += [word] if key not in known and not key.endswith(FILES) else []
            elif equals and key in GROUPS and value.islower():
                unknown += [word] if value not in GROUPS[key] and word not in OF_RECIPES else []
    assert unknown == []


def test_the_table_of_groups_is_complete() -> None:
    rows = re.findall(r"^\| `\+?(\w+)` \| (.*?) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    table = {group: re.findall(r"`(\w+)`", options) for group, options in rows}
    assert {group: set(options) for group, options in table.items()} == GROUPS
    defaults = cli.default_options()
    assert {group: options[0] for group, options in table.items() if group in defaults} == {
        group: option for group, option in defaults.items() if group in GROUPS
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_named_exist(page: Path) -> None:
    places = ("", "cosmos_exp", *(f"cosmos_exp/{package}" for package in PACKAGES))
    if page.name == "CONTRIBUTING.md":
        places += ("conf/scene",)
    named = [c for c in CODE.findall(prose(page)) if re.fullmatch(r"[\w./-]+(\.py|/|\.yaml|\.txt|\.toml)", c)]
    made_elsewhere = (
        "config.yaml",
        "multirun.yaml",
        "conf/scene/gps_track.yaml",
        "conf/hydra/",
        "site/",
        "fuzz/",
        "model/",
        "mine/hydra/launcher/cluster.yaml",
        "initial_token.txt",
        "deploy/token.txt",
        "demo/",
    )
    absent = [n for n in named if n not in made_elsewhere and not any((ROOT / p / n).exists() for p in places)]
    assert absent == []


def test_the_diffs_apply() -> None:
    """What a diff leaves or takes away stands in the file it names; what it adds does not."""
    checked = 0
    for block in (b for b in BLOCKS if b.language == "diff"):
        for part in re.split(r"^--- ", block.text, flags=re.MULTILINE)[1:]:
            file, _, body = part.partition("\n")
            present = {line.strip() for line in (ROOT / file).read_text().splitlines()}
            for line in filter(str.strip, body.splitlines()):
                wanted = line[0] in " -"
                if wanted or len(line) > 20:
                    assert (line[1:].strip() in present) == wanted, f"{file}: {line}"
                    checked += 1
    assert checked > 10


def test_the_recipe_of_a_model_is_the_package_that_the_tests_install() -> None:
    folder = ROOT / "tests" / "plugin_model"
    stands = {
        line.strip()
        for name in ("flat_model.py", "pyproject.toml")
        for line in (folder / name).read_text().splitlines()
    }
    recipe = (ROOT / "CONTRIBUTING.md").read_text().split("## A model")[1].split("\n## ")[0]
    code = [line.strip() for block in re.findall(r"```\w+\n(.*?)```", recipe, re.DOTALL) for line in block.splitlines()]
    assert len(code) > 20
    assert [line for line in code if line and line not in stands] == []


def test_the_script_of_ones_own_scene_runs(tiny_model_folder: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "nano").symlink_to(tiny_model_folder)
    for module in (family, weights_folder):
        monkeypatch.setattr(module, "SHIPPED_WEIGHTS", tmp_path)
    monkeypatch.chdir(tmp_path)
    (script,) = [b.text for b in fenced(ROOT / "docs" / "own_scene.md") if b.language == "python"]
    names: dict = {}
    exec(compile(script, "docs/own_scene.md", "exec"), names)
    assert names["clip"].prompt.endswith("a red car ahead.")
    assert (tmp_path / "mine_rainy.mp4").stat().st_size > 0


@pytest.fixture(scope="module")
def small_run(configure, tmp_path_factory) -> Path:
    """The run folder of a whole run with the tiny model."""
    outputs = tmp_path_factory.mktemp("outputs")
    folder = outputs / "runs" / "small"
    cfg = configure(
        "model.num_frames=9",
        "sampler.num_steps=1",
        "metrics.names=[blur_ssim,object_survival]",
        f"paths.outputs={outputs}",
        f"paths.cache={outputs}/cache",
    )
    run(cfg, folder)
    return folder


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md"])
def test_the_run_folder_is_as_listed(page: str, small_run: Path) -> None:
    (listing,) = [b.text for b in fenced(ROOT / page) if b.text.startswith("config.yaml")]
    paths = re.findall(r"^([\w<>./{}]+)", listing, re.MULTILINE)
    assert len(paths) >= 10
    by_hydra = ("run.log",)
    for path in paths:
        pattern = re.sub(r"<\w+>", "*", path)
        assert pattern in by_hydra or list(small_run.glob(pattern.rstrip("/"))), path


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_kept_without_outputs_and_listed(notebook: Path) -> None:
    assert all(not cell["outputs"] for cell in code_cells(notebook))
    assert f"]({notebook.name})" in (notebook.parent / "README.md").read_text()


def code_cells(notebook: Path) -> list[dict]:
    return [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]


def run_notebook(name: str, outputs: Path, monkeypatch) -> tuple[dict, list]:
    """The names that the cells leave behind, and what they show: the values of last lines that are expressions."""
    monkeypatch.setenv("COSMOS_EXP_OUTPUTS", str(outputs))
    names: dict = {}
    shown = []
    for cell in code_cells(ROOT / "notebooks" / name):
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), names)
        if last:
            shown.append(eval(compile(ast.Expression(last.value), name, "eval"), names))
    return names, shown


def test_a_run_is_read_in_a_notebook(small_run: Path, monkeypatch, capsys) -> None:
    run_notebook("read_a_run.ipynb", small_run.parents[1], monkeypatch)
    printed = capsys.readouterr().out
    assert "done" in printed and "Blur SSIM" in printed


@pytest.fixture(scope="module")
def small_sweep(tiny_model_folder: Path, tmp_path_factory) -> cx.Sweep:
    """Two settings of guidance in two scenes, with the tiny model."""
    outputs = tmp_path_factory.mktemp("outputs")
    places = [f"paths.outputs={outputs}", f"paths.cache={outputs}/cache", f"model.weights={tiny_model_folder}"]
    small = ["views=single", "model.num_frames=9", "sampler.num_steps=1", "scene.num_vehicles=2", "tracking=disabled"]
    metrics = "metrics.names=[style_score,semantic_eta2,blur_ssim]"
    axes = ["sampler.guidance=0,5", "scene.seed=4,5", "sweep_name=guidance"]
    return cx.sweep([*places, *small, metrics, *axes])


def test_a_sweep_is_answered_in_a_notebook(small_sweep: cx.Sweep, own_options: Path, monkeypatch, capsys) -> None:
    names, shown = run_notebook("which_guidance.ipynb", small_sweep.path.parents[1], monkeypatch)
    printed = capsys.readouterr().out
    assert names["sweep"].path == small_sweep.path, "the sweep that there is"
    assert "4 of 4 cells done" in printed and "Blur SSIM" in printed
    assert "difference to guidance=0" in printed and "2 scenes" in printed
    figures = [picture for picture in shown if isinstance(picture, Svg)]
    assert len(figures) == 3
    assert all(figure.count("<circle") == count for figure, count in zip(figures, (2, 2, 1), strict=True))
    assert shown[-1].size == (2 * 48, 32), "a frame of each setting"
    cells = compose_words(["-m", *names["SWEEP"]], "config", own_options)
    assert len(cells) == 3, "settings of the sweep that it makes where there is none"


@pytest.mark.own_process
def test_a_drive_in_carla_becomes_a_video_in_a_notebook(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    require_carla()
    (tmp_path / "nano").symlink_to(tiny_model_folder)
    for module in (family, weights_folder):
        monkeypatch.setattr(module, "SHIPPED_WEIGHTS", tmp_path)
    names, shown = run_notebook("drive_in_carla.ipynb", tmp_path / "outputs", monkeypatch)
    assert float(re.search(r"the ego drives (\d+) km/h", capsys.readouterr().out)[1]) > 5
    seen, grid, _ = (np.asarray(picture) for picture in shown if picture is not None)
    assert seen.shape == (360, 640, 3) and seen.std() > 20, "the ego from behind"
    assert (names["run"].path / "metrics.json").is_file() and len(names["run"].views) == 6
    assert grid.shape == names["video"].shape[1:]


REFERENCES = sorted({name for page in PAGES for name in re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE)})
REFERENCES += sorted({name for page in PAGES for name in re.findall(r"\]\[(cosmos_exp[\w.]+)\]", page.read_text())})


@pytest.mark.parametrize("name", REFERENCES)
def test_the_api_reference_names_what_exists(name: str) -> None:
    assert pkgutil.resolve_name(name) is not None


class SiteLoader(yaml.SafeLoader):
    """Of mkdocs.yml, whose tags name Python functions."""


SiteLoader.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda loader, suffix, node: suffix)


def test_the_site_has_every_page_once() -> None:
    def pages(entry) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        return [page for part in (entry.values() if isinstance(entry, dict) else entry) for page in pages(part)]

    site = yaml.load((ROOT / "mkdocs.yml").read_text(), Loader=SiteLoader)
    assert sorted(pages(site["nav"])) == sorted(str(p.relative_to(ROOT / "docs")) for p in ROOT.glob("docs/**/*.md"))


def test_nothing_in_the_pages_is_about_one_machine() -> None:
    for page in (*PAGES, *NOTEBOOKS):
        assert not re.search(r"/(work|home|tmp)/|localhost", page.read_text()), page
