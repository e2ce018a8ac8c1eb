"""The tasks of a DAG on this machine: each as soon as what it waits for is done, two processes at a time.

kfp.local 2.17.0 runs one task of a DAG after the other, whether or not they know of each other, and only the rounds of
a loop side by side. Of tasks that wait for a process that one comes first which most others wait for, one behind the
other: a student can begin once all of its teachers have ended, and a net beside them at any time.
"""

import contextlib
import contextvars
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from kfp.local.io import IOStore
from kfp.local.orchestrator import enhanced_dag_orchestrator as orchestrator
from kfp.local.orchestrator.orchestrator_utils import OrchestratorUtils
from kfp.local.status import Status
from kfp.pipeline_spec.pipeline_spec_pb2 import ComponentSpec, PipelineTaskSpec

AT_ONCE = 2  # processes of steps
NEEDED = 2 << 30  # bytes that must be free for a step to begin beside another; see the peaks in docs/performance.md
SETTLES = 0.1  # seconds in which all tasks have come that are ready when another ends
ALWAYS = PipelineTaskSpec.TriggerPolicy.TriggerStrategy.ALL_UPSTREAM_TASKS_COMPLETED


class Interruption(threading.Event):
    """Set once a person ends the run: no other step begins.

    Attributes:
        end_steps: Has those at work end. A terminal tells them itself; `kill`, an editor or a scheduler only the run.
    """

    def __init__(self) -> None:
        super().__init__()
        self.end_steps: Callable[[], object] = lambda: None

    def set(self) -> None:
        """Says so to whoever asks, and to the steps."""
        super().set()
        self.end_steps()


interrupted = Interruption()
_beside: contextvars.ContextVar[bool] = contextvars.ContextVar("beside", default=False)
_behind: contextvars.ContextVar[int] = contextvars.ContextVar("behind", default=0)


def has_company() -> bool:
    """Whether another task may run beside that of this thread, or beside the DAG it belongs to.

    It depends on what the tasks before said and not on how long they took, so that a step which is started again has
    the threads it had: sums over others differ in their last bits.
    """
    return _beside.get()


class Slots:
    """How many processes may be at work: `AT_ONCE`, and one where memory is short.

    Of the tasks that wait, one to a thread, that comes first which most others wait for, one behind the other; of two
    alike the earlier.
    """

    def __init__(self, free: Callable[[], int]) -> None:
        self._free, self._taken, self._change = free, 0, threading.Condition()
        self._waiting: set[tuple[int, int]] = set()
        self._arrivals = itertools.count()

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Waits for room for a process, and keeps it.

        Raises:
            KeyboardInterrupt: if the run is ended meanwhile.
        """
        with self._change:
            place = (-_behind.get(), next(self._arrivals))
            self._waiting.add(place)
        if has_company():
            time.sleep(SETTLES)
        with self._change:
            try:
                while self._full() or min(self._waiting) != place:
                    self._change.wait()
                if interrupted.is_set():
                    raise KeyboardInterrupt
                self._taken += 1
            finally:
                self._waiting.remove(place)
                self._change.notify_all()
        try:
            yield
        finally:
            with self._change:
                self._taken -= 1
                self._change.notify_all()

    def _full(self) -> bool:
        return bool(self._taken) and (self._taken >= AT_ONCE or self._free() < NEEDED)


def free_memory() -> int:
    """Bytes that processes can still take, of the machine and of this container; a great many where nobody says."""
    found = [1 << 62]
    with contextlib.suppress(OSError, ValueError):
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        found.append(int(lines["MemAvailable"].split()[0]) << 10)
    with contextlib.suppress(OSError, ValueError):  # "max" where there is no limit
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        kept = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        found.append(limit - used + int(kept["inactive_file"]))
    return min(found)


def cores_of_one(cores: int) -> int:
    """The cores of a step that may run beside another, of all."""
    return max(1, cores // AT_ONCE)


def run_dag(
    pipeline_resource_name: str,
    dag_component_spec: ComponentSpec,
    executors: dict[str, Any],
    components: dict[str, ComponentSpec],
    dag_arguments: dict[str, Any],
    pipeline_root: str,
    runner: Any,
    unique_pipeline_id: str,
    fail_stack: list[str],
    parent_io_store: IOStore | None = None,
) -> tuple[dict[str, Any], Status]:
    """Like `run_enhanced_dag` of kfp.local, whose arguments and answer it has.

    Conditions, loops, tasks behind one that failed, and exit tasks are as there.
    """
    given = OrchestratorUtils.join_user_inputs_and_defaults(
        dag_arguments=dag_arguments, dag_inputs_spec=dag_component_spec.input_definitions
    )
    store = IOStore(parent=parent_io_store)
    for name, value in given.items():
        store.put_parent_input(name, value)
    known = {
        "pipeline_resource_name": pipeline_resource_name,
        "components": components,
        "executors": executors,
        "io_store": store,
        "pipeline_root": pipeline_root,
        "runner": runner,
        "unique_pipeline_id": unique_pipeline_id,
        "fail_stack": fail_stack,
    }

    def run(name: str, task: PipelineTaskSpec) -> bool:
        """Runs a task; whether it ended well."""
        if not task.trigger_policy.condition and orchestrator._has_valid_iterator(task):
            return not orchestrator._run_parallel_for_task(
                task_name=name, task_spec=task, parallel_executor=Rounds(), **known
            )
        outputs, status = orchestrator.execute_task(task_name=name, task_spec=task, **known)
        store.put_task_status(name, "SUCCEEDED" if status == Status.SUCCESS else "FAILED")
        if status != Status.SUCCESS:
            fail_stack.append(name)
            return False
        for key, value in outputs.items():
            store.put_task_output(name, key, value)
        return True

    tasks = dict(dag_component_spec.dag.tasks)
    last = {name: task for name, task in tasks.items() if _is_exit(task)}
    failed = _run_all({name: task for name, task in tasks.items() if name not in last}, store, run)
    for name, task in last.items():
        failed |= not run(name, task)
    if failed:
        return {}, Status.FAILURE
    return OrchestratorUtils.get_dag_outputs(dag_component_spec.dag.outputs, io_store=store), Status.SUCCESS


class Rounds:
    """Stands for kfp.local's `ParallelExecutor`: all rounds of a loop at once, since `Slots` says which begin."""

    def execute_parallel_tasks(
        self,
        tasks: Sequence[tuple[str, PipelineTaskSpec]],
        io_store: IOStore,
        fail_stack: list[str],
        parallelism_limit: int = 0,
        **known: Any,
    ) -> tuple[dict[str, dict[str, Any]], Status]:
        """What each round gives, and whether all ended well."""

        def run(name: str, task: PipelineTaskSpec) -> tuple[dict[str, Any], Status]:
            return orchestrator.execute_task(
                task_name=name, task_spec=task, io_store=io_store, fail_stack=fail_stack, **known
            )

        with ThreadPoolExecutor(parallelism_limit or len(tasks)) as pool:
            running = {name: pool.submit(contextvars.copy_context().run, run, name, task) for name, task in tasks}
        ended = {name: future.result() for name, future in running.items()}
        failed = [name for name, (_, status) in ended.items() if status != Status.SUCCESS]
        if failed:
            fail_stack.append(failed[0])
            return {}, Status.FAILURE
        for name, (outputs, _) in ended.items():
            for key, output in outputs.items():
                io_store.put_task_output(name, key, output)
        return {name: outputs for name, (outputs, _) in ended.items()}, Status.SUCCESS


def _run_all(tasks: dict[str, PipelineTaskSpec], store: IOStore, run: Callable[[str, PipelineTaskSpec], bool]) -> bool:
    """Runs each task once those it depends on are done; whether any failed or had to be left out."""
    waiting, running, failed, left = dict(tasks), dict[Future[bool], str](), set[str](), set[str]()
    others, after = unordered(tasks), longest_behind(tasks)
    with ThreadPoolExecutor(max(1, len(tasks))) as pool, _told_of_interruptions():
        while waiting or running:
            ahead = {*waiting, *running.values()}
            ready = [name for name, task in waiting.items() if ahead.isdisjoint(task.dependent_tasks)]
            begun = {}
            for name in ready:
                task = waiting.pop(name)
                if task.trigger_policy.strategy != ALWAYS and not failed.isdisjoint(task.dependent_tasks):
                    failed.add(name)
                    store.put_task_status(name, "FAILED")
                elif orchestrator.ConditionEvaluator.evaluate_condition(task.trigger_policy.condition, store):
                    begun[name] = task
                else:
                    left.add(name)
            for name, task in begun.items():
                context = contextvars.copy_context()
                context.run(_beside.set, has_company() or bool(others[name] - left))
                context.run(_behind.set, _behind.get() + after[name])
                running[pool.submit(context.run, run, name, task)] = name
            if not ready:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(future)
                    if not future.result():
                        failed.add(name)
    return bool(failed)


@contextlib.contextmanager
def _told_of_interruptions() -> Iterator[None]:
    """A person's interruption comes to the main thread alone, which then waits for the others: they are to know too."""
    try:
        yield
    except KeyboardInterrupt:
        interrupted.set()
        raise


def unordered(tasks: Mapping[str, PipelineTaskSpec]) -> dict[str, set[str]]:
    """The tasks that each may run beside: neither waits for the other, however many are between them."""
    before: dict[str, set[str]] = {}

    def ahead_of(name: str) -> set[str]:
        if name not in before:
            direct = [other for other in tasks[name].dependent_tasks if other in tasks]
            before[name] = {*direct}.union(*(ahead_of(other) for other in direct))
        return before[name]

    def either_way(one: str, other: str) -> bool:
        return one == other or one in ahead_of(other) or other in ahead_of(one)

    return {name: {other for other in tasks if not either_way(name, other)} for name in tasks}


def longest_behind(tasks: Mapping[str, PipelineTaskSpec]) -> dict[str, int]:
    """How many tasks wait for each, one behind the other."""

    def behind(name: str) -> int:
        return max((1 + behind(other) for other in tasks if name in tasks[other].dependent_tasks), default=0)

    return {name: behind(name) for name in tasks}


def _is_exit(task: PipelineTaskSpec) -> bool:
    """Whether a task runs at the end, however that came; `ignore_upstream_failure` alone is none."""
    return task.trigger_policy.strategy == ALWAYS and orchestrator._has_task_final_status_input(task)
