"""Paths and what they lead to; a trailing slash is the same resource."""

from typing import Generic, TypeVar

Leaf = TypeVar("Leaf")


class _Node(Generic[Leaf]):
    """A step of the path: where literal segments lead, where any other segment leads, what ends here, by method."""

    __slots__ = ("leaves", "literals", "variable")

    def __init__(self) -> None:
        self.literals: dict[str, _Node[Leaf]] = {}
        self.variable: _Node[Leaf] | None = None
        self.leaves: dict[str, Leaf] = {}


class Paths(Generic[Leaf]):
    """Leaves by method and path, where a segment in braces stands for any."""

    def __init__(self) -> None:
        self._root: _Node[Leaf] = _Node()

    def add(self, method: str, path: str, leaf: Leaf) -> None:
        """Let a path lead somewhere."""
        node = self._root
        for segment in path.split("/")[1:]:
            if segment.startswith("{"):
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.literals.setdefault(segment, _Node())
        node.leaves[method] = leaf

    def find(self, path: str) -> tuple[dict[str, Leaf], list[str]]:
        """Return where a path leads for each method, nowhere if there is none, and its variables."""
        node: _Node[Leaf] | None = self._root
        ids: list[str] = []
        for segment in path.removesuffix("/").split("/")[1:]:
            if node is None:
                break
            literal = node.literals.get(segment)
            if literal is None and segment:
                ids.append(segment)
                literal = node.variable
            node = literal
        return (node.leaves if node is not None else {}), ids
