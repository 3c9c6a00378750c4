"""Write the container files from one list: ``python containers/make.py`` (tests/house/test_containers.py compares).

Neither has been built where fusionbench is developed: no container runtime is there.
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
BASE = "python:3.12-slim-bookworm"
SYSTEM = ("libgl1", "libglib2.0-0")  # what OpenCV links to, which mmcv brings
FILES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "constraints.txt")
FOLDERS = ("fusionbench", "methods", "metrics", "leaderboards")
EXTRAS = "tasks,onnx,video,ray,slurm"
SETTINGS = {  # mounted: data to read; results and weights to write
    "FUSIONBENCH_DATA": "/data",
    "FUSIONBENCH_OUT": "/results",
    "FUSIONBENCH_CACHE": "/cache",
    "HOME": "/tmp",  # any user may run it, who need not be known inside
    "RAY_USAGE_STATS_ENABLED": "0",
}
NOTE = "# Written by containers/make.py; unverified: it has not been built where fusionbench is developed."
INDEX = '${TORCH_INDEX:+--index-url "$TORCH_INDEX"}'  # where torch's build for processors is, without it CUDA's
STEPS = (
    "apt-get update",
    f"apt-get install -y --no-install-recommends {' '.join(SYSTEM)}",
    "rm -rf /var/lib/apt/lists/*",
)
INSTALL = (
    f"pip install --no-cache-dir -c constraints.txt {INDEX} torch",
    f'pip install --no-cache-dir -c constraints.txt ".[{EXTRAS}]"',
)
MOUNTED = tuple(SETTINGS[name] for name in ("FUSIONBENCH_DATA", "FUSIONBENCH_OUT", "FUSIONBENCH_CACHE"))


def dockerfile() -> str:
    """For ``docker build -f containers/Dockerfile .``, with ``--build-arg TORCH_INDEX=...`` for processors alone."""
    settings = " \\\n    ".join(f"{name}={value}" for name, value in SETTINGS.items())
    steps, install = " && \\\n    ".join(STEPS), " && \\\n    ".join(INSTALL)
    copies = "\n".join(f"COPY {name} /src/{name}" for name in FOLDERS)
    return f"""{NOTE}
FROM {BASE}
# hadolint ignore=DL3008
RUN {steps}
WORKDIR /src
COPY {" ".join(FILES)} /src/
{copies}
ARG TORCH_INDEX=
RUN {install} && \\
    useradd --uid 1000 bench && \\
    mkdir -p {" ".join(MOUNTED)} && \\
    chown bench {" ".join(MOUNTED[1:])}
ENV {settings}
USER 1000
WORKDIR {SETTINGS["FUSIONBENCH_OUT"]}
ENTRYPOINT ["fusionbench"]
CMD ["--help"]
"""


def apptainer() -> str:
    """For ``apptainer build fusionbench.sif containers/fusionbench.def``, in the repository's root."""
    files = "\n".join(f"    {name} /src/{name}" for name in (*FILES, *FOLDERS))
    steps = "\n".join(f"    {line}" for line in (*STEPS, "cd /src", *INSTALL, f"mkdir -p {' '.join(MOUNTED)}"))
    settings = "\n".join(f"    export {name}={value}" for name, value in SETTINGS.items() if name != "HOME")
    return f"""{NOTE}
Bootstrap: docker
From: {BASE}

%arguments
    TORCH_INDEX=

%files
{files}

%post
    set -e
    TORCH_INDEX="{{{{ TORCH_INDEX }}}}"
{steps}

%environment
{settings}

%runscript
    exec fusionbench "$@"
"""


if __name__ == "__main__":
    (HERE / "Dockerfile").write_text(dockerfile(), encoding="utf-8")
    (HERE / "fusionbench.def").write_text(apptainer(), encoding="utf-8")
