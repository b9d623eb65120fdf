"""Who may look at a run, and who may stop it, by the rights in a server's kit."""

import pytest

pytest.importorskip("nvflare")

from nvflare.fuel.sec.authz import AuthzContext, Person
from nvflare.security.security import FLAuthorizer

from fedket.deploy.engines.flare import commands
from fedket.deploy.engines.flare.admin import LOOK, STOP, TAKE
from fedket.deploy.engines.flare.kits import COORDINATOR, NOTHING, OBSERVER, RIGHTS
from fedket.deploy.operating.state import STOPPED, read_look


@pytest.fixture
def module(monkeypatch):
    """Our commands, added to FLARE's for the length of a test."""
    modules = list(commands.ServerCommandModules.cmd_modules)
    monkeypatch.setattr(commands.ServerCommandModules, "cmd_modules", modules)
    for name in commands.RIGHTS:
        monkeypatch.setitem(commands.COMMAND_CATEGORIES, name, "")
    commands.register()
    return modules[-1]


@pytest.mark.parametrize(
    ("rights", "may"),
    [
        (RIGHTS[COORDINATOR], {LOOK, STOP, TAKE}),
        (RIGHTS[OBSERVER], {LOOK}),
        (NOTHING, set()),
    ],
    ids=["coordinator", "observer", "stranger"],
)
def test_who_views_may_look_and_who_manages_jobs_may_stop(module, rights, may):
    assert {spec.name for spec in module.get_spec().cmd_specs} == {LOOK, STOP, TAKE}
    assert all(
        spec.authz_func(None, []).name == "REQUIRE_AUTHZ" for spec in module.get_spec().cmd_specs
    )
    policy = {"format_version": "1.0", "permissions": {"someone": rights}}
    authorizer, who = FLAuthorizer("fedket", policy), Person("someone", "fedket", "someone")
    allowed = {
        name
        for name in (LOOK, STOP, TAKE)
        if authorizer.authorize(AuthzContext(user=who, submitter=who, right=name))[0]
    }
    assert allowed == may


class FakeConnection:
    """An administrator's connection to a server with jobs."""

    def __init__(self, kit, jobs):
        self.app_ctx, self.args, self.workspace = self, self, str(kit)
        self.run_processes, self.ended, self.job_runner = jobs, [], self

    def get_prop(self, _):
        return "eve@example.org"

    def new_context(self):
        from contextlib import nullcontext

        return nullcontext()

    def stop_run(self, job, _):
        self.ended.append(job)

    def append_dict(self, said, meta):
        self.said = said


def test_stopping_names_who_did_and_looking_shows_it(module, tmp_path):
    own = tmp_path / "local" / "fedket"
    own.mkdir(parents=True)
    conn = FakeConnection(tmp_path, {"job-1": {}})
    module.stop(conn, [])
    assert (conn.said, conn.ended) == ({"jobs": ["job-1"]}, ["job-1"])
    module.look(conn, [])
    assert conn.said["stopped"]["by"] == "eve@example.org"
    assert read_look(own).stopped["job"] == "job-1"


def test_stopping_a_server_that_runs_nothing_leaves_no_mark(module, tmp_path):
    (tmp_path / "local" / "fedket").mkdir(parents=True)
    conn = FakeConnection(tmp_path, {})
    module.stop(conn, [])
    assert conn.said == {"jobs": []}
    assert not (tmp_path / "local" / "fedket" / STOPPED).exists()
