"""A kernel text: the syntax tree of a function that is made into kernels, and where it stands in its file."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from pathlib import Path
from types import FunctionType
from typing import NamedTuple, NoReturn

_FOREIGN = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp),
    *(ast.GeneratorExp, ast.Yield, ast.YieldFrom, ast.Await, ast.Try, ast.With, ast.AsyncWith, ast.AsyncFor),
    *(ast.Global, ast.Nonlocal, ast.Import, ast.ImportFrom, ast.Delete, ast.Match),
)


class KernelText(NamedTuple):
    """The syntax tree of a function, whose line numbers are those of its file."""

    tree: ast.FunctionDef
    filename: str

    def place(self, node: ast.AST) -> str:
        return f"{Path(self.filename).name}:{getattr(node, 'lineno', self.tree.lineno)}"

    def refuse(self, node: ast.AST, what: str) -> NoReturn:
        raise TypeError(f"{self.place(node)}: {self.tree.name} {what}")


def read(function: FunctionType) -> KernelText:
    """The text of a function, without decorators, annotations and docstring; the caller may change the tree."""
    source, filename = _checked(function)
    return _plain(source, filename)


@functools.cache
def _checked(function: FunctionType) -> tuple[str, str]:
    """(source text, file). Blank lines stand for those before the function, so that line numbers are the file's."""
    lines, first = inspect.getsourcelines(function)
    source, filename = "\n" * (first - 1) + textwrap.dedent("".join(lines)), function.__code__.co_filename
    if not isinstance(ast.parse(source).body[0], ast.FunctionDef) or function.__closure__:
        raise TypeError(f"{function!r} was given as a kernel text; expected a def that refers to no variable around it")
    text = _plain(source, filename)
    given = text.tree.args
    if given.defaults or given.kw_defaults or given.vararg or given.kwarg:
        text.refuse(text.tree, "has defaults or a variable number of arguments; kernel texts have plain parameters")
    for node in ast.walk(text.tree):
        if node is not text.tree and isinstance(node, _FOREIGN):
            text.refuse(node, f"contains {type(node).__name__}, which kernels do not have")
    return source, filename


def _plain(source: str, filename: str) -> KernelText:
    """The tree without what only readers and type checkers need."""
    tree = ast.parse(source).body[0]
    assert isinstance(tree, ast.FunctionDef)
    tree.decorator_list, tree.returns = [], None
    for argument in (*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs):
        argument.annotation = None
    if ast.get_docstring(tree) is not None:
        del tree.body[0]
    return KernelText(tree, filename)
