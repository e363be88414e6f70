"""Which folders are packages under which name: what packages.find in pyproject.toml cannot say."""

from setuptools import find_namespace_packages, setup

FOLDERS = {"nacd_bench": "nacd_bench", "nacd_codecs": "codecs", "nacd_conf": "conf"}

setup(
    package_dir=FOLDERS,
    packages=[
        *FOLDERS,
        *(
            f"{package}.{part}"
            for package, folder in FOLDERS.items()
            for part in find_namespace_packages(folder, exclude=["*__pycache__*"])
        ),
    ],
)
