"""No two modules import each other, however far around and however late."""

from graphlib import TopologicalSorter

import grimp


def test_imports_have_an_order():
    graph = grimp.build_graph("vitrine", exclude_type_checking_imports=True, cache_dir=None)
    order = [
        *TopologicalSorter(
            {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
        ).static_order()
    ]
    assert order.index("vitrine.errors") < order.index("vitrine.tasks.task") < order.index("vitrine.cli")
