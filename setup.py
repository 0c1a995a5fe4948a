"""The wheel also has the demo's passages, questions and gallery, which lie beside the packages.

Everything else that is built stands in pyproject.toml. The 24 MB of pictures that train and
measure kbvqa-mini stay in the repository.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

DEMO = Path("data/demo")


class BuildWithDemo(build_py):
    """build_py, and the demo as the folder corpus/demo_data."""

    def run(self) -> None:
        """Build the packages, then copy; an editable install finds the demo where it is."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "corpus" / "demo_data"
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(DEMO, target, ignore=shutil.ignore_patterns("images"))


setup(cmdclass={"build_py": BuildWithDemo})
