"""The documentation is true: links lead somewhere, examples run, tables agree with the programs."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pages import NO_RUN, ROOT, Page, clean_environment, pages, run_page

PAGES = pages()
CAMPAIGN = ROOT / "docs/tutorials/autonomous-agent.md"
NEED_DATA = ("README.md", "docs/tutorials/facility-scientist.md", "docs/tutorials/data-consumer.md")
NEED_DATA += ("docs/reference/catalogue.md", "docs/how-to/target-composition.md", "docs/how-to/grow-a-layer.md")
ALONE = [page for page in PAGES if page.runs and page.name not in NEED_DATA and page.path != CAMPAIGN]
SPEED = 200
READY_WITHIN_S = 180.0


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A running lab, faster than the shipped one; yields the environment in which its users live."""
    place = tmp_path_factory.mktemp("lab")
    text = (ROOT / "startup" / "lab.yml").read_text(encoding="utf-8")
    for key, value in (
        ("speed", f"{SPEED}"),
        ("heartbeat_timeout", "10 s"),
    ):  # a busy machine may stand still for seconds
        text, found = re.subn(rf"^  {key}: +\d+( s)?", f"  {key}: {value}", text, flags=re.MULTILINE)
        assert found == 1, key
    (place / "lab.yml").write_text(text, encoding="utf-8")
    environment = clean_environment(SDL_HOME=str(place / "home"), SDL_LAB=str(place / "lab.yml"))
    output = place / "up.txt"
    with output.open("w") as file:
        up = subprocess.Popen(
            ["sdl", "up"], env=environment, cwd=place, stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
    try:
        deadline = time.monotonic() + READY_WITHIN_S
        while "ready" not in output.read_text():
            assert up.poll() is None, f"`sdl up` ended:\n{output.read_text()}"
            assert time.monotonic() < deadline, f"`sdl up` is not ready:\n{output.read_text()}"
            time.sleep(0.1)
        tiled = place / "home" / "tiled"
        yield environment | {
            "TILED_PROFILES": str(tiled / "profiles"),
            "TILED_API_KEY": (tiled / "api-key").read_text().strip(),
        }
        up.send_signal(signal.SIGINT)
        assert up.wait(90) == 0, f"`sdl up` did not end well:\n{output.read_text()}"
    finally:
        if up.poll() is None:
            up.kill()
            up.wait()


@pytest.fixture(scope="module")
def campaign(lab: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tutorial's campaign, killed and resumed, so that there are data to read; what it printed."""
    return run_page(Page(CAMPAIGN), tmp_path_factory.mktemp("campaign"), lab)


@pytest.mark.system
def test_the_campaign_of_the_tutorial_survives_being_killed(campaign: str) -> None:
    assert "(sample cu-sn-1, 1 run(s))" in campaign
    assert re.search(r"^campaign \S+ is finished", campaign, re.MULTILINE), campaign
    steps = [int(number) for number in re.findall(r"^ *(\d+)  (?:learn|deposit)", campaign, re.MULTILINE)]
    again = steps.index(1, 1)  # as they were done, then as they are in the catalogue
    done, recorded = steps[:again], steps[again:]
    assert done == sorted(set(done)), "no experiment is done twice"
    assert recorded[:6] == [1, 2, 3, 4, 5, 6], "and none is left out"
    assert set(done) >= {1, 2, 7}, "though a process that is killed may not have told of its last one"
    found = re.search(r"largest difference (\S+) of the range", campaign)
    assert found is not None, campaign
    assert float(found[1]) <= 1e-9


@pytest.mark.system
@pytest.mark.parametrize("name", NEED_DATA)
def test_examples_run_on_a_lab_with_data(name: str, lab: dict[str, str], campaign: str, tmp_path: Path) -> None:
    told = run_page(Page(ROOT / name), tmp_path, lab)
    if name == "README.md":
        assert "(sample cu-sn-1, 2 run(s))" in told, told
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {"session.ipy", "page.py"}, "an example left a stray file"


@pytest.mark.parametrize("page", ALONE, ids=lambda page: page.name)
def test_examples_run_by_themselves(page: Page, tmp_path: Path) -> None:
    run_page(page, tmp_path, clean_environment(SDL_HOME=str(tmp_path / "home")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Page) -> None:
    for link in page.links:
        target, _, fragment = link.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = (page.path.parent / target).resolve() if target else page.path
        assert path.exists(), f"{page.name}: {link}"
        assert path.is_relative_to(ROOT), f"{page.name}: {link} leads out of the repository"
        if fragment:
            assert fragment in Page(path).anchors, f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_say_what_they_are(page: Page) -> None:
    for block in page.blocks:
        assert block.language in ("bash", "python", "ipython", "yaml", "text"), f"{page.name}:{block.line}"
        assert set(block.words) <= {NO_RUN, f"file={block.file}"}, f"{page.name}:{block.line}: {block.words}"
        if NO_RUN in block.words:  # the reason stands in the text of the page
            assert re.search(r"tests\b", page.text), f"{page.name}:{block.line}: why is this not run?"


def test_every_folder_of_documentation_is_reached_from_its_readme() -> None:
    index = Page(ROOT / "docs" / "README.md")
    linked = {(index.path.parent / link.partition("#")[0]).resolve() for link in index.links}
    decisions = Page(ROOT / "docs" / "decisions" / "README.md")
    linked |= {(decisions.path.parent / link).resolve() for link in decisions.links}
    missing = [page.name for page in PAGES if page.path.is_relative_to(ROOT / "docs") and page.path not in linked]
    assert missing == ["docs/README.md"]


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"(?:`|^)make ([a-z]+)\b", page.text, re.MULTILINE)}
    assert {"install", "demo", "test"} <= named <= targets


def output_of(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True, env=clean_environment())
    return done.stdout


def test_the_table_of_pvs_is_that_of_the_program() -> None:
    told = output_of(sys.executable, "-m", "ioc_sims", "sputter", "--help")
    page = Page(ROOT / "docs" / "reference" / "pvs.md")
    [table] = [block for block in page.blocks if block.language == "text"]
    assert table.text.strip() in told, "docs/reference/pvs.md differs from `python -m ioc_sims sputter --help`"


def commands_of(*command: str) -> set[str]:
    return set(re.findall(r"^ {4}([a-z][a-z-]*)(?: |$)", output_of(*command, "--help"), re.MULTILINE))


WITH_ACTIONS = ("campaign", "data", "rbs")


def test_the_list_of_commands_is_that_of_the_program() -> None:
    page = Page(ROOT / "docs" / "reference" / "cli.md").text
    shown = {tuple(row.split()) for row in re.findall(r"^\| `sdl ([a-z -]+)", page, re.MULTILINE)}
    top, actions = commands_of("sdl"), {name: commands_of("sdl", name) for name in WITH_ACTIONS}
    assert len(top) >= 9
    assert {"run", "resume", "replay", "list"} <= actions["campaign"]
    assert {"simulate", "fit"} <= actions["rbs"]
    assert {words[0] for words in shown} == top
    for name in WITH_ACTIONS:
        assert {words[1] for words in shown if words[0] == name} == actions[name]
    for options in re.findall(r"^\| `sdl ([a-z-]+(?: [a-z]+)?)[^|]*\|([^\n]*)", page, re.MULTILINE):
        words = options[0].split()
        command = words[:2] if words[0] in WITH_ACTIONS else words[:1]
        told = output_of("sdl", *command, "--help")
        for option in re.findall(r"`(-{1,2}[a-z-]+)", options[1]):
            assert option in told, f"`sdl {' '.join(command)}` has no {option}"


def test_the_campaign_file_of_the_reference_is_valid() -> None:
    import yaml

    from sdl_bluesky.data.yamlfile import check
    from sdl_bluesky.plans.campaign_file import CampaignFile, Deposit, Learn, Target

    page = Page(ROOT / "docs" / "reference" / "campaign-file.md")
    for where in (page, Page(ROOT / "docs" / "how-to" / "target-composition.md")):
        [example] = [block for block in where.blocks if block.language == "yaml"]
        check(yaml.safe_load(example.text), CampaignFile, where.name)
    fields = [*CampaignFile.model_fields, *Learn.model_fields, *Deposit.model_fields, *Target.model_fields]
    assert not [name for name in fields if f"`{name.rstrip('_')}" not in page.text]


def test_every_key_of_the_lab_file_is_in_the_reference() -> None:
    from pydantic import BaseModel

    from sdl_bluesky.session import lab, lab_chamber, lab_rbs
    from sdl_bluesky.session.part import Part

    text = Page(ROOT / "docs" / "reference" / "lab-file.md").text
    found = [*vars(lab).values(), *vars(lab_chamber).values(), *vars(lab_rbs).values()]
    parts = {part for part in found if isinstance(part, type) and issubclass(part, Part) and part is not Part}
    assert len(parts) >= 14
    assert all(issubclass(part, BaseModel) for part in parts)
    missing = [
        f"{part.__name__}.{name}"
        for part in parts
        for name in part.model_fields
        if not re.search(rf"[`.]{name.rstrip('_')}[`.]", text)
    ]
    assert missing == []


FORBIDDEN = {
    "a path of one machine": r"(?<![\w.])/(?:work|root|mnt|home/[a-z]+)/",
    "a folder of one machine's temporary files": r"/tmp/[a-z]/",
    "a package registry": r"\b(?:pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|crates\.io|anaconda\.org)\b",
    "a number of an issue": r"\b[Ii]ssue #?\d+\b",
}
TEXT = {".md", ".py", ".toml", ".yml", ".yaml", ".txt", ".cfg", ".acf", ".html", ".json", "", ".sh"}


def repository_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in found if path.is_file() and not path.is_symlink() and path.suffix in TEXT]


def test_the_repository_speaks_of_the_product_alone() -> None:
    found = []
    for path in repository_files():
        if path == Path(__file__).resolve():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for what, pattern in FORBIDDEN.items():
            found += [f"{path.relative_to(ROOT)}: {what}: {match[0]}" for match in re.finditer(pattern, text)]
    assert found == []
