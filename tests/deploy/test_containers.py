"""Compose file and Dockerfile, read by the code that Docker reads them with: no engine is needed, and none is asked."""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deploy_kit import DEPLOY, ROOT, check_command, tool

COMPOSE = DEPLOY / "compose" / "compose.yaml"
DOCKERFILE = DEPLOY / "compose" / "Dockerfile"
IGNORED = DEPLOY / "compose" / "Dockerfile.dockerignore"
GO_DIR = Path(__file__).parent / "go"

Read = Callable[[str, Path], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def read() -> Read:
    """compose-go, whose loader is that of `docker compose`, and BuildKit's parser, from the Go module proxy."""
    # Debian's Go reads the module as it is, and fetches what it names by go.sum's hashes.
    go = tool("go", "golang-go")
    subprocess.run([go, "build", "-buildvcs=false", "-o", "build/containers", "."], cwd=GO_DIR, check=True)

    def run(kind: str, path: Path) -> subprocess.CompletedProcess[str]:
        command = [str(GO_DIR / "build" / "containers"), kind, str(path)]
        return subprocess.run(command, check=False, capture_output=True, text=True)

    return run


@pytest.fixture(scope="module")
def compose(read: Read) -> dict[str, Any]:
    result = read("compose", COMPOSE)
    assert (result.returncode, result.stderr) == (0, "")
    return dict(json.loads(result.stdout))


@pytest.fixture(scope="module")
def stages(read: Read) -> list[dict[str, Any]]:
    result = read("dockerfile", DOCKERFILE)
    assert (result.returncode, result.stderr) == (0, "")
    return list(json.loads(result.stdout))


def commands(stage: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [command["is"] for command in stage["commands"] if command["name"] == name]


def last(stage: dict[str, Any], name: str) -> dict[str, Any]:
    return commands(stage, name)[-1]


@pytest.mark.parametrize(
    ("slip", "word"),
    [
        (("read_only: true", "readonly: true"), "readonly"),
        (("restart: unless-stopped", "restart: 1"), "restart"),
        (("secrets: [tocsin-passphrase]", "secrets: [passphrase]"), "passphrase"),
        (("- data:/var/lib/tocsin", "- database:/var/lib/tocsin"), "database"),
        (("depends_on: [relay]", "depends_on: [node]"), "node"),
    ],
)
def test_a_slip_in_the_compose_file_is_found(read: Read, tmp_path: Path, slip: tuple[str, str], word: str) -> None:
    assert slip[0] in COMPOSE.read_text()
    (tmp_path / "compose.yaml").write_text(COMPOSE.read_text().replace(*slip))
    result = read("compose", tmp_path / "compose.yaml")
    assert result.returncode == 1
    assert word in result.stderr


def test_a_slip_in_the_dockerfile_is_found(read: Read, tmp_path: Path) -> None:
    for old, new in (("USER 10001", "USR 10001"), ("COPY --from=build", "COPY --form=build")):
        (tmp_path / "Dockerfile").write_text(DOCKERFILE.read_text().replace(old, new))
        result = read("dockerfile", tmp_path / "Dockerfile")
        assert result.returncode == 1
        assert result.stderr


def test_each_service_runs_a_command_that_there_is(compose: dict[str, Any], stages: list[dict[str, Any]]) -> None:
    entry = last(stages[-1], "ENTRYPOINT")["CmdLine"]
    assert entry == ["tocsin"]
    words = [service["command"] for service in compose["services"].values()]
    assert sorted(words) == [["run"], ["serve"], ["watchdog"]]
    for command in (*words, last(stages[-1], "CMD")["CmdLine"]):
        check_command(command)
    kind, program, *rest = last(stages[-1], "HEALTHCHECK")["Health"]["Test"]
    assert (kind, program) == ("CMD", "tocsin")
    check_command(rest)


def test_each_service_can_change_nothing_but_its_data(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"} & service.keys()
        user, _, group = service["user"].partition(":")
        assert int(user) > 0
        assert int(group) > 0
        writable = [volume["target"] for volume in service["volumes"] if not volume.get("read_only")]
        assert writable == ["/var/lib/tocsin"]


def test_only_the_relay_comes_by_keys_and_passphrase(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        is_relay = name == "relay"
        assert bool(service.get("secrets")) is is_relay
        hidden = [v["target"] for v in service["volumes"] if v["source"] == "/dev/null"]
        assert bool(hidden) is not is_relay
        # values of the environment are shown by `docker inspect`
        assert not service.get("environment")


def test_only_the_mesh_faces_the_network(compose: dict[str, Any]) -> None:
    ports = {port["target"]: port.get("host_ip") for s in compose["services"].values() for port in s.get("ports", [])}
    assert ports == {9400: None, 9480: "127.0.0.1"}


def test_every_service_is_of_the_image_that_is_built_here(compose: dict[str, Any]) -> None:
    services = compose["services"].values()
    (built,) = [service for service in services if "build" in service]
    assert {service["image"] for service in services} == {built["image"]}
    assert Path(built["build"]["context"]) == ROOT
    assert ROOT / built["build"]["dockerfile"] == DOCKERFILE


def test_what_is_copied_is_there_and_not_ignored(stages: list[dict[str, Any]]) -> None:
    kept = [line[1:] for line in IGNORED.read_text().splitlines() if line.startswith("!")]
    names = {stage["name"] for stage in stages}
    copied = [copy for stage in stages for copy in commands(stage, "COPY")]
    for copy in copied:
        if copy["From"]:
            assert copy["From"] in names
            continue
        for source in copy["SourcePaths"]:
            assert (ROOT / source).exists(), source
            assert source in kept
    assert sorted(kept) == sorted(source for copy in copied if not copy["From"] for source in copy["SourcePaths"])


def test_what_the_wheel_is_made_of_is_copied(stages: list[dict[str, Any]]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = {project["project"]["readme"], *project["project"]["license-files"]}
    wanted |= {folder.partition("/")[0] for folder in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    copied = {source for stage in stages for copy in commands(stage, "COPY") for source in copy["SourcePaths"]}
    assert wanted <= copied


def test_the_image_runs_as_nobody_in_particular_and_holds_no_compiler(stages: list[dict[str, Any]]) -> None:
    build, image = stages
    assert last(image, "USER")["User"] == "10001:10001"
    installed = " ".join(line for run in commands(image, "RUN") for line in run["CmdLine"])
    assert not re.search(r"\bgcc\b|-dev\b", installed)
    assert re.search(r"\bgcc\b", " ".join(line for run in commands(build, "RUN") for line in run["CmdLine"]))
    # what `.ci/run` and the README name for the PDF of a report
    named = set(re.findall(r"\b(?:libpango\S+|libharfbuzz\S+|fonts-\S+)\b", (ROOT / ".ci" / "run").read_text()))
    assert named <= set(installed.split())


def test_nothing_but_names_of_images_is_fetched(stages: list[dict[str, Any]]) -> None:
    for path in (COMPOSE, DOCKERFILE):
        assert "://" not in path.read_text()
    assert {stage["base"] for stage in stages} == {"python:3.11-slim-bookworm"}
    assert not [stage for stage in stages if commands(stage, "ADD")]


def test_python_is_one_that_the_project_wants(stages: list[dict[str, Any]]) -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert wanted == ">=3.11"
    assert all(fnmatch.fnmatch(stage["base"], "python:3.1[1-9]-*") for stage in stages)


def test_no_secret_comes_into_the_context_or_the_repository() -> None:
    assert IGNORED.read_text().splitlines()[1] == "*"
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    # what the guide has the operator make beside the compose file
    assert {"deploy/compose/tocsin/", "deploy/compose/tocsin-passphrase"} <= set(ignored)
