"""The single faults that can be put into a source file: one wrong operator, number, truth value, branch or call."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

SWAPPED = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "*",
    ast.Mod: "*",
    ast.Pow: "*",
    ast.BitAnd: "|",
    ast.BitOr: "&",
    ast.MatMult: "*",
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
    ast.And: "or",
    ast.Or: "and",
}


@dataclass(frozen=True)
class Fault:
    """One place of a file, and what stands there instead.

    Attributes:
        line: from 1.
        start: offset of the place in the source, in characters.
        end: behind it.
        wrong: what is written there.
    """

    line: int
    start: int
    end: int
    wrong: str

    def into(self, source: str) -> str:
        """The source with the fault in it."""
        return source[: self.start] + self.wrong + source[self.end :]


@cache
def faults_of(source: str) -> tuple[Fault, ...]:
    """All faults that can be put into a source file, in its order; each gives a file that compiles and differs.

    Passed over are annotations, docstrings, `__all__`, what is raised with its message, formatted text, and what only
    type checkers read: a fault there is none that a test could or should notice.
    """
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def offset(line: int, column: int) -> int:
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    def span(node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return offset(node.lineno, node.col_offset), offset(node.end_lineno, node.end_col_offset)

    def statement(start: int) -> tuple[int, int]:
        """Where the statement at the margin stands that holds a place; alone it compiles faster than its file."""
        line = source.count("\n", 0, start) + 1
        first, last = next(lines for lines in outermost if lines[0] <= line <= lines[1])
        return starts[first - 1], starts[last]

    tree = ast.parse(source)
    outermost = [
        (
            min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))]),
            node.end_lineno or node.lineno,
        )
        for node in tree.body
    ]
    found = []
    for node in _worked_on(tree):
        for start, end, wrong in _wrongs(node, span, source):
            fault = Fault(source.count("\n", 0, start) + 1, start, end, wrong)
            first, last = statement(start)
            if wrong != source[start:end] and _compiles(source[first:start] + wrong + source[end:last]):
                found.append(fault)
    return tuple(sorted(found, key=lambda fault: (fault.start, fault.end, fault.wrong)))


def _compiles(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def _worked_on(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a tree that do something when the program runs."""
    if isinstance(tree, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom):
        return
    if isinstance(tree, ast.If) and isinstance(tree.test, ast.Name) and tree.test.id == "TYPE_CHECKING":
        return
    if isinstance(tree, ast.Expr) and isinstance(tree.value, ast.Constant):
        return
    if isinstance(tree, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in tree.targets):
        return
    yield tree
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "type_params", "keywords" if _is_dataclass(tree) else "annotation"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _worked_on(child)


def _is_dataclass(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dataclass"


def _wrongs(node: ast.AST, span, source: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, what stands there instead) for each fault in one node itself."""
    if isinstance(node, ast.BinOp):
        yield _between(span(node.left)[1], span(node.right)[0], source, node.op)
    elif isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        for left, right, op in zip(sides[:-1], sides[1:], node.ops, strict=True):
            yield _between(span(left)[1], span(right)[0], source, op)
    elif isinstance(node, ast.BoolOp):
        for left, right in zip(node.values, node.values[1:], strict=False):
            yield _between(span(left)[1], span(right)[0], source, node.op)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        start, end = span(node)
        yield start, end, f"({source[slice(*span(node.operand))]})"
    elif isinstance(node, ast.IfExp):
        start, end = span(node)
        body, test, orelse = (source[slice(*span(part))] for part in (node.body, node.test, node.orelse))
        yield start, end, f"({orelse}) if ({test}) else ({body})"
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield *span(node), str(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield *span(node), str(node.value + 1)
    elif isinstance(node, ast.Constant) and isinstance(node.value, float):
        yield *span(node), repr(node.value * 1.1 or 0.1)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield *span(node), "pass"
    elif isinstance(node, ast.Continue):
        yield *span(node), "break"


def _between(start: int, end: int, source: str, op: ast.AST) -> tuple[int, int, str]:
    """The operator between two operands; brackets around them stay."""
    between = source[start:end]
    before = len(between) - len(between.lstrip(") \n\t"))
    behind = len(between) - len(between.rstrip("( \n\t"))
    return start + before, end - behind, SWAPPED.get(type(op), between.strip())
