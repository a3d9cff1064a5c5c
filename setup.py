"""Metadata, requirements and console scripts come from settings.ini."""
import shutil
import sys
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

root = Path(__file__).resolve().parent
readme = root / "README.md"
parser = ConfigParser(delimiters=["="], interpolation=None)
parser.read(root / "settings.ini", encoding="utf-8")
cfg = parser["DEFAULT"]


def lines(key):
    return cfg[key].split("\n")[1:]


ending = "_requirements"
extras = {key.removesuffix(ending): lines(key) for key in cfg if key.endswith(ending)}
# An editable install is a checkout's.
dev_scripts = lines("dev_scripts") if "editable_wheel" in sys.argv else []


class build_with_shipped(build_py):
    """The modules, and in fsrf/shipped/ copies of the files that the commands read beside them.

    An editable install needs none: it reads the checkout."""

    def copies(self):
        "{where it goes: where it stands}"
        files = [file for pattern in lines("shipped") for file in sorted(root.glob(pattern))]
        to = Path(self.build_lib, cfg["lib_path"], "shipped")
        return {str(to / file.relative_to(root)): str(file) for file in files}

    def run(self):
        super().run()
        if self.editable_mode:
            return
        shutil.rmtree(Path(self.build_lib, cfg["lib_path"], "shipped"), ignore_errors=True)
        for to, file in self.copies().items():
            self.mkpath(str(Path(to).parent))
            self.copy_file(file, to)

    def get_source_files(self):
        return super().get_source_files() + [
            Path(file).relative_to(root).as_posix() for file in self.copies().values()
        ]


setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=readme.read_text(encoding="utf-8") if readme.exists() else "",
    long_description_content_type="text/markdown",
    author=cfg["author"],
    license=cfg["license"],
    keywords=cfg["keywords"],
    python_requires=f">={cfg['min_python']}",
    packages=find_packages(include=[cfg["lib_path"], f"{cfg['lib_path']}.*"]),
    install_requires=lines("requirements"),
    extras_require=extras,
    entry_points={
        "console_scripts": lines("console_scripts") + dev_scripts,
        "nbdev": ["fsrf=fsrf._modidx:d"],
    },
    classifiers=[
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    cmdclass={"build_py": build_with_shipped},
    package_data={cfg["lib_path"]: ["py.typed"]},
    zip_safe=False,
)
