"""Metadata, requirements and console scripts come from settings.ini."""
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

root = Path(__file__).resolve().parent
readme = root / "README.md"
parser = ConfigParser(delimiters=["="], interpolation=None)
parser.read(root / "settings.ini", encoding="utf-8")
cfg = parser["DEFAULT"]


def lines(key):
    return cfg[key].split("\n")[1:]


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
    extras_require={"dev": lines("dev_requirements"), "s3": lines("s3_requirements")},
    entry_points={"console_scripts": lines("console_scripts"), "nbdev": ["fsrf=fsrf._modidx:d"]},
    classifiers=[
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    package_data={cfg["lib_path"]: ["py.typed"]},
    zip_safe=False,
)
