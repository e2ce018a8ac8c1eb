"""Publishing, running and scheduling the pipelines on a Kubeflow cluster, through the API's own client.

Whatever is done can be done again: a pipeline is created once, a version is named after its commit and uploaded once, a
schedule of the same name is replaced only if it differs.
"""

import contextlib
import io
import json
import os
import re
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipelines import TRAINS
from pipelines.agreed import ACCOUNT, ENDPOINT, NAMESPACE, POD_TOKEN, TOKEN
from pipelines.kube import run_has_pods
from pipelines.packages import compile_pipeline, content_hash, defaults, load
from vitrine.errors import InputError

PAGE = 50
GOING = ("PENDING", "RUNNING", "PAUSED", "CANCELING")
NO_STEPS: Mapping[str, str] = {}
ENDED = {"SUCCEEDED": "done", "FAILED": "failed"}  # states of a step
POLL = 10.0  # seconds
CALL = 60.0  # seconds at most of one request
LOST = timedelta(hours=1)
DIGEST = "content sha256:"
UNCOMMITTED = re.compile(r"([0-9a-f]{12}|package)-[0-9a-f]{8}(-no-claim)?")  # see `version_name`
UI = "KF_PIPELINES_UI_ENDPOINT"
SINGLE_USER = "kubeflow"  # the namespace of all runs where Kubeflow has one user
FIELDS = re.compile(r"^[0-9A-Za-z*/,?#-]+$")


@dataclass(frozen=True)
class Version:
    """A pipeline version on the cluster."""

    pipeline_id: str
    version_id: str
    name: str
    new: bool


@dataclass(frozen=True)
class Started:
    """A run that was started."""

    run_id: str
    name: str
    url: str


class Cluster:
    """The Kubeflow Pipelines API at one address.

    Credentials are those that kfp looks for: a service account's token ($KF_PIPELINES_SA_TOKEN_PATH or where a
    PodDefault mounts it), an identity-aware proxy's ($KF_PIPELINES_IAP_OAUTH2_CLIENT_ID ...), or the cookie in
    ~/.config/kfp/context.json.

    Args:
        endpoint: Its address; "" takes $KF_PIPELINES_ENDPOINT.
        namespace: The profile's namespace; "" takes $VITRINE_NAMESPACE. Not asked for where Kubeflow has one user,
            whose runs are all in `kubeflow`.
        ui: Address of the UI, for links; "" takes $KF_PIPELINES_UI_ENDPOINT, else the endpoint.

    Raises:
        InputError: if there is no address, or nobody answers there.
    """

    def __init__(self, endpoint: str = "", namespace: str = "", ui: str = "") -> None:
        self.endpoint = (endpoint or os.environ.get(ENDPOINT, "")).rstrip("/")
        self.ui = (ui or os.environ.get(UI, "") or self.endpoint).rstrip("/")
        self.namespace = namespace or os.environ.get(NAMESPACE) or None
        if not self.endpoint:
            raise InputError(f"no Kubeflow endpoint: give --endpoint or set {ENDPOINT}")
        if not self.endpoint.startswith(("http://", "https://")):
            raise InputError(f"{self.endpoint}: an endpoint begins with http:// or https://")
        with warnings.catch_warnings(), _quietly(self.endpoint):
            warnings.simplefilter("ignore")
            self._client = self._connect()

    def _connect(self) -> Any:
        from kfp.client import Client, set_volume_credentials

        class Once(Client):
            def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:  # kfp asks five times, with tracebacks
                return self._healthz_api.healthz_service_get_healthz(_request_timeout=CALL)

        token = os.environ.get(TOKEN) or (POD_TOKEN if Path(POD_TOKEN).is_file() else "")
        if token and not Path(token).is_file():
            raise InputError(f"{TOKEN}={token}: no such file")
        credentials = set_volume_credentials.ServiceAccountTokenVolumeCredentials(path=token) if token else None
        client = Once(host=self.endpoint, namespace=self.namespace or "kubeflow", credentials=credentials)
        several = client.get_kfp_healthz().multi_user
        self.several_users = bool(several)
        if several is False:  # it refuses experiments with a namespace
            self.namespace = None
        client.pipelines.pipeline_service_list_pipelines(page_size=1, namespace=self.namespace, _request_timeout=CALL)
        return client

    def publish(self, name: str, package: Path, version: str, under: str = "") -> Version:
        """Creates the pipeline, or adds a version; what is there already under that name stays as it is.

        Args:
            name: Of the pipeline.
            package: Compiled YAML.
            version: Name of the version.
            under: Name of the pipeline on the cluster; "" for its own.

        Raises:
            InputError: if the version exists with another package, or the API refuses.
        """
        digest = DIGEST + content_hash(package)
        description = load(name).pipeline_spec.pipeline_info.description
        name = under or name
        with _quietly(self.endpoint):
            pipeline = self.find_pipeline(name) or self._create_pipeline(name, description)
            existing = self._find_version(pipeline, version)
            if existing is None:
                try:
                    made = self._client.upload_pipeline_version(
                        str(package), version, pipeline_id=pipeline, description=digest
                    )
                    return Version(pipeline, made.pipeline_version_id, version, new=True)
                except Exception as error:
                    existing = self._find_version(pipeline, version) if _status(error) == 409 else None
                    if existing is None:
                        raise
        if (existing.description or "") != digest:
            raise InputError(
                f"{self.endpoint}: version {version} of {name} exists with another package; commit the change, or name "
                "it with --version"
            )
        return Version(pipeline, existing.pipeline_version_id, version, new=False)

    def find_pipeline(self, name: str) -> str | None:
        """The id of a pipeline, or None."""
        named = _named(name)
        with _quietly(self.endpoint):
            pipelines = (
                self._client.list_pipelines(page_size=PAGE, filter=named, namespace=self.namespace).pipelines or []
            )
        return pipelines[0].pipeline_id if pipelines else None

    def latest(self, name: str) -> Version | None:
        """The newest version of a pipeline that was made from a commit, or None where it has none."""
        pipeline = self.find_pipeline(name)
        token = ""
        while pipeline:
            with _quietly(self.endpoint):
                page = self._client.list_pipeline_versions(
                    pipeline, page_size=PAGE, page_token=token, sort_by="created_at desc"
                )
            for version in page.pipeline_versions or []:
                if not UNCOMMITTED.fullmatch(version.display_name):
                    return Version(pipeline, version.pipeline_version_id, version.display_name, new=False)
            token = page.next_page_token
            if not token:
                break
        return None

    def start(
        self, version: Version, name: str, parameters: Mapping[str, Any], experiment: str, account: str = ""
    ) -> Started:
        """Starts a run of a version.

        Args:
            version: Of a pipeline.
            name: Of the run.
            parameters: The run's; others keep the package's defaults.
            experiment: Its experiment, created if there is none of that name.
            account: Service account of the pods; "" for the cluster's default.
        """
        with _quietly(self.endpoint):
            run = self._client.run_pipeline(
                self._experiment(experiment),
                name,
                params=dict(parameters),
                pipeline_id=version.pipeline_id,
                version_id=version.version_id,
                service_account=account or None,
            )
        return Started(run.run_id, name, f"{self.ui}/#/runs/details/{run.run_id}")

    def going(self, pipeline: str, lost: timedelta = LOST) -> str:
        """The name of a run of the pipeline that may yet promote a model, "" if there is none.

        Runs that only compare do not count, nor do lost ones.

        Args:
            pipeline: Its name.
            lost: Age from which on a run without any pod counts as lost.
        """
        pipeline_id = self.find_pipeline(pipeline)
        for run in self._unended() if pipeline_id else ():
            reference = run.pipeline_version_reference
            given = (run.runtime_config and run.runtime_config.parameters) or {}
            only = given.get("only_compare") or (given.get("settings") or {}).get("only_compare")
            is_pipelines = reference and reference.pipeline_id == pipeline_id and not only
            if is_pipelines and not self._lost(run, lost):
                return str(run.display_name)
        return ""

    def failed(self, run_id: str, lost: timedelta = LOST) -> bool:
        """Whether a run has ended without success, or is lost; not where nobody knows."""
        try:
            with _quietly(self.endpoint):
                run = self._client.get_run(run_id)
        except InputError:
            return False
        if run.state in (None, *GOING):
            return self._lost(run, lost)
        return bool(run.state in ("FAILED", "CANCELED"))

    def _unended(self) -> Iterator[Any]:
        """The runs that the API does not call ended, newest first."""
        token = ""
        while True:
            with _quietly(self.endpoint):
                page = self._client.list_runs(
                    page_token=token, page_size=PAGE, sort_by="created_at desc", namespace=self.namespace
                )
            for run in page.runs or []:
                if run.state in (None, *GOING):
                    yield run
            token = page.next_page_token
            if not token:
                return

    def _lost(self, run: Any, after: timedelta) -> bool:
        """Whether a run that is older has no pod, not even one that has ended.

        What deletes a run's workflow, such as the deletion of its schedule, leaves it RUNNING in the API for ever.
        """
        return bool(
            datetime.now(UTC) - run.created_at > after
            and run_has_pods(run.run_id, self.namespace or SINGLE_USER) is False
        )

    def wait(
        self,
        started: Started,
        limit: float,
        tell: Callable[[str], None],
        poll: float = POLL,
        *,
        steps: Mapping[str, str] = NO_STEPS,
    ) -> bool:
        """Waits for a run to end, telling each step as it ends, and says whether it ended well.

        Args:
            started: The run.
            limit: Seconds to wait at most.
            tell: Takes each new state.
            poll: Seconds between looks.
            steps: What the steps are called, by their names in the package (see `packages.step_names`).

        Raises:
            InputError: if it has not ended by then.
        """
        until, last, missed, ended = time.monotonic() + limit, "", 0, set[str]()
        while True:
            try:
                with _quietly(self.endpoint):
                    run = self._client.get_run(started.run_id)
                missed = 0
            except InputError:  # a gateway that restarts is no reason to lose sight of a run of hours
                missed += 1
                if missed > 5:
                    raise
                run = None
            state = (run.state if run else last) or "PENDING"
            if state != last:
                tell(f"{started.name}: {state.lower()}")
                last = state
            for step in (run and run.run_details and run.run_details.task_details) or ():
                # Of a step's several nodes (its driver, its retries) one has its name.
                if step.state in ENDED and step.display_name in steps and step.task_id not in ended:
                    ended.add(step.task_id)
                    tell(f"  {steps[step.display_name]}: {ENDED[step.state]}")
            if run and state not in GOING and state != "RUNTIME_STATE_UNSPECIFIED":
                if state != "SUCCEEDED" and run.error and run.error.message:
                    tell(f"{started.name}: {run.error.message}")
                return bool(state == "SUCCEEDED")
            if time.monotonic() > until:
                raise InputError(f"{started.url}: still {state.lower()} after {limit:.0f} s; it goes on")
            time.sleep(poll)

    def schedule(
        self,
        version: Version,
        name: str,
        cron: str,
        parameters: Mapping[str, Any],
        experiment: str,
        account: str = "",
    ) -> str:
        """Has a version run by the clock, one run at a time and without catching up on what was missed.

        Schedules of that name are replaced, unless one is exactly as asked for.

        Args:
            version: Of a pipeline.
            name: Of the schedule.
            cron: Five fields as in crontab, or Kubeflow's six with seconds first; UTC.
            parameters: See `start`.
            experiment: See `start`.
            account: See `start`.

        Returns:
            `unchanged`, `created` or `replaced`, and what of the old one could not be deleted yet.
        """
        wanted = parse_cron(cron)
        with _quietly(self.endpoint):
            experiment_id = self._experiment(experiment)
            others = self.schedules(name, experiment_id)
            for other in others:
                if _same(other, version, wanted, parameters, account):
                    return "unchanged" + _kept(self._retire([spare for spare in others if spare is not other]))
            self._client.create_recurring_run(
                experiment_id,
                name,
                cron_expression=wanted,
                max_concurrency=1,
                no_catchup=True,
                params=dict(parameters),
                pipeline_id=version.pipeline_id,
                version_id=version.version_id,
                service_account=account or None,
            )
            # Only now, so that there is one at any time.
            return f"replaced{_kept(self._retire(others))}" if others else "created"

    def unschedule(self, name: str, experiment: str) -> str:
        """Ends the schedules of that name, and says what became of them."""
        with _quietly(self.endpoint):
            schedules = self.schedules(name, self._experiment(experiment))
            going = self._retire(schedules)
        return f"{len(schedules) - len(going)} schedules deleted{_kept(going)}"

    def _retire(self, schedules: list[Any]) -> dict[str, str]:
        """Disables schedules and deletes those of which nothing is going; the runs of the others, by schedule.

        Kubernetes deletes with a schedule the workflow of its run, which would stay RUNNING in the API for ever.
        """
        if not schedules:
            return {}
        for schedule in schedules:
            self._client.disable_recurring_run(schedule.recurring_run_id)
        retired = {schedule.recurring_run_id for schedule in schedules}
        going = {run.recurring_run_id: run.display_name for run in self._unended() if run.recurring_run_id in retired}
        for schedule in retired - going.keys():
            self._client.delete_recurring_run(schedule)
        return going

    def schedules(self, name: str, experiment_id: str) -> list[Any]:
        """The schedules of that name."""
        schedules: list[Any] = []
        token = ""
        while True:
            page = self._client.list_recurring_runs(page_token=token, page_size=PAGE, experiment_id=experiment_id)
            schedules += [other for other in page.recurring_runs or [] if other.display_name == name]
            token = page.next_page_token
            if not token:
                return schedules

    def _experiment(self, name: str) -> str:
        return str(self._client.create_experiment(name, namespace=self.namespace).experiment_id)

    def _create_pipeline(self, name: str, description: str) -> str:
        from kfp_server_api import V2beta1Pipeline

        body = V2beta1Pipeline(name=name, display_name=name, description=description, namespace=self.namespace)
        try:
            return str(self._client.pipelines.pipeline_service_create_pipeline(body).pipeline_id)
        except Exception as error:
            pipeline = self.find_pipeline(name) if _status(error) == 409 else None
            if pipeline is None:
                raise
            return pipeline

    def _find_version(self, pipeline: str, version: str) -> Any:
        versions = self._client.list_pipeline_versions(pipeline, page_size=PAGE, filter=_named(version))
        return (versions.pipeline_versions or [None])[0]


def version_name(package: Path) -> str:
    """A version's name: the commit, or of what was not committed the commit and the package's hash.

    In an image the commit is $VITRINE_REVISION.
    """
    digest = content_hash(package)[:8]
    commit = os.environ.get("VITRINE_REVISION", "")
    changed = ""
    if not commit or commit == "unknown":
        root = Path(__file__).resolve().parents[1]
        commit, changed = _git(root, "rev-parse", "HEAD"), _git(root, "status", "--porcelain", "--untracked-files=no")
    if not commit:
        return f"package-{digest}"
    return f"{commit[:12]}-{digest}" if changed else commit[:12]


def run_name(pipeline: str, parameters: Mapping[str, Any]) -> str:
    """A run's name: the pipeline, the revision of its data, and the figure of the model in use that it has to beat.

    The API has no way to rename a run when it has ended. What cannot be reached from this machine is left out.
    """
    from vitrine import tasks
    from vitrine.registry.store import headline
    from vitrine.steps.data import data_state

    given = {**defaults(pipeline), **parameters}
    catalog = str(given["data_catalog"])
    parts = [pipeline]
    with contextlib.suppress(InputError, OSError):
        if "%" not in catalog:
            parts.append((str(given["data_revision"]) or data_state(catalog, ""))[:8])
    with contextlib.suppress(InputError, OSError):
        trained = TRAINS.get(pipeline, tuple(tasks.names()))
        parts += [figure for figure in headline(str(given["out_registry"])) if figure.partition(" ")[0] in trained]
    return " ".join(parts)


def retraining(
    cluster: Cluster, pipeline: str, settings: Mapping[str, Any], state: str, experiment: str
) -> Callable[[], str]:
    """What starts a retraining of the newest version that was published from a commit, and returns the run's id.

    Where there is none, this image's own is published first. The pods' account is that of the pod this runs in.
    """

    def start() -> str:
        version = cluster.latest(pipeline)
        if version is None:
            with tempfile.TemporaryDirectory() as folder:
                package = Path(folder) / f"{pipeline}.yaml"
                compile_pipeline(pipeline, package)
                version = cluster.publish(pipeline, package, version_name(package))
        named = f"{run_name(pipeline, settings)} after drift of {state[:8]}"
        return cluster.start(version, named, settings, experiment, os.environ.get(ACCOUNT, "")).run_id

    return start


def parse_cron(text: str) -> str:
    """Kubeflow's six fields, from these or from the five of crontab (UTC).

    Raises:
        InputError: if it is neither.
    """
    fields = text.split()
    if len(fields) not in (5, 6) or not all(FIELDS.match(field) for field in fields):
        raise InputError(f"--cron {text!r}: five fields as in crontab, such as '0 6 * * *', or six with seconds first")
    return " ".join(fields if len(fields) == 6 else ["0", *fields])


def _kept(going: Mapping[str, str]) -> str:
    """What a person has to know of schedules that were disabled and not deleted."""
    if not going:
        return ""
    runs = ", ".join(going.values())
    return f"; {len(going)} disabled: run {runs} is going and would be deleted too, so ask again when it has ended"


def _same(other: Any, version: Version, cron: str, parameters: Mapping[str, Any], account: str) -> bool:
    reference = other.pipeline_version_reference
    return bool(
        other.status != "DISABLED"
        and reference
        and reference.pipeline_version_id == version.version_id
        and other.trigger
        and other.trigger.cron_schedule
        and other.trigger.cron_schedule.cron == cron
        and other.no_catchup
        and int(other.max_concurrency or 0) == 1
        and dict((other.runtime_config and other.runtime_config.parameters) or {}) == dict(parameters)
        and (not account or other.service_account == account)
    )


def _named(name: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _status(error: Exception) -> int:
    return int(getattr(error, "status", 0) or 0)


@contextlib.contextmanager
def _quietly(endpoint: str) -> Iterator[None]:
    """Swallows what the client prints, and turns what it raises into one line."""
    import logging

    from kfp_server_api import ApiException
    from urllib3.exceptions import HTTPError

    talkative = logging.getLogger("urllib3.connectionpool")
    level = talkative.level
    talkative.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except InputError:
        raise
    except ApiException as error:
        raise InputError(f"{endpoint}: {_told(error)}") from error
    except HTTPError as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(f"{endpoint}: cannot be reached ({str(reason).rpartition(': ')[2]})") from error
    except ValueError as error:  # the client's own checks, and answers that are not the API's
        raise InputError(f"{endpoint}: not an answer of Kubeflow Pipelines ({error})") from error
    finally:
        talkative.setLevel(level)


def _told(error: Any) -> str:
    """What the API said: 403 Forbidden: user may not create runs."""
    try:
        body = json.loads(error.body)
        message = body.get("message") or body.get("error_message") or body.get("error") or ""
    except (TypeError, ValueError, AttributeError):
        message = ""
    if error.status in (401, 403) and not message:
        message = f"not for these credentials; see {TOKEN}"
    if error.status in (301, 302, 307):
        message = f"sends to {(error.headers or {}).get('Location', 'a login')}; a token is needed, see {TOKEN}"
    return f"{error.status} {error.reason}{f': {message}' if message else ''}"
