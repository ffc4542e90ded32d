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


@functools.cache
def _source(function: FunctionType) -> tuple[str, str, int]:
    """Source text, file, and number of the first line."""
    lines, first = inspect.getsourcelines(function)
    return textwrap.dedent("".join(lines)), function.__code__.co_filename, first


def read(function: FunctionType) -> KernelText:
    """The text of a function, without decorators, annotations and docstring."""
    source, filename, first = _source(function)
    tree = ast.parse(source).body[0]
    if not isinstance(tree, ast.FunctionDef) or function.__closure__:
        raise TypeError(f"{function!r} was given as a kernel text; expected a def that refers to no variable around it")
    ast.increment_lineno(tree, first - 1)
    text = KernelText(tree, filename)
    if tree.args.defaults or tree.args.kw_defaults or tree.args.vararg or tree.args.kwarg:
        text.refuse(tree, "has defaults or a variable number of arguments; kernel texts have plain parameters")
    tree.decorator_list, tree.returns = [], None
    for argument in (*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs):
        argument.annotation = None
    if ast.get_docstring(tree) is not None:
        del tree.body[0]
    for node in ast.walk(tree):
        if node is not tree and isinstance(node, _FOREIGN):
            text.refuse(node, f"contains {type(node).__name__}, which kernels do not have")
    return text
