"""The category tree: leaves at any depth, nodes by their full path."""

import numpy as np
import pytest

from vitrine.catalog.tree import CategoryTree

UNEVEN = ["A/B/C", "A/B/D", "A/E", "F", "G/B/C", "A/B", "", "A"]


@pytest.fixture
def tree():
    return CategoryTree(UNEVEN)


def test_leaves_are_the_paths_that_no_other_extends(tree):
    assert tree.leaves == ("A/B/C", "A/B/D", "A/E", "F", "G/B/C")
    assert tree.depth == 3


def test_the_same_word_under_two_parents_is_two_nodes(tree):
    assert tree.level(2) == ("A/B", "A/E", "F", "G/B")
    assert tree.level(3) == tree.leaves


def test_a_name_that_begins_like_another_is_no_child_of_it():
    assert CategoryTree(["Shoe", "Shoes/Boot"]).leaves == ("Shoe", "Shoes/Boot")


@pytest.mark.parametrize(
    ("path", "nodes"),
    [
        ("A/B/C", ["A", "A/B", "A/B/C"]),
        ("A/E", ["A", "A/E", "A/E"]),  # a leaf above the deepest level stands for itself
        ("F", ["F", "F", "F"]),
        ("A/B", ["A", "A/B", ""]),  # cut short: what comes below is not known
        ("A", ["A", "", ""]),
        ("", ["", "", ""]),
        ("A/X", ["A", "A/X", "A/X"]),  # not in the tree: the net cannot answer it at any level below A
        ("X", ["X", "X", "X"]),
        ("A/E/Y", ["A", "A/E", "A/E/Y"]),
    ],
)
def test_node(tree, path, nodes):
    assert [tree.node(path, level) for level in (1, 2, 3)] == nodes


def test_membership_puts_each_leaf_under_one_node(tree):
    for level in (1, 2, 3):
        member = tree.membership(level)
        assert member.shape == (len(tree.leaves), len(tree.level(level)))
        assert (member.sum(axis=1) == 1).all()
        assert (member.sum(axis=0) >= 1).all()
        for row, leaf in enumerate(tree.leaves):
            node = tree.level(level)[int(member[row].argmax())]
            assert leaf == node or leaf.startswith(f"{node}/")
    assert (tree.membership(3) == np.eye(5)).all()


def test_no_paths():
    tree = CategoryTree(["", ""])
    assert (tree.leaves, tree.depth, tree.level(1)) == ((), 0, ())
