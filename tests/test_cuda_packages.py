"""Packages for devices: what is said where one is missing, and which command installs them."""

from __future__ import annotations

import sys
from importlib import metadata
from types import SimpleNamespace

import pytest

from dagdp.errors import InputError
from dagdp.kernels.cuda.compilation import packages


@pytest.mark.parametrize(
    ("built_for", "extra"),
    [("12.8", "cuda12"), ("13.0", "cuda13"), ("120.1", "cuda13"), (None, "cuda13"), ("no torch", "cuda13")],
)
def test_the_extra_is_that_of_torch(monkeypatch, built_for, extra):
    torch = None if built_for == "no torch" else SimpleNamespace(version=SimpleNamespace(cuda=built_for))
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert packages.how_to_install() == f'pip install "dagdp[{extra}]"'


def test_a_missing_package_is_named_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda.core", None)
    with pytest.raises(InputError, match=r'cuda\.core cannot be imported.*pip install "dagdp\[cuda1.\]".*\.cpu\(\)'):
        packages.imported("cuda.core")


def test_a_module_that_is_there_is_imported():
    assert packages.imported("json").loads("1") == 1


def test_compilers_are_found_without_an_import(monkeypatch):
    versions = {"numba-cuda": "0.30.4", "nvidia-nvjitlink": "13.5.37"}

    def version(name):
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(metadata, "version", version)
    assert packages.compilers.__wrapped__() == ("numba-cuda 0.30.4", "nvidia-nvjitlink 13.5.37")
